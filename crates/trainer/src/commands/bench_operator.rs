//! `trainer bench operator`: how fast a kernel of detection is on given tensors. It takes turns with another
//! program (bench/peers/torchvision_detection.py), which is the only way to compare two on a machine with other
//! work.

use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::print;
use crate::cli::{BenchOperatorArgs, OperatorArg};
use crate::detect::nms;
use crate::detect::roi_align::{Pooled, RoiAlign};
use crate::weights::{self, StateDict};
use crate::{determinism, environment};

/// Calls before the clock starts.
const WARM_UP: u64 = 2;

/// What the kernel answers, so that a peer can show that it does the same.
#[derive(Debug, Serialize)]
struct Answer {
    /// Boxes that stay, or elements pooled.
    count: usize,
    /// Sums in f64: of their indices; or of the absolute values pooled, then of the gradient's.
    sums: Vec<f64>,
}

/// Some calls, timed.
#[derive(Debug, Serialize)]
struct Block {
    ms_per_step: f64,
    cpu_ms_per_step: f64,
}

#[derive(Debug, Serialize)]
struct Peak {
    peak_bytes: u64,
}

/// A kernel with what it is given.
enum Work {
    Nms {
        boxes: Tensor,
        scores: Tensor,
        iou: f64,
        keep: usize,
    },
    RoiAlign {
        features: Tensor,
        rois: Tensor,
        /// What the gradient of the pooled values is, where that of the features is wanted.
        upstream: Option<Tensor>,
    },
}

/// `trainer bench operator`.
pub fn operator(args: &BenchOperatorArgs) -> anyhow::Result<()> {
    determinism::set_up(args.threads);
    let work = Work::new(args)?;
    print::json_line(&work.answer())?;
    work.block(WARM_UP);
    for line in std::io::stdin().lines() {
        let line = line?;
        let calls = line
            .trim()
            .parse()
            .with_context(|| format!("{line:?} on standard input: expected a number of calls"))?;
        print::json_line(&work.block(calls))?;
    }
    print::json_line(&Peak {
        peak_bytes: environment::peak_bytes(),
    })
}

impl Work {
    fn new(args: &BenchOperatorArgs) -> anyhow::Result<Work> {
        let tensors = weights::read(&args.tensors)?;
        let tensor =
            |name, dims| find(&tensors, name, dims).context(args.tensors.display().to_string());
        if args.operator == OperatorArg::Nms {
            return Ok(Work::Nms {
                boxes: tensor("boxes", 2)?,
                scores: tensor("scores", 1)?,
                iou: args.iou,
                keep: args.keep,
            });
        }
        let (mut features, rois) = (tensor("features", 4)?, tensor("rois", 2)?);
        if args.channels_last {
            let last = features.permute([0, 2, 3, 1]).contiguous();
            features = last.permute([0, 3, 1, 2]);
        }
        let upstream = (args.operator == OperatorArg::RoiAlignTraining)
            .then(|| RoiAlign::C4.pool(&features, &rois));
        Ok(Work::RoiAlign {
            features,
            rois,
            upstream,
        })
    }

    /// One call: what comes out, and the gradient of the features.
    fn call(&self) -> (Tensor, Option<Tensor>) {
        match self {
            Work::Nms {
                boxes,
                scores,
                iou,
                keep,
            } => (nms::nms_tensor(boxes, scores, *iou, *keep), None),
            Work::RoiAlign {
                features,
                rois,
                upstream: None,
            } => (RoiAlign::C4.pool(features, rois), None),
            Work::RoiAlign {
                features,
                rois,
                upstream: Some(upstream),
            } => {
                let features = features.detach().set_requires_grad(true);
                let pooled = Pooled::new(RoiAlign::C4, &features, rois);
                pooled.surrogate_of(upstream).backward();
                (pooled.values.detach(), Some(features.grad()))
            }
        }
    }

    fn answer(&self) -> Answer {
        let (out, gradient) = self.call();
        let sum = |tensor: &Tensor| tensor.abs().sum(Kind::Double).double_value(&[]);
        Answer {
            count: out.numel(),
            sums: [Some(out), gradient].iter().flatten().map(sum).collect(),
        }
    }

    fn block(&self, calls: u64) -> Block {
        let begun = (Instant::now(), environment::cpu_seconds());
        for _ in 0..calls {
            drop(self.call());
        }
        let per_call = |seconds: f64| 1000.0 * seconds / calls.max(1) as f64;
        Block {
            ms_per_step: per_call(begun.0.elapsed().as_secs_f64()),
            cpu_ms_per_step: per_call(environment::cpu_seconds() - begun.1),
        }
    }
}

/// A tensor of the file, by name and number of dimensions.
fn find(tensors: &StateDict, name: &str, dims: usize) -> anyhow::Result<Tensor> {
    let tensor = tensors
        .get(name)
        .with_context(|| format!("no tensor named {name:?} in it"))?;
    anyhow::ensure!(
        tensor.dim() == dims && tensor.kind() == Kind::Float,
        "{name:?} is {:?} {:?}: expected f32 with {dims} dimensions",
        tensor.kind(),
        tensor.size()
    );
    Ok(tensor.shallow_clone())
}
