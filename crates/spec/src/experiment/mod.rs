//! Experiment files: one TOML file reproduces one table (or figure) of a paper. DESIGN section 3.

mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use toml::Table as Toml;

use crate::settle::Kept;

/// A parsed and checked experiment file.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// File stem: `table4`.
    pub name: String,
    /// What errors call the file: its path, or `built-in table4`.
    pub file: String,
    /// BLAKE3 of the text, hex: names HOME/experiments/HASH.toml.
    pub hash: String,
    /// The text itself.
    pub text: String,
    /// One sentence.
    pub title: String,
    /// Where the paper's numbers are printed.
    pub paper: Option<Paper>,
    /// Metrics shown, in order.
    pub metrics: Vec<String>,
    /// Seeds 1..=n of every cell.
    pub seeds: u64,
    /// Profile without `--profile`.
    pub default_profile: Option<String>,
    /// Half-width of the verdict's equivalence interval, points.
    pub tolerance: f64,
    /// The recipe under the first row.
    pub base: Toml,
    /// Settings across.
    pub columns: Vec<Column>,
    /// How the rows came about.
    pub mode: Mode,
    /// Stacks of refinements, downwards.
    pub rows: Vec<Row>,
    /// Declared substitutions.
    pub profiles: BTreeMap<String, Profile>,
    /// What a figure shows; `None` for a table. A figure's series are its rows, in one column
    /// [`SERIES`], so that all that plans, counts and prints cells works on figures too.
    pub figure: Option<Figure>,
    /// Cells that were settled.
    pub(crate) kept: Kept,
}

/// Id of the only column of a figure.
pub const SERIES: &str = "series";

/// Curves of runs that tables train, or block diagrams of models.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figure {
    /// Charts, each over all series.
    pub panels: Vec<Panel>,
    /// Curves; the i-th stands behind the i-th row.
    pub series: Vec<Series>,
    /// Models drawn as block diagrams.
    pub models: Vec<String>,
}

/// One chart of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// `epoch`, `step` or `time`.
    pub x: String,
    /// Metric.
    pub y: String,
}

/// A curve: a cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Experiment (file stem).
    pub experiment: String,
    /// Row id there.
    pub row: String,
    /// Column id there.
    pub column: String,
}

/// Where the paper's numbers are printed.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// arXiv number.
    pub arxiv: Option<String>,
    /// Table number.
    pub table: Option<String>,
    /// Figure number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
}

/// A setting: batch size, model, ...
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Id.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Recipe keys it sets.
    pub set: Toml,
    /// Refinements under all of its rows.
    pub add: Vec<Added>,
    /// Paper values only, no runs.
    pub reference_only: bool,
}

/// How the rows of a table came about: written one by one, or generated from `refinements`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// `[[row]]` by `[[row]]`: each adds to the row it stands on.
    #[default]
    Stacked,
    /// All refinements, then all but one, for each: what is lost without it?
    LeaveOneOut,
    /// None, then each alone: what does it gain by itself?
    OneAtATime,
    /// Every subset: what is each worth on average over all orders of adding (Shapley)?
    AllSubsets,
}

impl Mode {
    /// The words of files.
    pub const WORDS: [(&'static str, Mode); 4] = [
        ("stacked", Mode::Stacked),
        ("leave-one-out", Mode::LeaveOneOut),
        ("one-at-a-time", Mode::OneAtATime),
        ("all-subsets", Mode::AllSubsets),
    ];
    /// Most refinements of `all-subsets`: 64 rows.
    pub const MOST_OF_ALL_SUBSETS: usize = 6;
}

/// A stack of refinements.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Id.
    pub id: String,
    /// What people read.
    pub label: String,
    /// Row it stands on; `None` for a root.
    pub on: Option<String>,
    /// Row that its delta speaks of: the one it stands on, but of a row that leaves a refinement out
    /// the row with all of them.
    pub against: Option<String>,
    /// What it adds.
    pub add: Vec<Added>,
    /// Recipe keys it sets, for itself and the rows above it.
    pub set: Toml,
    /// Column -> refinements that do not apply there, for itself and the rows above it.
    pub skip: BTreeMap<String, Vec<String>>,
    /// Column -> metric -> what the paper printed.
    pub paper: BTreeMap<String, BTreeMap<String, PaperValue>>,
}

/// A refinement with the parameters it is added with.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// Refinement id.
    pub id: String,
    /// Parameters.
    pub parameters: Toml,
}

/// What the paper printed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaperValue {
    /// The number.
    pub value: f64,
    /// No source was at hand.
    pub unverified: bool,
}

/// A declared set of substitutions that fits an experiment to a machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// Recipe keys.
    pub set: Toml,
    /// Seeds, if not the file's.
    pub seeds: Option<u64>,
    /// Recipe keys of single columns.
    pub columns: BTreeMap<String, Toml>,
    /// Recipe keys of single rows.
    pub rows: BTreeMap<String, Toml>,
    /// Parameters of refinements.
    pub refinements: BTreeMap<String, Toml>,
}

impl Experiment {
    /// The row of that id.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.id == id)
    }
    /// The column of that id.
    pub fn column(&self, id: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.id == id)
    }
    /// The curve behind a row of a figure.
    pub fn series(&self, row: &str) -> Option<&Series> {
        let at = self.rows.iter().position(|r| r.id == row)?;
        self.figure.as_ref()?.series.get(at)
    }
    /// Rows from the root up to and including `id`.
    pub fn path(&self, id: &str) -> Vec<&Row> {
        let mut path = Vec::new();
        let mut at = self.row(id);
        while let Some(row) = at {
            path.push(row);
            at = row.on.as_deref().and_then(|on| self.row(on));
        }
        path.reverse();
        path
    }
}
