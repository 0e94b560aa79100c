//! What a profile narrows, as one paragraph: it stands wherever its numbers are shown.
//!
//! The recipes that the plan trains are laid beside those of the file as written, so that nothing
//! is narrowed silently: every recipe key that differs is named.

use rungs_spec::dataset;
use rungs_spec::plan::Plan;
use rungs_spec::recipe::{Augment, Recipe, Schedule};

use crate::format::grouped;

/// What a profile narrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// Dataset, images, epochs and model; which batch sizes stand for which.
    pub trained: String,
    /// Every other key that differs from the file as written, as `lr 0.8 instead of 0.1`.
    pub differences: Vec<String>,
    /// Where half precision is emulated; what cannot be compared. Sentences.
    pub remarks: Vec<String>,
}

/// [`Narrowed`] as one paragraph.
pub fn profile_note(plan: &Plan) -> String {
    let Narrowed {
        trained,
        differences,
        remarks,
    } = narrowed(plan);
    let mut sentences = vec![trained];
    if !differences.is_empty() {
        let others = differences.join(", ");
        sentences.push(format!("Beside the file as written: {others}."));
    }
    sentences.extend(remarks);
    sentences.join(" ")
}

/// What the plan's profile narrows.
pub fn narrowed(plan: &Plan) -> Narrowed {
    let pairs = pairs(plan);
    if pairs.is_empty() {
        let drawn = plan
            .experiment
            .figure
            .as_ref()
            .is_some_and(|f| !f.models.is_empty());
        let trained = if drawn {
            "A block diagram, drawn from the models' own layers: nothing is trained."
        } else {
            "Paper values only: nothing is trained."
        };
        return Narrowed {
            trained: trained.to_owned(),
            differences: Vec::new(),
            remarks: Vec::new(),
        };
    }
    let mut trained = what_is_trained(&pairs);
    if let Some(batches) = batch_sizes(&pairs) {
        trained.push_str("; ");
        trained.push_str(&batches);
    }
    let mut remarks = Vec::new();
    let emulated: Vec<&str> = plan
        .experiment
        .rows
        .iter()
        .filter(|row| plan.cells.iter().any(|c| c.row == row.id && c.emulated))
        .map(|row| row.label.as_str())
        .collect();
    if !emulated.is_empty() {
        remarks.push(format!(
            "Half precision is emulated on this CPU in: {}.",
            emulated.join(", ")
        ));
    }
    let other_data: Vec<String> = distinct(&pairs, |(ours, written)| {
        (ours.dataset != written.dataset).then(|| dataset_title(&written.dataset))
    });
    if !other_data.is_empty() {
        let theirs = other_data.join(" and ");
        remarks.push(format!(
            "Absolute values cannot match the paper's {theirs}; the sign of each step can."
        ));
    }
    Narrowed {
        trained: trained + ".",
        differences: differences(&pairs),
        remarks,
    }
}

/// A model's name as the paper writes it.
pub fn model_title(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("resnet") {
        let digits = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        return match &rest[digits.len()..] {
            "" => format!("ResNet-{digits} v1"),
            letter => format!("ResNet-{digits}-{}", letter.to_uppercase()),
        };
    }
    match name {
        "inception-v3" => "Inception-V3".to_owned(),
        "mobilenet" => "MobileNet".to_owned(),
        other => other.to_owned(),
    }
}

/// A dataset's title, or its name where it is not in the catalogue.
pub fn dataset_title(name: &str) -> String {
    dataset::find(name).map_or_else(|| name.to_owned(), |d| d.title.to_owned())
}

/// Each cell's recipe and the one of the file as written (itself where that does not settle).
type Pair = (Recipe, Recipe);

fn pairs(plan: &Plan) -> Vec<Pair> {
    let experiment = &*plan.experiment;
    let written = |row: &str, column: &str| {
        let (row, column) = (experiment.row(row)?, experiment.column(column)?);
        let settled = experiment.settled(None, row, column).ok()?;
        Some(settled.recipe.clone())
    };
    plan.cells
        .iter()
        .map(|c| {
            (
                c.recipe.clone(),
                written(&c.row, &c.column).unwrap_or_else(|| c.recipe.clone()),
            )
        })
        .collect()
}

/// Distinct values in order of appearance.
fn distinct<T: PartialEq>(pairs: &[Pair], value: impl Fn(&Pair) -> Option<T>) -> Vec<T> {
    let mut seen = Vec::new();
    for found in pairs.iter().filter_map(value) {
        if !seen.contains(&found) {
            seen.push(found);
        }
    }
    seen
}

fn words<T: ToString>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    match texts.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => texts.concat(),
    }
}

