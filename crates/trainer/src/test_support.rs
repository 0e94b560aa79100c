//! What several unit tests begin with: a small network with drawn weights, and some images.

use rungs_spec::model::{Model, Shape};
use rungs_spec::recipe::Variant;
use tch::{Device, Kind, Tensor};

use crate::init::{self, Distribution};
use crate::network::Network;
use crate::parameters::{Arithmetic, Parameters};

/// The inputs of golden values, shared with the tests of the program.
#[allow(dead_code, reason = "the tests of the program use the rest")]
#[path = "../tests/support/formula.rs"]
pub mod formula;

/// A ResNet of two blocks, an eighth as wide as published, for 10 classes.
pub fn model(name: &str, dropout: f64) -> Model {
    let shape = Shape {
        depths: vec![1, 1],
        width: 0.125,
        dropout,
        variant: Variant::Paper,
        classes: 10,
    };
    Model::build(name, &shape).expect("a known model")
}

/// [`model`] without dropout, its weights drawn from seed 3.
pub fn drawn(name: &str, arithmetic: Arithmetic) -> (Network, Parameters) {
    let network = Network::new(&model(name, 0.0));
    let mut parameters = Parameters::new(&network, arithmetic, Device::Cpu);
    let specs = &network.parameters;
    init::draw(&mut parameters, specs, Distribution::Xavier, 3);
    parameters.refresh();
    (network, parameters)
}

/// (n, 3, side, side), no two images alike, in channels-last memory.
pub fn images(n: i64, side: i64, kind: Kind) -> Tensor {
    let values: Vec<f32> = (0..n * 3 * side * side)
        .map(|i| ((i * 7919) % 1009) as f32 / 300.0 - 1.5)
        .collect();
    Tensor::from_slice(&values)
        .view([n, side, side, 3])
        .permute([0, 3, 1, 2])
        .to_kind(kind)
}

/// Emulated half precision as it trains: FP32 computes.
pub fn emulated(half: Kind) -> Arithmetic {
    let within = Kind::Float;
    Arithmetic::EmulatedHalf { half, within }
}
