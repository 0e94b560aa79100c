//! Initial weights from a seed (paper section 2.1; recipes.md sections 1 and 8).

use tch::{Kind, Tensor};

use crate::determinism::Stream;
use crate::network::{ParameterSpec, Role};
use crate::parameters::Parameters;

/// How weights of convolutions and linear layers are drawn. Biases and beta are 0, gamma is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Uniform in +-sqrt(6 / (fan_in + fan_out)): the paper's.
    Xavier,
    /// The released code's `MSRAPrelu`: Gaussian, sigma^2 = 2 / (1 + 0.25^2) / mean fan.
    Msra,
}

/// Draws every parameter; each tensor has a stream of its own, so depth does not move the others.
pub fn draw(
    parameters: &mut Parameters,
    specs: &[ParameterSpec],
    distribution: Distribution,
    seed: u64,
) {
    let _guard = tch::no_grad_guard();
    for (i, spec) in specs.iter().enumerate() {
        let mut view = parameters.view(&parameters.master, i);
        match spec.role {
            Role::Weight => view.copy_(&weight(spec, distribution, seed)),
            Role::Gamma { .. } => drop(view.fill_(1.0)),
            Role::Bias | Role::Beta => drop(view.zero_()),
        }
    }
}

/// Draws weights again that a task wants normal with a standard deviation of its own; those it gives
/// none stay as they are.
pub fn spread(
    parameters: &mut Parameters,
    specs: &[ParameterSpec],
    of: impl Fn(&str) -> Option<f64>,
    seed: u64,
) {
    let _guard = tch::no_grad_guard();
    let weights = specs.iter().enumerate();
    for (i, spec) in weights.filter(|(_, spec)| spec.role == Role::Weight) {
        if let Some(sigma) = of(&spec.name) {
            let mut stream = Stream::new(seed, &format!("init {}", spec.name));
            let count: i64 = spec.shape.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|_| (sigma * stream.normal()) as f32)
                .collect();
            let values = Tensor::from_slice(&values).view(spec.shape.as_slice());
            parameters.view(&parameters.master, i).copy_(&values);
        }
    }
}

/// gamma = 0 in the last BN of every residual branch (paper section 3.1): each block starts as
/// relu of its shortcut.
pub fn zero_gamma(parameters: &mut Parameters, specs: &[ParameterSpec]) {
    let _guard = tch::no_grad_guard();
    for (i, spec) in specs.iter().enumerate() {
        if spec.role == (Role::Gamma { ends_branch: true }) {
            let _ = parameters.view(&parameters.master, i).zero_();
        }
    }
}

/// Fan in plus fan out, the kernel's area included.
fn fans(shape: &[i64]) -> f64 {
    let area: i64 = shape[2..].iter().product();
    ((shape[0] + shape[1]) * area) as f64
}

/// Values are rounded to f32 whatever the precision, so that FP64 starts where FP32 does.
fn weight(spec: &ParameterSpec, distribution: Distribution, seed: u64) -> Tensor {
    let mut stream = Stream::new(seed, &format!("init {}", spec.name));
    let fans = fans(&spec.shape);
    let count: i64 = spec.shape.iter().product();
    let values: Vec<f32> = match distribution {
        Distribution::Xavier => {
            let bound = (6.0 / fans).sqrt();
            (0..count)
                .map(|_| (bound * (2.0 * stream.uniform() - 1.0)) as f32)
                .collect()
        }
        Distribution::Msra => {
            let sigma = (2.0 / (1.0 + 0.25 * 0.25) / (fans / 2.0)).sqrt();
            (0..count)
                .map(|_| (sigma * stream.normal()) as f32)
                .collect()
        }
    };
    Tensor::from_slice(&values)
        .view(spec.shape.as_slice())
        .to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use rungs_spec::model::{Model, Shape};
    use rungs_spec::recipe::Variant;
    use tch::Device;

    use super::*;
    use crate::network::Network;
    use crate::parameters::Arithmetic;

    fn drawn(distribution: Distribution, zeroed: bool) -> (Network, Parameters) {
        let shape = Shape {
            depths: vec![1, 1, 1, 1],
            width: 1.0,
            dropout: 0.0,
            variant: Variant::Paper,
            classes: 1000,
        };
        let network = Network::new(&Model::build("resnet50", &shape).expect("a known model"));
        let mut parameters = Parameters::new(&network, Arithmetic::Plain(Kind::Float), Device::Cpu);
        draw(&mut parameters, &network.parameters, distribution, 1);
        if zeroed {
            zero_gamma(&mut parameters, &network.parameters);
        }
        (network, parameters)
    }

    /// recipes.md section 7, trap 1: tch's own defaults are uniform gammas and kaiming weights.
    #[test]
    fn trap_1_bn_starts_at_1_and_0_and_weights_have_the_papers_spread() {
        for (distribution, variance) in [
            (Distribution::Xavier, 2.0),
            (Distribution::Msra, 4.0 / 1.0625),
        ] {
            let (network, parameters) = drawn(distribution, false);
            for (i, spec) in network.parameters.iter().enumerate() {
                let value = parameters.view(&parameters.master, i);
                match spec.role {
                    Role::Gamma { .. } => {
                        assert!(value.eq(1.0).all().int64_value(&[]) == 1, "{}", spec.name)
                    }
                    Role::Beta | Role::Bias => {
                        assert!(value.eq(0.0).all().int64_value(&[]) == 1, "{}", spec.name)
                    }
                    Role::Weight if value.numel() > 100_000 => {
                        let expected = (variance / fans(&spec.shape)).sqrt();
                        let got = value.std(true).double_value(&[]);
                        assert!(
                            (got / expected - 1.0).abs() < 0.01,
                            "{}: {got} for {expected}",
                            spec.name
                        );
                    }
                    Role::Weight => {}
                }
            }
        }
    }

    /// recipes.md section 7, trap 7; its 15,104 zeros are those of the published depths.
    #[test]
    fn trap_7_zero_gamma_zeroes_the_last_bn_of_branches_and_no_other() {
        let (network, parameters) = drawn(Distribution::Xavier, true);
        let mut zeros = 0;
        for (i, spec) in network.parameters.iter().enumerate() {
            if let Role::Gamma { ends_branch } = spec.role {
                let sum = parameters
                    .view(&parameters.master, i)
                    .sum(None)
                    .double_value(&[]);
                let expected = if ends_branch {
                    0.0
                } else {
                    spec.shape[0] as f64
                };
                assert_eq!(sum, expected, "{}", spec.name);
                zeros += if ends_branch { spec.shape[0] } else { 0 };
            }
        }
        assert_eq!(zeros, 256 + 512 + 1024 + 2048);
        let published = Model::published("resnet50", Variant::Paper).expect("a known model");
        let network = Network::new(&published);
        let last = network
            .parameters
            .iter()
            .filter_map(|spec| match spec.role {
                Role::Gamma { ends_branch: true } => Some(spec.shape[0]),
                _ => None,
            });
        assert_eq!(last.sum::<i64>(), 15_104);
    }

    #[test]
    fn the_same_seed_draws_the_same_weights() {
        let (_, one) = drawn(Distribution::Xavier, false);
        let (_, two) = drawn(Distribution::Xavier, false);
        assert!(one.master.equal(&two.master));
    }
}
