//! From an experiment to its cells and runs.

mod accepts;
mod build;
#[cfg(test)]
mod tests;

pub use build::{build, explain, profile_in_force};

use std::collections::BTreeMap;
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
        self.cells
            .iter()
            .find(|c| c.row == row && c.column == column)
    }
    /// The run of that key.
    pub fn run(&self, key: &RunKey) -> Option<&PlannedRun> {
        self.runs.iter().find(|r| r.key == *key)
    }
    /// Runs that the cells ask for, shared ones counted as often as they are asked for.
    pub fn requested(&self) -> usize {
        self.cells.iter().map(|c| c.runs.len()).sum()
    }
}
