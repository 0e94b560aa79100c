//! The kernels say what torchvision's do, and average precision is VOC's by an independent implementation
//! (bench/peers/torchvision_ops.py, which says from which formula the inputs are).

use std::path::Path;

use rungs_data::scenes::Object;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::average_precision::{AveragePrecision, Detection, Points};
use super::nms;
use super::roi_align::{Pooled, RoiAlign};
use crate::test_support::formula;
use crate::weights;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/operators.json")).expect("JSON")
}

const NMS_THRESHOLDS: [f64; 6] = [0.5, 0.3, 0.7, 1.0 / 3.0, 0.0, 0.25];

/// Boxes and scores of case `k`.
fn nms_case(k: u64, size: u64) -> (Vec<[f32; 4]>, Vec<f32>) {
    let name = format!("nms.{k}");
    let divisor = if k % 8 == 7 { 7.0 } else { 1.0 };
    let values = [1, 4, 16, 256][k as usize % 4];
    (0..size)
        .map(|i| {
            let h = |j| formula::hash(&name, 5 * i + j);
            let [left, top, width, height] = [0, 1, 2, 3].map(|j| h(j) % 24);
            let (width, height) = match h(0) >> 60 {
                0 => (0, height),
                _ => (4 + width / 2, 4 + height / 2),
            };
            let corners = [left, top, left + width, top + height];
            let score = (h(4) % values) as f32 / 256.0;
            (
                corners.map(|corner| (corner as f64 / divisor) as f32),
                score,
            )
        })
        .unzip()
}

#[test]
fn nms_is_torchvisions_on_a_thousand_cases_with_ties() {
    let golden = &golden()["nms"];
    assert!(golden["equal_scores"].as_u64() > Some(10_000));
    assert!(golden["overlaps_at_the_threshold"].as_u64() > Some(1_000));
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 1000);
    for (k, case) in (0..).zip(cases) {
        let (boxes, scores) = nms_case(k, 1 + formula::hash("nms.size", k) % 256);
        let threshold = NMS_THRESHOLDS[k as usize % NMS_THRESHOLDS.len()];
        let kept = nms::nms(&boxes, &scores, threshold, usize::MAX);
        let bytes = kept.iter().flat_map(|i| (*i as u32).to_le_bytes());
        let digest = format!("{:016x}", formula::fnv(bytes));
        assert_eq!(serde_json::json!([kept.len(), digest]), *case, "case {k}");
        let first = nms::nms(&boxes, &scores, threshold, 3);
        assert_eq!(
            first,
            kept[..kept.len().min(3)],
            "case {k}, the first three"
        );
    }
}

/// Of a case of bench/peers/torchvision_ops.py.
struct RoiCase {
    name: &'static str,
    features: [i64; 4],
    boxes: i64,
    how: RoiAlign,
}

const fn case(
    name: &'static str,
    features: [i64; 4],
    boxes: i64,
    [side, sampling, pixels]: [usize; 3],
) -> RoiCase {
    let scale = 1.0 / pixels as f64;
    let how = RoiAlign {
        side,
        scale,
        sampling,
    };
    RoiCase {
        name,
        features,
        boxes,
        how,
    }
}

const ROI_CASES: [RoiCase; 5] = [
    case("c4", [2, 3, 9, 11], 12, [14, 2, 16]),
    case("many_channels", [1, 150, 5, 7], 6, [3, 2, 16]),
    case("one_sample", [3, 2, 6, 4], 9, [7, 1, 4]),
    case("three_samples", [2, 4, 12, 10], 8, [2, 3, 8]),
    case("one_position", [1, 4, 1, 1], 5, [2, 2, 16]),
];

/// u of the formula.
fn tensor(name: &str, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f64> = formula::uniform(name, count).collect();
    Tensor::from_slice(&values).view(shape)
}

impl RoiCase {
    fn tensor(&self, part: &str, shape: &[i64]) -> Tensor {
        tensor(&format!("{}.{part}", self.name), shape)
    }

