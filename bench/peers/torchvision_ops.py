#!/usr/bin/env python3
"""Golden values of detection's kernels: which boxes stay, what is pooled, how right detections are.

    make golden                     (or: bench/peers/setup && .venv-peers/bin/python bench/peers/torchvision_ops.py)

Writes crates/trainer/tests/golden/operators.json and operators.safetensors. Inputs are made from the formula of
golden_inputs.py, in which u(NAME) are uniform numbers in [-1, 1) and h(NAME) integers, so only answers are stored.

nms: torchvision.ops.nms on 1,000 cases. Case k has 1 + h("nms.size")[k] mod 256 boxes; its threshold is one of
THRESHOLDS. Corners are small whole numbers (so that an overlap is often exactly the threshold, and many boxes are
there twice), scores are of 1, 4, 16 or 256 values; one case in eight has fractional corners instead, and one box in
sixteen no area. Stored: how many stay, and FNV-1a over their indices in order, as 32 bits each, little-endian.

roi_align: torchvision.ops.roi_align with aligned=False of features u and boxes about an image, some beyond its
edges or far outside, some empty or reversed, and the gradient of the features where that of the pooled values is
another u. `NAME.pooled`, `NAME.gradient`, F32.

average_precision: 150 evaluations of a few images each, judged by the definition in VOC's development kit with
fractions in place of floating-point numbers, box by box in plain Python: nothing of it is an array, and nothing is
the released code's. Percent, class by class (null: no box of it counts) and over classes.
"""

import fractions
import json
import pathlib
import struct
import sys

import safetensors.torch
import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import golden_inputs  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "trainer" / "tests" / "golden"

# ---- non-maximum suppression

NMS_CASES = 1000
THRESHOLDS = (0.5, 0.3, 0.7, 1.0 / 3.0, 0.0, 0.25)
VALUES = (1, 4, 16, 256)


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & golden_inputs.MASK
    return h


