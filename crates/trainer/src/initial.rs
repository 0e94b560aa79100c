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
pub fn checkpoint_of(run_dir: &RunDir, which: CheckpointRef) -> Result<PathBuf, Failure> {
    let suffix = match which {
        CheckpointRef::Best => "-best.safetensors",
        CheckpointRef::Last => "-last.safetensors",
    };
    let mut found = None;
    for n in 1..=attempts::highest(run_dir)? {
        let path = run_dir.attempt(n);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            // That attempt was killed before it had begun.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_failure("cannot read", &path, error)),
        };
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(event) = serde_json::from_slice::<rungs_spec::protocol::Event>(line)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_never_began_and_garbage_hide_no_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir(dir.path().to_owned());
        let event = r#"{"v":1,"t":"2026-01-01T00:00:00Z","attempt":2,"kind":"checkpoint","epoch":1,"step":5,"file":"checkpoints/2-best.safetensors","blake3":"00"}"#;
        let text = [b"\xff\x00garbage\n", event.as_bytes(), b"\n{\"torn"].concat();
        std::fs::write(run_dir.attempt(2), text).unwrap();
        let found = checkpoint_of(&run_dir, CheckpointRef::Best).unwrap();
        assert_eq!(found, dir.path().join("checkpoints/2-best.safetensors"));
        assert!(checkpoint_of(&run_dir, CheckpointRef::Last).is_err());
    }
}
