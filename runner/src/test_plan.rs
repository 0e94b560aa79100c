//! Plans for unit tests, in a world that has nothing but a CPU.

use std::sync::Arc;

use rungs_spec::SpecError;
use rungs_spec::experiment::Experiment;
use rungs_spec::plan::{Options, Plan, World};
use rungs_spec::protocol::Arithmetic;

struct Nowhere;

impl World for Nowhere {
    fn device(&self) -> Arithmetic {
        Arithmetic::Cpu
    }
    fn dataset_identity(&self, name: &str) -> Result<String, SpecError> {
        Ok(format!("{name}@1"))
    }
    fn file_digest(&self, path: &str) -> Result<String, SpecError> {
        Err(SpecError::new(path))
    }
    fn experiment(&self, name: &str) -> Result<Arc<Experiment>, SpecError> {
        Err(SpecError::new(name))
    }
}

/// The plan of experiment `t` with these rows and one column `c`, on the synthetic dataset.
pub fn plan(rows: &str, seeds: u64) -> Plan {
    let text =
        format!("title = \"t\"\n[base]\ndataset = \"synthetic\"\n[[column]]\nid = \"c\"\n{rows}");
    let experiment = Arc::new(Experiment::parse("t", "t.toml", &text).unwrap());
    let options = Options {
        seeds: Some(seeds),
        ..Options::default()
    };
    rungs_spec::plan::build(experiment, &options, &Nowhere).unwrap()
}
