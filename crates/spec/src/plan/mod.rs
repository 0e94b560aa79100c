//! From an experiment to its cells and runs.

mod accepts;
mod build;
#[cfg(test)]
mod tests;

pub use build::{build, explain, profile_in_force};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::SpecError;
use crate::experiment::Experiment;
use crate::protocol::Arithmetic;
use crate::recipe::Recipe;
use crate::runkey::RunKey;
use crate::weights::Shapes;

/// Epochs of a timing run: its time is the median of whole epochs, which the first one, with its
/// warm-up of kernels and caches, then does not decide.
pub const TIMING_EPOCHS: u32 = 3;

/// What a plan asks of the world: the only things outside the file that identity depends on.
pub trait World {
    /// Device kind that runs will be executed on: [`Arithmetic::Cpu`] or [`Arithmetic::Cuda`].
    fn device(&self) -> Arithmetic;
    /// Identity of a dataset: `NAME@VERSION` of the catalogue, `blake3:DIGEST` of a registered one.
    fn dataset_identity(&self, name: &str) -> Result<String, SpecError>;
    /// BLAKE3 (hex) of a file that a recipe names.
    fn file_digest(&self, path: &str) -> Result<String, SpecError>;
    /// Shapes of the tensors of a safetensors file, by name; `None` where files are not looked into.
    fn weights(&self, path: &str) -> Result<Option<Shapes>, SpecError> {
        let _ = path;
        Ok(None)
    }
    /// The experiment that an edge names.
    fn experiment(&self, name: &str) -> Result<Arc<Experiment>, SpecError>;
}

/// What `plan` and `reproduce` take.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// `--profile`; `None` = the file's default.
    pub profile: Option<String>,
    /// `--seeds`.
    pub seeds: Option<u64>,
    /// `--set key=value`.
    pub set: Vec<String>,
    /// `--rows`.
    pub rows: Option<Vec<String>>,
    /// `--columns`.
    pub columns: Option<Vec<String>>,
}

/// All cells of an experiment under one profile, and the runs they want.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file.
    pub experiment: Arc<Experiment>,
    /// Profile in force; `None` = the file as written.
    pub profile: Option<String>,
    /// Seeds of every cell.
    pub seeds: u64,
    /// Row by row, column by column; reference-only columns left out.
    pub cells: Vec<Cell>,
    /// Every distinct run, sources of edges included, in an order in which a run stands behind all
    /// that it depends on.
    pub runs: Vec<PlannedRun>,
    /// Where cells and runs stand: tables ask for each many times.
    at: Index,
}

/// Places in [`Plan::cells`] by row and column, and in [`Plan::runs`] by key.
#[derive(Debug, Clone, Default)]
struct Index {
    cells: HashMap<String, HashMap<String, usize>>,
    runs: HashMap<RunKey, usize>,
}

impl Index {
    fn of(cells: &[Cell], runs: &[PlannedRun]) -> Index {
        let mut index = Index::default();
        for (at, cell) in cells.iter().enumerate() {
            let row = index.cells.entry(cell.row.clone()).or_default();
            row.insert(cell.column.clone(), at);
        }
        let keys = runs.iter().enumerate();
        index.runs = keys.map(|(at, run)| (run.key.clone(), at)).collect();
        index
    }
}

/// Row x column.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Row id.
    pub row: String,
    /// Column id.
    pub column: String,
    /// Its recipe.
    pub recipe: Recipe,
    /// Whether half precision is emulated in it.
    pub emulated: bool,
    /// Its runs, by seed from 1.
    pub runs: Vec<RunKey>,
    /// The run behind its `time/*` and `speed/*`; `None` where the experiment shows neither, or
    /// where the arithmetic is emulated, whose speed says nothing.
    pub timing: Option<RunKey>,
}

/// One run of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// Key.
    pub key: RunKey,
    /// Seed.
    pub seed: u64,
    /// A timing run: [`TIMING_EPOCHS`] epochs, alone on the machine.
    pub timing: bool,
    /// Recipe.
    pub recipe: Recipe,
    /// Arithmetic.
    pub arithmetic: Arithmetic,
    /// Identity of its dataset.
    pub dataset_identity: String,
    /// Source runs by the recipe key that names them (`init`, `distill.teacher`).
    pub depends_on: BTreeMap<String, RunKey>,
}

impl Plan {
    /// The cell of a row and column.
    pub fn cell(&self, row: &str, column: &str) -> Option<&Cell> {
        self.cells.get(*self.at.cells.get(row)?.get(column)?)
    }
    /// The run of that key.
    pub fn run(&self, key: &RunKey) -> Option<&PlannedRun> {
        self.runs.get(*self.at.runs.get(key)?)
    }
    /// Runs that the cells ask for, shared ones counted as often as they are asked for.
    pub fn requested(&self) -> usize {
        self.cells.iter().map(|c| c.runs.len()).sum()
    }
}
