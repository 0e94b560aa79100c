#!/usr/bin/env python3
"""Golden loss traces: what PyTorch's `train/loss` is, step by step, in FP64.

    make golden                     (or: bench/peers/setup && .venv-peers/bin/python bench/peers/pytorch_golden.py [CASE...])

Writes crates/trainer/tests/golden/CASE.json for every case of CASES. The networks
(golden_networks.py), losses and schedules are written out here once more, from the paper and with
nothing of Rungs or torchvision, so that an agreement to 1e-9 means that two people who read the paper
wrote the same formulas. Shallow on purpose: at full depth training on random data is chaotic, and
rounding alone would decide the trace.

Every case is trained three times: with the images contiguous; channels-last, which changes the order
of sums but no formula; and with every initial weight off by about 1e-13. The largest relative
differences of the traces are recorded, and a case where one exceeds 1e-11 is not written: what is
two orders below the tolerance of 1e-9 cannot be mistaken for a difference of formula.

FP16 is emulated as the trainer emulates it on a CPU: values are rounded through half at the same places,
something else computes. Here that is FP64, in which the order of sums decides no rounding, so that the trace
is as exact as the others. In FP32, as trained, it decides some, and those grow: the difference is recorded.

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
from torch.func import functional_call

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden_inputs  # noqa: E402
import golden_networks  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYOUTS = (torch.contiguous_format, torch.channels_last)
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
COSINE = {"schedule": {"kind": "cosine"}}
SMOOTHING = {"label_smoothing": 0.1}
MIXUP = {"mixup_alpha": 0.2, "mixup_lambdas": "mixup.safetensors"}
# Deeper and wider than its student, and a D.
TEACHER = {"model": "resnet50d", "depths": [1, 2, 1, 1], "width": 0.25}
DISTILL = {
    "distill": {
        "teacher": {"weights": "teacher.safetensors", "model": TEACHER["model"]},
        "temperature": 20.0,
        "soft_weight": 1.0,
        "hard_weight": 1.0,
    }
}
# Maps of 18, 9, 5 and 3 pixels: D's pooling meets odd sides.
D72 = {"model": "resnet50d", "input_size": 72}
# 3 steps at a small rate: these networks cannot be made shallow, and amplify what they are given.
THREE_STEPS = {"depths": None, "width": 0.25, "epochs": 1, "batch_size": 20, "lr": 1e-3, **COSINE}
CASES = {
    "plain": {},
    "warmup-linear-scaling": WARMUP,
    "zero-gamma": {"zero_gamma": True},
    "no-bias-decay": {"decay": "weights"},
    "replicas-4": {"replicas": 4},
    "stacked": {**WARMUP, "zero_gamma": True, "decay": "weights", "replicas": 4},
    "resnet-b": {"model": "resnet50b"},
    "resnet-c": {"model": "resnet50c"},
    "resnet-d": D72,
    "cosine": {**WARMUP, **COSINE},
    "label-smoothing": SMOOTHING,
    "mixup": MIXUP,
    "mixup-smoothed-replicas-2": {**MIXUP, **SMOOTHING, "replicas": 2},
    "distillation": DISTILL,
    "distillation-half-weights": {"distill": {**DISTILL["distill"], "soft_weight": 0.5, "hard_weight": 0.5}},
    # The last row of Table 6, in FP64 for its FP16.
    "table6-stacked": {
        **D72, **WARMUP, **COSINE, **SMOOTHING, **MIXUP, **DISTILL,
        "zero_gamma": True, "decay": "weights", "replicas": 4,
    },
    "fp16": {"precision": "fp16"},
    # The Efficient column of Table 6 with cosine and label smoothing.
    "fp16-stacked": {
        **D72, **WARMUP, **COSINE, **SMOOTHING, "zero_gamma": True, "decay": "weights", "precision": "fp16",
    },
    "mobilenet": {"model": "mobilenet", **THREE_STEPS},
    "inception-v3": {"model": "inception-v3", **THREE_STEPS, "input_size": 107, "lr": 1e-4},
}


def settled(changes):
    recipe = {**BASE, **changes}
    recipe["augment"] = {**BASE["augment"], "resize_short": math.ceil(recipe["input_size"] / 0.875)}
    return recipe


def network_of(recipe):
    return golden_networks.build(recipe["model"], recipe["depths"], recipe["width"], golden_inputs.CLASSES)


def shapes_of(model):
    return [
        (name, tuple(tensor.shape))
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    ]


def write_inputs(recipe, directory):
    """Every file that a recipe names, by the formula of golden_inputs.py."""

    def write(name, tensors, real="F32"):
        (directory / name).write_bytes(golden_inputs.safetensors(tensors, real))

    write("images.safetensors", golden_inputs.image_tensors(recipe["input_size"]))
    write("init.safetensors", golden_inputs.weight_tensors(shapes_of(network_of(recipe))))
    if recipe["distill"]:
        write("teacher.safetensors", golden_inputs.weight_tensors(shapes_of(network_of(TEACHER)), "teacher."))
    if recipe["mixup_lambdas"]:
        steps = recipe["epochs"] * (golden_inputs.IMAGES // recipe["batch_size"])
        write("mixup.safetensors", golden_inputs.mixup_tensors(steps, recipe["batch_size"]), "F64")


def learning_rate(recipe, step, steps_per_epoch):
    """Update `step`, counted from 0: i*eta/m at batch i = 1..m of the warmup, then the decay."""
    peak = recipe["lr"] * (recipe["batch_size"] / 256 if recipe["lr_scaling"] == "linear" else 1)
    warmup = round(recipe["warmup_epochs"] * steps_per_epoch)
    if step < warmup:
        return (step + 1) * peak / warmup
    if recipe["schedule"]["kind"] == "cosine":
        t, total = step - warmup, recipe["epochs"] * steps_per_epoch - warmup
        return 0.5 * (1 + math.cos(t * math.pi / total)) * peak
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


def cross_entropy(targets, logits):
    """- sum over classes of q log p, mean over the batch; q is a distribution."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def one_hot(labels, epsilon, dtype):
    """1 - eps + eps / K for the label, eps / K for the others (the form on the paper's slide)."""
    targets = torch.full((len(labels), golden_inputs.CLASSES), epsilon / golden_inputs.CLASSES, dtype=dtype)
    targets[torch.arange(len(labels)), labels] += 1 - epsilon
    return targets


