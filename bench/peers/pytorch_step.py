#!/usr/bin/env python3
"""A training step of Rungs beside the same step in PyTorch eager, measured in one run.

    make bench-step                           the cases below on one thread and on all
    .venv-peers/bin/python bench/peers/pytorch_step.py --case quick --threads 2 --pairs 15
    .venv-peers/bin/python bench/peers/pytorch_step.py --recipe FILE      a recipe of your own

Three programs are alive at once and take turns, a block of steps each, in an order that rotates:
PyTorch in its default memory layout, PyTorch in channels_last, and `trainer bench step --turns`. A
pair is one block of PyTorch and the block of Rungs beside it, so that whatever else the machine does
hits both; the figure is the median over pairs of (PyTorch's time / ours), above 1 when Rungs is
faster. Bounds are order statistics of the pairs (exact, whatever the distribution). CPU time is
shown beside: other programs do not change it. Memory is the peak resident set of each process.

The PyTorch side is what a competent user writes: torchvision's and timm's modules (step_models.py),
torch.optim.SGD with Nesterov momentum and its foreach default, gradients set to None, the same
number of threads. Its batch lies on the device, as ours does: no loader on either side.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import turns  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Steps before the clock starts, on both sides: oneDNN compiles its kernels at their first use.
WARM_UP = 3
LAYOUTS = ("default", "channels_last")

# Recipe, and steps of a block. The batches of full size are small so that a pair takes seconds.
QUICK = {"dataset": "fashion-mnist", "depths": [1, 1, 1], "width": 0.25, "input_size": 32, "replicas": 1}
FULL = {"dataset": "imagenet", "batch_size": 16, "replicas": 1}
CASES = {
    "quick": ({**QUICK, "model": "resnet50", "batch_size": 128}, 10),
    "quick-32": ({**QUICK, "model": "resnet50", "batch_size": 32}, 30),
    "quick-d": ({**QUICK, "model": "resnet50d", "batch_size": 128}, 10),
    "resnet50d": ({**FULL, "model": "resnet50d", "input_size": 224}, 1),
    "mobilenet": ({**FULL, "model": "mobilenet", "input_size": 224}, 2),
    "inception-v3": ({**FULL, "model": "inception-v3", "input_size": 299}, 1),
}


def classes_of(recipe):
    return {"fashion-mnist": 10, "cifar10": 10, "imagenet": 1000}.get(recipe.get("dataset", "imagenet"), 1000)


# ---- the PyTorch side: a program that takes turns


def pytorch(recipe, layout, threads, device):
    import torch
    from torch.nn import functional as F

    import step_models

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    classes = classes_of(recipe)
    model = step_models.build(recipe, classes).to(device, memory_format=memory_format).train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    exempt = [p for p in model.parameters() if p.dim() <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 1e-4}, {"params": exempt, "weight_decay": 0.0}],
        lr=1e-3, momentum=0.9, nesterov=True,
    )  # fmt: skip
    n, side = recipe["batch_size"], recipe["input_size"]
    images = torch.randn(n, 3, side, side, device=device).to(memory_format=memory_format)
    labels = torch.randint(classes, (n,), device=device)

    def block(steps):
        begun = time.perf_counter(), time.process_time()
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()
        steps = max(1, steps)
        return {
            "ms_per_step": 1000 * (time.perf_counter() - begun[0]) / steps,
            "cpu_ms_per_step": 1000 * (time.process_time() - begun[1]) / steps,
        }

    block(WARM_UP)
    parameters = sum(p.numel() for p in model.parameters())
    turns.serve({"parameters": parameters, "torch": torch.__version__}, block)


# ---- the run: three such programs


class Side:
    """A program that takes turns."""

    def __init__(self, name, command):
        self.name, self.times, self.cpu = name, [], []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"pytorch_step.py: {self.name} ended with status {self.process.wait()}; its message is above")
        return json.loads(line)

    def begin(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()

    def end(self):
        answer = self.answer()
        self.times.append(answer["ms_per_step"])
        self.cpu.append(answer["cpu_ms_per_step"])

    def turn(self, steps):
        self.begin(steps)
        self.end()

    def finish(self):
        self.process.stdin.close()
        last = self.answer()
        self.process.wait()
        return last["peak_bytes"]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def median(values):
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def bounds(values):
    """One-sided 95 % bounds of the median, lower and upper: the k-th smallest and largest, where
    fewer than k of n fall below the median with probability <= 5 %. None with fewer than 5 values."""
    n, k, below = len(values), 0, 0.0
    while (below := below + math.comb(n, k) / 2**n) <= 0.05:
        k += 1
    values = sorted(values)
    return (values[k - 1], values[n - k]) if k else (None, None)


def compare(name, recipe, steps, threads, pairs, trainer, device):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        ours = [trainer, "bench", "step", "--turns", "--recipe", file.name, "--threads", str(threads), "--device", device]
        theirs = [sys.executable, __file__, "--child", file.name, "--threads", str(threads), "--device", device]
        sides = []
        try:
            # One after the other: each warms up alone.
            for side, command in [("rungs", ours)] + [(layout, [*theirs, "--layout", layout]) for layout in LAYOUTS]:
                sides.append(Side(side, command))
                counted = sides[-1].answer()["parameters"]
                if side == "rungs":
                    parameters = counted
                elif counted != parameters:
                    sys.exit(f"{name}: Rungs trains {parameters} parameters, PyTorch {counted}: not the same network")
            for i in range(pairs):
                for j in range(len(sides)):
                    sides[(i + j) % len(sides)].turn(steps)
            peaks = {side.name: side.finish() for side in sides}
        finally:
            for side in sides:
                side.kill()
    rungs = sides[0]
    result = {"case": name, "threads": threads, "device": device, "pairs": pairs, "steps_per_block": steps,
              "recipe": recipe, "parameters": parameters,
              "rungs": {"ms": median(rungs.times), "cpu_ms": median(rungs.cpu), "peak_bytes": peaks["rungs"]}}  # fmt: skip
    for side in sides[1:]:
        ratios = [theirs / ours for theirs, ours in zip(side.times, rungs.times)]
        cpu = [theirs / ours for theirs, ours in zip(side.cpu, rungs.cpu)]
        lower, upper = bounds(ratios)
        result[side.name] = {
            "ms": median(side.times), "cpu_ms": median(side.cpu), "peak_bytes": peaks[side.name],
            "ratio": median(ratios), "lower95": lower, "upper95": upper, "cpu_ratio": median(cpu), "ratios": ratios,
            "memory_ratio": peaks["rungs"] / peaks[side.name],
        }  # fmt: skip
    return result


def number(value):
    return "-" if value is None else f"{value:.2f}"


def show(result):
    rungs = result["rungs"]
    print(f"\n{result['case']}: batch {result['recipe']['batch_size']}, {result['recipe']['input_size']} px, "
          f"{result['threads']} thread{'s' * (result['threads'] > 1)}, {result['pairs']} pairs "
          f"of {result['steps_per_block']} steps")  # fmt: skip
    print(f"{'':22}{'ms/step':>10}{'CPU ms':>10}{'peak MB':>10}{'ratio':>8}{'95 % bounds':>16}{'CPU ratio':>11}{'memory':>8}")
    print(f"{'Rungs':22}{rungs['ms']:10.1f}{rungs['cpu_ms']:10.1f}{rungs['peak_bytes'] / 1e6:10.0f}")
    for layout in LAYOUTS:
        r = result[layout]
        between = f"{number(r['lower95'])} .. {number(r['upper95'])}"
        print(f"{'PyTorch ' + layout:22}{r['ms']:10.1f}{r['cpu_ms']:10.1f}{r['peak_bytes'] / 1e6:10.0f}{r['ratio']:8.2f}"
              f"{between:>16}{r['cpu_ratio']:11.2f}{r['memory_ratio']:8.2f}", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all of them")
    parser.add_argument("--recipe", type=pathlib.Path, help="a TOML or JSON table with model, batch_size, input_size, ...")
    parser.add_argument("--threads", type=int, action="append", help="default: 1, and all of the machine")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--steps", type=int, help="steps of a block; default: the case's, 3 with --recipe")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--trainer", default=str(ROOT / "target" / "release" / "trainer"))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write everything, ratios of all pairs included")
    parser.add_argument("--layout", choices=LAYOUTS, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return pytorch(json.loads(args.child.read_text()), args.layout, args.threads[0], args.device)
    if args.recipe:
        text = args.recipe.read_text()
        recipe = json.loads(text) if args.recipe.suffix == ".json" else tomllib.loads(text)
        lacking = {"model", "batch_size", "input_size"} - recipe.keys()
        if lacking:
            sys.exit(f"{args.recipe}: give {', '.join(sorted(lacking))}, so that both sides train the same")
        if recipe.get("precision", "fp32") != "fp32" or recipe.setdefault("replicas", 1) != 1:
            sys.exit(f"{args.recipe}: the PyTorch side has precision = \"fp32\" and replicas = 1 only")
        cases = {args.recipe.stem: (recipe, args.steps or 3)}
    else:
        cases = {case: CASES[case] for case in args.case or CASES}
    if not os.access(args.trainer, os.X_OK):
        sys.exit(f"{args.trainer}: no such program; `make build` makes it, --trainer names another")
    results = []
    for threads in args.threads or sorted({1, len(os.sched_getaffinity(0))}):
        for name, (recipe, steps) in cases.items():
            result = compare(name, recipe, args.steps or steps, threads, args.pairs, args.trainer, args.device)
            results.append(result)
            show(result)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
