use rungs_spec::recipe::Variant;

use super::*;
use crate::detect::test_support;

fn published(frozen: u32, freeze_bn: bool) -> Detector {
    let model = Model::published("resnet50d", Variant::Paper).expect("a known model");
    let shape = Shape {
        classes: 20,
        rpn_channels: 1024,
        anchors: 15,
        frozen,
        freeze_bn,
    };
    Detector::new(&model, shape).expect("a network")
}

fn parameter<'a>(detector: &'a Detector, name: &str) -> &'a ParameterSpec {
    let mut specs = detector.network.parameters.iter();
    specs.find(|spec| spec.name == name).expect(name)
}

#[test]
fn the_published_detector_has_features_of_stride_16_and_torchvisions_names() {
    let detector = published(2, true);
    assert_eq!(detector.stride, 16);
    for (name, shape) in [
        ("backbone.layer4.0.conv1.weight", vec![512, 1024, 1, 1]),
        ("rpn.head.conv.0.0.weight", vec![1024, 1024, 3, 3]),
        ("rpn.head.cls_logits.bias", vec![15]),
        ("rpn.head.bbox_pred.weight", vec![60, 1024, 1, 1]),
        ("roi_heads.box_predictor.cls_score.weight", vec![21, 2048]),
        ("roi_heads.box_predictor.bbox_pred.weight", vec![80, 2048]),
    ] {
        assert_eq!(parameter(&detector, name).shape, shape, "{name}");
    }
    let own = &detector.network.parameters;
    assert!(!own.iter().any(|spec| spec.name.contains("fc.")));
}

/// recipes.md section 7, trap 23: BN, the stem and layer1 have no gradient.
#[test]
fn trap_23_frozen_parts_and_bn_are_not_trained() {
    let trained = |detector: &Detector, name: &str| {
        let specs = &detector.network.parameters;
        let i = specs.iter().position(|spec| spec.name == name).expect(name);
        assert_eq!(detector.rate(name), f64::from(u8::from(detector.trains(i))));
        detector.trains(i)
    };
    let names = [
        "backbone.conv1.0.weight",
        "backbone.layer1.0.conv1.weight",
        "backbone.layer2.0.conv1.weight",
        "backbone.layer4.2.bn3.weight",
        "rpn.head.cls_logits.bias",
    ];
    for (frozen, freeze_bn, expected) in [
        (2, true, [false, false, true, false, true]),
        (1, true, [false, true, true, false, true]),
        (0, false, [true; 5]),
    ] {
        let detector = published(frozen, freeze_bn);
        assert_eq!(names.map(|name| trained(&detector, name)), expected);
        let behind = |i: &usize| {
            let name = &detector.network.parameters[*i].name;
            name.contains("layer4") || name.contains("roi_heads")
        };
        assert!(detector.behind_pooling.iter().all(behind));
        assert!(!detector.before_pooling.iter().any(behind));
    }
}

#[test]
fn a_network_of_one_stage_is_refused_with_the_cure() {
    let shape = Shape {
        classes: 1,
        rpn_channels: 1,
        anchors: 1,
        frozen: 0,
        freeze_bn: true,
    };
    let mobilenet = Model::published("mobilenet", Variant::Paper).expect("a known model");
    let error = Detector::new(&mobilenet, shape).expect_err("refused");
    assert!(
        error.message.contains("name one, or more depths"),
        "{error:?}"
    );
}

/// Scores and changes are told position by position, as anchors are listed: with a weight of 0 the
/// bias of each anchor is all that is said.
#[test]
fn scores_and_changes_are_in_the_order_of_the_anchors() {
    let detect = test_support::detect("");
    let (detector, parameters, replicas) = test_support::detector(&detect);
    let _guard = tch::no_grad_guard();
    for (i, spec) in detector.network.parameters.iter().enumerate() {
        let mut value = parameters.view(&parameters.master, i);
        if spec.name.contains("rpn.head") && spec.name.contains("weight") {
            let _ = value.zero_();
        }
        if spec.name.contains("rpn.head") && spec.name.contains(".bias") {
            value.copy_(&Tensor::arange(
                value.numel() as i64,
                (Kind::Float, Device::Cpu),
            ));
        }
    }
    let stats = replicas.mean(&detector.network);
    let pass = Pass {
        parameters: parameters.leaves(),
        norms: crate::network::Norms::Running(&stats),
        boundary: crate::network::Boundary::Exact,
        dropout: None,
    };
    let images = Tensor::zeros([2, 3, 64, 64], (Kind::Float, Device::Cpu));
    let features = detector.features(&images, pass);
    assert_eq!(features.size()[2..], [8, 8]);
    let proposed = detector.propose(&features, pass);
    let mut seen = 0;
    proposed.on_host(|i, scores, deltas| {
        assert_eq!(
            (i, scores.len(), deltas.len()),
            (seen, 8 * 8 * 6, 8 * 8 * 6)
        );
        assert_eq!(scores[6..8], [0.0, 1.0]);
        assert_eq!(deltas[7], [4.0, 5.0, 6.0, 7.0]);
        seen += 1;
    });
    assert_eq!(seen, 2);
    let pooled = Tensor::zeros([5, features.size()[1], 8, 8], (Kind::Float, Device::Cpu));
    let judged = detector.judge(&pooled, pass);
    assert_eq!(judged.scores.size(), [5, 3]);
    assert_eq!(judged.deltas.size(), [5, 2, 4]);
}
