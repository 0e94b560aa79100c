//! Tests of the interpreter: traps of recipes.md section 7, and the emulation of half precision.

use std::cell::RefCell;

use rungs_spec::model::Model;
use rungs_spec::recipe::Variant;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::init;
use crate::norm::Replicas;
use crate::parameters::{Arithmetic, Parameters};
use crate::test_support::{self, emulated, images};

thread_local! {
    /// Every value that met a boundary, before and after it was rounded.
    pub static BOUNDARIES: RefCell<Vec<(Tensor, Tensor)>> = const { RefCell::new(Vec::new()) };
}

fn small(name: &str, arithmetic: Arithmetic, replicas: u32) -> (Network, Parameters, Replicas) {
    let (network, parameters) = test_support::drawn(name, arithmetic);
    let replicas = Replicas::new(&network, replicas, arithmetic.master(), Device::Cpu);
    (network, parameters, replicas)
}

fn pass<'a>(parameters: &'a Parameters, norms: Norms<'a>, boundary: Boundary) -> Pass<'a> {
    Pass {
        parameters: parameters.leaves(),
        norms,
        boundary,
        dropout: None,
    }
}

#[test]
fn emulated_half_rounds_activations_and_gradients_at_every_layer_boundary() {
    let (network, parameters, replicas) = small("resnet50", emulated(Kind::Half), 2);
    BOUNDARIES.with_borrow_mut(Vec::clear);
    let logits = network.forward(
        &images(8, 28, Kind::Float),
        pass(
            &parameters,
            Norms::Train(replicas.each()),
            Boundary::Rounded(Kind::Half),
        ),
    );
    let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 4, 5, 6, 7]);
    let loss = logits.cross_entropy_for_logits(&labels) * 1024.0;
    let seen = BOUNDARIES.take();
    // Images, conv1, bn1 + relu, maxpool; per block three convolutions, their BNs, the shortcut's
    // convolution and BN, add + relu; global average pool, fc.
    assert_eq!(seen.len(), 4 + 2 * 9 + 2);
    let half = |x: &Tensor| x.to_kind(Kind::Half).to_kind(Kind::Float);
    let tracked: Vec<_> = seen[1..]
        .iter()
        .flat_map(|(before, after)| [before, after])
        .collect();
    let gradients = Tensor::run_backward(&[&loss], &tracked, true, false);
    let mut rounding_matters = [false; 2];
    for (i, (before, after)) in seen.iter().enumerate() {
        assert!(
            after.equal(&half(after)),
            "activation {i} is not a half value"
        );
        // A ReLU behind the boundary may have worked in place: it only zeroes.
        rounding_matters[0] |= !before.equal(after);
    }
    for (i, pair) in gradients.chunks(2).enumerate() {
        let [before, after] = pair else {
            unreachable!("gradients come in pairs")
        };
        assert!(
            before.equal(&half(after)),
            "gradient {i} is not the half rounding of what arrived"
        );
        assert!(
            before.abs().max().double_value(&[]) > 0.0,
            "gradient {i} is zero"
        );
        rounding_matters[1] |= !before.equal(after);
    }
    assert_eq!(
        rounding_matters,
        [true, true],
        "nothing was rounded: the test would not see a missing rounding"
    );
    // Weights in use are half values, BN parameters are not rounded.
    for (spec, leaf) in network.parameters.iter().zip(parameters.leaves()) {
        if matches!(spec.role, Role::Weight | Role::Bias) {
            assert!(leaf.equal(&half(leaf)), "{} is not a half value", spec.name);
        }
    }
}

/// Trap 7: with gamma = 0 a block is exactly relu of its shortcut.
#[test]
fn trap_7_zero_gamma_makes_a_block_the_relu_of_its_shortcut() {
    let (mut network, mut parameters, replicas) =
        small("resnet50", Arithmetic::Plain(Kind::Float), 1);
    init::zero_gamma(&mut parameters, &network.parameters);
    let block = network.parts[0]
        .iter()
        .position(|op| matches!(op, Operation::Residual { .. }))
        .expect("a block");
    let Operation::Residual { main: _, shortcut } = network.parts[0].swap_remove(block) else {
        unreachable!("just found")
    };
    let x = images(4, 8, Kind::Float)
        .repeat([1, 3, 1, 1])
        .narrow(1, 0, 8);
    let pass = pass(&parameters, Norms::Train(replicas.each()), Boundary::Exact);
    let expected = network.sequence(&shortcut, x.shallow_clone(), pass).relu();
    let (whole, ..) = small("resnet50", Arithmetic::Plain(Kind::Float), 1);
    let got = whole.operation(&whole.parts[0][block], x, pass);
    assert!(got.equal(&expected));
}

