//! Do a recipe's network, its dataset, its teacher and its backbone fit together?

use crate::dataset;
use crate::error::SpecError;
use crate::model::{Model, too_small};
use crate::recipe::{Recipe, Source, Task, Variant};

/// An error that names the layer which the images are too small for.
pub fn images(recipe: &Recipe) -> Result<(), SpecError> {
    // Detection and segmentation read images of many sizes.
    if recipe.task != Task::Classify {
        return Ok(());
    }
    check(&Model::of_recipe(recipe, 1000)?, recipe.input_size, "model")?;
    if let Some(distill) = &recipe.distill
        && let Source::File(file) = &distill.teacher
    {
        let teacher = Model::published(&file.model, Variant::Paper)?;
        check(&teacher, recipe.input_size, "distill.teacher")?;
    }
    Ok(())
}

/// A dataset of the catalogue has what the task learns from: labels, boxes or masks.
pub fn dataset(recipe: &Recipe) -> Result<(), SpecError> {
    let Some(data) = dataset::find(&recipe.dataset) else {
        return Ok(());
    };
    if data.tasks.contains(&recipe.task) {
        return Ok(());
    }
    let fitting = dataset::DATASETS
        .iter()
        .filter(|d| d.tasks.contains(&recipe.task));
    let names: Vec<&str> = fitting.map(|d| d.name).collect();
    Err(SpecError::new(format!(
        "dataset \"{}\" has no {}; choose {} or one of your own (runner data add)",
        recipe.dataset,
        recipe.task.learned_from(),
        names.join(", ")
    )))
}

/// The run that an `init` edge names has the shape of the network that starts from its weights.
pub fn as_backbone(source: &Recipe, recipe: &Recipe) -> Result<(), SpecError> {
    let differs = [
        (source.model != recipe.model)
            .then(|| ("model", source.model.clone(), recipe.model.clone())),
        (source.depths != recipe.depths).then(|| ("depths", shown(source), shown(recipe))),
        (source.width != recipe.width)
            .then(|| ("width", source.width.to_string(), recipe.width.to_string())),
    ];
    match differs.into_iter().flatten().next() {
        None => Ok(()),
        Some((key, theirs, ours)) => Err(SpecError::new(format!(
            "init: the run that the weights come from has {key} = {theirs}, this one {key} = {ours}; give both the same {key}"
        ))),
    }
}

fn shown(recipe: &Recipe) -> String {
    recipe
        .depths
        .as_ref()
        .map_or_else(|| "none".to_owned(), |depths| format!("{depths:?}"))
}

/// As [`images`], for a teacher that another run trains.
pub fn as_teacher(teacher: &Recipe, student: &Recipe) -> Result<(), SpecError> {
    let model = Model::of_recipe(teacher, 1000)?;
    check(&model, student.input_size, "distill.teacher")
}

fn check(model: &Model, size: u32, key: &str) -> Result<(), SpecError> {
    match too_small(model, size) {
        Some(why) => Err(SpecError::new(format!("{key}: {why}, or another {key}"))),
        None => Ok(()),
    }
}
