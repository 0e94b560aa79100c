//! The second line under a row's name.

use rungs_report::table::Row;
use rungs_spec::refinement;

use crate::view::View;

/// What a row changes here, in the recipe's own words.
pub(super) fn what_it_adds(view: &View, row: &Row) -> String {
    if row.cells.values().any(|c| c.emulated) && !emulated_below(view, row) {
        return "emulated on this CPU".to_owned();
    }
    let profile = view.plan.profile.as_deref();
    let own = profile.and_then(|p| view.experiment.profiles.get(p));
    for id in &row.add {
        let (Some(known), Some(ours)) = (
            refinement::find(id),
            own.and_then(|p| p.refinements.get(id)),
        ) else {
            continue;
        };
        let usual = known.defaults();
        let changed = ours.iter().find_map(|(key, value)| {
            let (a, b) = (
                rungs_spec::keys::shown(usual.get(key)?),
                rungs_spec::keys::shown(value),
            );
            (a != b).then(|| format!("{key} {a} → {b} in {}", profile.unwrap_or("")))
        });
        if let Some(text) = changed {
            return text;
        }
    }
    if row.on.is_none() {
        return "the root of the stack".to_owned();
    }
    let written = view
        .experiment
        .row(&row.id)
        .zip(view.experiment.columns.iter().find(|c| !c.reference_only));
    let settled = written.and_then(|(r, c)| view.experiment.settled(profile, r, c).ok());
    let keys = settled.iter().flat_map(|settled| &settled.keys);
    let set = keys.filter(|k| {
        k.refinement
            .is_some_and(|id| row.add.iter().any(|of| of == id))
            || k.from == format!("row {}", row.id)
    });
    let recipe = settled
        .as_ref()
        .and_then(|s| serde_json::to_value(&s.recipe).ok());
    set.take(1)
        .map(|k| {
            let at = format!("/{}", k.key.replace('.', "/"));
            let value = recipe.as_ref().and_then(|r| in_words(r.pointer(&at)?));
            let value = value.unwrap_or_else(|| k.value.trim_matches('"').to_owned());
            format!("{} = {value}", k.key)
        })
        .collect::<String>()
}

/// A value of several keys as one would say it: the cell of an edge, the kind of a schedule.
fn in_words(value: &serde_json::Value) -> Option<String> {
    let word = |key: &str| value.get(key)?.as_str();
    match (
        word("experiment"),
        word("row"),
        word("column"),
        word("kind"),
    ) {
        (Some(experiment), Some(row), Some(column), _) => {
            Some(format!("{experiment}: {row} / {column}"))
        }
        (_, _, _, Some(kind)) => Some(kind.to_owned()),
        _ => None,
    }
}

fn emulated_below(view: &View, row: &Row) -> bool {
    row.on
        .as_deref()
        .and_then(|on| view.table.row(on))
        .is_some_and(|r| r.cells.values().any(|c| c.emulated))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_several_keys_are_said_in_words() {
        let edge =
            json!({"experiment": "table6", "row": "cosine", "column": "resnet50d", "seed": "same"});
        assert_eq!(
            in_words(&edge).as_deref(),
            Some("table6: cosine / resnet50d")
        );
        let step = json!({"kind": "step", "gamma": 0.1});
        assert_eq!(in_words(&step).as_deref(), Some("step"));
        assert_eq!(in_words(&json!(0.1)), None);
        assert_eq!(in_words(&json!({"path": "weights.safetensors"})), None);
    }
}
