//! What planning asks of the world ([`rungs_spec::plan::World`]), answered from a home's files.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rungs_spec::SpecError;
use rungs_spec::error::nearest;
use rungs_spec::experiment::Experiment;
use rungs_spec::home::Home;
use rungs_spec::plan::{Options, Plan, World};
use rungs_spec::protocol::{Arithmetic, TrainerInfo};
use rungs_spec::weights::Shapes;
use rungs_spec::{builtin, claims, dataset};

use crate::dataset::Registered;
use crate::error::StoreError;
use crate::parsed::Parsed;

/// Whether an experiment is named by its file's path rather than by its name.
fn is_path(named: &str) -> bool {
    named.contains('/') || named.ends_with(".toml")
}

/// The name under which an experiment is applied: a path's file stem, else what was named.
pub fn name_of(named: &str) -> String {
    let stem = Path::new(named).file_stem().filter(|_| is_path(named));
    stem.map_or_else(|| named.to_owned(), |s| s.to_string_lossy().into_owned())
}

/// A home as planning sees it. Files are read when first asked for and remembered.
#[derive(Debug)]
pub struct HomeWorld {
    /// What the trainer said of this machine; `None` before it was ever asked.
    pub machine: Option<TrainerInfo>,
    registered: BTreeMap<String, Registered>,
    /// HOME/datasets.toml, for cures.
    datasets: PathBuf,
    /// Where experiment files are looked for before those built in.
    experiments: PathBuf,
    /// By the name asked for: what this world has read.
    read: Mutex<HashMap<String, Arc<Experiment>>>,
    parsed: Arc<Parsed>,
    /// Newest first.
    plans: Mutex<Vec<(Options, Arc<Plan>)>>,
    digests: Mutex<HashMap<String, String>>,
}

impl HomeWorld {
    /// Reads HOME/machine.json and HOME/datasets.toml. Experiments come from `./experiments`.
    pub fn load(home: &Home) -> Result<HomeWorld, StoreError> {
        HomeWorld::with_experiments(home, Path::new("experiments"))
    }

    /// As [`Self::load`], with another directory of experiment files.
    pub fn with_experiments(home: &Home, experiments: &Path) -> Result<HomeWorld, StoreError> {
        Ok(HomeWorld {
            machine: machine(home)?,
            registered: crate::dataset::registered(home)?,
            datasets: home.datasets(),
            experiments: experiments.to_owned(),
            read: Mutex::default(),
            parsed: Arc::default(),
            plans: Mutex::default(),
            digests: Mutex::default(),
        })
    }

    /// With what another world has parsed: files are read anew, and those that say the same are not parsed.
    pub fn with_parsed(self, parsed: Arc<Parsed>) -> HomeWorld {
        HomeWorld { parsed, ..self }
    }

    /// As [`Experiment::parse`]; the same name, file and text are parsed once.
    pub fn parse(&self, name: &str, file: &str, text: &str) -> Result<Arc<Experiment>, SpecError> {
        self.parsed.experiment(name, file, text)
    }

    /// As [`rungs_spec::plan::build`]; the same plan of the same experiment is made once.
    pub fn plan(
        &self,
        experiment: &Arc<Experiment>,
        options: &Options,
    ) -> Result<Arc<Plan>, SpecError> {
        /// Most that are kept; a plan of ten thousand runs takes some 30 MB.
        const MOST: usize = 8;
        let held = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&Arc<Plan>, of: &Options| {
            Arc::ptr_eq(&kept.experiment, experiment) && of == options
        };
        if let Some((_, found)) = held().iter().find(|(of, kept)| same(&kept, of)) {
            return Ok(found.clone());
        }
        let found = rungs_spec::plan::build(experiment.clone(), options, self)?;
        let found = Arc::new(found);
        let mut plans = held();
        plans.truncate(MOST - 1);
        plans.insert(0, (options.clone(), found.clone()));
        Ok(found)
    }

