#!/usr/bin/env python3
"""What 10,000 runs cost: planning, the scheduler's share of each run, and looking at them.

    make bench-scale                            100 rows x 20 columns x 5 seeds
    bench/scale.py --rows 10 --columns 4 --json scale.json

Makes an experiment of its own and trains it with bench/noop-trainer, a shell script that writes the
events of a finished run and is gone. What is left of the wall time is the scheduler's: choosing a run,
its directory and files, starting a process, following its events, committing them. The trainer's own
time (measured alone, from fork to exit) is shown beside and NOT taken off.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def experiment(rows, columns, seeds):
    text = f'title = "{rows} rows, {columns} columns, {seeds} seeds"\nmetrics = ["val/top1"]\nseeds = {seeds}\n'
    text += '[base]\nmodel = "resnet50"\ndataset = "synthetic"\ninput_size = 32\ndepths = [1, 1, 1]\nwidth = 0.25\n'
    text += 'epochs = 1\nreplicas = 1\nschedule = { kind = "cosine" }\n'
    for column in range(columns):
        text += f'[[column]]\nid = "c{column}"\nset = {{ batch_size = {8 * (column + 1)} }}\n'
    for row in range(rows):
        text += f'[[row]]\nid = "r{row}"\nset = {{ lr = {(row + 1) / 1000} }}\n'
    return text


class Timed:
    def __init__(self, runner, home):
        self.runner, self.home = runner, home
        self.env = {**os.environ, "RUNGS_TRAINER": str(ROOT / "bench/noop-trainer")}

    def __call__(self, *arguments):
        begun = time.perf_counter()
        done = subprocess.run([self.runner, *arguments, "--home", self.home], env=self.env, capture_output=True, text=True)
        seconds = time.perf_counter() - begun
        if done.returncode:
            sys.exit(f"`runner {' '.join(map(str, arguments))}` ended with status {done.returncode}: {done.stderr[-600:]}")
        return seconds, done.stdout

    def best(self, *arguments, times=5):
        """The median: a first call finds cold caches."""
        found = sorted(self(*arguments)[0] for _ in range(times))
        return found[times // 2]


def noop_seconds(times=200):
    """Of the trainer alone."""
    with tempfile.TemporaryDirectory() as directory:
        begun = time.perf_counter()
        for _ in range(times):
            subprocess.run([ROOT / "bench/noop-trainer", "run", "--run-dir", directory, "--attempt", "1"], check=True)
        return (time.perf_counter() - begun) / times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--runner", default=str(ROOT / "target" / "release" / "runner"))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write everything")
    args = parser.parse_args()
    if not os.access(args.runner, os.X_OK):
        sys.exit(f"{args.runner}: no such program; `make build` makes it, --runner names another")
    # On the disk of the work tree: a home in memory would flatter every commit.
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as directory:
        table = pathlib.Path(directory) / "scale.toml"
        table.write_text(experiment(args.rows, args.columns, args.seeds))
        timed = Timed(args.runner, pathlib.Path(directory) / "home")
        runs = args.rows * args.columns * args.seeds
        result = {"runs": runs, "plan_new_s": timed.best("plan", table)}
        unique = json.loads(timed("plan", table, "--json")[1])["unique"]
        if unique != runs:
            sys.exit(f"the experiment has {unique} runs, not {runs}")
        seconds, _ = timed("reproduce", table, "--slots", str(args.slots), "--quiet")
        alone = noop_seconds()
        result |= {
            "reproduce_s": seconds, "ms_per_run": 1000 * seconds / runs, "noop_trainer_ms": 1000 * alone, "slots": args.slots,
            "reproduce_again_s": timed.best("reproduce", table, "--quiet", times=3),
            "plan_done_s": timed.best("plan", table), "status_s": timed.best("status"), "runs_s": timed.best("runs", times=3),
            "export_json_s": timed.best("export", table, "--format", "json", times=3),
        }  # fmt: skip
        done = json.loads(timed("plan", table, "--json")[1])["runs"]
        if any(run["state"] != "done" for run in done):
            sys.exit("not every run is done")
        result["reindex_s"] = timed("reindex")[0]
        result["database_bytes"] = sum(p.stat().st_size for p in timed.home.glob("rungs.db*"))
    for key, value in result.items():
        print(f"{key:20} {value:,.3f}" if isinstance(value, float) else f"{key:20} {value:,}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