class Given:
    """The inputs of a training, from the files that write_inputs wrote."""

    def __init__(self, recipe, directory, dtype, memory_format, noise=0.0):
        def load(name):
            return safetensors.torch.load_file(directory / name)

        data = load("images.safetensors")
        self.images = data["images"].to(dtype).to(memory_format=memory_format)
        self.labels = data["labels"]
        generator = torch.Generator().manual_seed(1)
        self.model = self.network(recipe, load("init.safetensors"), dtype, memory_format)
        with torch.no_grad():
            for parameter in self.model.parameters():
                normal = torch.randn(parameter.shape, dtype=torch.double, generator=generator)
                parameter.mul_(1 + noise * normal)
        # After the initial weights are in, wherever they come from.
        if recipe["zero_gamma"]:
            for module in self.model.modules():
                if isinstance(module, golden_networks.Bottleneck):
                    nn.init.zeros_(module.bn3.weight)
        self.teacher = None
        if recipe["distill"]:
            self.teacher = self.network(TEACHER, load("teacher.safetensors"), dtype, memory_format).eval()
        self.mixup = load("mixup.safetensors") if recipe["mixup_lambdas"] else None

    @staticmethod
    def network(recipe, weights, dtype, memory_format):
        model = network_of(recipe).to(dtype)
        unknown = set(weights) ^ {name for name, _ in shapes_of(model)}
        assert not unknown, f"names differ: {sorted(unknown)}"
        model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()}, strict=False)
        return model.to(memory_format=memory_format)


def forward(model, x):
    return functional_call(model, golden_networks.rounded_weights(model), (x,))


def step_loss(recipe, given, replicas, step, x, labels):
    """The loss of one batch: smoothed and mixed targets, replicas, and the teacher's soft targets."""
    targets = one_hot(labels, recipe["label_smoothing"], x.dtype)
    if given.mixup:
        # One lambda for the whole batch, targets smoothed before they are mixed.
        share, partner = given.mixup["lambda"][step].item(), given.mixup["partner"][step]
        x = share * x + (1 - share) * x[partner]
        targets = share * targets + (1 - share) * targets[partner]
    size = len(x) // len(replicas)
    logits = torch.cat([forward(replica.train(), x[r * size : (r + 1) * size]) for r, replica in enumerate(replicas)])
    loss = cross_entropy(targets, logits)
    if recipe["distill"]:
        t = recipe["distill"]["temperature"]
        with torch.no_grad():
            soft = (given.teacher(x) / t).softmax(1)
        loss = (
            recipe["distill"]["hard_weight"] * loss
            + recipe["distill"]["soft_weight"] * t**2 * cross_entropy(soft, logits / t)
        )
    return loss


