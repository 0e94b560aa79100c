#!/usr/bin/env python3
"""The inputs of the golden loss traces: images, labels, initial weights, a teacher's weights, and the
lambdas and partners of mixup, made from a formula.

    python3 bench/peers/golden_inputs.py DIR     writes DIR/images.safetensors and DIR/init.safetensors

Standard library only, so that anything can make the same bytes. The formula, for element i of the
tensor NAME (row-major, counted from 0):

    h = fnv1a64(NAME) + (i + 1) * 0x9E3779B97F4A7C15   (mod 2^64)
    h = splitmix64's finaliser of h
    u = (h >> 40) * 2^-23 - 1                           in [-1, 1), exact in f32

    images                         2 u                  F32 (64, 3, side, side)
    labels                         h mod 10             I64 (64)
    conv and fc weights            bound * u            bound = sqrt(6 / (fan_in + fan_out)), of
                                                        (outputs, inputs / groups, kh, kw) the first
                                                        two times the kernel's area
    fc.bias, BN bias               0.1 u                not 0, so that decay on them shows
    BN weight                      1 + 0.1 u
    running_mean, running_var      0, 1

Products are taken in f64 and rounded once to the F32 that the file holds. A teacher's tensors are
those of NAME = "teacher." + its name, its running_mean 0.1 u and running_var 1 + 0.1 u: it is never
trained, so they are what it evaluates with. Mixup's lambda of step s is (1 + u) / 2 of element s of
"lambda", F64 (steps); the partners of step s are the indices 0..batch in ascending order of the h of
elements s * batch .. of "partner", I64 (steps, batch).
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


def weight_tensors(shapes, prefix=""):
    """(name, shape, values) of the tensors of a network, given their names and shapes in PyTorch's
    order. Weights of two and more dimensions are those of layers, of one dimension those of a BN."""
    tensors = []
    for name, shape in shapes:
        count = math.prod(shape)
        us = uniform(prefix + name, count)
        if name.endswith(".running_mean"):
            values = [0.1 * u for u in us] if prefix else [0.0] * count
        elif name.endswith(".running_var"):
            values = [1.0 + 0.1 * u for u in us] if prefix else [1.0] * count
        elif name.endswith(".bias"):
            values = [0.1 * u for u in us]
        elif len(shape) == 1:
            values = [1.0 + 0.1 * u for u in us]
        else:
            area = math.prod(shape[2:])
            bound = math.sqrt(6.0 / (shape[0] * area + shape[1] * area))
            values = [bound * u for u in us]
        tensors.append((name, shape, values))
    return tensors


def base_shapes():
    """Names and shapes of the network under most cases: ResNet-50 v1 of one narrow block a stage."""
    shapes = []

    def norm(name, n):
        shapes.extend((f"{name}.{part}", (n,)) for part in ("weight", "bias", "running_mean", "running_var"))

    shapes.append(("conv1.weight", (WIDTHS[0], CHANNELS, 7, 7)))
    norm("bn1", WIDTHS[0])
    inputs = WIDTHS[0]
    for stage, (planes, depth) in enumerate(zip(WIDTHS, DEPTHS), start=1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            shapes.append((f"{at}.conv1.weight", (planes, inputs, 1, 1)))
            norm(f"{at}.bn1", planes)
            shapes.append((f"{at}.conv2.weight", (planes, planes, 3, 3)))
            norm(f"{at}.bn2", planes)
            shapes.append((f"{at}.conv3.weight", (4 * planes, planes, 1, 1)))
            norm(f"{at}.bn3", 4 * planes)
            if block == 0:
                shapes.append((f"{at}.downsample.0.weight", (4 * planes, inputs, 1, 1)))
                norm(f"{at}.downsample.1", 4 * planes)
            inputs = 4 * planes
    shapes.append(("fc.weight", (CLASSES, inputs)))
    shapes.append(("fc.bias", (CLASSES,)))
    return shapes


def image_tensors(side=SIDE):
    shape = (IMAGES, CHANNELS, side, side)
    return [
        ("images", shape, [2.0 * u for u in uniform("images", math.prod(shape))]),
        ("labels", (IMAGES,), [h % CLASSES for h in hashes("labels", IMAGES)]),
    ]


def mixup_tensors(steps, batch):
    keys = list(hashes("partner", steps * batch))
    partners = []
    for step in range(steps):
        partners.extend(sorted(range(batch), key=lambda i: keys[step * batch + i]))
    return [
        ("lambda", (steps,), [0.5 * (1.0 + u) for u in uniform("lambda", steps)]),
        ("partner", (steps, batch), partners),
    ]


def safetensors(tensors, real="F32"):
    """The bytes of a safetensors file: header length, JSON header, data."""
    header, data = {}, []
    offset = 0
    for name, shape, values in tensors:
        dtype = "I64" if isinstance(values[0], int) else real
        code = {"I64": "q", "F32": "f", "F64": "d"}[dtype]
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
    (directory / "init.safetensors").write_bytes(safetensors(weight_tensors(base_shapes())))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: golden_inputs.py DIR")
    write(sys.argv[1])
