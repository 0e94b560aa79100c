#!/usr/bin/env python3
"""Golden values of segmentation: what both heads of a fully convolutional network say, and how it trains.

    make golden                     (or: bench/peers/setup && .venv-peers/bin/python bench/peers/pytorch_fcn.py)

Writes crates/trainer/tests/golden/fcn.safetensors and fcn.json.

Logits: torchvision's `fcn_resnet50` (a ResNet-B) and the same on timm's ResNet-50-D with output stride 8,
whose shortcut pools are taken out where it is dilated, as the released code has it (timm puts a pool of
stride 1 there). `MODEL.{eval,train}.{main,aux}`, (1, 21, 9, 7) F32 at stride 8, for weights and an image
(1, 3, 65, 49) from the formula of pytorch_logits.py, computed in FP64. In train mode BN uses the batch's
statistics, and dropout is off.

Traces: golden_networks.py's narrow ResNet-D, dilated here once more, with both heads, trained for 12
steps in FP64 on images and masks from a formula: loss = main + aux_weight * aux, each a mean over the
labelled pixels; logits scaled up with aligned corners, as MXNet's BilinearResize2D does; SGD with
momentum (not Nesterov), decay on everything, ten times the rate in both heads, poly schedule. Masks:
element i of "masks" has class h mod 6 - 1, -1 being no label (h as in golden_inputs.py). Case `nominal`
is the paper's recipe; `gluoncv` is what the released code effectively does (recipes.md section 5).

How much would a mistake show? Both parts are computed with one thing changed, and the relative
difference is recorded; all exceed the tolerance (1e-4 for logits, 1e-9 for losses) by far.
"""

import json
import pathlib
import sys

import safetensors.torch
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.segmentation.fcn import FCNHead

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden_inputs  # noqa: E402
import golden_networks  # noqa: E402
from pytorch_logits import OUT, digest, fill, uniform  # noqa: E402

CLASSES, SHAPE = 21, (1, 3, 65, 49)


class Fcn(nn.Module):
    """Heads on a backbone that returns what layer3 and layer4 say."""

    def __init__(self, backbone, widths, classes):
        super().__init__()
        self.backbone = backbone
        self.classifier = FCNHead(widths[1], classes)
        self.aux_classifier = FCNHead(widths[0], classes)

    def forward(self, x):
        c3, c4 = self.features(x)
        return {"main": self.classifier(c4), "aux": self.aux_classifier(c3)}

    def features(self, x):
        b = self.backbone
        x = b.maxpool(F.relu(b.bn1(b.conv1(x)))) if hasattr(b, "maxpool") else F.max_pool2d(F.relu(b.bn1(b.conv1(x))), 3, 2, 1)
        c3 = b.layer3(b.layer2(b.layer1(x)))
        return c3, b.layer4(c3)


class Torchvision(nn.Module):
    """torchvision's own network, without its scaling up."""

    def __init__(self):
        super().__init__()
        whole = torchvision.models.segmentation.fcn_resnet50(
            weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
        )
        self.backbone, self.classifier, self.aux_classifier = whole.backbone, whole.classifier, whole.aux_classifier

    def forward(self, x):
        features = self.backbone(x)
        return {"main": self.classifier(features["out"]), "aux": self.aux_classifier(features["aux"])}


def timm_d(keep_pools=False):
    backbone = timm.create_model("resnet50d", output_stride=8)
    del backbone.fc
    for stage in (backbone.layer3, backbone.layer4):
        assert "Same" in type(stage[0].downsample[0]).__name__, stage[0].downsample
        if not keep_pools:
            stage[0].downsample[0] = nn.Identity()
    return Fcn(backbone, (1024, 2048), CLASSES)


def dilate_first_blocks_too(model):
    for stage, dilation in ((model.backbone.layer3, 2), (model.backbone.layer4, 4)):
        stage[0].conv2.dilation = stage[0].conv2.padding = (dilation, dilation)
    return model


