//! What do detection and segmentation add to a recipe? Sub-tables `detect` and `segment`, the defaults
//! that both tasks have instead of classification's, and the keys that do not apply to them.
//!
//! The numbers are those of the authors' released code (recipes of Tables 8 and 9): Faster-RCNN C4 on
//! VOC, FCN with stride 8 on ADE20K.

use serde::{Deserialize, Serialize};

use crate::model;
use crate::recipe::{Precision, Recipe, Task};

/// Faster-RCNN, C4: all but the backbone's last stage gives features, the last stage is the head.
/// Pairs are [training, evaluation]; lengths are pixels of the resized image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detect {
    /// Short side that images are resized to.
    pub short_side: u32,
    /// Most that the long side may have then; the short side gives way.
    pub max_side: u32,
    /// Side of the square that anchors are made from.
    pub anchor_base: u32,
    /// Factors of the base.
    pub anchor_scales: Vec<f64>,
    /// Height / width.
    pub anchor_ratios: Vec<f64>,
    /// Channels of the RPN's 3x3 convolution.
    pub rpn_channels: u32,
    /// Anchors sampled per image.
    pub rpn_batch: u32,
    /// Largest share of positives among them.
    pub rpn_positive: f64,
    /// An anchor of at least this IoU is positive.
    pub rpn_positive_iou: f64,
    /// An anchor below this IoU is negative.
    pub rpn_negative_iou: f64,
    /// Best scored boxes that enter the NMS of proposals.
    pub proposals_before_nms: [u32; 2],
    /// Proposals that leave it.
    pub proposals: [u32; 2],
    /// IoU above which the lesser proposal goes.
    pub proposal_nms: f64,
    /// Smallest side of a proposal.
    pub proposal_min_size: u32,
    /// Side of RoIAlign's output, cells.
    pub roi_size: u32,
    /// Samples per cell and direction.
    pub roi_sampling: u32,
    /// Proposals sampled per image for the head.
    pub roi_batch: u32,
    /// Largest share of positives among them.
    pub roi_positive: f64,
    /// A proposal of at least this IoU is positive, every other negative.
    pub roi_positive_iou: f64,
    /// Standard deviations that the head's box targets are divided by.
    pub box_stds: [f64; 4],
    /// rho of the RPN's Huber loss.
    pub rpn_huber: f64,
    /// rho of the head's Huber loss.
    pub roi_huber: f64,
    /// A detection scores more than this.
    pub score: f64,
    /// IoU above which the lesser detection of a class goes.
    pub nms: f64,
    /// Best scored detections of a class that enter its NMS.
    pub nms_top: u32,
    /// Parts of the backbone that are not trained, from its start: 1 = the stem, 2 = also layer1.
    pub frozen: u32,
    /// BN uses its running statistics and is not trained.
    pub freeze_bn: bool,
}

/// FCN on a dilated backbone, with an auxiliary head on the stage before the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Size that `scale` is a share of, pixels.
    pub base_size: u32,
    /// Side of the square that is trained on, pixels.
    pub crop_size: u32,
    /// Short side of a training image, U[a, b] times the base size.
    pub scale: [f64; 2],
    /// Probability of a Gaussian blur.
    pub blur: f64,
    /// Its radius is U(0, x) pixels.
    pub blur_radius: f64,
    /// Image pixels per cell of the last feature map: 8, 16 or 32.
    pub output_stride: u32,
    /// Dropout before the heads' classifiers.
    pub head_dropout: f64,
    /// Weight of the auxiliary head's loss; 0 = no such head.
    pub aux_weight: f64,
    /// Learning rate of the heads, times the backbone's.
    pub head_lr_factor: f64,
    /// What one scale is evaluated on.
    pub evaluate: Evaluate,
    /// Scales of the multi-scale evaluation, times the base size; empty = not evaluated.
    pub ms_scales: Vec<f64>,
    /// Also mirrored.
    pub ms_flip: bool,
    /// Stride of its windows, share of the crop size.
    pub ms_stride: f64,
}

/// What one scale is evaluated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evaluate {
    /// Short side resized to the crop size, and the centre crop of it.
    Crop,
    /// The whole image as it is.
    Whole,
}

