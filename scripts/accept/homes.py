"""Small tables with an edge from teacher to student, and what must hold of a home whatever happened to it."""

import os
import random
import subprocess

from common import attempts, check, environment, events_of, run, run_keys, series_of

BASE = """
title = "{title}"
metrics = ["val/top1"]
[base]
model = "resnet50"
dataset = "synthetic"
train_subset = 1024
val_subset = 256
input_size = 16
depths = [1]
width = 0.125
epochs = {epochs}
batch_size = 32
replicas = 1
schedule = {{ kind = "cosine" }}
[[column]]
id = "low"
set = {{ lr = 0.1 }}
[[column]]
id = "high"
set = {{ lr = 0.2 }}
"""
PLAIN = '[[row]]\nid = "plain"\non = "base"\n'
ZERO = '[[row]]\nid = "zero-gamma"\non = "base"\nadd = ["zero-gamma"]\n'
SMOOTH = '[[row]]\nid = "smooth"\non = "base"\nadd = ["label-smoothing"]\n'
STUDENT = """[[row]]
id = "student-{column}"
on = "base"
add = [{{ id = "distillation", teacher = {{ experiment = "small", row = "plain", column = "{column}" }} }}]
"""
STUDENTS = STUDENT.format(column="low") + STUDENT.format(column="high")


class Small:
    """A folder with experiments: `small` has the teachers of `students`, `other` shares a row with it."""

    def __init__(self, lab, name, epochs=10):
        self.lab, self.dir = lab, lab.directory(name)
        (self.dir / "experiments").mkdir()
        for stem, rows in (("small", PLAIN + ZERO), ("students", STUDENTS), ("other", ZERO + SMOOTH)):
            text = BASE.format(title=f"Small: {stem}", epochs=epochs) + rows
            (self.dir / "experiments" / f"{stem}.toml").write_text(text)
        self.log = self.dir / "runner.log"

    def command(self, *arguments, home):
        return [self.lab.bin / "runner", *arguments, "--home", home]

    def runner(self, *arguments, home, ok=(0,), env=None, timeout=3600):
        return run(*self.command(*arguments, home=home), cwd=self.dir, env=env, ok=ok, timeout=timeout)

    def start(self, *arguments, home, env=None):
        """In the background, its output in `log`."""
        with open(self.log, "a") as log:
            return subprocess.Popen(
                self.command(*arguments, home=home), cwd=self.dir, env=env or environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def undisturbed(self, *experiments):
        """The home in which nothing happened to these tables."""
        home = self.dir / "undisturbed-home"
        self.runner("reproduce", *experiments, home=home)
        return home


def chosen(name):
    """A random generator, and its seed: of that environment variable, else a new one, printed."""
    seed = int(os.environ.get(name) or random.randrange(1 << 32))
    print(f"        {name}={seed}", flush=True)
    return random.Random(seed), seed


def weights(home):
    return {key: events_of(home, key, "finished")[-1]["weights_blake3"] for key in run_keys(home)}


def points(lab, home, key, metric):
    return lab.json("series", key, metric, home=home)["points"]


def lossless(lab, home):
    """Every run finished once, no point lost or doubled, nothing that had a checkpoint was trained again.
    Returns the attempts that went on from a checkpoint."""
    resumed = 0
    for key in run_keys(home):
        check(len(events_of(home, key, "finished")) == 1, f"{key[:8]}: not finished exactly once")
        reached = 0
        for number, events in attempts(home, key).items():
            for event in events:
                if event["kind"] == "started":
                    begin = event["step"]
                    check(begin == reached, f"{key[:8]}: attempt {number} began at step {begin}, the checkpoint was at {reached}")
                    resumed += begin > 0
                elif event["kind"] == "checkpoint":
                    reached = event["step"]
        shown = [point[0] for point in points(lab, home, key, "train/loss")]
        check(shown == list(range(len(series_of(home, key, "train/loss")))), f"{key[:8]}: points lost or doubled")
    return resumed


def as_undisturbed(lab, home, reference):
    """Every run is done, with the weights and the points of an undisturbed home, bit for bit. Returns resumes."""
    resumed = lossless(lab, home)
    check(weights(home) == weights(reference), f"{home}: other weights than those of {reference}")
    for key in run_keys(home):
        check(lab.json("show", key, home=home)["state"] == "done", f"{key[:8]} is not done")
        for metric in ("train/loss", "lr", "val/top1"):
            ours, theirs = points(lab, home, key, metric), points(lab, reference, key, metric)
            check(ours == theirs, f"{key[:8]}: the points of {metric} are not those of an undisturbed run")
    return resumed
