#!/usr/bin/env python3
"""Golden values of crates/report/src/stats: python3 -m pip install scipy && python3 golden.py"""
import numpy as np
from scipy import stats

print("t quantiles", [float(stats.t.ppf(0.975, d)) for d in (1, 2, 4, 9, 29)])
x, y = np.array([78.1, 78.35, 78.9]), np.array([77.5, 78.0, 77.9])
print("summary", x.mean(), x.std(ddof=1), stats.t.interval(0.95, 2, x.mean(), stats.sem(x)))
print("two-sided", 2 * stats.t.sf(2.5, 4))
paired = stats.ttest_rel(x, y)
print("paired", paired.pvalue, paired.confidence_interval())
for b, c in [(10, 4), (60, 31), (700, 610), (5, 5)]:
    print("mcnemar", b, c, stats.binomtest(min(b, c), b + c).pvalue)
