//! Detection as a task: batches of images with boxes, a step, mAP by eleven points and by area.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rungs_data::Dataset;
use rungs_data::scenes::detection::{DetectionConfig, DetectionLoader};
use rungs_spec::model::Model;
use rungs_spec::protocol::RunFile;

use super::average_precision::Points;
use super::batch;
use super::evaluate::Subject;
use super::network::{Detector, Shape};
use super::step::{Asked, Learner};
use crate::backbone;
use crate::failure::Failure;
use crate::init;
use crate::initial::InitialFile;
use crate::session::task::{Found, Stepped, Task};
use crate::supported::Settled;
use crate::training::Training;

/// Images of one forward pass of an evaluation, of which those of one size go through the network
/// together.
const BATCH: usize = 4;

/// The data and network of a detection.
pub struct DetectTask {
    detector: Detector,
    asked: Asked,
    train: Arc<dyn Dataset>,
    val: Arc<dyn Dataset>,
    config: DetectionConfig,
    loader: Option<DetectionLoader>,
}

impl DetectTask {
    /// The network with its initial weights: drawn, and a backbone's from elsewhere over them. Errors:
    /// a model without a stage to be the head, weights of another network, a dataset without boxes
    /// (permanent).
    pub fn prepare(
        run: &RunFile,
        settled: Settled,
        train: Arc<dyn Dataset>,
        val: Arc<dyn Dataset>,
        workers: usize,
        loaded: Option<InitialFile>,
    ) -> Result<(DetectTask, Training), Failure> {
        let config = DetectionConfig::from_recipe(&run.recipe, run.seed, workers)?;
        let Some(detect) = &run.recipe.detect else {
            return Err(Failure::permanent(
                "the recipe has no sub-table \"detect\"; set task = \"detect\"",
            ));
        };
        let shape = Shape::of_recipe(detect, train.classes() as u32);
        let detector = Detector::new(&Model::of_recipe(&run.recipe, 1)?, shape)?;
        let asked = Asked::new(detect, detector.stride);
        let distribution = backbone::distribution(&settled.init);
        let network = detector.network.clone();
        let mut training = Training::of_network(network, settled, None, None, run.seed);
        let Training {
            network,
            parameters,
            optimiser,
            ..
        } = &mut training;
        init::draw(parameters, &network.parameters, distribution, run.seed);
        init::spread(parameters, &network.parameters, Detector::spread, run.seed);
        optimiser.set_rates(parameters, |spec| detector.rate(&spec.name));
        if let Some(file) = loaded {
            backbone::load(file, &mut training, Detector::is_own)?;
        }
        training.parameters.refresh();
        let task = DetectTask {
            detector,
            asked,
            train,
            val,
            config,
            loader: None,
        };
        Ok((task, training))
    }
}

impl Task for DetectTask {
    fn begin_epoch(&mut self, epoch: u64, first: u64) -> Result<(), Failure> {
        let loader = DetectionLoader::train(self.train.clone(), &self.config, epoch, first)?;
        self.loader = Some(loader);
        Ok(())
    }

    fn step(
        &mut self,
        training: &mut Training,
        step: u64,
        lr: f64,
    ) -> Result<Option<Stepped>, Failure> {
        let Some(batch) = self.loader.as_mut().and_then(DetectionLoader::next) else {
            self.loader = None;
            return Ok(None);
        };
        let groups = batch::groups(batch?, training.device)?;
        let mut learner = Learner {
            detector: &self.detector,
            parameters: &mut training.parameters,
            stats: training.replicas.each(),
            optimiser: &mut training.optimiser,
            asked: &self.asked,
            seed: self.config.seed,
        };
        let loss = learner.step(&groups, step, lr)?;
        let corrupt = Vec::new();
        Ok(Some(Stepped { loss, corrupt }))
    }

    fn evaluate(
        &mut self,
        training: &Training,
        _last: bool,
        stop: &AtomicBool,
    ) -> Result<Option<Found>, Failure> {
        let stats = training.replicas.mean(&training.network);
        let leaves = training.parameters.leaves();
        let subject = Subject::new(&self.detector, &self.asked, leaves, &stats);
        let loader = DetectionLoader::eval(self.val.clone(), &self.config, BATCH)?;
        let batches = loader.map(|batch| batch.map_err(Failure::from));
        let val = self.val.as_ref();
        let Some(found) = subject.evaluate(batches, val, training.device, stop)? else {
            return Ok(None);
        };
        let mean = |points| found.precision.mean(points).unwrap_or(0.0);
        Ok(Some(Found {
            n: found.n,
            metrics: vec![
                ("val/map07", mean(Points::Eleven)),
                ("val/map_area", mean(Points::Area)),
            ],
            right: None,
            pictures: found.shown,
        }))
    }

    fn classes(&self) -> &[String] {
        self.val.class_names()
    }
}
