//! Evaluation of a whole split: every image once, in order, with running statistics.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use rungs_data::EvalSet;
use tch::{Device, Kind, Reduction, Tensor};

use crate::batch;
use crate::failure::Failure;
use crate::loss;
use crate::network::{Boundary, Network, Norms, Pass};
use crate::norm::RunningStats;
use crate::parameters::Arithmetic;
use crate::training::boundary;

/// Images of one forward pass: small enough that activations stay near the core.
pub const BATCH: usize = 250;

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Images.
    pub n: u64,
    /// Mean cross entropy (never smoothed).
    pub loss: f64,
    /// Whether each image is right in its top 1.
    pub top1: Vec<bool>,
    /// Whether each image is right in its top 5.
    pub top5: Vec<bool>,
}

impl Evaluated {
    /// Percent right in the top 1.
    pub fn top1_percent(&self) -> f64 {
        percent(&self.top1)
    }
    /// Percent right in the top 5.
    pub fn top5_percent(&self) -> f64 {
        percent(&self.top5)
    }
}

/// Weights to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Layers.
    pub network: &'a Network,
    /// As forward computes with them.
    pub parameters: &'a [Tensor],
    /// Running statistics.
    pub stats: &'a RunningStats,
    /// How to compute.
    pub arithmetic: Arithmetic,
    /// Where to compute.
    pub device: Device,
}

/// Evaluates a split; `None` if told to stop meanwhile.
///
/// BN is multiplied into the convolutions, except under half precision, whose roundings lie between
/// the two.
pub fn evaluate(
    subject: Subject,
    set: &mut EvalSet,
    stop: &AtomicBool,
) -> Result<Option<Evaluated>, Failure> {
    let _guard = tch::no_grad_guard();
    let Subject {
        network,
        parameters,
        stats,
        arithmetic,
        device,
    } = subject;
    let folded = (!arithmetic.is_half()).then(|| network.fold(parameters, stats));
    let norms = match &folded {
        Some(folded) => Norms::Folded(folded),
        None => Norms::Running(stats),
    };
    let boundary: Boundary = boundary(arithmetic);
    let mut found = Evaluated {
        n: 0,
        loss: 0.0,
        top1: Vec::new(),
        top5: Vec::new(),
    };
    for batch in set.pass()? {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = batch?;
        let (images, labels) = batch::tensors(&batch, arithmetic.activations(), device)?;
        let logits = network.forward(
            &images,
            Pass {
                parameters,
                norms,
                boundary,
                dropout: None,
            },
        );
        let logits = loss::in_full_precision(&logits);
        let losses =
            logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::None, -100, 0.0);
        found.loss += losses.to_kind(Kind::Double).sum(None).double_value(&[]);
        let best = logits.size()[1].min(5);
        let right = logits
            .topk(best, 1, true, true)
            .1
            .eq_tensor(&labels.unsqueeze(1));
        let column = |right: Tensor| Vec::<bool>::try_from(right.to_device(Device::Cpu));
        found
            .top1
            .extend(column(right.narrow(1, 0, 1).squeeze_dim(1))?);
        found.top5.extend(column(right.any_dim(1, false))?);
        found.n += batch.labels.len() as u64;
    }
    found.loss /= found.n as f64;
    Ok(Some(found))
}

fn percent(right: &[bool]) -> f64 {
    100.0 * right.iter().filter(|r| **r).count() as f64 / right.len() as f64
}

/// base64 of a bitset: bit i of byte i / 8, least significant first.
pub fn bits(right: &[bool]) -> String {
    let bytes: Vec<u8> = right
        .chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .enumerate()
                .fold(0, |byte, (i, right)| byte | (u8::from(*right) << i))
        })
        .collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norm::Replicas;
    use crate::test_support::{drawn, images};

    #[test]
    fn bit_i_is_the_least_significant_first() {
        let right = [
            true, false, false, false, false, false, false, false, false, true,
        ];
        assert_eq!(
            base64::engine::general_purpose::STANDARD
                .decode(bits(&right))
                .expect("base64"),
            [1, 2]
        );
        assert_eq!(percent(&right), 20.0);
    }

    /// recipes.md section 7, trap 14: accuracy does not depend on the batch size, and statistics stay as they are.
    #[test]
    fn trap_14_evaluation_is_the_same_in_any_batch_size_and_changes_nothing() {
        let (network, parameters) = drawn("resnet50", Arithmetic::Plain(Kind::Float));
        let replicas = Replicas::new(&network, 1, Kind::Float, Device::Cpu);
        let pass = Pass {
            parameters: parameters.leaves(),
            norms: Norms::Train(replicas.each()),
            boundary: Boundary::Exact,
            dropout: None,
        };
        let _ = network.forward(&images(8, 28, Kind::Float), pass);
        let before = replicas.each()[0].flat.copy();
        let subject = Subject {
            network: &network,
            parameters: parameters.leaves(),
            stats: &replicas.each()[0],
            arithmetic: Arithmetic::Plain(Kind::Float),
            device: Device::Cpu,
        };
        let data = rungs_data::open("synthetic", None, rungs_data::Split::Val).expect("synthetic");
        let data = rungs_data::subset(data, Some(101)).expect("101 images");
        let recipe = "dataset = 'synthetic'\ninput_size = 28".parse();
        let recipe = rungs_spec::settle::complete(&recipe.expect("TOML")).expect("a recipe");
        let config = rungs_data::LoaderConfig::from_recipe(&recipe, 1, 0);
        let in_batches_of = |size: usize| {
            let mut set = EvalSet::new(data.clone(), &config, size).expect("a set");
            let found = evaluate(subject, &mut set, &AtomicBool::new(false));
            found.expect("evaluated").expect("not stopped")
        };
        let whole = in_batches_of(101);
        assert_eq!((whole.n, whole.top1.len()), (101, 101));
        assert!(whole.top1.iter().any(|right| *right) && whole.top1.iter().any(|right| !*right));
        for size in [1, 7, 50] {
            let found = in_batches_of(size);
            assert_eq!(
                (&found.top1, &found.top5),
                (&whole.top1, &whole.top5),
                "{size}"
            );
            assert!(
                (found.loss - whole.loss).abs() < 1e-5 * whole.loss,
                "{size}"
            );
        }
        assert!(replicas.each()[0].flat.equal(&before));
    }
}
