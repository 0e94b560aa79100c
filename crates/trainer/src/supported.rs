//! What this trainer can do with a recipe. The one place that destructures [`Recipe`] without `..`:
//! a new hyperparameter does not build until it is used (or refused) here.

use rungs_spec::protocol::{Arithmetic as Planned, RunFile};
use rungs_spec::recipe::{Init, LossScale, Precision, Recipe, Task};
use tch::Kind;

use crate::failure::Failure;
use crate::init::Distribution;
use crate::loss::{Distill, Loss};
use crate::optimiser::Settings;
use crate::parameters::Arithmetic;
use crate::replica_layout::ReplicaLayout;

/// A recipe in the trainer's terms.
#[derive(Debug)]
pub struct Settled {
    /// How to compute.
    pub arithmetic: Arithmetic,
    /// Multiplier of the loss; static 1 outside half precision.
    pub loss_scale: LossScale,
    /// Terms of the loss.
    pub loss: Loss,
    /// The update.
    pub optimiser: Settings,
    /// Where initial weights come from.
    pub init: InitialWeights,
    /// Whether branches start at zero.
    pub zero_gamma: bool,
    /// Slices of a batch with BN statistics of their own.
    pub replicas: u32,
    /// Where and how they are computed.
    pub layout: ReplicaLayout,
}

/// Where initial weights come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InitialWeights {
    /// Drawn from the seed.
    Drawn(Distribution),
    /// Another run or file, named in `RunFile.inputs["init"]` or here.
    Loaded(Option<String>),
}

/// Reads a recipe. Errors: what does not go together in this trainer (permanent), before anything starts.
pub fn settle(run: &RunFile) -> Result<Settled, Failure> {
    let Recipe {
        task,
        // The model's shape: spec builds the layer list from these.
        model: _,
        depths: _,
        width: _,
        dropout: _,
        // The data: rungs-data reads these.
        input_size: _,
        dataset: _,
        train_subset: _,
        val_subset: _,
        augment: _,
        max_corrupt: _,
        // The learning rate: spec's schedule reads these.
        epochs,
        lr: _,
        lr_scaling: _,
        warmup_epochs: _,
        warmup_from: _,
        schedule: _,
        // Read by all three: the layer list, the pipeline, the schedule.
        variant: _,
        batch_size,
        clip,
        replicas,
        init,
        momentum,
        nesterov,
        weight_decay,
        decay,
        zero_gamma,
        label_smoothing,
        // crate::mixup reads these.
        mixup_alpha: _,
        mixup_lambdas: _,
        distill,
        precision,
        loss_scale,
        // Their tasks read these.
        detect: _,
        segment: _,
    } = &run.recipe;
    match task {
        // The session starts the task's own.
        Task::Classify | Task::Segment | Task::Detect => {}
    }
    if *epochs == 0 || *batch_size == 0 {
        return Err(Failure::permanent(
            "epochs and batch_size must be at least 1",
        ));
    }
    if *replicas == 0 || batch_size % replicas != 0 {
        return Err(Failure::permanent(format!(
            "batch_size = {batch_size} is not a multiple of replicas = {replicas}: every replica takes an equal slice \
             of the batch; change one of the two"
        )));
    }
    let arithmetic = match (precision, run.arithmetic) {
        (Precision::Fp32, _) => Arithmetic::Plain(Kind::Float),
        (Precision::Fp64, _) => Arithmetic::Plain(Kind::Double),
        (Precision::Fp16, Planned::Cuda) => Arithmetic::Half(Kind::Half),
        (Precision::Bf16, Planned::Cuda) => Arithmetic::Half(Kind::BFloat16),
        (Precision::Mixed, Planned::Cuda) => Arithmetic::Autocast,
        (Precision::Fp16 | Precision::Mixed, Planned::Cpu | Planned::CpuEmulatedHalf) => {
            Arithmetic::EmulatedHalf {
                half: Kind::Half,
                within: Kind::Float,
            }
        }
        (Precision::Bf16, Planned::Cpu | Planned::CpuEmulatedHalf) => Arithmetic::EmulatedHalf {
            half: Kind::BFloat16,
            within: Kind::Float,
        },
    };
    let loss_scale = if arithmetic.is_half() {
        *loss_scale
    } else {
        LossScale::Static(1.0)
    };
    let init = match init {
        Init::Name(name) if name == "xavier" => InitialWeights::Drawn(Distribution::Xavier),
        Init::Name(name) if name == "msra" => InitialWeights::Drawn(Distribution::Msra),
        Init::Name(file) => InitialWeights::Loaded(Some(file.clone())),
        Init::Source(_) => InitialWeights::Loaded(None),
    };
    let optimiser = Settings {
        momentum: *momentum,
        nesterov: *nesterov,
        weight_decay: *weight_decay,
        decay: *decay,
        clip: *clip,
        skip_overflow: arithmetic.is_half(),
    };
    let loss = Loss {
        label_smoothing: *label_smoothing,
        distill: distill.as_ref().map(|distill| Distill {
            temperature: distill.temperature,
            soft_weight: distill.soft_weight,
            hard_weight: distill.hard_weight,
        }),
    };
    Ok(Settled {
        arithmetic,
        loss_scale,
        loss,
        optimiser,
        init,
        zero_gamma: *zero_gamma,
        replicas: *replicas,
        layout: ReplicaLayout::of_run(run)?,
    })
}
