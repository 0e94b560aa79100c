//! What recipes may say but this version does not train yet: refused when a plan is made, so that
//! nothing is queued that a trainer would only refuse later.

use crate::recipe::{Recipe, Task};

/// The setting that is not supported yet, as `key = value`; `None` where all of it is.
pub fn unsupported(recipe: &Recipe) -> Option<&'static str> {
    match recipe.task {
        Task::Classify => None,
        Task::Detect => Some("task = \"detect\""),
        Task::Segment => Some("task = \"segment\""),
    }
}
