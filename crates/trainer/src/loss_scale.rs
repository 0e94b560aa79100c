//! By what is the loss multiplied under half precision, so that small gradients do not vanish?
//! (Paper section 3.2; recipes.md section 7, trap 18.)
//!
//! A dynamic scale starts at 65536, doubles after 2000 good steps in a row and halves when a
//! gradient overflows (that step is skipped, [`crate::optimiser`]). It lives on the device, and
//! nothing here waits for the device.

use rungs_spec::recipe::{DynamicWord, LossScale};
use tch::{Device, Kind, Tensor};

/// First dynamic scale.
const START: f64 = 65536.0;
/// Good steps in a row after which a dynamic scale doubles.
const PATIENCE: i64 = 2000;

/// The multiplier of the loss.
#[derive(Debug)]
pub enum Scale {
    /// Fixed; 1 outside half precision.
    Static(f64),
    /// Adjusted on overflow.
    Dynamic {
        /// FP32 scalar on the device: the scale of the next step.
        scale: Tensor,
        /// I64 scalar on the device: good steps since it last changed.
        good: Tensor,
    },
}

impl Scale {
    /// As the recipe says, before the first step.
    pub fn new(setting: LossScale, device: Device) -> Scale {
        match setting {
            LossScale::Static(scale) => Scale::Static(scale),
            LossScale::Dynamic(DynamicWord::Dynamic) => Scale::Dynamic {
                scale: Tensor::full([], START, (Kind::Float, device)),
                good: Tensor::zeros([], (Kind::Int64, device)),
            },
        }
    }

    /// The same tensors.
    pub fn shallow_clone(&self) -> Scale {
        match self {
            Scale::Static(scale) => Scale::Static(*scale),
            Scale::Dynamic { scale, good } => Scale::Dynamic {
                scale: scale.shallow_clone(),
                good: good.shallow_clone(),
            },
        }
    }

    /// The loss times the scale, on the loss's device.
    pub fn apply(&self, loss: &Tensor) -> Tensor {
        match self {
            Scale::Static(1.0) => loss.shallow_clone(),
            Scale::Static(scale) => loss * *scale,
            Scale::Dynamic { scale, .. } => loss * scale.to_device(loss.device()),
        }
    }

    /// A gradient (FP32) without the scale, in place.
    pub fn remove(&self, mut gradient: Tensor) -> Tensor {
        match self {
            Scale::Static(scale) => gradient.g_mul_scalar_(1.0 / scale),
            Scale::Dynamic { scale, .. } => {
                gradient.g_mul_(&scale.reciprocal().to_device(gradient.device()))
            }
        }
    }

    /// After a step whose gradient was finite or not (a boolean scalar on the device).
    pub fn update(&mut self, finite: &Tensor) {
        let Scale::Dynamic { scale, good } = self else {
            return;
        };
        let _guard = tch::no_grad_guard();
        let more = (&*good + 1) * finite.to_kind(Kind::Int64);
        let grows = more.ge(PATIENCE);
        let factor = finite.to_kind(Kind::Float) * 0.5 + 0.5 + grows.to_kind(Kind::Float);
        let _ = scale.g_mul_(&factor);
        good.copy_(&(more * grows.logical_not().to_kind(Kind::Int64)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(scale: &Scale) -> (f64, i64) {
        match scale {
            Scale::Static(scale) => (*scale, 0),
            Scale::Dynamic { scale, good } => (scale.double_value(&[]), good.int64_value(&[])),
        }
    }

    #[test]
    fn a_dynamic_scale_halves_on_overflow_and_doubles_after_2000_good_steps() {
        let mut scale = Scale::new(LossScale::Dynamic(DynamicWord::Dynamic), Device::Cpu);
        let (good, bad) = (Tensor::from(true), Tensor::from(false));
        assert_eq!(values(&scale), (65536.0, 0));
        scale.update(&good);
        assert_eq!(values(&scale), (65536.0, 1));
        scale.update(&bad);
        scale.update(&bad);
        assert_eq!(values(&scale), (16384.0, 0));
        for _ in 0..PATIENCE - 1 {
            scale.update(&good);
        }
        assert_eq!(values(&scale), (16384.0, 1999));
        scale.update(&good);
        assert_eq!(values(&scale), (32768.0, 0));
    }

    #[test]
    fn what_is_applied_is_removed() {
        for setting in [
            LossScale::Static(1.0),
            LossScale::Static(1024.0),
            LossScale::Dynamic(DynamicWord::Dynamic),
        ] {
            let scale = Scale::new(setting, Device::Cpu);
            let loss = Tensor::from(0.7_f32);
            let applied = scale.apply(&loss);
            assert_eq!(
                applied.double_value(&[]),
                f64::from(0.7_f32) * values(&scale).0
            );
            assert!(scale.remove(applied.copy()).equal(&loss));
        }
    }
}