/// Trap 19: after one step a replica's running variance is that of its slice, not of the batch.
#[test]
fn trap_19_running_statistics_are_those_of_the_replicas_slice() {
    let (network, parameters, replicas) = small("resnet50", Arithmetic::Plain(Kind::Double), 4);
    let x = images(8, 28, Kind::Double);
    let _ = network.forward(
        &x,
        pass(&parameters, Norms::Train(replicas.each()), Boundary::Exact),
    );
    let conv = x.conv2d(
        &parameters.leaves()[0],
        None::<&Tensor>,
        [2, 2],
        [3, 3],
        [1, 1],
        1,
    );
    for (r, stats) in replicas.each().iter().enumerate() {
        let slice = conv
            .narrow(0, 2 * r as i64, 2)
            .transpose(0, 1)
            .reshape([8, -1]);
        let (mean, var) = stats.of(0);
        let expected_mean = slice.mean_dim([1].as_slice(), false, None) * 0.1;
        let expected_var = slice.var_dim([1].as_slice(), true, false) * 0.1 + 0.9;
        assert!(
            mean.allclose(&expected_mean, 1e-12, 1e-12, false),
            "replica {r}"
        );
        assert!(
            var.allclose(&expected_var, 1e-12, 1e-12, false),
            "replica {r}"
        );
    }
    let mean = replicas.mean(&network);
    let by_hand = replicas
        .each()
        .iter()
        .map(|stats| stats.flat.copy())
        .reduce(|a, b| a + b)
        .expect("four")
        / 4.0;
    assert!(mean.flat.allclose(&by_hand, 1e-14, 1e-14, false));
}

/// Slices of one batch give what each replica would compute alone.
#[test]
fn replicas_are_as_if_each_had_its_own_network() {
    let (network, parameters, replicas) = small("resnet50", Arithmetic::Plain(Kind::Double), 2);
    let x = images(8, 28, Kind::Double);
    let both = network.forward(
        &x,
        pass(&parameters, Norms::Train(replicas.each()), Boundary::Exact),
    );
    for r in 0..2 {
        let alone = Replicas::new(&network, 1, Kind::Double, Device::Cpu);
        let slice = x.narrow(0, 4 * r, 4);
        let logits = network.forward(
            &slice,
            pass(&parameters, Norms::Train(alone.each()), Boundary::Exact),
        );
        assert!(logits.allclose(&both.narrow(0, 4 * r, 4), 1e-12, 1e-12, false));
        assert!(alone.each()[0].flat.allclose(
            &replicas.each()[r as usize].flat,
            1e-12,
            1e-12,
            false
        ));
    }
}