    /// Names that an experiment can be asked for by: files, then built in, sorted.
    pub fn experiment_names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.experiments)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let path = entry.path();
                let toml = path.extension().is_some_and(|e| e == "toml");
                toml.then(|| path.file_stem().map(|s| s.to_string_lossy().into_owned()))
                    .flatten()
            })
            .filter(|stem| stem != claims::STEM);
        let built_in = builtin::EXPERIMENTS
            .iter()
            .map(|(name, _)| (*name).to_owned());
        files
            .chain(built_in)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Of those names the figures', without parsing any table. A file that cannot be read is none.
    pub fn figure_names(&self) -> Vec<String> {
        let is_figure = |name: &String| {
            let text = self.find(name).map(|(.., text)| text).unwrap_or_default();
            text.lines().any(|line| line.trim_end() == "[figure]")
        };
        self.experiment_names()
            .into_iter()
            .filter(is_figure)
            .collect()
    }

    /// The ledger of claims: `./experiments/claims.toml`, else the built-in one. Error: a bad file.
    pub fn claims(&self) -> Result<Vec<claims::Claim>, SpecError> {
        let path = self.experiments.join(format!("{}.toml", claims::STEM));
        let file = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => claims::parse(&file, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                claims::parse("claims (built in)", claims::BUILT_IN)
            }
            Err(e) => Err(SpecError::new(format!("cannot be read: {e}")).in_file(&file)),
        }
    }

    /// Text of an experiment named by stem or path, its name, and the file for errors.
    fn find(&self, name: &str) -> Result<(String, String, String), SpecError> {
        let as_path = is_path(name);
        let path = if as_path {
            PathBuf::from(name)
        } else {
            self.experiments.join(format!("{name}.toml"))
        };
        let stem = name_of(name);
        let file = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok((stem, file, text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !as_path => {}
            Err(e) => return Err(SpecError::new(format!("cannot be read: {e}")).in_file(&file)),
        }
        if let Some(text) = builtin::find(name) {
            return Ok((stem, format!("{name} (built in)"), text.to_owned()));
        }
        let known = self.experiment_names();
        let near = nearest(name, known.iter().map(String::as_str));
        Err(SpecError::new(format!(
            "there is no experiment {name:?}: no file {file}, and none of that name is built in; {near}"
        )))
    }
}

/// Names and shapes from the header of a safetensors file: its length in eight bytes, then JSON.
fn safetensors_shapes(path: &Path) -> Result<Shapes, String> {
    /// The format's own limit.
    const LONGEST_HEADER: u64 = 100_000_000;
    #[derive(serde::Deserialize)]
    struct Described {
        shape: Vec<u64>,
    }
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|_| "is too short to be a safetensors file".to_owned())?;
    let length = u64::from_le_bytes(length);
    let no_header = || "has no safetensors header".to_owned();
    if length > LONGEST_HEADER {
        return Err(no_header());
    }
    let mut header = String::new();
    file.take(length)
        .read_to_string(&mut header)
        .map_err(|_| no_header())?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&header).map_err(|_| no_header())?;
    header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, value)| {
            let described: Described = serde_json::from_value(value).map_err(|_| no_header())?;
            Ok((name, described.shape))
        })
        .collect()
}

fn machine(home: &Home) -> Result<Option<TrainerInfo>, StoreError> {
    let path = home.machine();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::file(&path, "cannot be read", e)),
    };
    let info = serde_json::from_str(&text).map_err(|e| StoreError::Content {
        path,
        message: format!("this is not what a trainer says of its machine: {e}. Remove the file, the next `runner reproduce` writes it anew"),
    })?;
    Ok(Some(info))
}

impl World for HomeWorld {
    fn device(&self) -> Arithmetic {
        let gpu = self
            .machine
            .as_ref()
            .is_some_and(|m| m.devices.iter().any(|d| d.kind == "cuda"));
        if gpu {
            Arithmetic::Cuda
        } else {
            Arithmetic::Cpu
        }
    }

    fn dataset_identity(&self, name: &str) -> Result<String, SpecError> {
        if let Some(file) = name.strip_prefix("tensors:") {
            return Ok(format!("blake3:{}", self.file_digest(file)?));
        }
        // A catalogue's dataset is itself wherever it lies, so that a plan never needs the data.
        if let Some(known) = dataset::find(name) {
            return Ok(format!("{}@{}", known.name, known.version));
        }
        match self.registered.get(name) {
            Some(Registered {
                digest: Some(digest),
                ..
            }) => Ok(format!("blake3:{digest}")),
            Some(Registered { digest: None, .. }) => Err(SpecError::new(format!(
                "dataset {name:?} stands under [{name}] in {} without a digest, so runs on it would have no identity; \
                 `runner data add {name} PATH` computes it",
                self.datasets.display()
            ))),
            None => {
                let known = dataset::DATASETS
                    .iter()
                    .map(|d| d.name)
                    .chain(self.registered.keys().map(String::as_str));
                Err(SpecError::new(format!(
                    "there is no dataset {name:?}; {} To use your own, {}",
                    nearest(name, known),
                    crate::dataset::how_to_register(name)
                )))
            }
        }
    }

