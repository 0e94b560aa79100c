#!/usr/bin/env python3
"""Detection in Rungs beside torchvision's, on the CPU, measured in one run.

    make bench-detection                      every case, on one thread and on all
    .venv-peers/bin/python bench/peers/torchvision_detection.py --case nms-6000 --threads 1 --pairs 15

Two programs are alive at once and take turns, a block of calls each, who is first alternating: torchvision, and
`trainer bench ...`. A pair is a block of each, so that whatever else the machine does hits both; the figure is the
median over pairs of (torchvision's time / ours), above 1 where Rungs is faster, with one-sided 95 % bounds from order
statistics. Before they are timed both answer once, and the answers are compared.

Kernels get the same tensors, written by this program to a file from a seeded generator. Boxes of nms-* lie about
objects, as a detector's do; torchvision's kernel knows no number to keep, so its indices are cut afterwards, as its own
detector does (nms-*-all keeps all of them: the same work on both sides). roi-align-* pools 14 x 14 bins of 2 x 2 samples; both sides are given features in
the layout named (torchvision's kernel makes them contiguous itself) and the upstream gradient in the layout of what
they pooled.

Adding a case: one entry in CASES, whose `theirs` is a function of this file that returns (answer, call), and whose
`ours` are arguments of the trainer.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import turns  # noqa: E402
from pytorch_step import Side, bounds, median, number  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Calls before the clock starts, on both sides.
WARM_UP = 2


# ---- cases: (tensors of the file, torchvision's side)


def nms_tensors(count):
    """As many boxes about 40 objects of an image of 600 x 1000 pixels, no score twice."""
    import torch

    g = torch.Generator().manual_seed(count)
    uniform = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    objects = uniform(40, 4) * torch.tensor([1000.0, 600.0, 300.0, 300.0]) + torch.tensor([0.0, 0.0, 32.0, 32.0])
    of = objects[torch.randint(40, (count,), generator=g)]
    # One in four lies anywhere.
    anywhere = uniform(count, 4) * torch.tensor([1000.0, 600.0, 300.0, 300.0]) + torch.tensor([0.0, 0.0, 16.0, 16.0])
    of = torch.where(uniform(count, 1) < 0.25, anywhere, of)
    centre = of[:, :2] + 0.3 * of[:, 2:] * torch.randn(count, 2, generator=g)
    size = of[:, 2:] * torch.exp(0.3 * torch.randn(count, 2, generator=g))
    boxes = torch.cat([centre - size / 2, centre + size / 2], 1)
    limits = torch.tensor([1000.0, 600.0, 1000.0, 600.0])
    return {"boxes": boxes.clamp(min=0).minimum(limits), "scores": torch.randperm(count, generator=g) / count}


def roi_tensors(shape, count, pixels=16):
    """Features, and boxes of all sizes from 16 pixels to the image."""
    import torch

    g = torch.Generator().manual_seed(count)
    images, _, height, width = shape
    size = torch.tensor([width, height]) * float(pixels)
    side = 16 + (size - 16) * torch.rand(count, 2, generator=g) ** 2
    corner = (size - side) * torch.rand(count, 2, generator=g)
    numbers = torch.arange(count) * images // count
    rois = torch.cat([numbers[:, None], corner, corner + side], 1)
    return {"features": torch.randn(*shape, generator=g), "rois": rois}


def nms(tensors, case):
    import torchvision

    boxes, scores = tensors["boxes"], tensors["scores"]
    call = lambda: torchvision.ops.nms(boxes, scores, case["iou"])[: case["keep"]]  # noqa: E731
    kept = call()
    return {"count": kept.numel(), "sums": [float(kept.sum())]}, call


def roi_align(tensors, case):
    import torch
    import torchvision

    layout = torch.channels_last if case["channels_last"] else torch.contiguous_format
    features, rois = tensors["features"].contiguous(memory_format=layout), tensors["rois"]
    align = lambda features: torchvision.ops.roi_align(features, rois, 14, 1 / 16, 2, aligned=False)  # noqa: E731

    def training():
        leaf = features.detach().requires_grad_()
        pooled = align(leaf)
        pooled.backward(upstream)
        return pooled.detach(), leaf.grad

    with torch.no_grad():
        upstream = align(features)

    def inference():
        with torch.no_grad():
            return (align(features),)

    call = training if case["training"] else inference
    out = call()
    return {"count": out[0].numel(), "sums": [float(part.abs().sum(dtype=torch.float64)) for part in out]}, call


def nms_case(count, keep, iou, calls):
    return {"tensors": (nms_tensors, count), "theirs": nms, "iou": iou, "keep": keep, "calls": calls,
            "ours": ["operator", "nms", "--iou", str(iou), "--keep", str(keep)]}  # fmt: skip


def roi_case(shape, count, calls, training=False, channels_last=False):
    ours = ["operator", "roi-align-training" if training else "roi-align"] + ["--channels-last"] * channels_last
    return {"tensors": (roi_tensors, shape, count), "theirs": roi_align, "training": training,
            "channels_last": channels_last, "calls": calls, "ours": ours}  # fmt: skip


C4, SMALL = (1, 1024, 38, 50), (4, 128, 16, 16)
CASES = {
    # Every box that stays, a class's boxes, proposals of an evaluation and of a training step.
    "nms-6000-all": nms_case(6000, 6000, 0.7, 4),
    "nms-1000": nms_case(1000, 400, 0.3, 40),
    "nms-6000": nms_case(6000, 300, 0.7, 8),
    "nms-12000": nms_case(12000, 2000, 0.7, 2),
    "roi-align-300": roi_case(C4, 300, 1),
    "roi-align-128": roi_case(C4, 128, 2),
    "roi-align-small": roi_case(SMALL, 128, 10),
    "roi-align-channels-last-128": roi_case(C4, 128, 2, channels_last=True),
    "roi-align-training-128": roi_case(C4, 128, 1, training=True),
    "roi-align-training-small": roi_case(SMALL, 128, 5, training=True),
    "roi-align-training-channels-last-128": roi_case(C4, 128, 1, training=True, channels_last=True),
}


# ---- the torchvision side: a program that takes turns


def torchvision_side(name, file, threads):
    import safetensors.torch
    import torch

    torch.set_num_threads(threads)
    case = CASES[name]
    answer, call = case["theirs"](safetensors.torch.load_file(file), case)

    def block(calls):
        begun = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        return {
            "ms_per_step": 1000 * (time.perf_counter() - begun[0]) / max(1, calls),
            "cpu_ms_per_step": 1000 * (time.process_time() - begun[1]) / max(1, calls),
        }

    block(WARM_UP)
    turns.serve(answer, block)


# ---- the run


def same(ours, theirs):
    """Equal counts, and sums that differ by what the order of a sum in f32 explains."""
    if ours["count"] != theirs["count"] or len(ours["sums"]) != len(theirs["sums"]):
        return False
    return all(abs(a - b) <= 1e-5 * max(abs(b), 1e-30) for a, b in zip(ours["sums"], theirs["sums"]))


def compare(name, threads, pairs, trainer):
    import safetensors.torch

    case = CASES[name]
    make, *sizes = case["tensors"]
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        safetensors.torch.save_file({key: value.contiguous() for key, value in make(*sizes).items()}, file.name)
        commands = {
            "rungs": [trainer, "bench", *case["ours"], "--tensors", file.name, "--threads", str(threads)],
            "torchvision": [sys.executable, __file__, "--child", file.name, "--case", name, "--threads", str(threads)],
        }
        sides, answers = [], []
        try:
            for side, command in commands.items():
                sides.append(Side(side, command))
                answers.append(sides[-1].answer())
            if not same(*answers):
                sys.exit(f"{name}: Rungs says {answers[0]}, torchvision {answers[1]}: not the same computation")
            for i in range(pairs):
                for j in range(2):
                    sides[(i + j) % 2].turn(case["calls"])
            peaks = [side.finish() for side in sides]
        finally:
            for side in sides:
                side.kill()
    rungs, theirs = sides
    ratios = [b / a for a, b in zip(rungs.times, theirs.times)]
    lower, upper = bounds(ratios)
    return {
        "case": name, "threads": threads, "pairs": pairs, "ratio": median(ratios), "lower95": lower, "upper95": upper,
        "ms": median(rungs.times), "torchvision_ms": median(theirs.times),
        "cpu_ratio": median([b / a for a, b in zip(rungs.cpu, theirs.cpu)]),
        "peak_bytes": peaks[0], "torchvision_peak_bytes": peaks[1], "ratios": ratios,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all of them")
    parser.add_argument("--threads", type=int, action="append", help="default: 1, and all of the machine")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--trainer", default=str(ROOT / "target" / "release" / "trainer"))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write everything, ratios of all pairs included")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return torchvision_side(args.case[0], args.child, args.threads[0])
    if not os.access(args.trainer, os.X_OK):
        sys.exit(f"{args.trainer}: no such program; `make build` makes it, --trainer names another")
    results = []
    print(f"{'case':38}{'threads':>8}{'ms':>10}{'torchvision':>13}{'ratio':>8}{'95 % bounds':>16}{'CPU ratio':>11}")
    for threads in args.threads or sorted({1, len(os.sched_getaffinity(0))}):
        for name in args.case or CASES:
            r = compare(name, threads, args.pairs, args.trainer)
            results.append(r)
            between = f"{number(r['lower95'])} .. {number(r['upper95'])}"
            print(f"{name:38}{threads:8}{r['ms']:10.2f}{r['torchvision_ms']:13.2f}{r['ratio']:8.2f}{between:>16}"
                  f"{r['cpu_ratio']:11.2f}", flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
