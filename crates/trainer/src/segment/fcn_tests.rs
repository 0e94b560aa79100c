//! The layers of the segmentation network: counts, strides, dilations, and what PyTorch's says.

use rungs_spec::model::{Shape as Backbone, too_small};
use rungs_spec::recipe::Variant;
use tch::{Device, Kind};

use super::*;

fn published(classes: u32) -> Shape {
    Shape {
        classes,
        stride: 8,
        dropout: 0.1,
        aux: true,
    }
}

fn fcn(name: &str, classes: u32) -> (Fcn, [Vec<Layer>; 4]) {
    let model = Model::published(name, Variant::Paper).expect("a known model");
    (
        Fcn::new(&model, published(classes)).expect("a network"),
        layers(&model, published(classes)).expect("its layers"),
    )
}

fn convs<'a>(layers: &'a [Layer], found: &mut Vec<&'a Conv>) {
    for layer in layers {
        match layer {
            Layer::Conv(conv) => found.push(conv),
            Layer::Residual { main, shortcut, .. } => {
                convs(main, found);
                convs(shortcut, found);
            }
            _ => {}
        }
    }
}

fn pools(layers: &[Layer]) -> usize {
    let of = |layer: &Layer| match layer {
        Layer::AvgPool { .. } => 1,
        Layer::Residual { main, shortcut, .. } => pools(main) + pools(shortcut),
        _ => 0,
    };
    layers.iter().map(of).sum()
}

/// recipes.md section 4 and 5: 35,440,780 with both heads for 150 classes on ResNet-50-D; torchvision's
/// `fcn_resnet50` (a B) with `aux_loss` has 35,421,548.
#[test]
fn the_network_has_the_published_number_of_parameters() {
    for (name, expected) in [("resnet50d", 35_440_780), ("resnet50b", 35_421_548)] {
        let (fcn, _) = fcn(name, 150);
        let count = |spec: &crate::network::ParameterSpec| spec.shape.iter().product::<i64>();
        let total: i64 = fcn.network.parameters.iter().map(count).sum();
        assert_eq!(total, expected, "{name}");
        let heads = fcn
            .network
            .parameters
            .iter()
            .filter(|spec| Fcn::is_head(&spec.name));
        assert_eq!(heads.map(count).sum::<i64>(), 9_515_158 + 2_398_358);
    }
}

/// Stage 3: first block dilation 1, then 2; stage 4: first block 2, then 4; no stride beyond 8.
#[test]
fn stages_three_and_four_are_dilated_instead_of_strided() {
    for (name, first) in [
        ("resnet50", "conv1"),
        ("resnet50b", "conv2"),
        ("resnet50d", "conv2"),
    ] {
        let (_, [trunk, last, ..]) = fcn(name, 150);
        let mut found = Vec::new();
        convs(&trunk, &mut found);
        convs(&last, &mut found);
        let of = |name: &str| {
            let name = format!("backbone.{name}");
            let conv = found
                .iter()
                .find(|conv| conv.name == name)
                .expect("a layer");
            (conv.stride[0], conv.dilation, conv.padding[0])
        };
        for (block, dilation) in [
            ("layer2.0", 1),
            ("layer2.1", 1),
            ("layer3.0", 1),
            ("layer3.1", 2),
            ("layer3.5", 2),
            ("layer4.0", 2),
            ("layer4.1", 4),
            ("layer4.2", 4),
        ] {
            let (_, found, padding) = of(&format!("{block}.conv2"));
            assert_eq!((found, padding), (dilation, dilation), "{name} {block}");
        }
        assert_eq!(of(&format!("layer2.0.{first}")).0, 2, "{name}");
        for stage in ["layer3.0", "layer4.0"] {
            assert_eq!(of(&format!("{stage}.{first}")).0, 1, "{name} {stage}");
        }
        // Only stage 2 keeps its 2x2 pool.
        let expected = if name == "resnet50d" { 1 } else { 0 };
        assert_eq!(pools(&trunk) + pools(&last), expected, "{name}");
    }
}

#[test]
fn maps_are_an_eighth_as_large_at_odd_sides_too() {
    let shape = Backbone {
        depths: vec![1, 2, 1],
        width: 0.125,
        dropout: 0.0,
        variant: Variant::Paper,
        classes: 10,
    };
    for name in ["resnet50", "resnet50d"] {
        let model = Model::build(name, &shape).expect("a model");
        assert_eq!(too_small(&model, 33), None);
        let fcn = Fcn::new(&model, published(7)).expect("a network");
        let (parameters, stats) = crate::segment::test_support::drawn(&fcn);
        let pass = Pass {
            parameters: parameters.leaves(),
            norms: crate::network::Norms::Running(&stats),
            boundary: crate::network::Boundary::Exact,
            dropout: None,
        };
        let x = Tensor::zeros([2, 3, 33, 50], (Kind::Float, Device::Cpu));
        let Logits { main, aux } = fcn.forward(&x, pass, true);
        assert_eq!(main.size(), [2, 7, 5, 7], "{name}");
        assert_eq!(aux.expect("asked for").size(), [2, 7, 5, 7], "{name}");
        assert_eq!(resize(&main, 33, 50).size(), [2, 7, 33, 50]);
    }
}

#[test]
fn a_network_without_stages_is_refused_with_the_cure() {
    let mobilenet = Model::published("mobilenet", Variant::Paper).expect("a model");
    let error = Fcn::new(&mobilenet, published(7))
        .expect_err("refused")
        .message;
    assert!(
        error.contains("\"mobilenet\"") && error.contains("ResNet"),
        "{error}"
    );
}

/// MXNet's formula: source = target (in - 1) / (out - 1).
#[test]
fn corners_are_aligned() {
    let x = Tensor::from_slice(&[0.0_f64, 1.0, 2.0, 3.0]).view([1, 1, 2, 2]);
    let got = Vec::<f64>::try_from(resize(&x, 3, 3).view([-1])).expect("values");
    assert_eq!(got, [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
}