/// The task's default of a key where it is not classification's.
pub fn default(task: Task, path: &str, gluoncv: bool) -> Option<&'static str> {
    let common = match path {
        "augment.crop_area" | "augment.crop_ratio" => "[1.0, 1.0]",
        "augment.hue" | "augment.saturation" | "augment.brightness" | "augment.contrast"
        | "augment.pca_std" => "0.0",
        "replicas" => "1",
        "nesterov" => "false",
        _ => "",
    };
    let own = match (task, path) {
        (Task::Classify, _) => return None,
        (Task::Detect, "dataset") => "\"voc0712\"",
        (Task::Detect, "epochs") => "20",
        (Task::Detect, "batch_size") => "4",
        (Task::Detect, "clip") => "5.0",
        (Task::Detect, "lr") => "0.001",
        (Task::Detect, "weight_decay") => "5e-4",
        (Task::Detect, "schedule") => "{ kind = \"step\", milestones = [14.0, 20.0], gamma = 0.1 }",
        (Task::Segment, "dataset") => "\"ade20k\"",
        (Task::Segment, "epochs") => "120",
        (Task::Segment, "batch_size") => "16",
        // The effective gradient of the released code: its loss ignores the weight of the auxiliary
        // head, and its step is a quarter of the mean's.
        (Task::Segment, "lr") if gluoncv => "0.0025",
        (Task::Segment, "weight_decay") if gluoncv => "4e-4",
        (Task::Segment, "segment.aux_weight") if gluoncv => "1.0",
        (Task::Segment, "lr") => "0.01",
        (Task::Segment, "schedule") => "{ kind = \"poly\", power = 0.9 }",
        _ => common,
    };
    (!own.is_empty()).then_some(own)
}

/// The task whose sub-table a key belongs to.
pub fn owner(path: &str) -> Option<(Task, &'static str)> {
    match path.split_once('.')?.0 {
        "detect" => Some((Task::Detect, "detect")),
        "segment" => Some((Task::Segment, "segment")),
        _ => None,
    }
}

/// What single keys of a detection or segmentation cannot tell.
pub(crate) fn check(r: &Recipe) -> Result<(), String> {
    let word = match r.task {
        Task::Classify => return Ok(()),
        Task::Detect => "detect",
        Task::Segment => "segment",
    };
    if model::find(&r.model).is_ok_and(|m| m.depths.is_empty()) {
        return Err(format!(
            "task = \"{word}\" needs a backbone with stages, and {} has none; choose a ResNet",
            r.model
        ));
    }
    let a = &r.augment;
    let size = match (&r.detect, &r.segment) {
        (Some(detect), _) => detect.short_side,
        (_, Some(segment)) => segment.crop_size,
        _ => return Err(format!("task = \"{word}\" has no sub-table \"{word}\"")),
    };
    let foreign = [
        ("input_size", r.input_size != size),
        ("augment.crop_area", a.crop_area != [1.0, 1.0]),
        ("augment.crop_ratio", a.crop_ratio != [1.0, 1.0]),
        ("augment.hue", a.hue != 0.0),
        ("augment.saturation", a.saturation != 0.0),
        ("augment.brightness", a.brightness != 0.0),
        ("augment.contrast", a.contrast != 0.0),
        ("augment.pca_std", a.pca_std != 0.0),
        ("augment.antialias", a.antialias),
        ("augment.resize_short", a.resize_short != size),
        ("replicas", r.replicas != 1),
        ("zero_gamma", r.zero_gamma),
        ("label_smoothing", r.label_smoothing != 0.0),
        ("mixup_alpha", r.mixup_alpha != 0.0),
        ("mixup_lambdas", r.mixup_lambdas.is_some()),
        ("distill", r.distill.is_some()),
        ("dropout", r.dropout != 0.0),
        ("precision", r.precision != Precision::Fp32),
    ];
    if let Some((key, _)) = foreign.iter().find(|(_, set)| *set) {
        return Err(format!(
            "{key} does not apply to task = \"{word}\"; take it out (sizes, heads and augmentation of its own are in \"{word}\")"
        ));
    }
    match (&r.detect, &r.segment) {
        (Some(detect), _) => check_detect(detect),
        (_, Some(segment)) => check_segment(segment),
        _ => Ok(()),
    }
}

fn check_detect(d: &Detect) -> Result<(), String> {
    if d.max_side < d.short_side {
        return Err(format!(
            "detect.max_side = {} is smaller than detect.short_side = {}",
            d.max_side, d.short_side
        ));
    }
    if d.rpn_negative_iou > d.rpn_positive_iou {
        return Err(format!(
            "detect.rpn_negative_iou = {} is above detect.rpn_positive_iou = {}",
            d.rpn_negative_iou, d.rpn_positive_iou
        ));
    }
    for (phase, (before, after)) in ["training", "evaluation"]
        .iter()
        .zip(d.proposals_before_nms.iter().zip(&d.proposals))
    {
        if before < after {
            return Err(format!(
                "detect.proposals = {after} in {phase} is more than detect.proposals_before_nms = {before}"
            ));
        }
    }
    Ok(())
}