/// recipes.md section 7, trap 2: v1 strides in the first 1x1 of a stage, B and its successors in the 3x3.
#[test]
fn trap_2_v1_strides_in_the_first_1x1_and_b_in_the_3x3() {
    for (name, expected) in [
        ("resnet50", [(1, 2), (3, 1), (1, 1)]),
        ("resnet50b", [(1, 1), (3, 2), (1, 1)]),
        ("resnet50c", [(1, 1), (3, 2), (1, 1)]),
        ("resnet50d", [(1, 1), (3, 2), (1, 1)]),
    ] {
        let (network, parameters, _) = small(name, Arithmetic::Plain(Kind::Float), 1);
        let mut blocks = network.parts[0].iter().filter_map(|op| match op {
            Operation::Residual { main, .. } => Some(main),
            _ => None,
        });
        let convolutions = |op: &Operation| match op {
            Operation::Conv { weight, stride, .. } => {
                Some((parameters.leaves()[*weight].size()[2], stride[0]))
            }
            _ => None,
        };
        let second = blocks.next_back().expect("two stages").iter();
        let found: Vec<_> = second.filter_map(convolutions).collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// recipes.md section 7, trap 8: D's shortcut pools with ceil and counts valid pixels only, so that the two
/// branches of a block fit at odd sizes.
#[test]
fn trap_8_the_pool_of_d_takes_odd_maps_and_means_valid_pixels_only() {
    let (network, parameters, replicas) = small("resnet50d", Arithmetic::Plain(Kind::Float), 1);
    let pass = pass(&parameters, Norms::Train(replicas.each()), Boundary::Exact);
    let shortcut = network.parts[0].iter().find_map(|op| match op {
        Operation::Residual { shortcut, .. } => shortcut
            .iter()
            .find(|op| matches!(op, Operation::AvgPool { .. })),
        _ => None,
    });
    let pool = shortcut.expect("D pools in the shortcut");
    let x = images(1, 7, Kind::Float);
    let pooled = network.operation(pool, x.shallow_clone(), pass);
    assert_eq!(pooled.size(), [1, 3, 4, 4]);
    // The last window holds one pixel, the ones along the edge two.
    let at = |t: &Tensor, y: i64, x: i64| t.double_value(&[0, 0, y, x]);
    assert_eq!(at(&pooled, 3, 3), at(&x, 6, 6));
    let edge = (at(&x, 0, 6) + at(&x, 1, 6)) / 2.0;
    assert!((at(&pooled, 0, 3) - edge).abs() < 1e-6);
    for name in ["resnet50", "resnet50b", "resnet50c", "resnet50d"] {
        let (network, parameters, replicas) = small(name, Arithmetic::Plain(Kind::Float), 1);
        for [height, width] in [[28, 28], [38, 50], [37, 49]] {
            let x = images(2, 50, Kind::Float);
            let x = x.narrow(2, 0, height).narrow(3, 0, width);
            let norms = Norms::Train(replicas.each());
            let logits = network.forward(&x, self::pass(&parameters, norms, Boundary::Exact));
            assert_eq!(logits.size(), [2, 10], "{name} at {height} x {width}");
        }
    }
}

/// recipes.md section 7, trap 9: Inception's BN has eps 1e-3, its pooling branches count the padding, and there
/// is no auxiliary classifier.
#[test]
fn trap_9_inception_has_eps_1e_3_and_pools_that_count_padding_and_no_aux() {
    let model = Model::published("inception-v3", Variant::Paper).expect("a known model");
    let network = Network::new(&model);
    assert_eq!(network.norms.len(), 94);
    assert!(network.norms.iter().all(|norm| norm.eps == 1e-3));
    assert!(network.parameters.iter().all(|p| !p.name.contains("Aux")));
    fn pools<'a>(operations: &'a [Operation], found: &mut Vec<&'a Operation>) {
        for op in operations {
            match op {
                Operation::AvgPool { .. } => found.push(op),
                Operation::Branches(all) => all.iter().for_each(|branch| pools(branch, found)),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    pools(&network.parts[0], &mut found);
    assert_eq!(found.len(), 9, "one in each of A, A, A, C, C, C, C, E, E");
    let ones = Tensor::ones([1, 1, 8, 8], (Kind::Float, Device::Cpu));
    let pass = Pass {
        parameters: &[],
        norms: Norms::Batch,
        boundary: Boundary::Exact,
        dropout: None,
    };
    for pool in found {
        let pooled = network.operation(pool, ones.shallow_clone(), pass);
        assert_eq!(pooled.size(), [1, 1, 8, 8]);
        let corner = pooled.double_value(&[0, 0, 0, 0]);
        assert!((corner - 4.0 / 9.0).abs() < 1e-6, "{corner}");
    }
}

#[test]
fn folding_bn_into_convolutions_changes_nothing_but_rounding() {
    let (network, parameters, replicas) = small("resnet50d", Arithmetic::Plain(Kind::Double), 1);
    let x = images(4, 28, Kind::Double);
    for _ in 0..3 {
        let _ = network.forward(
            &x,
            pass(&parameters, Norms::Train(replicas.each()), Boundary::Exact),
        );
    }
    let stats = replicas.mean(&network);
    let folded = network.fold(parameters.leaves(), &stats);
    let plain = network.forward(
        &x,
        pass(&parameters, Norms::Running(&stats), Boundary::Exact),
    );
    let fast = network.forward(
        &x,
        pass(&parameters, Norms::Folded(&folded), Boundary::Exact),
    );
    assert!(fast.allclose(&plain, 1e-10, 1e-10, false));
}