def replicas_of(model, count):
    """A replica shares the parameters and keeps running statistics of its own, as a GPU does."""
    replicas = [model]
    for _ in range(1, count):
        replica = copy.deepcopy(model)
        for ours, theirs in zip(model.modules(), replica.modules()):
            for name, parameter in ours.named_parameters(recurse=False):
                setattr(theirs, name, parameter)
        replicas.append(replica)
    return replicas


def evaluate(given, replicas, trace):
    """With the mean of the replicas' running statistics, and the images all at once."""
    mean = copy.deepcopy(replicas[0]).eval()
    for modules in zip(mean.modules(), *(replica.modules() for replica in replicas)):
        if isinstance(modules[0], nn.BatchNorm2d):
            for name in ("running_mean", "running_var"):
                getattr(modules[0], name).copy_(torch.stack([getattr(m, name) for m in modules[1:]]).mean(0))
    with torch.no_grad():
        logits = forward(mean, given.images)
    trace["val/loss"].append(cross_entropy(one_hot(given.labels, 0.0, logits.dtype), logits).item())
    trace["val/top1"].append(100.0 * (logits.argmax(1) == given.labels).double().mean().item())


def train(recipe, directory, memory_format=torch.contiguous_format, noise=0.0, dtype=torch.double):
    """The trace of one training: lr and loss of every step, loss and top-1 of every evaluation."""
    half = recipe["precision"] == "fp16"
    scale = recipe["loss_scale"] if half else 1.0
    with golden_networks.emulating_half(half):
        return train_scaled(recipe, Given(recipe, directory, dtype, memory_format, noise), scale)


def train_scaled(recipe, given, scale):
    replicas = replicas_of(given.model, recipe["replicas"])
    optimiser = torch.optim.SGD(
        parameter_groups(given.model, recipe), lr=1.0, momentum=recipe["momentum"], nesterov=recipe["nesterov"]
    )
    batch = recipe["batch_size"]
    steps_per_epoch = len(given.images) // batch
    trace = {"lr": [], "train/loss": [], "val/loss": [], "val/top1": []}
    step = 0
    for _ in range(recipe["epochs"]):
        for at in range(0, steps_per_epoch * batch, batch):
            part = slice(at, at + batch)
            loss = step_loss(recipe, given, replicas, step, given.images[part], given.labels[part])
            optimiser.zero_grad()
            (loss * scale).backward()
            for parameter in given.model.parameters():
                parameter.grad /= scale  # a power of 2: exact
            lr = learning_rate(recipe, step, steps_per_epoch)
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.step()
            trace["lr"].append(lr)
            trace["train/loss"].append(loss.item())
            step += 1
        evaluate(given, replicas, trace)
    return trace


def relative_difference(one, other, names=("train/loss", "val/loss")):
    return max(abs(a - b) / abs(b) for name in names for a, b in zip(one[name], other[name]))


def write(case, golden):
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{case}.json").write_text(json.dumps(golden, indent=1) + "\n")


def main():
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        changes = CASES[case]
        recipe = settled(changes)
        with tempfile.TemporaryDirectory() as directory:
            inputs = pathlib.Path(directory)
            write_inputs(recipe, inputs)
            trace = train(recipe, inputs)
            layouts = relative_difference(trace, train(recipe, inputs, torch.channels_last))
            weights = relative_difference(trace, train(recipe, inputs, noise=1e-13))
            in_fp32 = {}
            if recipe["precision"] == "fp16":
                single = [train(recipe, inputs, layout, dtype=torch.float) for layout in LAYOUTS]
                apart = max(relative_difference(trace, one) for one in single)
                in_fp32 = {"in_fp32_differs_by": float(f"{apart:.1e}")}
        losses = trace["train/loss"]
        print(f"{case:26} {losses[0]:.6f} -> {losses[-1]:.6f}   channels-last {layouts:.1e}, weights off by 1e-13 {weights:.1e}")
        assert max(layouts, weights) < 1e-11, f"{case} is chaotic: {layouts:.1e}, {weights:.1e}"
        write(case, {
            "case": case,
            "made_by": f"bench/peers/pytorch_golden.py, PyTorch {torch.__version__.split('+')[0]}, FP64",
            "inputs": "bench/peers/golden_inputs.py",
            "channels_last_differs_by": float(f"{layouts:.1e}"),
            "weights_off_by_1e-13_differ_by": float(f"{weights:.1e}"),
            **in_fp32,
            "changes": changes,
            "recipe": recipe,
            "teacher": TEACHER if recipe["distill"] else None,
            "trace": trace,
        })


if __name__ == "__main__":
    main()
