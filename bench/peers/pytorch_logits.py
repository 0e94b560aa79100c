#!/usr/bin/env python3
"""Golden logits: what torchvision's and timm's own networks say to given weights and images.

    make golden                     (or: bench/peers/setup && .venv-peers/bin/python bench/peers/pytorch_logits.py)

Writes crates/trainer/tests/golden/logits.safetensors, `MODEL.eval` and `MODEL.train` (2, 1000) F32 for
every model of MODELS, and logits.json: which network, the side of its images, how many names its state
dict has and their digest. In train mode BN uses the statistics of the batch, and dropout is off. The
logits are computed in FP64: in train mode FP32 alone is off by up to 4e-5 of the largest (Inception-V3),
and two computations in it by more.

Weights and images come from the formula of golden_inputs.py: u and h of element i of tensor NAME as
there, and

    x                          2 u                  F32 (2, 3, side, side)
    conv and fc weights        bound * u            bound = sqrt(6 / (inputs / groups * kh * kw)): keeps the
                                                    size of activations behind a ReLU
    BN weight                  s (1 + 0.1 u)        s = 0.3 in the last BN of a residual branch, else 1:
                                                    fifty blocks on top of each other stay in range
    BN bias, fc.bias           0.1 u
    running_mean, running_var  0.1 u, 1 + 0.2 u

The digest is FNV-1a, 64 bits, over the lines "NAME [shape]\\n" of the whole state dict in ascending
order of names (AuxLogits.* and num_batches_tracked included).

How much would a mistake show? Each model is also computed with one thing changed (MISTAKES), and the
difference, relative to the largest logit of the mode where it shows more, is recorded. All exceed
5e-4; the trainer must agree to 1e-4.
"""

import json
import pathlib
import sys

import numpy
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parent))

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "crates" / "trainer" / "tests" / "golden"
TOLERANCE = 1e-4


def stride_in_first(model):
    """ResNet v1 out of torchvision's ResNet-50, which is a B: the stride moves to the first 1x1."""
    for module in model.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    return model


def set_eps(model, eps):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


def four_at_the_edge(model):
    """D's pooling as if a window that reaches over an odd edge still had four pixels."""
    for module in model.modules():
        if isinstance(module, nn.AvgPool2d):
            module.divisor_override = 4


def relu6(model):
    for name, child in model.named_children():
        if isinstance(child, nn.ReLU):
            setattr(model, name, nn.ReLU6())
        else:
            relu6(child)


def stride_back(model):
    for module in model.modules():
        if type(module).__name__ == "Bottleneck":
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride


def unpadded_average(_model):
    """Inception's pool branches, which call the function, without the padding in the mean."""
    average = nn.functional.avg_pool2d
    torchvision.models.inception.F.avg_pool2d = lambda *args, **kwargs: average(
        *args, **kwargs, count_include_pad=False
    )
    return lambda: setattr(torchvision.models.inception.F, "avg_pool2d", average)


tv, tm = torchvision.models, timm.create_model
# name in recipes: (what it is there, how to make it, side of the images, mistakes that must show).
# Odd sides where D's pooling rounds: 161 gives maps of 41, 21, 11 and 6 pixels.
MODELS = {
    "resnet50": (
        "torchvision resnet50 with the stride moved to conv1",
        lambda: stride_in_first(tv.resnet50()), 224, {"stride in the 3x3": stride_back},
    ),
    "resnet50b": ("torchvision resnet50", tv.resnet50, 224, {"stride in the 1x1": stride_back, "eps 1e-3": lambda m: set_eps(m, 1e-3)}),
    "resnet50c": ("timm resnet50c", lambda: tm("resnet50c"), 224, {"stride in the 1x1": stride_back}),
    "resnet50d": ("timm resnet50d", lambda: tm("resnet50d"), 161, {"four pixels in every window": four_at_the_edge}),
    "resnet152d": ("timm resnet152d", lambda: tm("resnet152d"), 224, {"eps 1e-3": lambda m: set_eps(m, 1e-3)}),
    "inception-v3": (
        "torchvision inception_v3, transform_input False, without its auxiliary head",
        lambda: tv.inception_v3(weights=None, init_weights=False, transform_input=False),
        299,
        {"eps 1e-5": lambda m: set_eps(m, 1e-5), "padding left out of means": unpadded_average},
    ),
    "mobilenet": (
        "timm mobilenetv1_100 with ReLU for its ReLU6",
        lambda: tm("mobilenetv1_100", act_layer=nn.ReLU), 224, {"ReLU6": relu6},
    ),
}


