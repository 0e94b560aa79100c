//! How good are the masks of a split? One scale: crops or whole images as the loader gives them, the
//! highest logit of each pixel. Several scales: [`MultiScale`], image by image.

use std::sync::atomic::AtomicBool;

use rungs_data::preprocess::normalise::{MEAN, STD};
use rungs_spec::pictures;
use rungs_spec::recipe::Segment;
use tch::{Kind, Reduction, Tensor};

use super::fcn::{self, Fcn};
use super::loss::IGNORE;
use super::multi_scale::MultiScale;
use super::totals::Totals;
use crate::failure::Failure;
use crate::network::{Boundary, Norms, Pass};
use crate::norm::RunningStats;
use crate::pictures::{Said, Shown};
use crate::run::stopping;

/// Images with their masks.
#[derive(Debug)]
pub struct Masked {
    /// (N, 3, H, W), normalised.
    pub images: Tensor,
    /// (N, H, W), classes or [`IGNORE`].
    pub masks: Tensor,
    /// What the dataset calls each.
    pub names: Vec<String>,
}

/// What an evaluation found.
#[derive(Debug)]
pub struct Evaluated {
    /// Images.
    pub n: u64,
    /// Mean over labelled pixels of the cross entropy of the main head.
    pub loss: f64,
    /// Pixels.
    pub totals: Totals,
    /// A few of the images.
    pub shown: Vec<Shown>,
}

/// Weights to evaluate.
#[derive(Debug)]
pub struct Subject<'a> {
    fcn: &'a Fcn,
    parameters: &'a [Tensor],
    folded: Vec<(Tensor, Tensor)>,
}

impl<'a> Subject<'a> {
    /// With BN multiplied into the convolutions.
    pub fn new(fcn: &'a Fcn, parameters: &'a [Tensor], stats: &RunningStats) -> Subject<'a> {
        let _guard = tch::no_grad_guard();
        let folded = fcn.network.fold(parameters, stats);
        Subject {
            fcn,
            parameters,
            folded,
        }
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            parameters: self.parameters,
            norms: Norms::Folded(&self.folded),
            boundary: Boundary::Exact,
            dropout: None,
        }
    }

    /// At one scale; `None` if told to stop meanwhile.
    pub fn evaluate(
        &self,
        batches: impl Iterator<Item = Result<Masked, Failure>>,
        stop: &AtomicBool,
    ) -> Result<Option<Evaluated>, Failure> {
        let _guard = tch::no_grad_guard();
        let mut found = Evaluated {
            n: 0,
            loss: 0.0,
            totals: Totals::new(self.fcn.classes as usize),
            shown: Vec::new(),
        };
        for batch in batches {
            if stopping(stop) {
                return Ok(None);
            }
            let batch = batch?;
            let size = batch.masks.size();
            let logits = self.fcn.forward(&batch.images, self.pass(), false).main;
            let logits = fcn::resize(&logits, size[1], size[2]);
            let none: Option<&Tensor> = None;
            let losses =
                logits.cross_entropy_loss(&batch.masks, none, Reduction::None, IGNORE, 0.0);
            found.loss += losses.sum(Kind::Double).double_value(&[]);
            let predicted = logits.argmax(1, false);
            count(&mut found.totals, &batch.masks, &predicted)?;
            found.n += size[0] as u64;
            let room = pictures::COUNT - found.shown.len();
            for i in 0..batch.names.len().min(room) {
                found.shown.push(shown(&batch, &predicted, i)?);
            }
        }
        found.loss /= found.totals.labelled().max(1) as f64;
        Ok(Some(found))
    }

    /// At several scales; `images` come one by one. `None` if told to stop meanwhile.
    pub fn evaluate_ms(
        &self,
        images: impl Iterator<Item = Result<Masked, Failure>>,
        ask: &MultiScale,
        stop: &AtomicBool,
    ) -> Result<Option<Totals>, Failure> {
        let _guard = tch::no_grad_guard();
        let mut totals = Totals::new(self.fcn.classes as usize);
        for image in images {
            if stopping(stop) {
                return Ok(None);
            }
            let image = image?;
            let scores = ask.scores(self.fcn, self.pass(), &image.images);
            count(&mut totals, &image.masks, &scores.argmax(1, false))?;
        }
        Ok(Some(totals))
    }
}

impl MultiScale {
    /// Of a recipe; `None` where it has no scales.
    pub fn of_recipe(segment: &Segment) -> Option<MultiScale> {
        (!segment.ms_scales.is_empty()).then(|| MultiScale {
            base_size: segment.base_size,
            crop_size: segment.crop_size,
            scales: segment.ms_scales.clone(),
            flip: segment.ms_flip,
            stride_share: segment.ms_stride,
            black: [0, 1, 2].map(|c| -MEAN[c] / STD[c]),
        })
    }
}

fn count(totals: &mut Totals, masks: &Tensor, predicted: &Tensor) -> Result<(), Failure> {
    totals.add(&values(masks)?, &values(predicted)?);
    Ok(())
}

fn values(masks: &Tensor) -> Result<Vec<i64>, Failure> {
    Ok(Vec::<i64>::try_from(masks.reshape([-1]))?)
}

