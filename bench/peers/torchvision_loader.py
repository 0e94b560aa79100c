#!/usr/bin/env python3
"""The loader of Rungs beside torchvision's, measured in one run.

    make bench-loader ARGS=DIR                   a directory of images, any nesting
    .venv-peers/bin/python bench/peers/torchvision_loader.py DIR --pairs 11 --threads 2

Programs are alive at once and take turns: `runner bench loader --turns`, and DataLoaders of torchvision
with as many worker processes as Rungs has threads. A turn is a whole pass over some batches, from the
loader's start (nothing is prefetched before the clock starts, worker processes are alive already) to the
last batch. A pair is a turn of theirs and the turn of ours beside it; the figure is the median over
pairs of (their time / ours), above 1 when Rungs is faster, with bounds as in pytorch_step.py.

Both end with normalised floats of whole batches. Theirs is what the documentation shows:
 - "PIL": PIL decodes, transforms work on PIL images (RandomResizedCrop, flip, ColorJitter(.4, 0, .4, .1);
   Resize, CenterCrop), ToTensor, Normalize;
 - "tensors": torchvision.io.decode_image and the v2 transforms on tensors of bytes.
DALI on the CPU is a third, where `bench/peers/setup loaders` has made its environment (dali_loader.py).
Ours also has PCA noise. torchvision antialiases when it shrinks; ours is measured without, as the paper's
framework works, and with.
"""

import argparse
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from pytorch_step import ROOT, Side, bounds, median, number  # noqa: E402
from turns import MEAN, STD, files_of, serve  # noqa: E402

THEIRS = ("PIL", "tensors")
# An environment of its own (bench/peers/setup loaders): DALI is measured where that has been made.
DALI = ROOT / ".venv-loaders" / "bin" / "python"


def child(args):
    """The torchvision side: a program that takes turns."""
    import torch
    import torchvision
    from PIL import Image
    from torchvision import transforms as v1
    from torchvision.io import ImageReadMode, decode_image, read_file
    from torchvision.transforms import v2

    files = files_of(args.dir, args.child_pipeline)
    mean, std = [m / 255 for m in MEAN], [s / 255 for s in STD]
    tv = v1 if args.child == "PIL" else v2
    if args.child_pipeline == "train":
        steps = [tv.RandomResizedCrop(args.size), tv.RandomHorizontalFlip(), tv.ColorJitter(0.4, 0, 0.4, 0.1)]
    else:
        steps = [tv.Resize(-(-args.size * 8 // 7)), tv.CenterCrop(args.size)]
    to_float = [v1.ToTensor()] if tv is v1 else [v2.ToDtype(torch.float32, scale=True)]
    transform = tv.Compose(steps + to_float + [tv.Normalize(mean, std)])

    def read(path):
        if args.child == "PIL":
            with open(path, "rb") as file:
                return Image.open(file).convert("RGB")
        return decode_image(read_file(str(path)), mode=ImageReadMode.RGB)

    class Files(torch.utils.data.Dataset):
        batches = 1

        def __len__(self):
            return self.batches * args.batch

        def __getitem__(self, index):
            return transform(read(files[index % len(files)])), 0

    class Order(torch.utils.data.Sampler):
        """Shuffled like a training epoch, as long as the turn."""

        def __iter__(self):
            n = Files.batches * args.batch
            return iter(torch.randperm(n).tolist() if args.child_pipeline == "train" else range(n))

        def __len__(self):
            return Files.batches * args.batch

    loader = torch.utils.data.DataLoader(
        Files(), batch_size=args.batch, sampler=Order(), num_workers=args.threads, persistent_workers=True
    )

    def turn(batches):
        Files.batches = batches
        begun = time.perf_counter()
        for images, _ in loader:
            assert images.shape == (args.batch, 3, args.size, args.size)
        seconds = time.perf_counter() - begun
        # CPU time of living worker processes is not told to their parent.
        return {"images_per_s": batches * args.batch / seconds, "ms_per_step": 1000 * seconds / batches, "cpu_ms_per_step": 0}

    turn(1)
    serve({"files": len(files), "torchvision": torchvision.__version__}, turn)


def compare(args, pipeline):
    ours = [args.runner, "bench", "loader", str(args.dir), "--turns", "--threads", str(args.threads), "--pipeline", pipeline,
            "--batch", str(args.batch), "--size", str(args.size), "--batches", str(args.batches)]  # fmt: skip
    theirs = [str(args.dir), "--threads", str(args.threads), "--batch", str(args.batch), "--size", str(args.size),
              "--child-pipeline", pipeline]  # fmt: skip
    programs = {"Rungs": ours, "Rungs, antialias": [*ours, "--antialias"]}
    programs |= {f"torchvision, {name}": [sys.executable, __file__, *theirs, "--child", name] for name in THEIRS}
    if DALI.exists():
        programs["DALI"] = [str(DALI), str(pathlib.Path(__file__).with_name("dali_loader.py")), *theirs]
    sides = []
    try:
        for name, command in programs.items():
            sides.append(Side(name, command))
            counted = sides[-1].answer()["files"]
            if counted != (files := counted if len(sides) == 1 else files):
                sys.exit(f"{name} reads {counted} files, Rungs {files}: not the same work")
        for i in range(args.pairs):
            for j in range(len(sides)):
                sides[(i + j) % len(sides)].turn(args.batches)
        peaks = {side.name: side.finish() for side in sides}
    finally:
        for side in sides:
            side.kill()
    result = {"pipeline": pipeline, "threads": args.threads, "batch": args.batch, "size": args.size, "files": files,
              "pairs": args.pairs, "batches": args.batches, "sides": {}}  # fmt: skip
    for side in sides:
        entry = {"images_per_s": 1000 * args.batch / median(side.times), "peak_bytes": peaks[side.name], "ms": side.times}
        for base in sides:
            if base.name.startswith("Rungs") and not side.name.startswith("Rungs"):
                ratios = [t / o for t, o in zip(side.times, base.times)]
                entry[f"ratio of {base.name}"] = [median(ratios), *bounds(ratios)]
        result["sides"][side.name] = entry
    return result


def show(result):
    print(f"\n{result['pipeline']}: {result['files']} files, {result['size']} px, batches of {result['batch']}, "
          f"{result['threads']} threads or processes, {result['pairs']} pairs of {result['batches']} batches")  # fmt: skip
    for name, side in result["sides"].items():
        ratios = "".join(
            f"   {key[9:]} is {number(r)} ({number(low)} .. {number(high)}) times as fast"
            for key, (r, low, high) in ((k, v) for k, v in side.items() if k.startswith("ratio of "))
        )
        print(f"  {name:22}{side['images_per_s']:7.0f} images/s{side['peak_bytes'] / 2**20:7.0f} MiB{ratios}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--pipeline", choices=("train", "eval"), action="append", help="default: both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batch", type=int, default=256)
    # Enough that the start of a pass weighs little, as in an epoch of 5,000 batches.
    parser.add_argument("--batches", type=int, default=10, help="of a turn")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--runner", default=str(ROOT / "target" / "release" / "runner"))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write everything")
    parser.add_argument("--child", choices=THEIRS, help=argparse.SUPPRESS)
    parser.add_argument("--child-pipeline", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args)
    if not os.access(args.runner, os.X_OK):
        sys.exit(f"{args.runner}: no such program; `make build` makes it, --runner names another")
    if not args.dir.is_dir():
        sys.exit(f"{args.dir}: no such directory; name one with images")
    results = []
    for pipeline in args.pipeline or ("train", "eval"):
        results.append(compare(args, pipeline))
        show(results[-1])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
