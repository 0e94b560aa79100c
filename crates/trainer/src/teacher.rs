//! What does the teacher of a distillation say? A trained network in evaluation mode (paper section
//! 5.3): running statistics multiplied into its convolutions, no dropout, no gradient, and the same
//! augmented (and mixed) batch that the student sees.

use rungs_spec::model::too_small;
use rungs_spec::protocol::RunFile;
use tch::{Device, Kind, Tensor};

use crate::failure::Failure;
use crate::initial;
use crate::loss;
use crate::network::{Boundary, Network, Norms, Pass};
use crate::norm::Replicas;
use crate::parameters::{Arithmetic, Parameters};
use crate::weights;

/// Key of `RunFile.inputs` that names the teacher's weights.
pub const INPUT: &str = "distill.teacher";

/// A frozen network.
#[derive(Debug)]
pub struct Teacher {
    network: Network,
    parameters: Vec<Tensor>,
    folded: Vec<(Tensor, Tensor)>,
    kind: Kind,
}

impl Teacher {
    /// The teacher of a run whose student has `classes` classes; `None` without distillation.
    ///
    /// It computes in the kind of the student's activations: half on a GPU under half precision;
    /// where half is emulated, plain FP32, since only the student's roundings are the subject.
    ///
    /// Errors (permanent): weights that are missing, of another model, or of other classes.
    pub fn of_run(
        run: &RunFile,
        classes: u32,
        arithmetic: Arithmetic,
        device: Device,
    ) -> Result<Option<Teacher>, Failure> {
        if run.recipe.distill.is_none() {
            return Ok(None);
        }
        let file = initial::read(run, INPUT, None)?;
        let name = &run.inputs[INPUT].model;
        let place = file.path.display();
        let wrong = |error| {
            Failure::permanent(format!(
                "{place}: are not the weights of the teacher {name} that {INPUT} names: {error:#}; name the model that \
                 these weights belong to, or a run or file of {name}"
            ))
        };
        let model = weights::model_of(name, &file.dict).map_err(wrong)?;
        if model.classes != classes {
            return Err(Failure::permanent(format!(
                "{place}: the teacher {name} knows {} classes, its student {} has {classes} (those of {}): a teacher \
                 must know the same classes; train one on this dataset and name it as {INPUT}",
                model.classes, run.recipe.model, run.dataset.name
            )));
        }
        let teacher =
            Teacher::new(Network::new(&model), &file.dict, arithmetic, device).map_err(wrong)?;
        if let Some(why) = too_small(&model, run.recipe.input_size) {
            return Err(Failure::permanent(format!(
                "{place}: as a teacher, {why}, or another teacher"
            )));
        }
        Ok(Some(teacher))
    }

    /// A network with these weights. Error: what of them does not fit.
    pub fn new(
        network: Network,
        dict: &weights::StateDict,
        arithmetic: Arithmetic,
        device: Device,
    ) -> anyhow::Result<Teacher> {
        let _guard = tch::no_grad_guard();
        let exact = arithmetic.master();
        let kind = match arithmetic {
            Arithmetic::Autocast => Kind::Half,
            other => other.activations(),
        };
        let mut parameters = Parameters::new(&network, Arithmetic::Plain(exact), device);
        let replicas = Replicas::new(&network, 1, exact, device);
        weights::load(dict, &network, &mut parameters, &replicas)?;
        let folded = network.fold(parameters.leaves(), &replicas.mean(&network));
        let cast = |tensor: &Tensor| tensor.detach().to_kind(kind);
        let unused = network.folded_away();
        let own = |(i, leaf): (usize, &Tensor)| match unused.contains(&i) {
            // A copy of a network twice the student's size is worth dropping.
            true => Tensor::zeros([0], (kind, device)),
            false => cast(leaf).copy(),
        };
        Ok(Teacher {
            parameters: parameters.leaves().iter().enumerate().map(own).collect(),
            folded: folded.iter().map(|(w, b)| (cast(w), cast(b))).collect(),
            network,
            kind,
        })
    }

    /// The same teacher on another device.
    pub fn on(&self, device: Device) -> Teacher {
        let _guard = tch::no_grad_guard();
        let there = |tensor: &Tensor| tensor.to_device(device);
        Teacher {
            network: self.network.clone(),
            parameters: self.parameters.iter().map(there).collect(),
            folded: self
                .folded
                .iter()
                .map(|(w, b)| (there(w), there(b)))
                .collect(),
            kind: self.kind,
        }
    }

    /// Logits (N, classes), at least FP32, of images (N, 3, H, W) in any kind, on the teacher's
    /// device.
    pub fn logits(&self, images: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let pass = Pass {
            parameters: &self.parameters,
            norms: Norms::Folded(&self.folded),
            boundary: Boundary::Exact,
            dropout: None,
        };
        loss::in_full_precision(&self.network.forward(&images.to_kind(self.kind), pass))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{drawn, images};

    /// recipes.md section 7, trap 17: the teacher uses running statistics, leaves them as they are,
    /// and nothing flows back into it.
    #[test]
    fn trap_17_the_teacher_evaluates_and_stays_as_it_is() {
        let plain = Arithmetic::Plain(Kind::Float);
        let (network, parameters) = drawn("resnet50d", plain);
        let images = images(4, 28, Kind::Float);
        let replicas = Replicas::new(&network, 1, Kind::Float, Device::Cpu);
        let pass = |norms| Pass {
            parameters: parameters.leaves(),
            norms,
            boundary: Boundary::Exact,
            dropout: None,
        };
        for _ in 0..3 {
            let _ = network.forward(&images, pass(Norms::Train(replicas.each())));
        }
        let stats = replicas.mean(&network);
        let dict = weights::state_dict(&network, &parameters, &stats);
        let before = weights::digest(&dict).expect("a digest");
        let teacher = Teacher::new(network.clone(), &dict, plain, Device::Cpu);
        let teacher = teacher.expect("a teacher");
        let images = images.set_requires_grad(true);
        let logits = teacher.logits(&images);
        assert!(!logits.requires_grad());
        let expected = network.forward(&images, pass(Norms::Running(&stats)));
        assert!(logits.allclose(&expected, 1e-4, 1e-4, false));
        assert!(!logits.allclose(
            &network.forward(&images, pass(Norms::Batch)),
            1e-2,
            1e-2,
            false
        ));
        // Saying the same again: nothing was updated.
        assert!(teacher.logits(&images).equal(&logits));
        assert_eq!(weights::digest(&dict).expect("a digest"), before);
    }
}
