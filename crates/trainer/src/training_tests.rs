//! Tests of a whole step: loss scale and precision (trap 18).

use rungs_spec::model::Shape;
use rungs_spec::recipe::{Decay, DynamicWord, LossScale, Variant};
use tch::Kind;

use super::*;
use crate::init::{self, Distribution};
use crate::loss::Loss;
use crate::optimiser::Settings;
use crate::supported::InitialWeights;

fn settled(arithmetic: Arithmetic, loss_scale: LossScale) -> Settled {
    Settled {
        arithmetic,
        loss_scale,
        loss: Loss {
            label_smoothing: 0.1,
            distill: None,
        },
        optimiser: Settings {
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0,
            decay: Decay::All,
            clip: None,
            skip_overflow: arithmetic.is_half(),
        },
        init: InitialWeights::Drawn(Distribution::Xavier),
        zero_gamma: false,
        replicas: 2,
    }
}

fn training(settled: Settled) -> Training {
    let shape = Shape {
        depths: vec![1, 1],
        width: 0.125,
        dropout: 0.0,
        variant: Variant::Paper,
        classes: 10,
    };
    let model = Model::build("resnet50", &shape).expect("a known model");
    let mut training = Training::new(&model, settled, None, None, 1, Device::Cpu);
    init::draw(
        &mut training.parameters,
        &training.network.parameters,
        Distribution::Xavier,
        3,
    );
    training.parameters.refresh();
    training
}

fn batch(kind: Kind) -> (Tensor, Tensor) {
    let values: Vec<f32> = (0..8 * 3 * 28 * 28)
        .map(|i| ((i * 7919) % 1009) as f32 / 300.0 - 1.5)
        .collect();
    let images = Tensor::from_slice(&values)
        .view([8, 28, 28, 3])
        .permute([0, 3, 1, 2])
        .to_kind(kind);
    let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 4, 5, 6, 7]);
    (images, labels)
}

/// The FP32 gradient of the first step: what momentum holds after it.
fn gradient(arithmetic: Arithmetic, loss_scale: LossScale) -> Tensor {
    let mut training = training(settled(arithmetic, loss_scale));
    let (images, labels) = batch(Kind::Float);
    let _ = training.step(&images, &labels, 0, 0.1).expect("a step");
    training.optimiser.momentum
}

/// recipes.md section 7, trap 18: the scale of the loss does not reach the FP32 gradients.
#[test]
fn trap_18_scale_1_and_1024_give_the_same_fp32_gradients() {
    // Without autocast's rounding (a CPU has none), and in BF16, whose exponents are FP32's, a power
    // of two changes no bit.
    for arithmetic in [
        Arithmetic::Autocast,
        Arithmetic::EmulatedHalf(Kind::BFloat16),
    ] {
        let one = gradient(arithmetic, LossScale::Static(1.0));
        let scaled = gradient(arithmetic, LossScale::Static(1024.0));
        assert_eq!(one.kind(), Kind::Float);
        assert!(one.abs().max().double_value(&[]) > 1e-3);
        assert!(one.equal(&scaled), "{arithmetic:?}");
        let dynamic = gradient(arithmetic, LossScale::Dynamic(DynamicWord::Dynamic));
        assert!(one.equal(&dynamic), "{arithmetic:?}");
    }
    // In FP16 small gradients are subnormal without a scale: that is what it is for.
    let half = Arithmetic::EmulatedHalf(Kind::Half);
    let one = gradient(half, LossScale::Static(1.0));
    let scaled = gradient(half, LossScale::Static(1024.0));
    let error = (&one - &scaled).abs().max() / scaled.abs().max();
    assert!(error.double_value(&[]) < 2e-3, "{error}");
    assert!(!one.equal(&scaled));
}

/// recipes.md section 7, trap 18: BN stays in FP32, the rest of what forward reads is half, and the
/// gradient is near the FP32 one.
#[test]
fn trap_18_bn_parameters_stay_float_and_gradients_near_fp32() {
    use crate::network::Role;
    let exact = gradient(Arithmetic::Plain(Kind::Float), LossScale::Static(1.0));
    let mut errors = Vec::new();
    for kind in [Kind::Half, Kind::BFloat16] {
        let arithmetic = Arithmetic::EmulatedHalf(kind);
        let trained = training(settled(arithmetic, LossScale::Static(1024.0)));
        let mut rounded = 0;
        for (i, spec) in trained.network.parameters.iter().enumerate() {
            let leaf = &trained.parameters.leaves()[i];
            let master = trained.parameters.view(&trained.parameters.master, i);
            let half = master.to_kind(kind).to_kind(Kind::Float);
            match spec.role {
                Role::Weight | Role::Bias => assert!(leaf.equal(&half), "{}", spec.name),
                Role::Gamma { .. } | Role::Beta => assert!(leaf.equal(&master), "{}", spec.name),
            }
            rounded += i64::from(!half.equal(&master));
        }
        assert!(rounded > 0, "no weight is changed by rounding");
        let half = gradient(arithmetic, LossScale::Static(1024.0));
        let error = ((half - &exact).norm() / exact.norm()).double_value(&[]);
        errors.push(error);
    }
    // Few images and ReLUs that flip make it coarse; BF16 has 8 times the rounding of FP16.
    let [fp16, bf16] = errors.as_slice() else {
        unreachable!("two kinds")
    };
    assert!(0.0 < *fp16 && *fp16 < 0.1, "{errors:?}");
    assert!((2.0..20.0).contains(&(bf16 / fp16)), "{errors:?}");
}

/// recipes.md section 7, trap 18: a step that overflows changes nothing, is counted, and halves the
/// scale; the next one trains.
#[test]
fn trap_18_an_overflowing_step_is_skipped_and_halves_the_scale() {
    let half = Arithmetic::EmulatedHalf(Kind::Half);
    let dynamic = LossScale::Dynamic(DynamicWord::Dynamic);
    let mut training = training(settled(half, dynamic));
    let Scale::Dynamic { scale, .. } = &mut training.scale else {
        panic!("a dynamic scale")
    };
    let too_much = 2f64.powi(24);
    let _ = scale.fill_(too_much);
    let before = training.parameters.master.copy();
    let (images, labels) = batch(Kind::Float);
    let mut skipped = 0;
    while training.parameters.master.equal(&before) {
        let loss = training
            .step(&images, &labels, skipped, 0.1)
            .expect("a step");
        assert!(loss.double_value(&[]).is_finite());
        skipped += 1;
        assert!(skipped < 30, "the scale never came down");
    }
    skipped -= 1; // the last one trained
    assert!(skipped > 0, "nothing overflowed");
    assert_eq!(training.optimiser.skipped.int64_value(&[]), skipped as i64);
    let Scale::Dynamic { scale, good } = &training.scale else {
        panic!("a dynamic scale")
    };
    assert_eq!(
        scale.double_value(&[]),
        too_much / 2f64.powi(skipped as i32)
    );
    assert_eq!(good.int64_value(&[]), 1);
}
