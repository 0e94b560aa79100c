//! Segmentation as a task: batches of images with masks, a step, PixAcc and mIoU.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rungs_data::Dataset;
use rungs_data::scenes::segmentation::{MaskedBatch, SegmentationConfig, SegmentationLoader};
use rungs_spec::model::Model;
use rungs_spec::protocol::RunFile;
use rungs_spec::recipe::{Evaluate, Segment};
use tch::{Device, Kind, Tensor};

use super::evaluate::{Masked, Subject};
use super::fcn::{Fcn, Shape};
use super::multi_scale::MultiScale;
use super::step::Learner;
use crate::backbone;
use crate::dropout::Dropout;
use crate::failure::Failure;
use crate::init;
use crate::initial::InitialFile;
use crate::session::task::{Found, Stepped, Task};
use crate::supported::Settled;
use crate::training::Training;

/// Crops of one forward pass of an evaluation.
const BATCH: usize = 16;

/// The data and network of a segmentation.
pub struct SegmentTask {
    fcn: Fcn,
    train: Arc<dyn Dataset>,
    val: Arc<dyn Dataset>,
    config: SegmentationConfig,
    loader: Option<SegmentationLoader>,
}

impl SegmentTask {
    /// The network with its initial weights: drawn, and a backbone's from elsewhere over them. Errors:
    /// a model that cannot be dilated, weights of another network, a dataset without masks (permanent).
    pub fn prepare(
        run: &RunFile,
        settled: Settled,
        train: Arc<dyn Dataset>,
        val: Arc<dyn Dataset>,
        workers: usize,
        loaded: Option<InitialFile>,
    ) -> Result<(SegmentTask, Training), Failure> {
        let config = SegmentationConfig::from_recipe(&run.recipe, run.seed, workers)?;
        let Segment {
            output_stride,
            head_dropout,
            aux_weight,
            head_lr_factor,
            ..
        } = config.segment;
        let shape = Shape {
            classes: train.mask_classes().len() as u32,
            stride: output_stride,
            dropout: head_dropout,
            aux: aux_weight > 0.0,
        };
        let backbone = Model::of_recipe(&run.recipe, 1)?;
        let fcn = Fcn::new(&backbone, shape)?;
        let distribution = backbone::distribution(&settled.init);
        let mut training = Training::of_network(fcn.network.clone(), settled, None, None, run.seed);
        let Training {
            network,
            parameters,
            optimiser,
            ..
        } = &mut training;
        init::draw(parameters, &network.parameters, distribution, run.seed);
        optimiser.set_rates(parameters, |spec| Fcn::rate(&spec.name, head_lr_factor));
        if let Some(file) = loaded {
            backbone::load(file, &mut training, Fcn::is_head)?;
        }
        training.parameters.refresh();
        let task = SegmentTask {
            fcn,
            train,
            val,
            config,
            loader: None,
        };
        Ok((task, training))
    }

    fn val(&self, how: Evaluate) -> Result<SegmentationLoader, Failure> {
        let loader = SegmentationLoader::eval(self.val.clone(), &self.config, how, BATCH)?;
        Ok(loader)
    }

    /// The batches of a pass over the validation split as tensors.
    fn masked(
        &self,
        how: Evaluate,
        device: Device,
    ) -> Result<impl Iterator<Item = Result<Masked, Failure>>, Failure> {
        let batches = self.val(how)?;
        Ok(batches.map(move |batch| {
            let batch = batch?;
            let (images, masks) = tensors(&batch, device)?;
            let names = batch.indices.iter().map(|i| self.val.image_name(*i));
            Ok(Masked {
                images,
                masks,
                names: names.collect(),
            })
        }))
    }
}

/// Images (N, 3, H, W) in channels-last memory, and masks (N, H, W).
fn tensors(batch: &MaskedBatch, device: Device) -> Result<(Tensor, Tensor), Failure> {
    let size = [batch.indices.len(), batch.height, batch.width].map(|side| side as i64);
    let [n, h, w] = size;
    let images = Tensor::f_from_slice(&batch.pixels)?.to_device(device);
    let masks = Tensor::f_from_slice(&batch.classes)?.to_device(device);
    Ok((
        images.view([n, h, w, 3]).permute([0, 3, 1, 2]),
        masks.to_kind(Kind::Int64).view(size),
    ))
}

impl Task for SegmentTask {
    fn begin_epoch(&mut self, epoch: u64, first: u64) -> Result<(), Failure> {
        let loader = SegmentationLoader::train(self.train.clone(), &self.config, epoch, first)?;
        self.loader = Some(loader);
        Ok(())
    }

    fn step(
        &mut self,
        training: &mut Training,
        step: u64,
        lr: f64,
    ) -> Result<Option<Stepped>, Failure> {
        let Some(batch) = self.loader.as_mut().and_then(SegmentationLoader::next) else {
            self.loader = None;
            return Ok(None);
        };
        let (images, masks) = tensors(&batch?, training.device)?;
        let dropout = Dropout {
            seed: self.config.seed,
            step,
            first_replica: 0,
            replicas: 1,
        };
        let mut learner = Learner {
            fcn: &self.fcn,
            parameters: &mut training.parameters,
            stats: training.replicas.each(),
            optimiser: &mut training.optimiser,
            aux_weight: self.config.segment.aux_weight,
        };
        let loss = learner.step(&images, &masks, dropout, lr)?;
        let corrupt = Vec::new();
        Ok(Some(Stepped { loss, corrupt }))
    }

    fn evaluate(
        &mut self,
        training: &Training,
        last: bool,
        stop: &AtomicBool,
    ) -> Result<Option<Found>, Failure> {
        let stats = training.replicas.mean(&training.network);
        let subject = Subject::new(&self.fcn, training.parameters.leaves(), &stats);
        let batches = self.masked(self.config.segment.evaluate, training.device)?;
        let Some(found) = subject.evaluate(batches, stop)? else {
            return Ok(None);
        };
        let mut metrics = vec![
            ("val/miou", found.totals.mean_iou()),
            ("val/pixacc", found.totals.pixel_accuracy()),
            ("val/loss", found.loss),
        ];
        if let Some(ask) = MultiScale::of_recipe(&self.config.segment).filter(|_| last) {
            let images = self.masked(Evaluate::Whole, training.device)?;
            let Some(totals) = subject.evaluate_ms(images, &ask, stop)? else {
                return Ok(None);
            };
            metrics.push(("val/pixacc_ms", totals.pixel_accuracy()));
            metrics.push(("val/miou_ms", totals.mean_iou()));
        }
        Ok(Some(Found {
            n: found.n,
            metrics,
            right: None,
            pictures: found.shown,
        }))
    }

    fn classes(&self) -> &[String] {
        self.val.mask_classes()
    }
}
