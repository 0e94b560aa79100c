//! Reads a recipe from a file that a person wrote or a runner left: `recipe.json` of a run, a bare
//! recipe, or only some of its keys in TOML or JSON.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rungs_data::Split;
use rungs_spec::Recipe;
use rungs_spec::protocol::RunFile;

/// The recipe, and where its dataset lies if the file says so.
pub fn read(file: &Path) -> anyhow::Result<(Recipe, Option<PathBuf>)> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot be read", file.display()))?;
    let name = file.display().to_string();
    if let Ok(run) = serde_json::from_str::<RunFile>(&text) {
        return Ok((run.recipe, run.dataset.path));
    }
    if let Ok(recipe) = serde_json::from_str::<Recipe>(&text) {
        return Ok((recipe, None));
    }
    let table: toml::Table = match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(
        &text,
    ) {
        Ok(mut map) => {
            // A run's envelope whose recipe is partial.
            let inner = match map.remove("recipe") {
                Some(serde_json::Value::Object(inner)) => inner,
                Some(_) | None => map,
            };
            let kept = inner.into_iter().filter(|(_, value)| !value.is_null());
            toml::Table::try_from(kept.collect::<serde_json::Map<_, _>>())
                .with_context(|| format!("{name}: is not a table of recipe keys"))?
        }
        Err(json) => toml::from_str(&text).map_err(|error| {
            anyhow::anyhow!(
                "{name}: is neither JSON ({json}) nor TOML: {error}; write recipe keys, one a line"
            )
        })?,
    };
    let recipe = rungs_spec::settle::complete(&table).map_err(|error| error.in_file(&name))?;
    Ok((recipe, None))
}

/// Images of the training split: the catalogue knows them without the data.
pub fn train_images(recipe: &Recipe, path: Option<&Path>) -> anyhow::Result<u64> {
    let all = match rungs_spec::dataset::find(&recipe.dataset) {
        Some(dataset) => dataset.train,
        None => rungs_data::open(&recipe.dataset, path, Split::Train)?.len() as u64,
    };
    Ok(recipe.train_subset.map_or(all, |subset| subset.min(all)))
}
