//! Weights from elsewhere: a file, or a checkpoint of another run. Initial weights and teachers.

use std::path::{Path, PathBuf};

use rungs_spec::home::RunDir;
use rungs_spec::protocol::{EventKind, RunFile};
use rungs_spec::recipe::CheckpointRef;

use crate::attempts;
use crate::failure::{Failure, io_failure};
use crate::weights::{self, StateDict};

/// Weights read from a file.
#[derive(Debug)]
pub struct InitialFile {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub dict: StateDict,
}

/// Key of `RunFile.inputs` that names initial weights.
pub const INIT: &str = "init";

/// Reads what `inputs[key]` names, else the recipe's own path.
pub fn read(run: &RunFile, key: &str, path: Option<&str>) -> Result<InitialFile, Failure> {
    let path = match run.inputs.get(key) {
        Some(input) => match (&input.file, &input.run_dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => checkpoint_of(&RunDir(dir.clone()), input.checkpoint.unwrap_or_default())?,
            (None, None) => {
                return Err(Failure::permanent(format!(
                    "recipe.json: inputs[\"{key}\"] names neither a file nor a run_dir"
                )));
            }
        },
        None => PathBuf::from(path.ok_or_else(|| {
            Failure::permanent(format!(
                "the recipe's {key} is weights from elsewhere, and recipe.json has no inputs[\"{key}\"] that says where"
            ))
        })?),
    };
    let dict = weights::read(&path).map_err(|error| Failure::permanent(format!("{error:#}")))?;
    Ok(InitialFile { path, dict })
}

/// The newest checkpoint of that kind that another run's events speak of.
fn checkpoint_of(run_dir: &RunDir, which: CheckpointRef) -> Result<PathBuf, Failure> {
    let suffix = match which {
        CheckpointRef::Best => "-best.safetensors",
        CheckpointRef::Last => "-last.safetensors",
    };
    let mut found = None;
    for n in 1..=attempts::highest(run_dir)? {
        let path = run_dir.attempt(n);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| io_failure("cannot read", &path, error))?;
        for line in text.lines() {
            if let Ok(event) = serde_json::from_str::<rungs_spec::protocol::Event>(line)
                && let EventKind::Checkpoint { file, .. } = event.kind
                && file.ends_with(suffix)
            {
                found = Some(run_dir.dir().join(file));
            }
        }
    }
    found.ok_or_else(|| {
        Failure::permanent(format!(
            "{}: has no checkpoint *{suffix} to start from",
            run_dir.dir().display()
        ))
    })
}

/// Classes of the network: the dataset's; with ready-made tensors those of the initial weights.
pub fn classes(
    run: &RunFile,
    dataset: usize,
    initial: Option<&InitialFile>,
) -> Result<u32, Failure> {
    if run.recipe.tensors_file().is_some()
        && let Some(InitialFile { path, dict }) = initial
    {
        let model = weights::model_of(&run.recipe.model, dict).map_err(|error| {
            Failure::permanent(format!("{}: {error:#}", Path::new(path).display()))
        })?;
        if (model.classes as usize) < dataset {
            return Err(Failure::permanent(format!(
                "{}: has {} classes, the labels of {} need {dataset}",
                path.display(),
                model.classes,
                run.dataset.name
            )));
        }
        return Ok(model.classes);
    }
    Ok(dataset as u32)
}