fn what_is_trained(pairs: &[Pair]) -> String {
    let mut parts = vec![words(&distinct(pairs, |(r, _)| {
        Some(dataset_title(&r.dataset))
    }))];
    let images = distinct(pairs, |(r, _)| {
        r.train_subset
            .or_else(|| Some(dataset::find(&r.dataset)?.train))
    });
    if !images.is_empty() {
        parts.push(format!(
            "{} images",
            words(&images.iter().map(|n| grouped(*n)).collect::<Vec<_>>())
        ));
    }
    let val = distinct(pairs, |(r, w)| {
        r.val_subset.filter(|_| r.val_subset != w.val_subset)
    });
    if !val.is_empty() {
        parts.push(format!(
            "{} of them held for evaluation",
            words(&val.iter().map(|n| grouped(*n)).collect::<Vec<_>>())
        ));
    }
    let epochs = distinct(pairs, |(r, _)| Some(r.epochs));
    parts.push(format!(
        "{} epoch{}",
        words(&epochs),
        if epochs == [1] { "" } else { "s" }
    ));
    parts.push(words(&distinct(pairs, |(r, _)| Some(model(r)))));
    parts.join(", ")
}

/// `ResNet-50 v1 at width 0.25, depth 1-1-1-1`: only what is not as published.
fn model(recipe: &Recipe) -> String {
    let published = rungs_spec::model::find(&recipe.model).ok();
    let mut shape = Vec::new();
    if recipe.width != 1.0 {
        shape.push(format!("width {}", recipe.width));
    }
    if let Some(depths) = recipe
        .depths
        .as_ref()
        .filter(|d| published.is_none_or(|p| p.depths != d.as_slice()))
    {
        let text: Vec<String> = depths.iter().map(u32::to_string).collect();
        shape.push(format!("depth {}", text.join("-")));
    }
    let title = model_title(&recipe.model);
    if shape.is_empty() {
        title
    } else {
        format!("{title} at {}", shape.join(", "))
    }
}

fn batch_sizes(pairs: &[Pair]) -> Option<String> {
    let differing = distinct(pairs, |(r, w)| {
        (r.batch_size != w.batch_size).then_some((r.batch_size, w.batch_size))
    });
    let (ours, theirs): (Vec<u32>, Vec<u32>) = differing.iter().copied().unzip();
    let (s, stand) = if ours.len() == 1 {
        ("", "stands")
    } else {
        ("s", "stand")
    };
    (!ours.is_empty()).then(|| {
        format!(
            "batch size{s} {} {stand} for {}",
            words(&ours),
            words(&theirs)
        )
    })
}

