#!/usr/bin/env python3
"""A trainer that trains nothing: the whole protocol without libtorch, for tests of the scheduler.

Its "weights" are a hash over the recipe, the teacher's weights, the seed and all steps, so that a run
that was resumed wrongly or began before its teacher was done ends with other weights. It writes to the
disk in the same order as the real one. FAKE_STEP_MS sleeps in every step; FAKE_MODE makes it fail.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from datetime import datetime, timezone

STEPS_PER_EPOCH = 5


def devices():
    cpu = {"id": "cpu", "kind": "cpu", "name": "fake", "memory_bytes": 1 << 30, "threads": 2}
    gpu = {"id": "cuda:0", "kind": "cuda", "name": "fake", "memory_bytes": 1 << 30, "threads": 0}
    gpus = [gpu] if os.environ.get("FAKE_GPU") else []
    version = int(os.environ.get("FAKE_PROTOCOL", "1"))
    info = {"protocol": version, "numerics": 4, "version": "fake", "libtorch": "none", "devices": [cpu] + gpus}
    print(json.dumps(info))


def sync_dir(path):
    directory = os.open(path, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


class Attempt:
    def __init__(self, run_dir, number):
        self.dir, self.number = run_dir, number
        self.events = open(os.path.join(run_dir, f"attempt-{number}.jsonl"), "a")
        os.makedirs(os.path.join(run_dir, "checkpoints"), exist_ok=True)
        sync_dir(run_dir)

    def event(self, kind, **fields):
        t = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        line = {"v": 1, "t": t, "attempt": self.number, "kind": kind, **fields}
        self.events.write(json.dumps(line) + "\n")
        self.events.flush()
        os.fsync(self.events.fileno())

    def checkpoint(self, step, state):
        name = f"checkpoints/{self.number}-last.safetensors"
        path = os.path.join(self.dir, name)
        text = json.dumps({"step": step, "state": state}).encode()
        with open(path + ".tmp", "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # The one before stays until the event of this one is on the disk.
        if os.path.exists(path):
            os.rename(path, path.replace("-last", "-previous"))
            sync_dir(os.path.dirname(path))
        os.rename(path + ".tmp", path)
        sync_dir(os.path.dirname(path))
        digest = hashlib.sha256(text).hexdigest()
        self.event("checkpoint", epoch=step // STEPS_PER_EPOCH, step=step, file=name, blake3=digest)


def events_of(run_dir):
    """Of all attempts; a torn line is none."""
    for name in sorted(os.listdir(run_dir)):
        if name.startswith("attempt-") and name.endswith(".jsonl"):
            for line in open(os.path.join(run_dir, name), errors="replace"):
                try:
                    yield json.loads(line)
                except ValueError:
                    continue


def last_checkpoint(run_dir):
    """The furthest one that an event has the digest of."""
    known = {event["blake3"] for event in events_of(run_dir) if event["kind"] == "checkpoint"}
    best = (0, None, None)
    for name in os.listdir(os.path.join(run_dir, "checkpoints")):
        text = open(os.path.join(run_dir, "checkpoints", name), "rb").read()
        if hashlib.sha256(text).hexdigest() in known:
            found = json.loads(text)
            if found["step"] > best[0]:
                best = (found["step"], found["state"], f"checkpoints/{name}")
    return best


def teacher(recipe):
    """The weights that it learns from."""
    source = recipe["inputs"].get("distill.teacher")
    if source is None:
        return ""
    return [event["weights_blake3"] for event in events_of(source["run_dir"]) if event["kind"] == "finished"][-1]


def run(run_dir, number):
    lock = open(os.path.join(run_dir, "trainer.lock"), "a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another trainer works on this run", file=sys.stderr)
        return 3
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    if os.path.exists(os.path.join(run_dir, f"attempt-{number + 1}.jsonl")):
        return 75
    recipe = json.load(open(os.path.join(run_dir, "recipe.json")))
    assert recipe["v"] == 1 and recipe["run"] == os.path.basename(run_dir)
    attempt = Attempt(run_dir, number)
    mode = os.environ.get("FAKE_MODE", "")
    if mode == "permanent":
        attempt.event("failed", **{"class": "permanent", "message": "the loss is NaN at step 7"})
        return 1
    if mode == "once" and number == 1:
        attempt.event("failed", **{"class": "transient", "message": "out of memory"})
        return 9
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    step, state, source = last_checkpoint(run_dir)
    begin = json.dumps(recipe["recipe"], sort_keys=True) + teacher(recipe)
    state = state or hashlib.sha256(begin.encode()).hexdigest()
    steps = recipe["recipe"]["epochs"] * STEPS_PER_EPOCH
    started = {"run": recipe["run"], "step": step, "steps_per_epoch": STEPS_PER_EPOCH, "steps": steps}
    if source:
        started["resumed_from"] = source
    attempt.event("started", environment={"host": "fake"}, **started)
    while step < steps:
        if asked:
            attempt.checkpoint(step, state)
            return 75
        time.sleep(float(os.environ.get("FAKE_STEP_MS", "0")) / 1000)
        state = hashlib.sha256(f"{state} {recipe['seed']} {step}".encode()).hexdigest()
        values = {"train/loss": [1 / (1 + step)], "lr": [0.1]}
        attempt.event("metrics", step0=step, epoch0=step // STEPS_PER_EPOCH, values=values)
        step += 1
        if step % STEPS_PER_EPOCH == 0:
            epoch = step // STEPS_PER_EPOCH
            metrics = {"val/top1": 50.0 + epoch, "val/top5": 90.0 + epoch, "val/loss": 1 / epoch}
            attempt.event("evaluation", epoch=epoch, step=step, split="val", n=8, metrics=metrics)
            attempt.checkpoint(step, state)
    epochs = [0.1] * recipe["recipe"]["epochs"]
    outcome = {"weights_blake3": state, "best_epoch": len(epochs), "peak_bytes": 1}
    attempt.event("finished", epoch_seconds=epochs, **outcome)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "devices":
        devices()
    elif sys.argv[1:3] == ["run", "--run-dir"] and sys.argv[4] == "--attempt":
        try:
            sys.exit(run(sys.argv[3], int(sys.argv[5])))
        except OSError as error:
            print(error, file=sys.stderr)
            sys.exit(9)
    else:
        sys.exit(2)
