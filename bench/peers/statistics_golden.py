#!/usr/bin/env python3
"""Golden statistics: what SciPy and statsmodels say of 1,000 random cases.

    make golden-statistics          (or: bench/peers/setup statistics && .venv-statistics/bin/python bench/peers/statistics_golden.py)

Writes crates/report/tests/golden/statistics.csv: one case a line, twelve digits. The cases are a formula, the
SplitMix64 of golden_inputs.py over the name "statistics", so that crates/report/tests/scipy.rs makes the same
ones: uniform(i) in [0, 1) is element i. Case k takes elements 64 k .. 64 k + 63, in the order of `case`.
"""

import pathlib
import sys

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden_inputs  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "report" / "tests" / "golden" / "statistics.csv"
CASES, EACH = 1000, 64
COLUMNS = (
    "mean", "sd", "ci_low", "ci_high", "delta_p", "delta_ci_low", "delta_ci_high", "mcnemar_p", "holm_first", "holm_last",
    "power",
)


def case(u):
    u = iter(u)
    n = 2 + int(9 * next(u))
    spread = 10.0 ** (1 - 3 * next(u))
    ours = np.array([75 + spread * next(u) for _ in range(n)])
    base = np.array([75 + spread * next(u) for _ in range(n)])
    ci = stats.t.interval(0.95, n - 1, ours.mean(), stats.sem(ours))
    paired = stats.ttest_rel(ours, base)
    paired_ci = paired.confidence_interval()
    only_ours, only_base = int(400 * next(u)), int(400 * next(u))
    discordant = only_ours + only_base
    mcnemar = stats.binomtest(min(only_ours, only_base), discordant).pvalue if discordant else 1.0
    p = [next(u) ** 3 for _ in range(1 + int(9 * next(u)))]
    holm = multipletests(p, method="holm")[1]
    effect, seeds = 0.05 + 1.2 * next(u), 2 + int(29 * next(u))
    power = TTestPower().power(effect, seeds, 0.05, alternative="two-sided")
    return (
        ours.mean(), ours.std(ddof=1), *ci, paired.pvalue, paired_ci.low, paired_ci.high, mcnemar, holm[0], holm[-1], power,
    )  # fmt: skip


def main():
    hashes = list(golden_inputs.hashes("statistics", CASES * EACH))
    uniform = [(h >> 11) * 2.0**-53 for h in hashes]
    lines = [",".join(COLUMNS)]
    for k in range(CASES):
        lines.append(",".join(f"{x:.12g}" for x in case(uniform[k * EACH : (k + 1) * EACH])))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
