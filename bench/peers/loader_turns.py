"""What the programs that torchvision_loader.py compares agree on. Standard library only."""

import pathlib

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
# ImageNet's, of pixels from 0 to 255.
MEAN, STD = [123.68, 116.779, 103.939], [58.393, 57.12, 57.375]


def files_of(directory, pipeline):
    """As runner bench loader: sorted, below `train` or `val` where the directory has them."""
    split = directory / ("train" if pipeline == "train" else "val")
    root = split if split.is_dir() else directory
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def peak_bytes():
    """Peak resident set of this process."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