    fn file_digest(&self, path: &str) -> Result<String, SpecError> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = digests.get(path) {
            return Ok(digest.clone());
        }
        let digest = digest_file(Path::new(path)).map_err(|e| {
            SpecError::new(format!("cannot be read: {e}; a recipe names this file")).in_file(path)
        })?;
        digests.insert(path.to_owned(), digest.clone());
        Ok(digest)
    }

    fn weights(&self, path: &str) -> Result<Option<Shapes>, SpecError> {
        let shapes = safetensors_shapes(Path::new(path));
        shapes.map(Some).map_err(|e| {
            let message =
                format!("{e}; weights are safetensors files with PyTorch's state-dict names");
            SpecError::new(message).in_file(path)
        })
    }

    fn experiment(&self, name: &str) -> Result<Arc<Experiment>, SpecError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(experiment) = read.get(name) {
            return Ok(experiment.clone());
        }
        let (stem, file, text) = self.find(name)?;
        let experiment = self.parsed.experiment(&stem, &file, &text)?;
        read.insert(name.to_owned(), experiment.clone());
        Ok(experiment)
    }
}

/// BLAKE3, hex, in constant memory.
fn digest_file(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            n => hasher.update(&buffer[..n]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(dir: &Path) -> HomeWorld {
        HomeWorld::with_experiments(&Home(dir.to_owned()), &dir.join("files")).unwrap()
    }

    #[test]
    fn without_a_machine_it_is_a_cpu() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(world(dir.path()).device(), Arithmetic::Cpu);
        let gpu = r#"{"protocol":1,"numerics":1,"version":"0","libtorch":"0","devices":[
            {"id":"cpu","kind":"cpu","name":"x","memory_bytes":1,"threads":2},
            {"id":"cuda:0","kind":"cuda","name":"y","memory_bytes":1,"threads":0}]}"#;
        std::fs::write(dir.path().join("machine.json"), gpu).unwrap();
        assert_eq!(world(dir.path()).device(), Arithmetic::Cuda);
        std::fs::write(dir.path().join("machine.json"), "{").unwrap();
        let error = HomeWorld::load(&Home(dir.path().to_owned()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("machine.json") && error.contains("Remove the file"),
            "{error}"
        );
    }

    #[test]
    fn identities_come_from_the_catalogue_the_digest_or_the_content() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("datasets.toml"),
            "[mine]\npath = \"/x\"\ndigest = \"abc\"\n[raw]\npath = \"/y\"\n",
        )
        .unwrap();
        let file = dir.path().join("x.safetensors");
        std::fs::write(&file, "x").unwrap();
        let world = world(dir.path());
        assert_eq!(
            world.dataset_identity("fashion-mnist").unwrap(),
            "fashion-mnist@1"
        );
        assert_eq!(world.dataset_identity("mine").unwrap(), "blake3:abc");
        let tensors = world
            .dataset_identity(&format!("tensors:{}", file.display()))
            .unwrap();
        assert_eq!(tensors, format!("blake3:{}", blake3::hash(b"x").to_hex()));
        assert!(
            world
                .dataset_identity("raw")
                .unwrap_err()
                .to_string()
                .contains("under [raw]")
        );
        assert!(
            world
                .dataset_identity("mime")
                .unwrap_err()
                .to_string()
                .contains("\"mine\"")
        );
        assert!(
            world
                .file_digest("/nowhere.safetensors")
                .unwrap_err()
                .to_string()
                .starts_with("/nowhere.safetensors: ")
        );
    }

    #[test]
    fn a_file_wins_over_the_built_in_experiment_and_a_wrong_name_gets_the_nearest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        std::fs::write(dir.path().join("files/mine.toml"), "title = 3").unwrap();
        let world = world(dir.path());
        assert!(
            world
                .experiment("mine")
                .unwrap_err()
                .to_string()
                .contains("mine.toml")
        );
        assert!(
            world
                .experiment("mime")
                .unwrap_err()
                .to_string()
                .contains("did you mean \"mine\"?")
        );
        assert!(
            world
                .experiment("/no/such.toml")
                .unwrap_err()
                .to_string()
                .contains("/no/such.toml")
        );
    }
}