    /// Some beyond the edges, some empty.
    fn rois(&self) -> Tensor {
        let [images, _, height, width] = self.features;
        let u = self.tensor("rois", &[self.boxes, 4]);
        let [height, width] = [height, width].map(|size| size as f64 / self.how.scale);
        let size = Tensor::from_slice(&[width, height]);
        let unit = (u + 1.0) / 2.0;
        let (centre, side) = (unit.narrow(1, 0, 2) * &size, unit.narrow(1, 2, 2) * &size);
        let boxes = Tensor::cat(&[&centre - &side / 2.0, &centre + &side / 2.0], 1);
        let mut second = boxes.get(1);
        second += 10.0 * width.max(height);
        let reversed = boxes.get(2).roll([2], [0]);
        boxes.get(2).copy_(&reversed);
        boxes
            .get(3)
            .narrow(0, 2, 2)
            .copy_(&boxes.get(3).narrow(0, 0, 2));
        boxes.get(4).copy_(&Tensor::cat(&[-&size, &size * 2.0], 0));
        let numbers = Tensor::arange(self.boxes, (Kind::Double, Device::Cpu)).remainder(images);
        Tensor::cat(&[numbers.unsqueeze(1), boxes], 1).to_kind(Kind::Float)
    }

    /// What is pooled, and the gradient of the features.
    fn pooled(&self, features: &Tensor) -> (Tensor, Tensor) {
        let features = features.detach().set_requires_grad(true);
        // In the middle of a graph, as a backbone's.
        let middle = &features * 1.0;
        let pooled = Pooled::new(self.how, &middle, &self.rois());
        let upstream = self.tensor("upstream", &pooled.values.size());
        let upstream = upstream.to_kind(features.kind());
        (&pooled.values * upstream).sum(features.kind()).backward();
        pooled.surrogate().backward();
        (pooled.values.detach(), features.grad())
    }
}

fn off(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    let difference = a.to_kind(Kind::Double) - b.to_kind(Kind::Double);
    difference.abs().max().double_value(&[])
}

#[test]
fn roi_align_and_its_gradient_are_torchvisions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/operators.safetensors");
    let golden = weights::read(&path).expect("golden tensors");
    for case in &ROI_CASES {
        let contiguous = case.tensor("features", &case.features).to_kind(Kind::Float);
        let last = contiguous
            .permute([0, 2, 3, 1])
            .contiguous()
            .permute([0, 3, 1, 2]);
        let double = contiguous.to_kind(Kind::Double);
        for (layout, features) in [
            ("contiguous", contiguous),
            ("channels-last", last),
            ("FP64", double),
        ] {
            let (pooled, gradient) = case.pooled(&features);
            for (part, got) in [("pooled", &pooled), ("gradient", &gradient)] {
                let expected = &golden[&format!("{}.{part}", case.name)];
                let name = format!("{} {part}, {layout}", case.name);
                let largest = expected.abs().max().double_value(&[]);
                assert!(largest > 0.1, "{name}: nothing to compare");
                // A gradient is the sum of up to some hundred values of 1: FP32 has seven digits of it.
                let off = off(got, expected) / largest.max(1.0);
                assert!(off <= 1e-5, "{name}: {off:e} of {largest}");
            }
            let again = case.how.pool(&features, &case.rois());
            assert_eq!(
                off(&again, &pooled),
                0.0,
                "{}, without a gradient",
                case.name
            );
        }
    }
}

/// Enough boxes and channels that several threads work; none of them changes a bit.
#[test]
fn roi_align_has_the_same_bits_on_any_number_of_threads() {
    let case = case("threads", [2, 272, 13, 9], 40, [14, 2, 16]);
    let features = case.tensor("features", &case.features).to_kind(Kind::Float);
    let before = tch::get_num_threads();
    let [one, three] = [1, 3].map(|threads| {
        tch::set_num_threads(threads);
        case.pooled(&features)
    });
    tch::set_num_threads(before);
    assert_eq!(off(&one.0, &three.0), 0.0);
    assert_eq!(off(&one.1, &three.1), 0.0);
    let (pooled, gradient) = case.pooled(&features.to_kind(Kind::Double));
    assert!(off(&one.0, &pooled) < 1e-4, "{:e}", off(&one.0, &pooled));
    assert!(
        off(&one.1, &gradient) < 1e-3,
        "{:e}",
        off(&one.1, &gradient)
    );
}

