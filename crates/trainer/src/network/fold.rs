//! Which weights a convolution has with the batch normalisation behind it multiplied in: evaluation
//! then reads and writes each activation once less.

use std::collections::BTreeSet;

use tch::Tensor;

use super::{Network, Operation};
use crate::norm::RunningStats;

impl Network {
    /// BN with running statistics as part of the convolution before it: for every norm the weight
    /// and bias to convolve with (or, without a convolution before it, scale and shift).
    pub fn fold(&self, parameters: &[Tensor], stats: &RunningStats) -> Vec<(Tensor, Tensor)> {
        let mut folded: Vec<(Tensor, Tensor)> = self
            .norms
            .iter()
            .enumerate()
            .map(|(n, spec)| {
                let (mean, var) = stats.of(n);
                let scale = &parameters[spec.gamma] / (var + spec.eps).sqrt();
                let shift = &parameters[spec.beta] - mean * &scale;
                (scale, shift)
            })
            .collect();
        for part in &self.parts {
            self.fold_convs(part, parameters, &mut folded);
        }
        folded
    }

    /// Indices of the parameters that a folded pass does not read: those of every norm, and of the
    /// convolutions before them.
    pub fn folded_away(&self) -> BTreeSet<usize> {
        let mut away = BTreeSet::new();
        for spec in &self.norms {
            away.extend([spec.gamma, spec.beta]);
        }
        for part in &self.parts {
            folded_convs(part, &mut away);
        }
        away
    }

    fn fold_convs(
        &self,
        operations: &[Operation],
        parameters: &[Tensor],
        folded: &mut [(Tensor, Tensor)],
    ) {
        for (i, operation) in operations.iter().enumerate() {
            match operation {
                Operation::Conv { weight, bias, .. } => {
                    if let Some(Operation::Norm(n)) = operations.get(i + 1) {
                        let (scale, shift) = &folded[*n];
                        let w = &parameters[*weight] * scale.view([-1, 1, 1, 1]);
                        let b = match bias {
                            Some(b) => &parameters[*b] * scale + shift,
                            None => shift.shallow_clone(),
                        };
                        folded[*n] = (w, b);
                    }
                }
                Operation::Residual { main, shortcut } => {
                    self.fold_convs(main, parameters, folded);
                    self.fold_convs(shortcut, parameters, folded);
                }
                Operation::Branches(branches) => {
                    for branch in branches {
                        self.fold_convs(branch, parameters, folded);
                    }
                }
                Operation::Norm(_)
                | Operation::Relu
                | Operation::MaxPool { .. }
                | Operation::AvgPool { .. }
                | Operation::GlobalAvgPool
                | Operation::Dropout { .. }
                | Operation::Linear { .. } => {}
            }
        }
    }
}

/// Weights and biases of the convolutions with a norm behind them.
fn folded_convs(operations: &[Operation], away: &mut BTreeSet<usize>) {
    for (i, operation) in operations.iter().enumerate() {
        match operation {
            Operation::Conv { weight, bias, .. } => {
                if let Some(Operation::Norm(_)) = operations.get(i + 1) {
                    away.insert(*weight);
                    away.extend(*bias);
                }
            }
            Operation::Residual { main, shortcut } => {
                folded_convs(main, away);
                folded_convs(shortcut, away);
            }
            Operation::Branches(branches) => {
                for branch in branches {
                    folded_convs(branch, away);
                }
            }
            Operation::Norm(_)
            | Operation::Relu
            | Operation::MaxPool { .. }
            | Operation::AvgPool { .. }
            | Operation::GlobalAvgPool
            | Operation::Dropout { .. }
            | Operation::Linear { .. } => {}
        }
    }
}
