#!/usr/bin/env python3
"""Two runs of one thread side by side, or one run of two threads? Which share of a machine finishes
a table sooner decides the rule of runner/src/slots.rs.

    make build && bench/threads.py            every network of bench/peers/pytorch_step.py
    bench/threads.py --case quick --rounds 9 --threads 4

For each network: images per second of N trainers of one thread side by side, and of one trainer of N
threads, in turns. Their ratio, above 1 where side by side is faster, is the median over rounds.
Standard library only.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench" / "peers"))
from pytorch_step import CASES, Side, bounds, median  # noqa: E402


def measure(name, recipe, steps, threads, rounds, trainer):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        command = [trainer, "bench", "step", "--turns", "--recipe", file.name, "--threads"]
        sides = []
        try:
            for n in [1] * threads + [threads]:
                sides.append(Side(f"{name} on {n}", [*command, str(n)]))
                sides[-1].answer()
            *singles, wide = sides
            for _ in range(rounds):
                for side in singles:
                    side.begin(steps)
                for side in singles:
                    side.end()
                wide.turn(steps)
            for side in sides:
                side.finish()
        finally:
            for side in sides:
                side.kill()
    batch = recipe["batch_size"]
    beside = [sum(1000 * batch / side.times[i] for side in singles) for i in range(rounds)]
    alone = [1000 * batch / ms for ms in wide.times]
    ratios = [a / b for a, b in zip(beside, alone)]
    return median(beside), median(alone), median(ratios), bounds(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all of them")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="N; default: the machine's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trainer", default=str(ROOT / "target" / "release" / "trainer"))
    args = parser.parse_args()
    if args.threads < 2:
        sys.exit("one thread cannot be shared out: nothing to measure")
    if not os.access(args.trainer, os.X_OK):
        sys.exit(f"{args.trainer}: no such program; `make build` makes it, --trainer names another")
    n = args.threads
    print(f"{'network':14}{f'{n} runs x 1 thread':>20}{f'1 run x {n} threads':>20}{'ratio':>8}   95 % bounds   (images/s)")
    for case in args.case or CASES:
        recipe, steps = CASES[case]
        beside, alone, ratio, (low, high) = measure(case, recipe, steps, n, args.rounds, args.trainer)
        between = "-" if low is None else f"{low:.2f} .. {high:.2f}"
        print(f"{case:14}{beside:20.1f}{alone:20.1f}{ratio:8.2f}   {between}", flush=True)


if __name__ == "__main__":
    main()
