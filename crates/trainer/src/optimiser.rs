//! Stochastic gradient descent with momentum: Nesterov's form (NAG, recipes.md section 1) or heavy
//! ball, L2 coupled. Equal to PyTorch's SGD with dampening 0 and to MXNet's `nag`.

use rungs_spec::recipe::Decay;
use tch::{Device, Kind, Tensor};

use crate::network::ParameterSpec;
use crate::parameters::Parameters;

/// Elements of a block and a thread on a CPU. The update is a dozen passes over memory; over a block
/// they find everything in the cache but the first, and the temporaries never leave it.
const BLOCK: i64 = 1 << 15;

/// Momentum of all parameters in one flat buffer, and what does not change during a run.
#[derive(Debug)]
pub struct Optimiser {
    /// m of m = momentum m + (g + wd w).
    pub momentum: Tensor,
    /// Steps skipped because a gradient was not finite (half precision only): a scalar on the device.
    pub skipped: Tensor,
    settings: Settings,
    /// Factors of the learning rate, as [`Parameters::runs`] gives them.
    rates: Vec<(i64, f64)>,
}

/// Hyperparameters of the update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Momentum coefficient.
    pub momentum: f64,
    /// Nesterov's form instead of heavy ball.
    pub nesterov: bool,
    /// L2 coefficient.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
    /// Element-wise clipping of gradients, before decay.
    pub clip: Option<f64>,
    /// Leave everything as it is when a gradient is not finite.
    pub skip_overflow: bool,
}

impl Optimiser {
    /// At rest.
    pub fn new(parameters: &Parameters, settings: Settings) -> Optimiser {
        let momentum = parameters.master.zeros_like();
        let skipped = Tensor::zeros([], (Kind::Int64, momentum.device()));
        Optimiser {
            momentum,
            skipped,
            settings,
            rates: parameters.runs(|_| 1.0),
        }
    }

    /// A factor of the learning rate for each parameter (trap 26: otherwise there is one rate for all
    /// of them). Factor 0: not trained, and no momentum gathered.
    pub fn set_rates(&mut self, parameters: &Parameters, of: impl Fn(&ParameterSpec) -> f64) {
        self.rates = parameters.runs(of);
    }

    /// One update with the pieces of a flat gradient (unscaled, in master precision; overwritten).
    ///
    /// g += wd w; m = mu m + g; w -= lr (g + mu m), or w -= lr m without Nesterov.
    ///
    /// Returns whether the gradient was finite, a scalar on the device, where that is asked for.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradient: &[Tensor],
        lr: f64,
    ) -> Option<Tensor> {
        let _guard = tch::no_grad_guard();
        let (mut before, mut known) = (None, None);
        if self.settings.skip_overflow {
            let finite = finite(gradient);
            if finite.device() == Device::Cpu {
                // Nothing to wait for: reading the value costs less than keeping copies.
                if finite.int64_value(&[]) == 0 {
                    let _ = self.skipped.g_add_scalar_(1);
                    return Some(finite);
                }
                known = Some(finite);
            } else {
                before = Some((self.momentum.copy(), parameters.master.copy(), finite));
            }
        }
        let elements = parameters.master.size()[0];
        let block = match parameters.master.device() {
            Device::Cpu => BLOCK * i64::from(tch::get_num_threads()),
            _ => elements,
        };
        let decayed = match self.settings.decay {
            _ if self.settings.weight_decay == 0.0 => 0,
            Decay::All => elements,
            Decay::Weights => parameters.weights,
        };
        let mut at = 0;
        let mut rates = self.rates.iter().copied();
        let (mut run_end, mut factor) = rates.next().unwrap_or((elements, 1.0));
        for piece in gradient {
            let (begin, end) = (at, at + piece.size()[0]);
            while at < end {
                if at == run_end {
                    (run_end, factor) = rates.next().unwrap_or((elements, factor));
                }
                let mut size = block.min(end - at).min(run_end - at);
                if at < decayed {
                    size = size.min(decayed - at);
                }
                if factor != 0.0 {
                    self.update(
                        parameters.master.narrow(0, at, size),
                        self.momentum.narrow(0, at, size),
                        piece.narrow(0, at - begin, size),
                        at < decayed,
                        lr * factor,
                    );
                }
                at += size;
            }
        }
        if let Some((old_momentum, old_master, finite)) = before {
            // No branch on the device's value: that would wait for the device.
            self.momentum
                .copy_(&self.momentum.where_self(&finite, &old_momentum));
            parameters
                .master
                .copy_(&parameters.master.where_self(&finite, &old_master));
            let _ = self
                .skipped
                .g_add_(&finite.logical_not().to_kind(tch::Kind::Int64));
            known = Some(finite);
        }
        parameters.refresh();
        known
    }

    /// The update of some elements: weights w and momentum m, in place, with their gradient g.
    fn update(&self, mut w: Tensor, mut m: Tensor, mut g: Tensor, decays: bool, lr: f64) {
        let Settings {
            momentum,
            nesterov,
            weight_decay,
            clip,
            ..
        } = self.settings;
        if let Some(limit) = clip {
            let _ = g.clamp_(-limit, limit);
        }
        if decays {
            let _ = g.g_add_(&(&w * weight_decay));
        }
        let _ = m.g_mul_scalar_(momentum).g_add_(&g);
        if nesterov {
            let _ = g.g_add_(&(&m * momentum));
        } else {
            g.copy_(&m);
        }
        let _ = w.g_sub_(&g.g_mul_scalar_(lr));
    }
}

