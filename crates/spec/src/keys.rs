//! Every key of a recipe: its kind, its default, and what is wrong with a value. The one place that
//! experiment files, `--set` and partial recipes are checked against; DESIGN section 4.

use serde::de::DeserializeOwned;
use toml::Value;

use crate::error::nearest;
use crate::recipe::{Init, LossScale, Schedule, Source};
use crate::{dataset, model};

/// What a key's value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A model's name.
    Model,
    /// A dataset's name, registered or not, or `tensors:FILE`.
    Dataset,
    /// A whole number of at least so much.
    Int(i64),
    /// As `Int`, or the word `"all"`.
    IntOrAll(i64),
    /// A number in [low, high].
    Number(f64, f64),
    /// A number above 0, or the word `"none"`.
    NumberOrNone,
    /// A number above 0 and at most the bound.
    Positive(f64),
    /// true or false.
    Bool,
    /// A path.
    Path,
    /// Two numbers in order, above 0 and at most the bound.
    Range(f64),
    /// Whole numbers of at least 1.
    Ints,
    /// Two whole numbers of at least 1, in any order.
    IntPair,
    /// Numbers above 0; so many, or any number of them but none.
    Numbers(Option<usize>),
    /// As `Numbers`, or none at all.
    NumbersOrNone,
    /// A learning-rate decay.
    Schedule,
    /// Where initial weights come from.
    Init,
    /// A run or a file of weights.
    Source,
    /// A number above 0, or `"dynamic"`.
    LossScale,
}

/// Where a key's value comes from when nobody sets it.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    /// This TOML value.
    Is(&'static str),
    /// Not set at all.
    Absent,
    /// Depends on other keys: see [`crate::settle::complete`].
    Derived,
}

/// A key of a recipe, dotted.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `batch_size`, `augment.flip`, ...
    pub path: &'static str,
    /// What its value must look like.
    pub kind: Kind,
    /// Its value when nobody sets it.
    pub default: Default,
}

const fn k(path: &'static str, kind: Kind, default: Default) -> Key {
    Key {
        path,
        kind,
        default,
    }
}

use self::Default::{Absent, Derived, Is};

