"""The networks of the step benchmark, written as torchvision and timm write them.

`build(recipe, classes)` gives the same network as Rungs' recipe: pytorch_step.py checks that both
sides count the same parameters before it compares any time.
"""

import torch
from torch import nn
from torch.nn import functional as F


def scaled(channels, width):
    """Rungs' rule for `width`: to the nearest multiple of 8, at least 8."""
    return channels if width == 1.0 else max(8, int(channels * width / 8 + 0.5) * 8)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, planes, stride, stride_in_3x3, average_down):
        super().__init__()
        first, second = (1, stride) if stride_in_3x3 else (stride, 1)
        self.conv1 = nn.Conv2d(inputs, planes, 1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != 4 * planes:
            pool = average_down and stride != 1
            layers = [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)] if pool else []
            conv = nn.Conv2d(inputs, 4 * planes, 1, stride=1 if pool else stride, bias=False)
            self.downsample = nn.Sequential(*layers, conv, nn.BatchNorm2d(4 * planes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, kind, depths, width, classes):
        super().__init__()
        stem = scaled(64, width)
        if kind in ("c", "d"):
            half = scaled(32, width)
            self.conv1 = nn.Sequential(
                nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
                nn.Conv2d(half, half, 3, padding=1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
                nn.Conv2d(half, stem, 3, padding=1, bias=False),
            )
        else:
            self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs, stages = stem, []
        for i, depth in enumerate(depths):
            planes = scaled(64 << i, width)
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(Bottleneck(inputs, planes, stride, kind != "v1", kind == "d"))
                inputs = 4 * planes
            stages.append(nn.Sequential(*blocks))
        self.layers = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layers(x)), 1))


class ConvBn(nn.Module):
    """torchvision's BasicConv2d; eps is Inception's."""

    def __init__(self, inputs, outputs, eps=1e-3, **conv):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, bias=False, **conv)
        self.bn = nn.BatchNorm2d(outputs, eps=eps)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class MobileNet(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        inputs = scaled(32, width)
        layers = [ConvBn(3, inputs, 1e-5, kernel_size=3, stride=2, padding=1)]
        for planes, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5,
                               (1024, 2), (1024, 1)]:  # fmt: skip
            planes = scaled(planes, width)
            layers.append(ConvBn(inputs, inputs, 1e-5, kernel_size=3, stride=stride, padding=1, groups=inputs))
            layers.append(ConvBn(inputs, planes, 1e-5, kernel_size=1))
            inputs = planes
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


class Branches(nn.Module):
    """Side by side, concatenated over channels."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Inception(nn.Module):
    """Inception-V3 without the auxiliary head."""

    def __init__(self, classes, dropout):
        super().__init__()
        one = {"kernel_size": 1}
        three = {"kernel_size": 3, "padding": 1}
        five = {"kernel_size": 5, "padding": 2}
        down = {"kernel_size": 3, "stride": 2}
        row3 = {"kernel_size": (1, 3), "padding": (0, 1)}
        column3 = {"kernel_size": (3, 1), "padding": (1, 0)}
        row7 = {"kernel_size": (1, 7), "padding": (0, 3)}
        column7 = {"kernel_size": (7, 1), "padding": (3, 0)}

        def chain(inputs, *parts):
            layers = []
            for outputs, conv in parts:
                layers.append(ConvBn(inputs, outputs, **conv))
                inputs = outputs
            return nn.Sequential(*layers)

        def pooled(inputs, outputs):
            return nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvBn(inputs, outputs, **one))

        def a(i, pool):
            return Branches(
                chain(i, (64, one)), chain(i, (48, one), (64, five)), chain(i, (64, one), (96, three), (96, three)),
                pooled(i, pool),
            )  # fmt: skip

        def c(i, n):
            return Branches(
                chain(i, (192, one)), chain(i, (n, one), (n, row7), (192, column7)),
                chain(i, (n, one), (n, column7), (n, row7), (n, column7), (192, row7)), pooled(i, 192),
            )  # fmt: skip

        def split(inputs):
            return Branches(ConvBn(inputs, 384, **row3), ConvBn(inputs, 384, **column3))

        def e(i):
            return Branches(
                chain(i, (320, one)), nn.Sequential(ConvBn(i, 384, **one), split(384)),
                nn.Sequential(ConvBn(i, 448, **one), ConvBn(448, 384, **three), split(384)), pooled(i, 192),
            )  # fmt: skip

        self.features = nn.Sequential(
            chain(3, (32, down), (32, {"kernel_size": 3}), (64, three)), nn.MaxPool2d(3, 2),
            chain(64, (80, one), (192, {"kernel_size": 3})), nn.MaxPool2d(3, 2),
            a(192, 32), a(256, 64), a(288, 64),
            Branches(chain(288, (384, down)), chain(288, (64, one), (96, three), (96, down)), nn.MaxPool2d(3, 2)),
            c(768, 128), c(768, 160), c(768, 160), c(768, 192),
            Branches(
                chain(768, (192, one), (320, down)), chain(768, (192, one), (192, row7), (192, column7), (192, down)),
                nn.MaxPool2d(3, 2),
            ),
            e(1280), e(2048), nn.AdaptiveAvgPool2d((1, 1)), nn.Dropout(dropout),
        )  # fmt: skip
        self.fc = nn.Linear(2048, classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.features(x), 1))


def build(recipe, classes):
    model, width = recipe["model"], recipe.get("width", 1.0)
    if model == "mobilenet":
        return MobileNet(width, classes)
    if model == "inception-v3":
        return Inception(classes, recipe.get("dropout", 0.5))
    layers, kind = model.removeprefix("resnet")[:-1], model[-1]
    if kind.isdigit():
        layers, kind = layers + kind, "v1"
    depths = recipe.get("depths") or {"50": [3, 4, 6, 3], "101": [3, 4, 23, 3], "152": [3, 8, 36, 3]}[layers]
    return ResNet(kind, depths, width, classes)
