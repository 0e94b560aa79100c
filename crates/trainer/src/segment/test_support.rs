//! What tests of segmentation begin with: drawn weights and statistics at rest.

use tch::{Device, Kind};

use super::fcn::Fcn;
use crate::init::{self, Distribution};
use crate::norm::RunningStats;
use crate::parameters::{Arithmetic, Parameters};

/// Weights from seed 3; mean 0 and variance 1.
pub fn drawn(fcn: &Fcn) -> (Parameters, RunningStats) {
    let arithmetic = Arithmetic::Plain(Kind::Float);
    let mut parameters = Parameters::new(&fcn.network, arithmetic, Device::Cpu);
    let specs = &fcn.network.parameters;
    init::draw(&mut parameters, specs, Distribution::Xavier, 3);
    parameters.refresh();
    let stats = RunningStats::new(&fcn.network, Kind::Float, Device::Cpu);
    (parameters, stats)
}
