//! Statistics: what may be said of a few seeds (DESIGN section 6). One test per file; golden values
//! from SciPy, whose script is `crates/report/scripts/golden.py`.

pub mod holm;
pub mod mcnemar;
pub mod mean;
pub mod paired;
pub mod power;
pub mod shapley;
pub mod verdict;
