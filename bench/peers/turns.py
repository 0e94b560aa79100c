"""What the programs that take turns in bench/peers/ agree on. Standard library only: each side runs in the
environment of its own peer."""

import json
import pathlib
import resource
import sys

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
# ImageNet's, of pixels from 0 to 255.
MEAN, STD = [123.68, 116.779, 103.939], [58.393, 57.12, 57.375]


def files_of(directory, pipeline):
    """As runner bench loader: sorted, below `train` or `val` where the directory has them."""
    split = directory / ("train" if pipeline == "train" else "val")
    root = split if split.is_dir() else directory
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def serve(first, turn):
    """A line on standard input is a number for `turn`, whose answer is a line of JSON. Before them `first`,
    at the end of the input the peak of memory."""
    print(json.dumps(first), flush=True)
    for line in sys.stdin:
        print(json.dumps(turn(int(line))), flush=True)
    print(json.dumps({"peak_bytes": peak_bytes()}), flush=True)


def peak_bytes():
    """Peak resident set of this process."""
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