def set_eps(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    return model


MODELS = {
    "resnet50b": (
        "torchvision fcn_resnet50 with aux_loss", Torchvision,
        {"first blocks dilated like the others": lambda: dilate_first_blocks_too(Torchvision()), "eps 1e-3": lambda: set_eps(Torchvision())},
    ),
    "resnet50d": (
        "torchvision's FCNHead on timm resnet50d, output_stride 8, shortcut pools taken out where dilated", timm_d,
        {"first blocks dilated like the others": lambda: dilate_first_blocks_too(timm_d()), "a pool in dilated shortcuts": lambda: timm_d(True)},
    ),
}


@torch.no_grad()
def say(model, train):
    ends = {n for n, m in model.named_modules() if n.endswith(".bn3") and ".layer" in n}
    model = fill(model, ends).double().train(train)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    return model((2.0 * uniform("x", SHAPE)).float().double())


def names_of(model):
    return {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}


# ---- Training traces


NARROW = {"model": "resnet50d", "depths": [1, 1, 2, 2], "width": 0.125, "classes": 5, "side": 50}
TRACES = {
    "nominal": {"lr": 0.01, "weight_decay": 1e-4, "aux_weight": 0.5},
    "gluoncv": {"lr": 0.0025, "weight_decay": 4e-4, "aux_weight": 1.0},
}
BATCH, STEPS, IMAGES = 4, 12, 12


def narrow():
    backbone = golden_networks.build(NARROW["model"], NARROW["depths"], NARROW["width"], 1)
    del backbone.fc
    for stage, first, others in ((backbone.layer3, 1, 2), (backbone.layer4, 2, 4)):
        stage[0].downsample[0] = nn.Identity()
        for i, block in enumerate(stage):
            block.conv1.stride = block.conv2.stride = (1, 1)
            block.conv2.dilation = block.conv2.padding = (first, first) if i == 0 else (others, others)
    widths = [4 * golden_networks.scaled(planes, NARROW["width"]) for planes in (256, 512)]
    model = Fcn(backbone, widths, NARROW["classes"]).double()
    shapes = [(name, tuple(t.shape)) for name, t in names_of(model).items()]
    weights = golden_inputs.weight_tensors(shapes)
    model.load_state_dict({n: torch.tensor(v).float().double().reshape(s) for n, s, v in weights}, strict=False)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def loss_of(said, masks, aux_weight, align=True, over_all=False):
    def one(logits):
        logits = F.interpolate(logits, masks.shape[1:], mode="bilinear", align_corners=align)
        log = logits.log_softmax(1)
        labelled = masks >= 0
        right = log.gather(1, masks.clamp(min=0).unsqueeze(1)).squeeze(1)
        return -(right * labelled).sum() / (labelled.numel() if over_all else labelled.sum())

    return one(said["main"]) + aux_weight * one(said["aux"])


def train(recipe, head_rate=10.0, nesterov=False, **loss):
    side = NARROW["side"]
    images = (2.0 * uniform("images", (IMAGES, 3, side, side))).float().double()
    h = torch.tensor([h % (NARROW["classes"] + 1) for h in golden_inputs.hashes("masks", IMAGES * side * side)])
    masks = h.reshape(IMAGES, side, side) - 1
    model = narrow().train()
    heads = [p for n, p in model.named_parameters() if "classifier" in n]
    backbone = [p for n, p in model.named_parameters() if "classifier" not in n]
    optimiser = torch.optim.SGD(
        [{"params": backbone}, {"params": heads}], lr=1.0, momentum=0.9, nesterov=nesterov, weight_decay=recipe["weight_decay"]
    )
    losses = []
    for step in range(STEPS):
        at = step * BATCH % IMAGES
        value = loss_of(model(images[at : at + BATCH]), masks[at : at + BATCH], recipe["aux_weight"], **loss)
        optimiser.zero_grad()
        value.backward()
        lr = recipe["lr"] * (1 - step / STEPS) ** 0.9
        optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = lr, head_rate * lr
        optimiser.step()
        losses.append(value.item())
    return losses


def apart(one, other):
    return float(f"{max(abs(a - b) / abs(b) for a, b in zip(one, other)):.1e}")


def main():
    torch.set_num_threads(1)
    golden, models = {}, {}
    for name, (what, make, mistakes) in MODELS.items():
        found = {mode: say(make(), mode == "train") for mode in ("eval", "train")}
        shows = {}
        for mistake, wrong in mistakes.items():
            shows[mistake] = 0.0
            for mode, said in found.items():
                other = say(wrong(), mode == "train")
                for head in said:
                    shows[mistake] = max(shows[mistake], ((said[head] - other[head]).abs().max() / said[head].abs().max()).item())
            shows[mistake] = float(f"{shows[mistake]:.1e}")
            assert shows[mistake] > 5e-4, f"{name}: {mistake} would not show"
        model = make()
        parameters = sum(p.numel() for p in model.parameters())
        for mode, said in found.items():
            for head, logits in said.items():
                golden[f"{name}.{mode}.{head}"] = logits.float().contiguous()
        models[name] = {
            "network": what,
            "names": len(names_of(model)),
            "digest": digest(names_of(model)),
            "parameters": parameters,
            "mistakes_differ_by": shows,
        }
        print(name, json.dumps(models[name]))
    traces = {}
    for case, recipe in TRACES.items():
        losses = train(recipe)
        shows = {
            "corners not aligned": apart(train(recipe, align=False), losses),
            "mean over all pixels": apart(train(recipe, over_all=True), losses),
            "one rate for all": apart(train(recipe, head_rate=1.0), losses),
            "Nesterov": apart(train(recipe, nesterov=True), losses),
        }
        assert min(shows.values()) > 1e-6, shows
        traces[case] = {**recipe, "train/loss": losses, "mistakes_differ_by": shows}
        print(case, losses[0], losses[-1], shows)
    OUT.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(golden, OUT / "fcn.safetensors")
    made_by = (
        f"bench/peers/pytorch_fcn.py, PyTorch {torch.__version__.split('+')[0]}, "
        f"torchvision {torchvision.__version__.split('+')[0]}, timm {timm.__version__}"
    )
    facts = {"made_by": made_by, "models": models, "network": NARROW, "batch": BATCH, "images": IMAGES, "traces": traces}
    (OUT / "fcn.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
