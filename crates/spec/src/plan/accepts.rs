//! Do a recipe's network and its teacher accept images of the recipe's size?

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