#[test]
fn roi_align_of_no_boxes_and_without_a_loss_has_no_gradient() {
    let features = tensor("none", &[1, 3, 4, 4])
        .to_kind(Kind::Float)
        .set_requires_grad(true);
    for kind in [Kind::Float, Kind::Double] {
        let none = Tensor::zeros([0, 5], (Kind::Float, Device::Cpu));
        let pooled = Pooled::new(RoiAlign::C4, &features.to_kind(kind), &none);
        assert_eq!(pooled.values.size(), [0, 3, 14, 14]);
        pooled.surrogate().backward();
        pooled.values.sum(kind).backward();
        pooled.surrogate().backward();
    }
    assert_eq!(
        features.grad().abs().sum(Kind::Float).double_value(&[]),
        0.0
    );
}

const AP_CLASSES: u64 = 4;

/// True and found boxes of image `i` of case `k`.
fn ap_image(k: usize, i: usize) -> (Vec<Object>, Vec<Detection>) {
    let name = format!("ap.{k}.{i}");
    let mut drawn = 0;
    let mut draw = |n: u64| {
        drawn += 1;
        formula::hash(&name, drawn - 1) % n
    };
    let objects: Vec<Object> = (0..draw(7))
        .map(|_| {
            let label = [0, 0, 1, 1, 2, 3][draw(6) as usize];
            let (left, top) = (draw(40), draw(40));
            let (right, bottom) = (left + 4 + draw(16), top + 4 + draw(16));
            Object {
                label,
                corners: [left, top, right, bottom].map(|corner| corner as f32),
                difficult: draw(5) == 0 || label == 3,
            }
        })
        .collect();
    let found = (0..draw(20))
        .map(|_| {
            let shift = [(); 4].map(|()| draw(5) as f32 - 2.0);
            let (score, label) = (draw(8) as f32, draw(AP_CLASSES) as i64);
            let (label, at) = match objects.get(draw(8) as usize) {
                Some(object) => (object.label, object.corners),
                None => (label, [10.0, 10.0, 24.0, 20.0]),
            };
            Detection {
                label,
                corners: std::array::from_fn(|j| at[j] + shift[j]),
                score,
            }
        })
        .collect();
    (objects, found)
}

#[test]
fn average_precision_is_an_independent_implementations() {
    let golden = &golden()["average_precision"];
    for what in ["classes_without_boxes", "ignored", "ties"] {
        assert!(golden[what].as_u64() > Some(100), "too few {what}");
    }
    for (k, case) in golden["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .enumerate()
    {
        let mut ap = AveragePrecision::new(AP_CLASSES as usize, 0.5);
        for i in 0..1 + k % 5 {
            let (objects, found) = ap_image(k, i);
            ap.add(&found, &objects);
        }
        for (name, points) in [("eleven", Points::Eleven), ("area", Points::Area)] {
            let mut got = ap.of_classes(points);
            got.push(ap.mean(points));
            let mut expected = case[name].as_array().expect("classes").clone();
            expected.push(case[&format!("mean_{name}")].clone());
            assert_eq!(got.len(), expected.len());
            for (got, expected) in got.into_iter().zip(&expected) {
                let same = match (got, expected.as_f64()) {
                    (Some(got), Some(expected)) => (got - expected).abs() < 1e-9,
                    (got, expected) => got.is_none() && expected.is_none(),
                };
                assert!(same, "case {k}, {name}: {got:?} instead of {expected}");
            }
        }
    }
}
