//! From the keys that were set to a whole recipe: defaults, those that depend on other keys, and what single
//! keys cannot tell.

use toml::{Table, Value};

use super::draft::{Draft, Layer};
use super::{Settled, Settlement};
use crate::keys::{self, KEYS};
use crate::recipe::{self, Recipe};
use crate::{model, transfer};

pub(super) fn finish(mut draft: Draft) -> Result<Settlement, String> {
    fill_defaults(&mut draft)?;
    let recipe = to_recipe(&draft)?;
    check(&recipe)?;
    let keys = KEYS
        .iter()
        .filter_map(|key| {
            let layers = draft.0.get(key.path)?;
            let shown = |l: &Layer| {
                l.value
                    .as_ref()
                    .map_or_else(|| "none".to_owned(), keys::shown)
            };
            let (last, before) = layers.split_last()?;
            Some(Settled {
                key: key.path,
                value: shown(last),
                from: last.from.clone(),
                refinement: last.refinement,
                overrode: before.iter().map(|l| (shown(l), l.from.clone())).collect(),
            })
        })
        .collect();
    Ok(Settlement { recipe, keys })
}

/// Puts a `default` layer under every key, so that the story of a key starts at its default.
fn fill_defaults(draft: &mut Draft) -> Result<(), String> {
    let distilled = draft.get("distill.teacher").is_some();
    let task = draft.task();
    let gluoncv = draft.str("variant") == Some("gluoncv");
    for key in KEYS {
        if let Some((owner, word)) = transfer::owner(key.path)
            && owner != task
        {
            if draft.is_set(key.path) {
                return Err(format!(
                    "{} is set, but task = \"{}\"; set task = \"{word}\", or take it out",
                    key.path,
                    draft.str("task").unwrap_or("classify")
                ));
            }
            continue;
        }
        if key.path.starts_with("distill.") && !distilled {
            if draft.get(key.path).is_some() {
                return Err(format!(
                    "{} is set, but distill.teacher is not: name the teacher",
                    key.path
                ));
            }
            continue;
        }
        let value = match (transfer::default(task, key.path, gluoncv), key.default) {
            (Some(text), _) => key.value_of(text),
            (None, keys::Default::Is(_)) => key.default_value(),
            (None, keys::Default::Absent) => None,
            (None, keys::Default::Derived) => derived(key.path, draft)?,
        };
        if value.is_none() && draft.is_set(key.path) {
            continue;
        }
        let layer = Layer {
            value,
            from: "default".into(),
            refinement: None,
        };
        draft.0.entry(key.path).or_default().insert(0, layer);
    }
    Ok(())
}

/// Defaults that depend on other keys: the model's, the input size's, the variant's (recipes.md
/// section 8). Keys come in the order of [`KEYS`], so `model` is there already; `variant` may not be.
fn derived(path: &str, draft: &Draft) -> Result<Option<Value>, String> {
    let info = model::find(draft.str("model").unwrap_or("resnet50")).map_err(|e| e.message)?;
    let gluoncv = draft.str("variant") == Some("gluoncv");
    Ok(match path {
        "depths" if info.depths.is_empty() => None,
        "depths" => Some(Value::Array(
            info.depths
                .iter()
                .map(|d| Value::Integer(i64::from(*d)))
                .collect(),
        )),
        "dropout" => Some(Value::Float(info.dropout)),
        // Images of a detection or segmentation have a size of the task's own. Its sub-table's default
        // comes after this key in the order of KEYS.
        "input_size" | "augment.resize_short" if draft.task() != recipe::Task::Classify => {
            let path = match draft.task() {
                recipe::Task::Detect => "detect.short_side",
                _ => "segment.crop_size",
            };
            let own = draft.get(path).cloned();
            own.or_else(|| keys::find(path)?.default_value())
        }
        "input_size" => Some(Value::Integer(i64::from(info.input_size))),
        "augment.resize_short" => {
            let size = draft
                .get("input_size")
                .and_then(Value::as_integer)
                .unwrap_or(224);
            Some(Value::Integer((size as f64 / 0.875).ceil() as i64))
        }
        "augment.hue" => Some(Value::Float(if gluoncv { 0.0 } else { 0.4 })),
        "augment.contrast" => Some(Value::Float(if gluoncv { 0.4 } else { 0.0 })),
        "init" => Some(Value::String(
            if gluoncv { "msra" } else { "xavier" }.to_owned(),
        )),
        "distill.soft_weight" | "distill.hard_weight" => {
            Some(Value::Float(if gluoncv { 0.5 } else { 1.0 }))
        }
        _ => None,
    })
}

fn to_recipe(draft: &Draft) -> Result<Recipe, String> {
    let mut table = Table::new();
    for key in KEYS {
        let Some(value) = draft.get(key.path) else {
            continue;
        };
        match key.path.split_once('.') {
            None => {
                table.insert(key.path.to_owned(), value.clone());
            }
            Some((outer, inner)) => {
                let entry = table
                    .entry(outer.to_owned())
                    .or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(t) = entry {
                    t.insert(inner.to_owned(), value.clone());
                }
            }
        }
    }
    Value::Table(table)
        .try_into::<Recipe>()
        .map_err(|e| e.message().to_owned())
}

/// What single keys cannot tell.
fn check(r: &Recipe) -> Result<(), String> {
    if !r.batch_size.is_multiple_of(r.replicas) {
        return Err(format!(
            "batch_size = {} cannot be cut into replicas = {} equal slices; choose a multiple",
            r.batch_size, r.replicas
        ));
    }
    if r.warmup_epochs > f64::from(r.epochs) {
        return Err(format!(
            "warmup_epochs = {} is longer than epochs = {}; a profile with fewer epochs sets [profile.P.refinement.warmup] epochs",
            r.warmup_epochs, r.epochs
        ));
    }
    if let Some(n) = r.train_subset
        && n < u64::from(r.batch_size)
    {
        return Err(format!(
            "train_subset = {n} is smaller than one batch of {}",
            r.batch_size
        ));
    }
    if r.augment.resize_short < r.input_size {
        return Err(format!(
            "augment.resize_short = {} is smaller than input_size = {}; the centre crop would not fit",
            r.augment.resize_short, r.input_size
        ));
    }
    if r.depths.is_some() && model::find(&r.model).is_ok_and(|m| m.depths.is_empty()) {
        return Err(format!(
            "depths is set, but {} has no stages; leave it out",
            r.model
        ));
    }
    model::Model::of_recipe(r, 2).map_err(|e| e.message)?;
    transfer::check(r)
}