/// All keys, in the order in which people read a recipe.
pub const KEYS: &[Key] = &[
    k(
        "task",
        Kind::Word(&["classify", "detect", "segment"]),
        Is("\"classify\""),
    ),
    k("model", Kind::Model, Is("\"resnet50\"")),
    k("depths", Kind::Ints, Derived),
    k("width", Kind::Positive(8.0), Is("1.0")),
    k("dropout", Kind::Number(0.0, 0.95), Derived),
    k("input_size", Kind::Int(8), Derived),
    k("dataset", Kind::Dataset, Is("\"imagenet\"")),
    k("train_subset", Kind::IntOrAll(1), Absent),
    k("val_subset", Kind::IntOrAll(1), Absent),
    k("epochs", Kind::Int(1), Is("120")),
    k("batch_size", Kind::Int(1), Is("256")),
    k("clip", Kind::NumberOrNone, Absent),
    k("replicas", Kind::Int(1), Is("8")),
    k("augment.crop_area", Kind::Range(1.0), Is("[0.08, 1.0]")),
    k(
        "augment.crop_ratio",
        Kind::Range(100.0),
        Is("[0.75, 1.3333]"),
    ),
    k("augment.flip", Kind::Number(0.0, 1.0), Is("0.5")),
    k("augment.hue", Kind::Number(0.0, 1.0), Derived),
    k("augment.saturation", Kind::Number(0.0, 1.0), Is("0.4")),
    k("augment.brightness", Kind::Number(0.0, 1.0), Is("0.4")),
    k("augment.contrast", Kind::Number(0.0, 1.0), Derived),
    k("augment.pca_std", Kind::Number(0.0, 10.0), Is("0.1")),
    k("augment.antialias", Kind::Bool, Is("false")),
    k("augment.resize_short", Kind::Int(8), Derived),
    k("init", Kind::Init, Derived),
    k(
        "variant",
        Kind::Word(&["paper", "gluoncv"]),
        Is("\"paper\""),
    ),
    k("lr", Kind::Positive(1e3), Is("0.1")),
    k(
        "lr_scaling",
        Kind::Word(&["none", "linear"]),
        Is("\"none\""),
    ),
    k("warmup_epochs", Kind::Number(0.0, 1e6), Is("0.0")),
    k("warmup_from", Kind::Number(0.0, 1.0), Is("0.0")),
    k(
        "schedule",
        Kind::Schedule,
        Is("{ kind = \"step\", milestones = [30.0, 60.0, 90.0], gamma = 0.1 }"),
    ),
    k("momentum", Kind::Number(0.0, 1.0), Is("0.9")),
    k("nesterov", Kind::Bool, Is("true")),
    k("weight_decay", Kind::Number(0.0, 1.0), Is("1e-4")),
    k("decay", Kind::Word(&["all", "weights"]), Is("\"all\"")),
    k("zero_gamma", Kind::Bool, Is("false")),
    k("label_smoothing", Kind::Number(0.0, 0.99), Is("0.0")),
    k("mixup_alpha", Kind::Number(0.0, 100.0), Is("0.0")),
    k("mixup_lambdas", Kind::Path, Absent),
    k("distill.teacher", Kind::Source, Absent),
    k("distill.temperature", Kind::Positive(1e4), Is("20.0")),
    k("distill.soft_weight", Kind::Number(0.0, 1e3), Derived),
    k("distill.hard_weight", Kind::Number(0.0, 1e3), Derived),
    k(
        "precision",
        Kind::Word(&["fp32", "fp16", "bf16", "mixed", "fp64"]),
        Is("\"fp32\""),
    ),
    k("loss_scale", Kind::LossScale, Is("1024.0")),
    k("max_corrupt", Kind::Int(0), Is("0")),
    // Of a detection only; the numbers are the released code's (see crate::transfer).
    k("detect.short_side", Kind::Int(32), Is("600")),
    k("detect.max_side", Kind::Int(32), Is("1000")),
    k("detect.anchor_base", Kind::Int(1), Is("16")),
    k(
        "detect.anchor_scales",
        Kind::Numbers(None),
        Is("[2, 4, 8, 16, 32]"),
    ),
    k(
        "detect.anchor_ratios",
        Kind::Numbers(None),
        Is("[0.5, 1, 2]"),
    ),
    k("detect.rpn_channels", Kind::Int(1), Is("1024")),
    k("detect.rpn_batch", Kind::Int(1), Is("256")),
    k("detect.rpn_positive", Kind::Number(0.0, 1.0), Is("0.5")),
    k("detect.rpn_positive_iou", Kind::Number(0.0, 1.0), Is("0.7")),
    k("detect.rpn_negative_iou", Kind::Number(0.0, 1.0), Is("0.3")),
    k(
        "detect.proposals_before_nms",
        Kind::IntPair,
        Is("[12000, 6000]"),
    ),
    k("detect.proposals", Kind::IntPair, Is("[2000, 300]")),
    k("detect.proposal_nms", Kind::Number(0.0, 1.0), Is("0.7")),
    k("detect.proposal_min_size", Kind::Int(0), Is("16")),
    k("detect.roi_size", Kind::Int(1), Is("14")),
    k("detect.roi_sampling", Kind::Int(1), Is("2")),
    k("detect.roi_batch", Kind::Int(1), Is("128")),
    k("detect.roi_positive", Kind::Number(0.0, 1.0), Is("0.25")),
    k("detect.roi_positive_iou", Kind::Number(0.0, 1.0), Is("0.5")),
    k(
        "detect.box_stds",
        Kind::Numbers(Some(4)),
        Is("[0.1, 0.1, 0.2, 0.2]"),
    ),
    k(
        "detect.rpn_huber",
        Kind::Positive(1e3),
        Is("0.1111111111111111"),
    ),
    k("detect.roi_huber", Kind::Positive(1e3), Is("1.0")),
    k("detect.score", Kind::Number(0.0, 1.0), Is("0.01")),
    k("detect.nms", Kind::Number(0.0, 1.0), Is("0.3")),
    k("detect.nms_top", Kind::Int(1), Is("400")),
    k("detect.frozen", Kind::Int(0), Is("2")),
    k("detect.freeze_bn", Kind::Bool, Is("true")),
    // Of a segmentation only.
    k("segment.base_size", Kind::Int(16), Is("520")),
    k("segment.crop_size", Kind::Int(16), Is("480")),
    k("segment.scale", Kind::Range(100.0), Is("[0.5, 2.0]")),
    k("segment.blur", Kind::Number(0.0, 1.0), Is("0.5")),
    k("segment.blur_radius", Kind::Number(0.0, 100.0), Is("1.0")),
    k("segment.output_stride", Kind::Int(1), Is("8")),
    k("segment.head_dropout", Kind::Number(0.0, 0.95), Is("0.1")),
    k("segment.aux_weight", Kind::Number(0.0, 1e3), Is("0.5")),
    k("segment.head_lr_factor", Kind::Positive(1e6), Is("10.0")),
    k(
        "segment.evaluate",
        Kind::Word(&["crop", "whole"]),
        Is("\"crop\""),
    ),
    k(
        "segment.ms_scales",
        Kind::NumbersOrNone,
        Is("[0.5, 0.75, 1, 1.25, 1.5, 1.75]"),
    ),
    k("segment.ms_flip", Kind::Bool, Is("true")),
    k(
        "segment.ms_stride",
        Kind::Positive(1.0),
        Is("0.6666666666666666"),
    ),
];

