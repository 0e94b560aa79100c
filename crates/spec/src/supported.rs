//! What recipes may say but this version does not train yet: refused when a plan is made, so that
//! nothing is queued that a trainer would only refuse later.

use crate::recipe::{DynamicWord, LossScale, Precision, Recipe, Task};

/// The setting that is not supported yet, as `key = value`; `None` where all of it is.
pub fn unsupported(recipe: &Recipe) -> Option<&'static str> {
    match recipe.task {
        Task::Classify => {}
        Task::Detect => return Some("task = \"detect\""),
        Task::Segment => return Some("task = \"segment\""),
    }
    match recipe.precision {
        Precision::Fp32 | Precision::Fp64 => return None,
        Precision::Fp16 => {}
        Precision::Bf16 => return Some("precision = \"bf16\""),
        Precision::Mixed => return Some("precision = \"mixed\""),
    }
    match recipe.loss_scale {
        LossScale::Static(_) => None,
        LossScale::Dynamic(DynamicWord::Dynamic) => Some("loss_scale = \"dynamic\""),
    }
}