def hashes(name, count):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(h) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return z ^ (z >> numpy.uint64(31))


def uniform(name, shape):
    u = (hashes(name, int(numpy.prod(shape))) >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-23 - 1.0
    return torch.from_numpy(u).reshape(shape)


def fill(model, branch_ends):
    """The formula's weights; `branch_ends`: names of BNs that end a residual branch."""
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        u = uniform(name, tensor.shape)
        module = name.rpartition(".")[0]
        if name.endswith("running_mean") or name.endswith(".bias"):
            value = 0.1 * u
        elif name.endswith("running_var"):
            value = 1.0 + 0.2 * u
        elif tensor.dim() == 1:
            value = (0.3 if module in branch_ends else 1.0) * (1.0 + 0.1 * u)
        else:
            value = (6.0 / numpy.prod(tensor.shape[1:])) ** 0.5 * u
        tensor.copy_(value)
    return model


def digest(state):
    h = 0xCBF29CE484222325
    for name in sorted(state):
        for byte in f"{name} {list(state[name].shape)}\n".encode():
            h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
    return f"{h:016x}"


def logits(model, x, train):
    model.train(train)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # train mode leaves the running statistics as they are
    y = model(x)
    return getattr(y, "logits", y)  # Inception's train mode returns its auxiliary logits too


@torch.no_grad()
def main():
    golden, facts = {}, {}
    for name, (what, make, side, mistakes) in MODELS.items():
        model = make()
        ends = {n for n, m in model.named_modules() if n.endswith(".bn3") and n.startswith("layer")}
        fill(model, ends)
        x = (2.0 * uniform("x", (2, 3, side, side))).float()
        modes = {"eval": False, "train": True}
        found = {mode: logits(model.double(), x.double(), train) for mode, train in modes.items()}
        model.float()

        def difference(mode, other):
            return ((found[mode] - other.double()).abs().max() / found[mode].abs().max()).item()

        rounding = {mode: difference(mode, logits(model, x, train)) for mode, train in modes.items()}
        assert max(rounding.values()) < TOLERANCE / 2, f"{name} {rounding}: too deep for a tolerance of 1e-4"
        shows = {}
        for mistake, change in mistakes.items():
            undo = change(model)
            shows[mistake] = max(difference(mode, logits(model, x, train)) for mode, train in modes.items())
            if callable(undo):
                undo()
            else:
                model = fill(make(), ends)
            assert shows[mistake] > 5 * TOLERANCE, f"{name}: {mistake} would not show: {shows}"
        facts[name] = {
            "network": what,
            "side": side,
            "names": len(model.state_dict()),
            "digest": digest(model.state_dict()),
            "largest_logit": {mode: found[mode].abs().max().item() for mode in modes},
            "torch_in_fp32_differs_by": {mode: float(f"{d:.1e}") for mode, d in rounding.items()},
            "mistakes_differ_by": {mistake: float(f"{d:.1e}") for mistake, d in shows.items()},
        }
        for mode in modes:
            golden[f"{name}.{mode}"] = found[mode].float().contiguous()
        print(name, json.dumps(facts[name]))
    OUT.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(golden, OUT / "logits.safetensors")
    made_by = (
        f"bench/peers/pytorch_logits.py, PyTorch {torch.__version__.split('+')[0]}, "
        f"torchvision {torchvision.__version__.split('+')[0]}, timm {timm.__version__}"
    )
    (OUT / "logits.json").write_text(json.dumps({"made_by": made_by, "models": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