/// Sub-tables of a recipe whose keys merge one by one.
pub const TABLES: &[&str] = &["augment", "distill", "detect", "segment"];

/// The key of that dotted path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path == path)
}

/// What is wrong with that path, and the nearest one.
pub fn unknown(path: &str) -> String {
    format!(
        "unknown recipe key \"{path}\"; {}",
        nearest(path, KEYS.iter().map(|k| k.path))
    )
}

impl Key {
    /// The default as a TOML value, where it is a fixed one.
    pub fn default_value(&self) -> Option<Value> {
        let Is(text) = self.default else { return None };
        self.value_of(text)
    }

    /// A default's text as the value that [`Key::check`] makes of it.
    pub(crate) fn value_of(&self, text: &str) -> Option<Value> {
        let table: toml::Table = format!("x = {text}").parse().ok()?;
        self.check(table.get("x")?).ok()?
    }

    /// Checks a value and brings it to its one form: whole numbers where numbers are wanted become
    /// floats, `"all"` and `"none"` become absent (`Ok(None)`).
    pub fn check(&self, value: &Value) -> Result<Option<Value>, String> {
        let path = self.path;
        let wrong = |what: &str| Err(format!("{path} = {}: must be {what}", shown(value)));
        match self.kind {
            Kind::Word(words) => match value.as_str() {
                Some(word) if words.contains(&word) => keep(value),
                Some(word) => Err(format!(
                    "{path} = \"{word}\": {}",
                    nearest(word, words.iter().copied())
                )),
                None => wrong(&format!("one of {}", quoted(words))),
            },
            Kind::Model => match value.as_str() {
                Some(name) => model::find(name)
                    .map_err(|e| e.message)
                    .and_then(|_| keep(value)),
                None => wrong("the name of a model (runner list --models)"),
            },
            Kind::Dataset => match value.as_str() {
                Some("") | None => wrong(
                    "the name of a dataset (runner list --datasets) or tensors:FILE.safetensors",
                ),
                Some(_) => keep(value),
            },
            Kind::Int(least) => match value.as_integer() {
                Some(n) if n >= least => keep(value),
                _ => wrong(&format!("a whole number of at least {least}")),
            },
            Kind::IntOrAll(least) => match (value.as_integer(), value.as_str()) {
                (Some(n), _) if n >= least => keep(value),
                (_, Some("all")) => Ok(None),
                _ => wrong(&format!("a whole number of at least {least}, or \"all\"")),
            },
            Kind::Number(low, high) => match number(value) {
                Some(x) if (low..=high).contains(&x) => Ok(Some(Value::Float(x))),
                _ => wrong(&format!("a number from {low} to {high}")),
            },
            Kind::NumberOrNone => match (number(value), value.as_str()) {
                (Some(x), _) if x > 0.0 => Ok(Some(Value::Float(x))),
                (_, Some("none")) => Ok(None),
                _ => wrong("a number above 0, or \"none\""),
            },
            Kind::Positive(most) => match number(value) {
                Some(x) if x > 0.0 && x <= most => Ok(Some(Value::Float(x))),
                _ => wrong(&format!("a number above 0 and at most {most}")),
            },
            Kind::Bool => match value.as_bool() {
                Some(_) => keep(value),
                None => wrong("true or false"),
            },
            Kind::Path => match value.as_str() {
                Some("none") => Ok(None),
                Some(text) if !text.is_empty() => keep(value),
                _ => wrong("the path of a file"),
            },
            Kind::Range(most) => {
                let pair: Option<Vec<f64>> = value
                    .as_array()
                    .and_then(|a| a.iter().map(number).collect());
                match pair.as_deref() {
                    Some([low, high]) if 0.0 < *low && low <= high && *high <= most => {
                        Ok(Some(Value::Array(vec![
                            Value::Float(*low),
                            Value::Float(*high),
                        ])))
                    }
                    _ => wrong(&format!(
                        "two numbers [low, high] with 0 < low <= high <= {most}"
                    )),
                }
            }
            Kind::Ints => match value.as_array() {
                Some(a)
                    if !a.is_empty()
                        && a.iter().all(|v| v.as_integer().is_some_and(|n| n >= 1)) =>
                {
                    keep(value)
                }
                _ => wrong("a list of whole numbers of at least 1, for example [3, 4, 6, 3]"),
            },
            Kind::IntPair => match value.as_array().map(Vec::as_slice) {
                Some([a, b])
                    if [a, b]
                        .iter()
                        .all(|v| v.as_integer().is_some_and(|n| n >= 1)) =>
                {
                    keep(value)
                }
                _ => wrong("two whole numbers of at least 1, [training, evaluation]"),
            },
            Kind::Numbers(_) | Kind::NumbersOrNone => {
                let list: Option<Vec<f64>> = value
                    .as_array()
                    .and_then(|a| a.iter().map(number).collect());
                let (fits, what) = match self.kind {
                    Kind::Numbers(Some(n)) => (
                        list.as_ref().is_some_and(|l| l.len() == n),
                        if n == 4 {
                            "four numbers above 0"
                        } else {
                            "numbers above 0, as many as its default has"
                        },
                    ),
                    Kind::Numbers(None) => (
                        list.as_ref().is_some_and(|l| !l.is_empty()),
                        "a list of numbers above 0",
                    ),
                    _ => (list.is_some(), "a list of numbers above 0, or []"),
                };
                match list {
                    Some(list) if fits && list.iter().all(|x| *x > 0.0) => Ok(Some(Value::Array(
                        list.into_iter().map(Value::Float).collect(),
                    ))),
                    _ => wrong(what),
                }
            }
            Kind::Schedule => {
                let value = floats(value);
                match as_type::<Schedule>(&value) {
                    Ok(Schedule::Step { milestones, gamma })
                        if milestones.iter().any(|m| *m < 0.0) || !(0.0..=1.0).contains(&gamma) =>
                    {
                        wrong("a step schedule with milestones of at least 0 and gamma from 0 to 1")
                    }
                    Ok(_) => Ok(Some(value)),
                    Err(e) => Err(format!(
                        "{path}: {e}; for example {{ kind = \"step\", milestones = [30, 60, 90], gamma = 0.1 }}, \
                         {{ kind = \"cosine\" }} or {{ kind = \"poly\", power = 0.9 }}"
                    )),
                }
            }
            Kind::Init => match as_type::<Init>(value) {
                Ok(_) => keep(value),
                Err(_) => Err(format!(
                    "{path} = {}: must be \"xavier\", \"msra\", a file, {SOURCE_FORM}",
                    shown(value)
                )),
            },
            Kind::Source => match as_type::<Source>(value) {
                Ok(_) => keep(value),
                Err(_) => Err(format!("{path} = {}: must be {SOURCE_FORM}", shown(value))),
            },
            Kind::LossScale => match as_type::<LossScale>(value) {
                Ok(LossScale::Static(x)) if x > 0.0 => Ok(Some(Value::Float(x))),
                Ok(LossScale::Dynamic(_)) => keep(value),
                _ => wrong("a number above 0, or \"dynamic\""),
            },
        }
    }
}

