//! How long does a run take here? From the runs that this home has finished.

use std::collections::HashMap;

use rungs_spec::recipe::Recipe;
use rungs_spec::result::{RunResult, RunState};
use rungs_spec::{dataset, model};

use crate::stats::mean::median;

/// What finished runs took, per unit of work.
///
/// The unit is one multiply-accumulate of a training image; where the model's are not known, one
/// input pixel. Runs of the same model, shape and precision speak first.
#[derive(Debug, Clone, Default)]
pub struct History {
    alike: HashMap<String, Vec<f64>>,
    all: Vec<f64>,
}

impl History {
    /// Of all finished runs among these.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a RunResult>) -> Self {
        let mut history = History::default();
        for run in results.into_iter().filter(|r| r.state == RunState::Done) {
            let seconds: f64 = run.finished.iter().flat_map(|f| &f.epoch_seconds).sum();
            let work = run.progress.steps as f64
                * f64::from(run.recipe.batch_size)
                * per_image(&run.recipe);
            if seconds > 0.0 && work > 0.0 {
                history
                    .alike
                    .entry(likeness(&run.recipe))
                    .or_default()
                    .push(seconds / work);
                history.all.push(seconds / work);
            }
        }
        history
    }

    /// Seconds of a whole run of this recipe; `None` without history, or where the size of its
    /// dataset is not known.
    pub fn estimate(&self, recipe: &Recipe) -> Option<f64> {
        let images = recipe
            .train_subset
            .or_else(|| Some(dataset::find(&recipe.dataset)?.train))?;
        let seen = recipe.steps_per_epoch(images)
            * u64::from(recipe.batch_size)
            * u64::from(recipe.epochs);
        let cost = median(self.alike.get(&likeness(recipe)).unwrap_or(&self.all))?;
        Some(cost * seen as f64 * per_image(recipe))
    }
}

fn likeness(r: &Recipe) -> String {
    format!(
        "{} {:?} {} {} {:?} {}",
        r.model, r.depths, r.width, r.input_size, r.precision, r.dataset
    )
}

/// Work of one training image.
fn per_image(recipe: &Recipe) -> f64 {
    let classes = dataset::find(&recipe.dataset).map_or(1000, |d| d.classes);
    match model::Model::of_recipe(recipe, classes) {
        Ok(network) => model::counts(&network, recipe.input_size).macs as f64,
        Err(_) => f64::from(recipe.input_size).powi(2),
    }
}
