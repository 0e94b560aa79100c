"""The networks of the golden traces, written out once more from the papers, with nothing of Rungs,
torchvision or timm but the state-dict names: an agreement to 1e-9 means that two people who read
the paper wrote the same formulas.

Every network calls `boundary` where half precision rounds: on the images, and on what a convolution,
a BN with its ReLU, a pooling, an addition with its ReLU and a linear layer return. It does nothing
outside `emulating_half`.
"""

import contextlib

import torch
from torch import nn
from torch.nn import functional as F


rounds = False


def boundary(x):
    """Rounded to FP16; on the way back the cast rounds the gradient."""
    return x.half().to(x.dtype) if rounds else x


@contextlib.contextmanager
def emulating_half(on):
    """What is computed inside rounds at its boundaries, if `on`."""
    global rounds
    before, rounds = rounds, on
    yield
    rounds = before


def rounded_weights(model):
    """The parameters that FP16 keeps in half (those of convolutions and linear layers; BN stays exact),
    by name, rounded; gradients flow to the masters, rounded to half on the way."""
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    return {
        name: boundary(parameter)
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[0] not in norms
    }


def scaled(channels, width):
    """Channels at a width: the nearest multiple of 8, at least 8."""
    return max(8, 8 * int(channels * width / 8 + 0.5))