def nms_case(k, size):
    """Boxes, scores and threshold."""
    h = list(golden_inputs.hashes(f"nms.{k}", 5 * size))
    divisor = 7.0 if k % 8 == 7 else 1.0
    boxes = []
    for i in range(size):
        left, top, width, height = (h[5 * i + j] % 24 for j in range(4))
        # Most are 4 to 15 wide and high: they meet often.
        width, height = (0, height) if h[5 * i] >> 60 == 0 else (4 + width // 2, 4 + height // 2)
        boxes.append([corner / divisor for corner in (left, top, left + width, top + height)])
    scores = [h[5 * i + 4] % VALUES[k % 4] / 256.0 for i in range(size)]
    return torch.tensor(boxes), torch.tensor(scores), THRESHOLDS[k % len(THRESHOLDS)]


def nms():
    answers, ties, exact = [], 0, 0
    for k, h in enumerate(golden_inputs.hashes("nms.size", NMS_CASES)):
        boxes, scores, threshold = nms_case(k, 1 + h % 256)
        kept = torchvision.ops.nms(boxes, scores, threshold).tolist()
        answers.append([len(kept), f"{fnv(struct.pack(f'<{len(kept)}I', *kept)):016x}"])
        ties += len(scores) - len(set(scores.tolist()))
        exact += threshold > 0 and int((torchvision.ops.box_iou(boxes, boxes) == threshold).sum())
    return {"cases": answers, "equal_scores": ties, "overlaps_at_the_threshold": exact}


# ---- pooling

# Images, channels, height and width of the features; boxes; side, samples, pixels of a position.
ROI_CASES = {
    "c4": ((2, 3, 9, 11), 12, 14, 2, 16.0),
    "many_channels": ((1, 150, 5, 7), 6, 3, 2, 16.0),
    "one_sample": ((3, 2, 6, 4), 9, 7, 1, 4.0),
    "three_samples": ((2, 4, 12, 10), 8, 2, 3, 8.0),
    "one_position": ((1, 4, 1, 1), 5, 2, 2, 16.0),
}


def tensor(name, shape):
    count = int(torch.tensor(shape).prod())
    return torch.tensor(golden_inputs.uniform(name, count), dtype=torch.float32).reshape(shape)


def rois(name, shape, count, pixels):
    """Centres anywhere in the image, sides from 0 to all of it; the second is far outside, the third reversed,
    the fourth a point, the fifth beyond all edges."""
    images, _, height, width = shape
    u = tensor(f"{name}.rois", (count, 4)).double()
    size = torch.tensor([width, height], dtype=torch.float64) * pixels
    centre, side = (u[:, :2] + 1) / 2 * size, (u[:, 2:] + 1) / 2 * size
    boxes = torch.cat([centre - side / 2, centre + side / 2], 1)
    boxes[1] += 10 * size.max()
    boxes[2] = boxes[2, [2, 3, 0, 1]]
    boxes[3, 2:] = boxes[3, :2]
    boxes[4] = torch.cat([-size, 2 * size])
    numbers = torch.arange(count, dtype=torch.float64) % images
    return torch.cat([numbers[:, None], boxes], 1).float()


def roi_align():
    tensors = {}
    for name, (shape, count, side, samples, pixels) in ROI_CASES.items():
        features = tensor(f"{name}.features", shape).requires_grad_()
        boxes = rois(name, shape, count, pixels)
        pooled = torchvision.ops.roi_align(features, boxes, side, 1 / pixels, samples, aligned=False)
        pooled.backward(tensor(f"{name}.upstream", pooled.shape))
        tensors |= {f"{name}.pooled": pooled.detach(), f"{name}.gradient": features.grad}
    return tensors


# ---- average precision

AP_CASES, AP_CLASSES = 150, 4


def ap_case(k):
    """Images, each with true boxes (class, corners, difficult) and found ones (class, corners, score)."""
    name, images = f"ap.{k}", []
    for i in range(1 + k % 5):
        h = golden_inputs.hashes(f"{name}.{i}", 400)
        draw = lambda n: next(h) % n  # noqa: E731
        truth, found = [], []
        # Class 3 is rare, and its boxes difficult.
        for _ in range(draw(7)):
            label, left, top = (0, 0, 1, 1, 2, 3)[draw(6)], draw(40), draw(40)
            corners = (left, top, left + 4 + draw(16), top + 4 + draw(16))
            truth.append((label, corners, draw(5) == 0 or label == 3))
        for _ in range(draw(20)):
            shift = [draw(5) - 2 for _ in range(4)]
            score, label, which = draw(8), draw(AP_CLASSES), draw(8)
            if which < len(truth):
                # A true box, about.
                label, corners = truth[which][0], tuple(c + s for c, s in zip(truth[which][1], shift))
            else:
                corners = (10 + shift[0], 10 + shift[1], 24 + shift[2], 20 + shift[3])
            found.append((label, corners, score))
        images.append((truth, found))
    return images


def overlap(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    high = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if wide <= 0 or high <= 0:
        return fractions.Fraction(0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return fractions.Fraction(wide * high, sum(areas) - wide * high)


def judged(images, label):
    """'right', 'wrong' or 'ignored' of every detection of the class, best first; and how many boxes count."""
    positives = sum(1 for truth, _ in images for box in truth if box[0] == label and not box[2])
    found = [(-score, i, n, corners) for i, (_, all_found) in enumerate(images)
             for n, (of, corners, score) in enumerate(all_found) if of == label]  # fmt: skip
    taken, verdicts = set(), []
    for _, i, _, corners in sorted(found):
        best, at = fractions.Fraction(-1), None
        for j, (of, box, _) in enumerate(images[i][0]):
            if of == label and overlap(corners, box) > best:
                best, at = overlap(corners, box), j
        if best < fractions.Fraction(1, 2):
            verdicts.append("wrong")
        elif images[i][0][at][2]:
            verdicts.append("ignored")
        else:
            verdicts.append("wrong" if (i, at) in taken else "right")
            taken.add((i, at))
    return verdicts, positives


def average_precision(verdicts, positives):
    """(11 points, area), exactly; a point's recall is the floating-point number of the released code."""
    points, right, wrong = [], 0, 0
    for verdict in verdicts:
        right, wrong = right + (verdict == "right"), wrong + (verdict == "wrong")
        if right + wrong:
            points.append((right, fractions.Fraction(right, right + wrong)))

    def best_from(reached):
        return max((precision for right, precision in points if reached(right)), default=fractions.Fraction(0))

    # NumPy's arange(0, 1.1, 0.1) is i * 0.1, and 3 * 0.1 is above 3 / 10.
    eleven = sum(best_from(lambda right: right / positives >= i * 0.1) for i in range(11)) / 11
    # Every box that is found adds 1 / positives of recall.
    area = sum(best_from(lambda right: right >= n) for n in range(1, positives + 1)) / positives
    return eleven, area


def ap():
    cases, empty, ignored, ties = [], 0, 0, 0
    for k in range(AP_CASES):
        images = ap_case(k)
        of_classes = []
        for label in range(AP_CLASSES):
            verdicts, positives = judged(images, label)
            ignored += verdicts.count("ignored")
            empty += positives == 0
            of_classes.append(average_precision(verdicts, positives) if positives else None)
        for _, found in images:
            ties += len(found) - len({(label, score) for label, _, score in found})
        case = {}
        for i, points in enumerate(("eleven", "area")):
            known = [values[i] for values in of_classes if values]
            case[points] = [float(100 * values[i]) if values else None for values in of_classes]
            case[f"mean_{points}"] = float(100 * sum(known) / len(known)) if known else None
        cases.append(case)
    return {"cases": cases, "classes_without_boxes": empty, "ignored": ignored, "ties": ties}


def main():
    made = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    answers = {"made_with": made, "nms": nms(), "average_precision": ap()}
    (OUT / "operators.json").write_text(json.dumps(answers, separators=(",", ":")) + "\n")
    tensors = {name: value.contiguous() for name, value in roi_align().items()}
    safetensors.torch.save_file(tensors, OUT / "operators.safetensors")
    for name in ("nms", "average_precision"):
        print(name, {key: value for key, value in answers[name].items() if key != "cases"}, len(answers[name]["cases"]))


if __name__ == "__main__":
    sys.exit(main())
