#!/usr/bin/env python3
"""Golden loss traces: what PyTorch's `train/loss` is, step by step, in FP64.

    make golden                     (or: bench/peers/setup && .venv-peers/bin/python bench/peers/pytorch_golden.py)

Writes crates/trainer/tests/golden/CASE.json for every case of CASES. The network is written out
here once more, from the paper and with nothing of Rungs or torchvision, so that an agreement to
1e-9 means that two people who read the paper wrote the same formulas. Shallow on purpose: at full
depth training on random data is chaotic, and rounding alone would decide the trace.

Every case is trained three times: with the images contiguous; channels-last, which changes the order
of sums but no formula; and with every initial weight off by about 1e-13. The largest relative
differences of the traces are recorded, and a case where one exceeds 1e-11 is not written: what is
two orders below the tolerance of 1e-9 cannot be mistaken for a difference of formula.

Adding a case: one entry in CASES.
"""

import copy
import json
import math
import pathlib
import sys
import tempfile

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden_inputs  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "crates" / "trainer" / "tests" / "golden"

# The recipe under every case: 64 images, batch 32, so 2 steps an epoch, 14 steps in all.
BASE = {
    "task": "classify",
    "model": "resnet50",
    "depths": list(golden_inputs.DEPTHS),
    "width": 0.125,
    "dropout": 0.0,
    "input_size": golden_inputs.SIDE,
    "dataset": "tensors:images.safetensors",
    "train_subset": None,
    "val_subset": None,
    "epochs": 7,
    "batch_size": 32,
    "clip": None,
    "replicas": 1,
    "augment": {
        "crop_area": [0.08, 1.0],
        "crop_ratio": [0.75, 1.3333],
        "flip": 0.5,
        "hue": 0.4,
        "saturation": 0.4,
        "brightness": 0.4,
        "contrast": 0.0,
        "pca_std": 0.1,
        "antialias": False,
        "resize_short": math.ceil(golden_inputs.SIDE / 0.875),
    },
    "init": "init.safetensors",
    "variant": "paper",
    "lr": 0.05,
    "lr_scaling": "none",
    "warmup_epochs": 0.0,
    "warmup_from": 0.0,
    "schedule": {"kind": "step", "milestones": [3.0, 5.0], "gamma": 0.1},
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 1e-4,
    "decay": "all",
    "zero_gamma": False,
    "label_smoothing": 0.0,
    "mixup_alpha": 0.0,
    "mixup_lambdas": None,
    "distill": None,
    "precision": "fp64",
    "loss_scale": 1024.0,
    "max_corrupt": 0,
}

# What each case changes. 0.4 under linear scaling is 0.05 at batch 32.
WARMUP = {"lr": 0.4, "lr_scaling": "linear", "warmup_epochs": 2.0}
CASES = {
    "plain": {},
    "warmup-linear-scaling": WARMUP,
    "zero-gamma": {"zero_gamma": True},
    "no-bias-decay": {"decay": "weights"},
    "replicas-4": {"replicas": 4},
    "stacked": {**WARMUP, "zero_gamma": True, "decay": "weights", "replicas": 4},
}