class ConvNorm(nn.Module):
    """Convolution and BN that call themselves `conv` and `bn`, as Inception's do."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, eps=1e-3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=eps)
        self.channels = outputs

    def forward(self, x):
        return boundary(F.relu(self.bn(boundary(self.conv(x)))))


# ---- ResNet: v1, B, C, D (paper section 4, Figures 1 and 2)


class Bottleneck(nn.Module):
    """v1 strides in the first 1x1 convolution; B, C and D in the 3x3; D pools in the shortcut."""

    def __init__(self, inputs, planes, stride, letter):
        super().__init__()
        first, second = (stride, 1) if letter == "" else (1, stride)
        self.conv1 = nn.Conv2d(inputs, planes, 1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if stride != 1 or inputs != 4 * planes:
            norm = nn.BatchNorm2d(4 * planes)
            if letter != "d":
                self.downsample = nn.Sequential(nn.Conv2d(inputs, 4 * planes, 1, stride=stride, bias=False), norm)
            else:
                # The window at an odd edge has fewer pixels, and averages those it has.
                pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) if stride == 2 else nn.Identity()
                self.downsample = nn.Sequential(pool, nn.Conv2d(inputs, 4 * planes, 1, bias=False), norm)

    def forward(self, x):
        out = boundary(F.relu(self.bn1(boundary(self.conv1(x)))))
        out = boundary(F.relu(self.bn2(boundary(self.conv2(out)))))
        out = boundary(self.bn3(boundary(self.conv3(out))))
        if self.downsample is not None:
            for part in self.downsample:
                # Identity stands for no layer.
                x = x if isinstance(part, nn.Identity) else boundary(part(x))
        return boundary(F.relu(out + x))


class ResNet(nn.Module):
    def __init__(self, letter, depths, width, classes):
        super().__init__()
        planes = [scaled(p, width) for p in (64, 128, 256, 512)]
        stem = planes[0]
        if letter in ("", "b"):
            self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        else:
            half = scaled(32, width)
            self.conv1 = nn.Sequential(
                nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(),
                nn.Conv2d(half, half, 3, padding=1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(),
                nn.Conv2d(half, stem, 3, padding=1, bias=False),
            )
        self.bn1 = nn.BatchNorm2d(stem)
        inputs = stem
        for i, (p, depth) in enumerate(zip(planes, depths)):
            blocks = []
            for j in range(depth):
                blocks.append(Bottleneck(inputs, p, 2 if i > 0 and j == 0 else 1, letter))
                inputs = 4 * p
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = boundary(x)
        if isinstance(self.conv1, nn.Conv2d):
            x = boundary(self.conv1(x))
        else:
            for part in self.conv1:
                x = boundary(part(x))
        x = boundary(F.relu(self.bn1(x)))
        x = boundary(F.max_pool2d(x, 3, stride=2, padding=1))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return boundary(self.fc(boundary(x.mean((2, 3)))))


# ---- MobileNet 1.0 (recipes.md section 4): ReLU, not ReLU6


class Separable(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = boundary(F.relu(self.bn1(boundary(self.conv_dw(x)))))
        return boundary(F.relu(self.bn2(boundary(self.conv_pw(x)))))


class MobileNet(nn.Module):
    OUTPUTS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)

    def __init__(self, width, classes):
        super().__init__()
        inputs = scaled(32, width)
        self.conv_stem = nn.Conv2d(3, inputs, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        stages = []
        for i, (outputs, stride) in enumerate(zip(self.OUTPUTS, self.STRIDES)):
            if i == 0 or stride == 2:
                stages.append([])  # a new stage, in timm's names
            stages[-1].append(Separable(inputs, scaled(outputs, width), stride))
            inputs = scaled(outputs, width)
        self.blocks = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        x = boundary(F.relu(self.bn1(boundary(self.conv_stem(boundary(x))))))
        return boundary(self.classifier(boundary(self.blocks(x).mean((2, 3)))))


# ---- Inception-V3 (Szegedy et al. 2015, as GluonCV has it: no auxiliary head)


class Mixed(nn.Module):
    """Branches side by side: each a list of (name, channels, kernel, stride), `pool` before one or alone."""

    def __init__(self, inputs, width, branches):
        super().__init__()
        self.branches, self.channels = branches, 0
        for branch in branches:
            at = inputs
            for step in branch:
                if isinstance(step, str):
                    continue
                fork = step if isinstance(step, list) else [step]
                outputs = 0
                for name, channels, kernel, stride in fork:
                    padding = tuple(side // 2 for side in kernel) if stride == 1 else 0
                    setattr(self, name, ConvNorm(at, scaled(channels, width), kernel, stride, padding))
                    outputs += scaled(channels, width)
                at = outputs
            self.channels += at

    def forward(self, x):
        outputs = []
        for branch in self.branches:
            y = x
            for step in branch:
                if step == "avg":
                    y = boundary(F.avg_pool2d(y, 3, 1, 1, count_include_pad=True))
                elif step == "max":
                    y = boundary(F.max_pool2d(y, 3, 2))
                elif isinstance(step, list):
                    y = boundary(torch.cat([getattr(self, name)(y) for name, *_ in step], 1))
                else:
                    y = getattr(self, step[0])(y)
            outputs.append(y)
        return boundary(torch.cat(outputs, 1))


ONE, THREE, FIVE, ROW, COLUMN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


def mixed_a(pool):
    return [
        [("branch1x1", 64, ONE, 1)],
        [("branch5x5_1", 48, ONE, 1), ("branch5x5_2", 64, FIVE, 1)],
        [("branch3x3dbl_1", 64, ONE, 1), ("branch3x3dbl_2", 96, THREE, 1), ("branch3x3dbl_3", 96, THREE, 1)],
        ["avg", ("branch_pool", pool, ONE, 1)],
    ]


def mixed_c(n):
    return [
        [("branch1x1", 192, ONE, 1)],
        [("branch7x7_1", n, ONE, 1), ("branch7x7_2", n, ROW, 1), ("branch7x7_3", 192, COLUMN, 1)],
        [("branch7x7dbl_1", n, ONE, 1), ("branch7x7dbl_2", n, COLUMN, 1), ("branch7x7dbl_3", n, ROW, 1),
         ("branch7x7dbl_4", n, COLUMN, 1), ("branch7x7dbl_5", 192, ROW, 1)],
        ["avg", ("branch_pool", 192, ONE, 1)],
    ]


MIXED_E = [
    [("branch1x1", 320, ONE, 1)],
    [("branch3x3_1", 384, ONE, 1), [("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1)]],
    [("branch3x3dbl_1", 448, ONE, 1), ("branch3x3dbl_2", 384, THREE, 1),
     [("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)]],
    ["avg", ("branch_pool", 192, ONE, 1)],
]

MIXED = {
    "Mixed_5b": mixed_a(32),
    "Mixed_5c": mixed_a(64),
    "Mixed_5d": mixed_a(64),
    "Mixed_6a": [
        [("branch3x3", 384, THREE, 2)],
        [("branch3x3dbl_1", 64, ONE, 1), ("branch3x3dbl_2", 96, THREE, 1), ("branch3x3dbl_3", 96, THREE, 2)],
        ["max"],
    ],
    "Mixed_6b": mixed_c(128),
    "Mixed_6c": mixed_c(160),
    "Mixed_6d": mixed_c(160),
    "Mixed_6e": mixed_c(192),
    "Mixed_7a": [
        [("branch3x3_1", 192, ONE, 1), ("branch3x3_2", 320, THREE, 2)],
        [("branch7x7x3_1", 192, ONE, 1), ("branch7x7x3_2", 192, ROW, 1), ("branch7x7x3_3", 192, COLUMN, 1),
         ("branch7x7x3_4", 192, THREE, 2)],
        ["max"],
    ],
    "Mixed_7b": MIXED_E,
    "Mixed_7c": MIXED_E,
}


class Inception(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        stem = [scaled(c, width) for c in (32, 32, 64, 80, 192)]
        self.Conv2d_1a_3x3 = ConvNorm(3, stem[0], 3, 2)
        self.Conv2d_2a_3x3 = ConvNorm(stem[0], stem[1], 3)
        self.Conv2d_2b_3x3 = ConvNorm(stem[1], stem[2], 3, padding=1)
        self.Conv2d_3b_1x1 = ConvNorm(stem[2], stem[3], 1)
        self.Conv2d_4a_3x3 = ConvNorm(stem[3], stem[4], 3)
        at = stem[4]
        for name, branches in MIXED.items():
            mixed = Mixed(at, width, branches)
            setattr(self, name, mixed)
            at = mixed.channels
        self.fc = nn.Linear(at, classes)

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(boundary(x))))
        x = boundary(F.max_pool2d(x, 3, 2))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = boundary(F.max_pool2d(x, 3, 2))
        for name in MIXED:
            x = getattr(self, name)(x)
        return boundary(self.fc(boundary(x.mean((2, 3)))))


def build(name, depths, width, classes):
    """The network of a recipe's `model`. Dropout is off in every golden trace."""
    if name == "mobilenet":
        return MobileNet(width, classes)
    if name == "inception-v3":
        return Inception(width, classes)
    assert name.startswith("resnet50"), name
    return ResNet(name.removeprefix("resnet50"), depths, width, classes)
