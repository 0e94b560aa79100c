#!/usr/bin/env python3
"""How fast points of a run get into Rungs' database, and into those of experiment trackers.

    make bench-ingest                           all of them, one after the other, in rounds
    .venv-trackers/bin/python bench/peers/trackers.py --rounds 5 --steps 20000 --only MLflow --only Aim

A point is a value of a metric at a step; every step has two, a loss and a learning rate. A tracker is
given them as its documentation says a training loop should, in a process of its own, on the same disk;
its clock runs from the first point until its own "finish" returns, so what it keeps in a queue counts.
Start-up (imports, making a database) is outside. Rungs' clock runs from opening the event file to the
last committed transaction; the trainer's side of it, writing the event file, is `trainer bench step`'s
business. Bytes a point are everything that is on disk at the end, less what an empty run takes.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def loss(step):
    """Falls, with noise of single precision."""
    noise = (step * 2654435761 % 2**32) / 2**32 - 0.5
    return math.fsum([7.0 / (1.0 + step / 20_000.0), 1.0, 0.4 * noise])


def lr(step):
    return 0.4 * (1 + math.cos(step * 1e-5)) / 2


# ---- each gives (log(steps), finish())


def mlflow(directory):
    """As MLflow's own batching API: 1,000 metrics a call, the most that one takes."""
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{directory}/mlflow.db")
    experiment = client.create_experiment("bench", artifact_location=str(directory / "artifacts"))
    run = client.create_run(experiment).info.run_id

    def log(steps):
        now = int(time.time() * 1000)
        for first in range(0, steps, 500):
            these = range(first, min(first + 500, steps))
            metrics = [Metric("train/loss", loss(s), now, s) for s in these] + [Metric("lr", lr(s), now, s) for s in these]
            client.log_batch(run, metrics=metrics)

    return log, lambda: client.set_terminated(run)


def aim(directory):
    from aim import Run

    run = Run(repo=str(directory), system_tracking_interval=None, capture_terminal_logs=False, log_system_params=False)

    def log(steps):
        for step in range(steps):
            run.track({"train/loss": loss(step), "lr": lr(step)}, step=step)

    return log, run.close


def trackio(directory):
    os.environ["TRACKIO_DIR"] = str(directory)
    import trackio

    trackio.init(project="bench", embed=False)

    def log(steps):
        for step in range(steps):
            trackio.log({"train/loss": loss(step), "lr": lr(step)}, step=step)

    return log, trackio.finish


def wandb(directory):
    import wandb

    run = wandb.init(project="bench", mode="offline", dir=str(directory), settings=wandb.Settings(silent=True, x_disable_stats=True))

    def log(steps):
        for step in range(steps):
            run.log({"train/loss": loss(step), "lr": lr(step)}, step=step)

    return log, run.finish


def tensorboardx(directory):
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(directory))

    def log(steps):
        for step in range(steps):
            writer.add_scalar("train/loss", loss(step), step)
            writer.add_scalar("lr", lr(step), step)

    return log, writer.close


TRACKERS = {"MLflow": mlflow, "Aim": aim, "Trackio": trackio, "W&B offline": wandb, "tensorboardX": tensorboardx}


def size(directory):
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def child(name, directory, steps):
    log, finish = TRACKERS[name](directory)
    begun, cpu = time.perf_counter(), time.process_time()
    log(steps)
    finish()
    print("RESULT " + json.dumps({"seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}), flush=True)


def tracker(name, steps):
    """One measurement: points a second, and everything that lies on the disk after it."""
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as directory:
        environment = {**os.environ, "HOME": directory, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, __file__, "--child", name, "--directory", directory, "--steps", str(steps)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=directory, timeout=600)
        except subprocess.TimeoutExpired:
            return {"problem": "not finished after 600 s"}
        result = [text for text in done.stdout.splitlines() if text.startswith("RESULT ")]
        if done.returncode or not result:
            said = (done.stderr + done.stdout).strip().splitlines() or ["nothing"]
            return {"problem": f"status {done.returncode}: {said[-1][:160]}"}
        return {**json.loads(result[0][7:]), "bytes": size(pathlib.Path(directory))}


def rungs(runner, steps):
    done = subprocess.run([runner, "bench", "ingest", "--steps", str(steps), "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def median(values):
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="each program once a round; the figure is the median")
    parser.add_argument("--steps", type=int, default=20_000, help="of a tracker's run")
    parser.add_argument("--rungs-steps", type=int, default=600_000, help="of Rungs' run")
    parser.add_argument("--only", action="append", choices=TRACKERS, help="this tracker; default: all")
    parser.add_argument("--runner", default=str(ROOT / "target" / "release" / "runner"))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write everything")
    parser.add_argument("--child", choices=TRACKERS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.child, args.directory, args.steps)
    if not shutil.which(args.runner):
        sys.exit(f"{args.runner}: no such program; `make build` makes it, --runner names another")
    names = args.only or list(TRACKERS)
    ours, theirs = [], {name: [] for name in names}
    for _ in range(args.rounds):
        ours.append(rungs(args.runner, args.rungs_steps))
        for name in names:
            theirs[name].append(tracker(name, args.steps))
    # What is there without any point: a database's empty tables, a run's description.
    empty = {name: tracker(name, 1) for name in names}
    rate = median([one["points_per_s"] for one in ours])
    report = {"rungs": {"points_per_s": rate, "points_per_cpu_s": median([one["points_per_cpu_s"] for one in ours]),
                        "bytes_per_point": ours[0]["bytes_per_point"], "rounds": ours}, "trackers": {}}  # fmt: skip
    print(f"{'':14}{'points/s':>12}{'bytes/point':>13}{'Rungs is':>12}")
    print(f"{'Rungs':14}{rate:12,.0f}{ours[0]['bytes_per_point']:13.1f}")
    for name, rounds in theirs.items():
        problem = next((one["problem"] for one in [*rounds, empty[name]] if "problem" in one), None)
        if problem:
            report["trackers"][name] = {"problem": problem}
            print(f"{name:14}  not measured: {problem}")
            continue
        points = 2 * args.steps
        per_s = median([points / one["seconds"] for one in rounds])
        room = (median([one["bytes"] for one in rounds]) - empty[name]["bytes"]) / points
        report["trackers"][name] = {"points_per_s": per_s, "bytes_per_point": room, "rounds": rounds}
        print(f"{name:14}{per_s:12,.0f}{room:13.1f}{rate / per_s:9.0f} times", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