class Bottleneck(nn.Module):
    """The block of the first ResNet paper: the stride is in the first 1x1 convolution."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if stride != 1 or inputs != 4 * planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * planes, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * planes)
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, depths, width, classes):
        super().__init__()
        planes = [round(width * p) for p in (64, 128, 256, 512)]
        self.conv1 = nn.Conv2d(3, planes[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        inputs = planes[0]
        for i, (p, depth) in enumerate(zip(planes, depths)):
            blocks = []
            for j in range(depth):
                blocks.append(Bottleneck(inputs, p, 2 if i > 0 and j == 0 else 1))
                inputs = 4 * p
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def learning_rate(recipe, step, steps_per_epoch):
    """Update `step`, counted from 0: i*eta/m at batch i = 1..m of the warmup, then the step decay."""
    peak = recipe["lr"] * (recipe["batch_size"] / 256 if recipe["lr_scaling"] == "linear" else 1)
    warmup = round(recipe["warmup_epochs"] * steps_per_epoch)
    if step < warmup:
        return (step + 1) * peak / warmup
    epoch = step / steps_per_epoch
    passed = sum(epoch >= milestone for milestone in recipe["schedule"]["milestones"])
    return peak * recipe["schedule"]["gamma"] ** passed


def parameter_groups(model, recipe):
    decayed, exempt = [], []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            weight = name == "weight" and isinstance(module, (nn.Conv2d, nn.Linear))
            (decayed if weight or recipe["decay"] == "all" else exempt).append(parameter)
    return [
        {"params": decayed, "weight_decay": recipe["weight_decay"]},
        {"params": exempt, "weight_decay": 0.0},
    ]


def train(recipe, inputs, memory_format=torch.contiguous_format, noise=0.0):
    """The trace of one training: lr and loss of every step, loss and top-1 of every evaluation."""
    data = safetensors.torch.load_file(inputs / "images.safetensors")
    images, labels = data["images"].double().to(memory_format=memory_format), data["labels"]
    weights = safetensors.torch.load_file(inputs / "init.safetensors")
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: tensor.double() * (1 + noise * torch.randn(tensor.shape, dtype=torch.double, generator=generator))
        for name, tensor in weights.items()
    }

    def network():
        model = ResNet(recipe["depths"], recipe["width"], golden_inputs.CLASSES).double()
        state = model.state_dict()
        unknown = set(weights) ^ {name for name in state if not name.endswith("num_batches_tracked")}
        assert not unknown, f"names differ: {sorted(unknown)}"
        model.load_state_dict(weights, strict=False)
        return model.to(memory_format=memory_format)

    model = network()
    # After the initial weights are in, wherever they come from.
    if recipe["zero_gamma"]:
        for module in model.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    # A replica shares the parameters and keeps running statistics of its own, as a GPU does.
    replicas = [model]
    for _ in range(1, recipe["replicas"]):
        replica = copy.deepcopy(model)
        for ours, theirs in zip(model.modules(), replica.modules()):
            for name, parameter in ours.named_parameters(recurse=False):
                setattr(theirs, name, parameter)
        replicas.append(replica)

    optimiser = torch.optim.SGD(
        parameter_groups(model, recipe), lr=1.0, momentum=recipe["momentum"], nesterov=recipe["nesterov"]
    )
    batch = recipe["batch_size"]
    steps_per_epoch = len(images) // batch
    share = batch // recipe["replicas"]
    trace = {"lr": [], "train/loss": [], "val/loss": [], "val/top1": []}
    step = 0
    for _ in range(recipe["epochs"]):
        for at in range(0, steps_per_epoch * batch, batch):
            x, y = images[at : at + batch], labels[at : at + batch]
            logits = torch.cat(
                [replica.train()(x[r * share : (r + 1) * share]) for r, replica in enumerate(replicas)]
            )
            loss = F.cross_entropy(logits, y)
            optimiser.zero_grad()
            loss.backward()
            lr = learning_rate(recipe, step, steps_per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
            trace["lr"].append(lr)
            trace["train/loss"].append(loss.item())
            step += 1
        # Evaluation: the mean of the replicas' running statistics, and the images all at once.
        mean = copy.deepcopy(model).eval()
        for modules in zip(mean.modules(), *(replica.modules() for replica in replicas)):
            if isinstance(modules[0], nn.BatchNorm2d):
                for name in ("running_mean", "running_var"):
                    getattr(modules[0], name).copy_(
                        torch.stack([getattr(module, name) for module in modules[1:]]).mean(0)
                    )
        with torch.no_grad():
            logits = mean(images)
        trace["val/loss"].append(F.cross_entropy(logits, labels).item())
        trace["val/top1"].append(100.0 * (logits.argmax(1) == labels).double().mean().item())
    return trace


def relative_difference(one, other):
    names = ("train/loss", "val/loss")
    return max(abs(a - b) / abs(b) for name in names for a, b in zip(one[name], other[name]))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        inputs = pathlib.Path(directory)
        golden_inputs.write(inputs)
        for case, changes in CASES.items():
            recipe = {**BASE, **changes}
            trace = train(recipe, inputs)
            layouts = relative_difference(trace, train(recipe, inputs, torch.channels_last))
            weights = relative_difference(trace, train(recipe, inputs, noise=1e-13))
            assert max(layouts, weights) < 1e-11, f"{case} is chaotic: {layouts:.1e}, {weights:.1e}"
            golden = {
                "case": case,
                "made_by": f"bench/peers/pytorch_golden.py, PyTorch {torch.__version__.split('+')[0]}, FP64",
                "inputs": "bench/peers/golden_inputs.py",
                "channels_last_differs_by": float(f"{layouts:.1e}"),
                "weights_off_by_1e-13_differ_by": float(f"{weights:.1e}"),
                "changes": changes,
                "recipe": recipe,
                "trace": trace,
            }
            (OUT / f"{case}.json").write_text(json.dumps(golden, indent=1) + "\n")
            losses = trace["train/loss"]
            print(f"{case:24} {losses[0]:.6f} -> {losses[-1]:.6f}   channels-last {layouts:.1e}, weights off by 1e-13 {weights:.1e}")


if __name__ == "__main__":
    main()
