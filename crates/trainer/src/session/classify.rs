//! Classification as a task: batches of labelled images, top-1 and top-5.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rungs_data::{Dataset, EvalSet, Loader, LoaderConfig};
use tch::{Device, Kind};

use super::task::{Found, Stepped, Task};
use crate::batch;
use crate::evaluate::{self, Subject};
use crate::failure::Failure;
use crate::training::Training;

/// The data of a classification.
pub struct Classify {
    train: Arc<dyn Dataset>,
    val: EvalSet,
    config: LoaderConfig,
    loader: Option<Loader>,
}

impl Classify {
    /// Of these splits. Error: a recipe that the loader refuses.
    pub fn new(
        train: Arc<dyn Dataset>,
        val: Arc<dyn Dataset>,
        config: LoaderConfig,
    ) -> Result<Classify, Failure> {
        let val = EvalSet::new(val, &config, evaluate::BATCH)?;
        Ok(Classify {
            train,
            val,
            config,
            loader: None,
        })
    }
}

impl Task for Classify {
    fn begin_epoch(&mut self, epoch: u64, first: u64) -> Result<(), Failure> {
        let loader = Loader::train(self.train.clone(), &self.config, epoch, first)?;
        self.loader = Some(loader);
        Ok(())
    }

    fn step(
        &mut self,
        training: &mut Training,
        step: u64,
        lr: f64,
    ) -> Result<Option<Stepped>, Failure> {
        let Some(batch) = self.loader.as_mut().and_then(Loader::next) else {
            self.loader = None;
            return Ok(None);
        };
        let mut batch = batch?;
        // Mixup comes before the rounding to half.
        let kind: Kind = training.arithmetic().master();
        let device: Device = training.device;
        let (images, labels) = batch::tensors(&batch, kind, device)?;
        let loss = training.step(&images, &labels, step, lr)?;
        let corrupt = std::mem::take(&mut batch.corrupt);
        Ok(Some(Stepped { loss, corrupt }))
    }

    fn evaluate(
        &mut self,
        training: &Training,
        _last: bool,
        stop: &AtomicBool,
    ) -> Result<Option<Found>, Failure> {
        let stats = training.replicas.mean(&training.network);
        let subject = Subject {
            network: &training.network,
            parameters: training.parameters.leaves(),
            stats: &stats,
            arithmetic: training.arithmetic(),
            device: training.device,
        };
        let found = evaluate::evaluate(subject, &mut self.val, stop)?;
        Ok(found.map(|found| Found {
            n: found.n,
            metrics: vec![
                ("val/top1", found.top1_percent()),
                ("val/top5", found.top5_percent()),
                ("val/loss", found.loss),
            ],
            right: Some([found.top1, found.top5]),
            pictures: Vec::new(),
        }))
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}
