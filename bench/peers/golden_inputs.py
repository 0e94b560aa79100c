#!/usr/bin/env python3
"""The inputs of the golden loss traces: images, labels and initial weights, made from a formula.

    python3 bench/peers/golden_inputs.py DIR     writes DIR/images.safetensors and DIR/init.safetensors

Standard library only, so that anything can make the same bytes. The formula, for element i of the
tensor NAME (row-major, counted from 0):

    h = fnv1a64(NAME) + (i + 1) * 0x9E3779B97F4A7C15   (mod 2^64)
    h = splitmix64's finaliser of h
    u = (h >> 40) * 2^-23 - 1                           in [-1, 1), exact in f32

    images                         2 u                  F32 (64, 3, 64, 64)
    labels                         h mod 10             I64 (64)
    conv and fc weights            bound * u            bound = sqrt(6 / (fan_in + fan_out)),
                                                        fans include the kernel's area
    fc.bias, BN bias               0.1 u                not 0, so that decay on them shows
    BN weight                      1 + 0.1 u
    running_mean, running_var      0, 1

Products are taken in f64 and rounded once to the F32 that the file holds.
"""

import json
import math
import pathlib
import struct
import sys

MASK = (1 << 64) - 1
IMAGES, CHANNELS, SIDE, CLASSES = 64, 3, 64, 10
# ResNet-50's stages at width 0.125, one block each.
WIDTHS, DEPTHS = (8, 16, 32, 64), (1, 1, 1, 1)


def hashes(name, count):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    for i in range(count):
        z = (h + (i + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def uniform(name, count):
    return [(h >> 40) * 2.0**-23 - 1.0 for h in hashes(name, count)]


def init_tensors():
    """(name, shape, values) of every tensor of the network, in PyTorch's order and names."""
    tensors = []

    def weight(name, shape):
        area = math.prod(shape[2:])
        bound = math.sqrt(6.0 / (shape[0] * area + shape[1] * area))
        tensors.append((name, shape, [bound * u for u in uniform(name, math.prod(shape))]))

    def norm(name, n):
        tensors.append((name + ".weight", (n,), [1.0 + 0.1 * u for u in uniform(name + ".weight", n)]))
        tensors.append((name + ".bias", (n,), [0.1 * u for u in uniform(name + ".bias", n)]))
        tensors.append((name + ".running_mean", (n,), [0.0] * n))
        tensors.append((name + ".running_var", (n,), [1.0] * n))

    weight("conv1.weight", (WIDTHS[0], CHANNELS, 7, 7))
    norm("bn1", WIDTHS[0])
    inputs = WIDTHS[0]
    for stage, (planes, depth) in enumerate(zip(WIDTHS, DEPTHS), start=1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            weight(f"{at}.conv1.weight", (planes, inputs, 1, 1))
            norm(f"{at}.bn1", planes)
            weight(f"{at}.conv2.weight", (planes, planes, 3, 3))
            norm(f"{at}.bn2", planes)
            weight(f"{at}.conv3.weight", (4 * planes, planes, 1, 1))
            norm(f"{at}.bn3", 4 * planes)
            if block == 0:
                weight(f"{at}.downsample.0.weight", (4 * planes, inputs, 1, 1))
                norm(f"{at}.downsample.1", 4 * planes)
            inputs = 4 * planes
    weight("fc.weight", (CLASSES, inputs))
    tensors.append(("fc.bias", (CLASSES,), [0.1 * u for u in uniform("fc.bias", CLASSES)]))
    return tensors


def image_tensors():
    shape = (IMAGES, CHANNELS, SIDE, SIDE)
    return [
        ("images", shape, [2.0 * u for u in uniform("images", math.prod(shape))]),
        ("labels", (IMAGES,), [h % CLASSES for h in hashes("labels", IMAGES)]),
    ]


def safetensors(tensors):
    """The bytes of a safetensors file: header length, JSON header, data."""
    header, data = {}, []
    offset = 0
    for name, shape, values in tensors:
        dtype, code = ("I64", "q") if isinstance(values[0], int) else ("F32", "f")
        chunk = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(chunk)]}
        data.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def write(directory):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "images.safetensors").write_bytes(safetensors(image_tensors()))
    (directory / "init.safetensors").write_bytes(safetensors(init_tensors()))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: golden_inputs.py DIR")
    write(sys.argv[1])