/// Whether all elements are finite: their sum is not, as soon as one of them is not. One pass.
fn finite(gradient: &[Tensor]) -> Tensor {
    let sums: Vec<Tensor> = gradient.iter().map(|piece| piece.sum(None)).collect();
    Tensor::stack(&sums, 0).sum(None).isfinite()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::parameters::Arithmetic;
    use rungs_spec::model::{Conv, Layer, Model};

    const NAG: Settings = Settings {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.0,
        decay: Decay::All,
        clip: None,
        skip_overflow: false,
    };

    /// One 1x1 convolution with bias: two scalars.
    fn two_scalars(settings: Settings) -> (Parameters, Optimiser) {
        let conv = Conv {
            name: "c".into(),
            input: 1,
            output: 1,
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 2],
            dilation: 1,
            groups: 1,
            bias: true,
        };
        let model = Model {
            name: "scalar".into(),
            classes: 1,
            layers: vec![Layer::Conv(conv)],
        };
        let parameters = Parameters::new(
            &Network::new(&model),
            Arithmetic::Plain(Kind::Double),
            Device::Cpu,
        );
        let optimiser = Optimiser::new(&parameters, settings);
        (parameters, optimiser)
    }

    fn values(parameters: &Parameters) -> [f64; 2] {
        [
            parameters.master.double_value(&[0]),
            parameters.master.double_value(&[1]),
        ]
    }

    /// recipes.md section 7, trap 5: g = 1, lr = 1, momentum 0.9 moves by 1.9, then 2.71.
    #[test]
    fn trap_5_nag_moves_a_scalar_by_1_9_then_2_71() {
        let (mut parameters, mut optimiser) = two_scalars(NAG);
        let one = || Tensor::ones([2], (Kind::Double, Device::Cpu));
        optimiser.step(&mut parameters, &[one()], 1.0);
        assert!((values(&parameters)[0] + 1.9).abs() < 1e-12);
        optimiser.step(&mut parameters, &[one()], 1.0);
        assert!((values(&parameters)[0] + 1.9 + 2.71).abs() < 1e-12);
    }

    #[test]
    fn heavy_ball_moves_a_scalar_by_1_then_1_9() {
        let (mut parameters, mut optimiser) = two_scalars(Settings {
            nesterov: false,
            ..NAG
        });
        let one = || Tensor::ones([2], (Kind::Double, Device::Cpu));
        optimiser.step(&mut parameters, &[one()], 1.0);
        assert!((values(&parameters)[0] + 1.0).abs() < 1e-12);
        optimiser.step(&mut parameters, &[one()], 1.0);
        assert!((values(&parameters)[0] + 2.9).abs() < 1e-12);
    }

    /// recipes.md section 7, trap 4: with no gradient a weight shrinks by lr wd 1.9 in the first
    /// step, and what is exempt stays.
    #[test]
    fn trap_4_decay_shrinks_weights_and_leaves_the_exempt_alone() {
        for (decay, bias) in [(Decay::All, 1.0 - 0.1 * 0.01 * 1.9), (Decay::Weights, 1.0)] {
            let (mut parameters, mut optimiser) = two_scalars(Settings {
                weight_decay: 0.01,
                decay,
                ..NAG
            });
            let _ = parameters.master.fill_(1.0);
            optimiser.step(
                &mut parameters,
                &[Tensor::zeros([2], (Kind::Double, Device::Cpu))],
                0.1,
            );
            let [w, b] = values(&parameters);
            assert!((w - (1.0 - 0.1 * 0.01 * 1.9)).abs() < 1e-12, "{w}");
            assert!((b - bias).abs() < 1e-12, "{decay:?}: {b}");
        }
    }

    /// recipes.md section 7, trap 26: one group's rate is ten times the other's at every step, also
    /// when the schedule has moved on.
    #[test]
    fn trap_26_each_group_has_its_own_rate() {
        let (mut parameters, mut optimiser) = two_scalars(Settings {
            momentum: 0.0,
            weight_decay: 0.5,
            ..NAG
        });
        let factor = |spec: &ParameterSpec| if spec.name == "c.bias" { 10.0 } else { 1.0 };
        optimiser.set_rates(&parameters, factor);
        let _ = parameters.master.fill_(1.0);
        let mut expected = [1.0, 1.0];
        for lr in [0.01, 0.001] {
            optimiser.step(&mut parameters, &[Tensor::from_slice(&[2.0, 2.0])], lr);
            for (w, factor) in expected.iter_mut().zip([1.0, 10.0]) {
                *w -= lr * factor * (2.0 + 0.5 * *w);
            }
            for (got, expected) in values(&parameters).iter().zip(expected) {
                assert!((got - expected).abs() < 1e-12, "{got} for {expected}");
            }
        }
    }

    #[test]
    fn clipping_limits_every_element() {
        let (mut parameters, mut optimiser) = two_scalars(Settings {
            clip: Some(0.5),
            momentum: 0.0,
            ..NAG
        });
        optimiser.step(&mut parameters, &[Tensor::from_slice(&[3.0, -0.25])], 1.0);
        assert_eq!(values(&parameters), [-0.5, 0.25]);
    }

    #[test]
    fn a_step_with_an_infinite_gradient_is_skipped_and_counted() {
        let (mut parameters, mut optimiser) = two_scalars(Settings {
            skip_overflow: true,
            ..NAG
        });
        optimiser.step(
            &mut parameters,
            &[Tensor::from_slice(&[1.0, f64::INFINITY])],
            1.0,
        );
        assert_eq!(values(&parameters), [0.0, 0.0]);
        assert_eq!(optimiser.momentum.abs().sum(None).double_value(&[]), 0.0);
        optimiser.step(&mut parameters, &[Tensor::from_slice(&[1.0, 1.0])], 1.0);
        assert_eq!(values(&parameters), [-1.9, -1.9]);
        assert_eq!(optimiser.skipped.int64_value(&[]), 1);
    }
}