/// Every other key that differs from the file as written, as `key ours (theirs)`.
fn differences(pairs: &[Pair]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (ours, theirs) in pairs {
        for (key, ours, theirs) in changed(ours, theirs) {
            let text = format!("{key} {ours} instead of {theirs}");
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    found
}

/// (key, ours, theirs) of every key that [`what_is_trained`] and [`batch_sizes`] do not say.
fn changed(ours: &Recipe, theirs: &Recipe) -> Vec<(String, String, String)> {
    // No `..`: a new recipe field must be placed here.
    let Recipe {
        task,
        model: _,
        depths: _,
        width: _,
        dropout,
        input_size,
        dataset: _,
        train_subset: _,
        val_subset: _,
        epochs: _,
        batch_size: _,
        clip,
        replicas,
        augment,
        init,
        variant,
        lr,
        lr_scaling,
        warmup_epochs,
        warmup_from,
        schedule,
        momentum,
        nesterov,
        weight_decay,
        decay,
        zero_gamma,
        label_smoothing,
        mixup_alpha,
        mixup_lambdas,
        distill,
        precision,
        loss_scale,
        max_corrupt: _,
        detect,
        segment,
    } = ours;
    let mut out = Vec::new();
    let mut put = |key: &str, same: bool, ours: String, theirs: String| {
        if !same {
            out.push((key.to_owned(), ours, theirs));
        }
    };
    macro_rules! word {
        ($theirs:expr; $($key:literal: $field:ident),* $(,)?) => {
            $(put($key, *$field == $theirs.$field, json($field), json(&$theirs.$field));)*
        };
    }
    put(
        "input size",
        *input_size == theirs.input_size,
        format!("{input_size} px"),
        format!("{} px", theirs.input_size),
    );
    put(
        "schedule",
        schedule == &theirs.schedule,
        schedule_text(schedule),
        schedule_text(&theirs.schedule),
    );
    word! { theirs;
        "warmup epochs": warmup_epochs, "warmup from": warmup_from, "lr": lr, "lr scaling": lr_scaling,
        "replicas": replicas, "precision": precision, "loss scale": loss_scale, "weight decay": weight_decay,
        "decay of": decay, "momentum": momentum, "nesterov": nesterov, "zero gamma": zero_gamma,
        "label smoothing": label_smoothing, "mixup alpha": mixup_alpha, "mixup lambdas": mixup_lambdas,
        "dropout": dropout, "clip": clip, "init": init, "variant": variant, "task": task,
    }
    let Augment {
        crop_area,
        crop_ratio,
        flip,
        hue,
        saturation,
        brightness,
        contrast,
        pca_std,
        antialias,
        resize_short,
    } = augment;
    word! { theirs.augment;
        "crop area": crop_area, "crop ratio": crop_ratio, "flip": flip, "hue": hue, "saturation": saturation,
        "brightness": brightness, "contrast": contrast, "PCA noise": pca_std, "antialias": antialias,
        "evaluation resize": resize_short,
    }
    if distill.is_some() == theirs.distill.is_some() {
        out.extend(of_sub_table("distillation", distill, &theirs.distill));
    } else {
        let word = |some: bool| if some { "on" } else { "off" }.to_owned();
        let (ours, theirs) = (word(distill.is_some()), word(theirs.distill.is_some()));
        out.push(("distillation".to_owned(), ours, theirs));
    }
    out.extend(of_sub_table("detect", detect, &theirs.detect));
    out.extend(of_sub_table("segment", segment, &theirs.segment));
    out
}

/// As [`changed`], of the keys of a task's sub-table; nothing where one of the two has none, which the
/// task says already.
fn of_sub_table<T: serde::Serialize>(
    name: &str,
    ours: &Option<T>,
    theirs: &Option<T>,
) -> Vec<(String, String, String)> {
    let value = |table| match serde_json::to_value(table) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let theirs = value(theirs);
    let pairs = value(ours).into_iter().filter_map(|(key, ours)| {
        let theirs = theirs.get(&key).filter(|theirs| **theirs != ours)?;
        Some((format!("{name}.{key}"), json(&ours), json(theirs)))
    });
    pairs.collect()
}

fn json<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Null) => "none".to_owned(),
        Ok(serde_json::Value::Number(n)) => {
            n.as_f64().map_or_else(|| n.to_string(), |v| v.to_string())
        }
        Ok(serde_json::Value::Array(items)) if items.len() == 2 => {
            format!("{} to {}", json(&items[0]), json(&items[1]))
        }
        Ok(other) => other.to_string().replace(',', ", ").replace('"', ""),
        Err(_) => "?".to_owned(),
    }
}

fn schedule_text(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Step { milestones, gamma } => {
            format!("\u{d7}{gamma} at epochs {}", words(milestones))
        }
        Schedule::Cosine => "cosine".to_owned(),
        Schedule::Poly { power } => format!("polynomial of power {power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn everything_that_quick_narrows_is_named() {
        insta::assert_snapshot!(profile_note(&fixtures::plan("quick", 1)));
    }

    #[test]
    fn of_a_sub_table_only_what_differs_is_named() {
        let plan = fixtures::plan("quick", 1);
        let (ours, theirs) = pairs(&plan).remove(0);
        let distill = |weight: f64| {
            let teacher = serde_json::json!({"experiment": "teachers", "row": "plain", "column": "resnet152d"});
            let value = serde_json::json!({
                "teacher": teacher, "temperature": 20.0, "soft_weight": weight, "hard_weight": 1.0,
            });
            serde_json::from_value(value).expect("a distillation")
        };
        let with = |recipe: &Recipe, distill| Recipe {
            distill,
            ..recipe.clone()
        };
        let said = |ours, theirs| -> Vec<String> {
            let all = differences(&[(ours, theirs)]);
            all.into_iter()
                .filter(|text| text.starts_with("distill"))
                .collect()
        };
        assert_eq!(
            said(
                with(&ours, Some(distill(0.1))),
                with(&theirs, Some(distill(1.0)))
            ),
            ["distillation.soft_weight 0.1 instead of 1"]
        );
        assert_eq!(
            said(with(&ours, None), with(&theirs, Some(distill(1.0)))),
            ["distillation off instead of on"]
        );
        assert!(said(with(&ours, None), with(&theirs, None)).is_empty());
    }

    #[test]
    fn the_papers_profile_narrows_nothing() {
        assert_eq!(
            profile_note(&fixtures::plan("paper", 1)),
            "ImageNet (ILSVRC 2012), 1,281,167 images, 120 epochs, ResNet-50 v1. Half precision is emulated on this \
             CPU in: + FP16."
        );
    }

    #[test]
    fn models_are_called_as_in_the_paper() {
        assert_eq!(model_title("resnet152d"), "ResNet-152-D");
        assert_eq!(model_title("inception-v3"), "Inception-V3");
    }
}