const SOURCE_FORM: &str = "a run { experiment, row, column, seed = 1 or \"same\", checkpoint = \"best\" or \"last\" } \
                           or a file { weights = FILE, model = NAME }";

fn keep(value: &Value) -> Result<Option<Value>, String> {
    Ok(Some(value.clone()))
}

fn as_type<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| e.message().to_owned())
}

/// A number, whole or not.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Float(x) if x.is_finite() => Some(*x),
        _ => None,
    }
}

/// Whole numbers below as floats, so that 30 and 30.0 are one schedule.
fn floats(value: &Value) -> Value {
    match value {
        Value::Integer(n) => Value::Float(*n as f64),
        Value::Array(a) => Value::Array(a.iter().map(floats).collect()),
        Value::Table(t) => Value::Table(t.iter().map(|(k, v)| (k.clone(), floats(v))).collect()),
        other => other.clone(),
    }
}

/// A value on one line.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Table(t) => {
            let inside: Vec<String> = t
                .iter()
                .map(|(k, v)| format!("{k} = {}", shown(v)))
                .collect();
            format!("{{ {} }}", inside.join(", "))
        }
        Value::Array(a) => format!("[{}]", a.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::String(s) => format!("\"{s}\""),
        Value::Float(x) => x.to_string(),
        other => other.to_string(),
    }
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|w| format!("\"{w}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Nearest catalogue name of an unknown dataset, for error messages.
pub fn unknown_dataset(name: &str) -> String {
    format!(
        "unknown dataset \"{name}\"; {}",
        nearest(name, dataset::DATASETS.iter().map(|d| d.name))
    )
}