/// Image i of a batch with its truth and its prediction.
fn shown(batch: &Masked, predicted: &Tensor, i: usize) -> Result<Shown, Failure> {
    let at = i as i64;
    let image = batch.images.get(at).permute([1, 2, 0]).to_kind(Kind::Float);
    let size = image.size();
    let values_of = |values: [f64; 3]| Tensor::from_slice(&values).to_device(image.device());
    let rgb = &image * values_of(STD) + values_of(MEAN);
    let rgb = rgb.round().clamp(0.0, 255.0).to_kind(Kind::Uint8);
    let mask = |masks: &Tensor| -> Result<Said, Failure> {
        let classes = values(&masks.get(at))?;
        Ok(Said::Mask(classes.iter().map(|c| *c as i16).collect()))
    };
    Ok(Shown {
        name: batch.names[i].clone(),
        width: size[1] as usize,
        height: size[0] as usize,
        rgb: Vec::<u8>::try_from(rgb.reshape([-1]))?,
        truth: mask(&batch.masks)?,
        predicted: mask(predicted)?,
    })
}

#[cfg(test)]
mod tests {
    use rungs_spec::model::{Model, Shape as Backbone};
    use rungs_spec::recipe::Variant;

    use super::*;
    use crate::segment::fcn::Shape;
    use crate::segment::test_support;
    use crate::test_support::images;

    fn small() -> Fcn {
        let backbone = Backbone {
            depths: vec![1, 1],
            width: 0.125,
            dropout: 0.0,
            variant: Variant::Paper,
            classes: 1,
        };
        let shape = Shape {
            classes: 3,
            stride: 8,
            dropout: 0.1,
            aux: true,
        };
        let model = Model::build("resnet50d", &backbone).expect("a model");
        Fcn::new(&model, shape).expect("a network")
    }

    /// With running statistics of the images, so that not every pixel gets the same class.
    fn drawn() -> (Fcn, crate::parameters::Parameters, RunningStats) {
        let fcn = small();
        let (parameters, stats) = test_support::drawn(&fcn);
        let stats = [stats];
        for _ in 0..30 {
            let pass = Pass {
                parameters: parameters.leaves(),
                norms: Norms::Train(&stats),
                boundary: Boundary::Exact,
                dropout: None,
            };
            let _ = fcn.forward(&masked(8, 0).images, pass, true);
        }
        let [stats] = stats;
        (fcn, parameters, stats)
    }

    fn masked(n: i64, first: i64) -> Masked {
        let all = images(8, 24, Kind::Float).narrow(0, first, n).contiguous();
        let classes: Vec<i64> = (0..8 * 24 * 24).map(|i| (i * i / 7) % 4 - 1).collect();
        let masks = Tensor::from_slice(&classes).view([8, 24, 24]);
        Masked {
            images: all,
            masks: masks.narrow(0, first, n).contiguous(),
            names: (first..first + n).map(|i| format!("image {i}")).collect(),
        }
    }

    #[test]
    fn results_do_not_depend_on_the_batch_size_and_the_first_images_are_shown() {
        let (fcn, parameters, stats) = drawn();
        let subject = Subject::new(&fcn, parameters.leaves(), &stats);
        let stop = AtomicBool::new(false);
        let in_batches_of = |size: i64| {
            let batches = (0..8 / size).map(|i| Ok(masked(size, i * size)));
            let found = subject.evaluate(batches, &stop).expect("evaluated");
            found.expect("not stopped")
        };
        let whole = in_batches_of(8);
        assert_eq!(whole.n, 8);
        assert_eq!(whole.totals.labelled(), 8 * 24 * 24 - unlabelled());
        for size in [1, 4] {
            let found = in_batches_of(size);
            assert_eq!(found.totals, whole.totals, "{size}");
            assert!(
                (found.loss - whole.loss).abs() < 1e-5 * whole.loss,
                "{size}"
            );
            assert_eq!(found.shown, whole.shown, "{size}");
        }
        assert_eq!(whole.shown.len(), pictures::COUNT);
        let first = &whole.shown[0];
        assert_eq!(
            (first.name.as_str(), first.rgb.len()),
            ("image 0", 24 * 24 * 3)
        );
        // The test's first value, 0/300 - 1.5 standard deviations, as a byte.
        assert_eq!(first.rgb[0], (MEAN[0] - 1.5 * STD[0]).round() as u8);
        let stopped = AtomicBool::new(true);
        let batches = std::iter::once(Ok(masked(8, 0)));
        assert!(
            subject
                .evaluate(batches, &stopped)
                .expect("no error")
                .is_none()
        );
    }

    fn unlabelled() -> u64 {
        let all = masked(8, 0).masks.eq(IGNORE).sum(None).int64_value(&[]);
        assert!(all > 0);
        all as u64
    }

    /// One scale of the image's own size, not mirrored: the same classes as the plain evaluation.
    #[test]
    fn one_window_of_the_whole_image_says_what_one_scale_says() {
        let (fcn, parameters, stats) = drawn();
        let subject = Subject::new(&fcn, parameters.leaves(), &stats);
        let stop = AtomicBool::new(false);
        let one_by_one = || (0..8).map(|i| Ok(masked(1, i)));
        let plain = subject.evaluate(one_by_one(), &stop).expect("evaluated");
        let ask = MultiScale {
            base_size: 24,
            crop_size: 24,
            scales: vec![1.0],
            flip: false,
            stride_share: 2.0 / 3.0,
            black: [0.0; 3],
        };
        let totals = subject
            .evaluate_ms(one_by_one(), &ask, &stop)
            .expect("evaluated");
        assert_eq!(totals, plain.map(|plain| plain.totals));
        let mirrored = MultiScale { flip: true, ..ask };
        let other = subject
            .evaluate_ms(one_by_one(), &mirrored, &stop)
            .expect("evaluated");
        assert_ne!(other, totals);
    }
}