fn check_segment(s: &Segment) -> Result<(), String> {
    if ![8, 16, 32].contains(&s.output_stride) {
        return Err(format!(
            "segment.output_stride = {}: must be 8, 16 or 32",
            s.output_stride
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Result<Recipe, String> {
        let table = text.parse().expect("TOML");
        crate::settle::complete(&table).map_err(|e| e.to_string())
    }

    /// recipes of Table 8, as released.
    #[test]
    fn a_detection_has_the_released_numbers() {
        let r = recipe("task = 'detect'\nmodel = 'resnet50b'").expect("settles");
        let d = r.detect.as_ref().expect("has its sub-table");
        assert_eq!((d.short_side, d.max_side), (600, 1000));
        assert_eq!(d.anchor_scales, [2.0, 4.0, 8.0, 16.0, 32.0]);
        assert_eq!(d.proposals, [2000, 300]);
        assert_eq!(d.box_stds, [0.1, 0.1, 0.2, 0.2]);
        assert_eq!(d.rpn_huber, 1.0 / 9.0);
        assert_eq!((r.lr, r.weight_decay, r.clip), (1e-3, 5e-4, Some(5.0)));
        assert_eq!((r.epochs, r.batch_size, r.replicas), (20, 4, 1));
        assert!(!r.nesterov && r.segment.is_none());
        assert_eq!((r.augment.flip, r.augment.hue), (0.5, 0.0));
    }

    /// Table 9: nominal, and the released code's effective gradient.
    #[test]
    fn a_segmentation_has_the_nominal_numbers_or_those_of_the_variant() {
        let r = recipe("task = 'segment'\nmodel = 'resnet50d'").expect("settles");
        let s = r.segment.as_ref().expect("has its sub-table");
        assert_eq!((s.base_size, s.crop_size, s.scale), (520, 480, [0.5, 2.0]));
        assert_eq!((r.lr, r.weight_decay, s.aux_weight), (0.01, 1e-4, 0.5));
        assert_eq!(s.ms_stride, 2.0 / 3.0);
        let r = recipe("task = 'segment'\nmodel = 'resnet50d'\nvariant = 'gluoncv'").expect("ok");
        let s = r.segment.as_ref().expect("has its sub-table");
        assert_eq!((r.lr, r.weight_decay, s.aux_weight), (0.0025, 4e-4, 1.0));
    }

    #[test]
    fn sub_tables_merge_key_by_key_and_a_size_of_their_own_is_the_input_size() {
        let r = recipe(
            "task = 'detect'\ndetect = { short_side = 128, max_side = 192, proposals = [200, 50] }",
        );
        let r = r.expect("settles");
        assert_eq!((r.input_size, r.augment.resize_short), (128, 128));
        assert_eq!(
            r.detect.map(|d| (d.max_side, d.proposals)),
            Some((192, [200, 50]))
        );
    }

    #[test]
    fn what_does_not_apply_is_refused_with_its_name() {
        for (text, wanted) in [
            (
                "detect = { nms = 0.5 }",
                "detect.nms is set, but task = \"classify\"",
            ),
            (
                "task = 'segment'\ndetect = { nms = 0.5 }",
                "task = \"segment\"",
            ),
            ("task = 'detect'\nmodel = 'mobilenet'", "choose a ResNet"),
            (
                "task = 'detect'\nmixup_alpha = 0.2",
                "mixup_alpha does not apply",
            ),
            (
                "task = 'detect'\ninput_size = 64",
                "input_size does not apply",
            ),
            (
                "task = 'segment'\naugment = { hue = 0.4 }",
                "augment.hue does not apply",
            ),
            (
                "task = 'detect'\ndetect = { max_side = 500 }",
                "detect.max_side = 500",
            ),
            (
                "task = 'detect'\ndetect = { proposals = [13000, 1] }",
                "13000 in training",
            ),
            (
                "task = 'segment'\nsegment = { output_stride = 4 }",
                "8, 16 or 32",
            ),
            (
                "task = 'detect'\ndetect = { anchor_scales = [] }",
                "list of numbers above 0",
            ),
            (
                "task = 'detect'\ndetect = { proposals = [1] }",
                "two whole numbers",
            ),
            (
                "task = 'detect'\ndetect = { box_stds = [1.0] }",
                "four numbers",
            ),
        ] {
            let error = recipe(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    /// Nothing about a classification's recipe.json, and so nothing about its run key, changes.
    #[test]
    fn a_classification_does_not_mention_the_other_tasks() {
        let json = serde_json::to_string(&recipe("epochs = 1").expect("settles")).expect("JSON");
        assert!(
            !json.contains("detect\"") && !json.contains("segment"),
            "{json}"
        );
    }
}
