//! `runner compare`: what differs between two runs.

use rungs_spec::RunKey;
use rungs_spec::result::RunResult;
use rungs_store::Store;
use serde_json::{Map, Value, json};

use crate::cli::CompareArgs;
use crate::context::Context;
use crate::output;

pub(super) async fn run(context: &Context, args: &CompareArgs) -> anyhow::Result<()> {
    let store = context.must_read().await?;
    let (a, b) = (
        store.find_run(&args.a).await?,
        store.find_run(&args.b).await?,
    );
    let (of_a, of_b) = (facts(&store, &a).await?, facts(&store, &b).await?);
    let names: std::collections::BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let differences: Map<String, Value> = names
        .into_iter()
        .filter(|name| of_a.get(*name) != of_b.get(*name))
        .map(|name| (name.clone(), json!([of_a.get(name), of_b.get(name)])))
        .collect();
    if context.json {
        return output::print_json(&json!({ "runs": [a, b], "differences": differences }));
    }
    let mut text = format!("{:32}  {:24}  {}\n", "", a.short(), b.short());
    for (name, pair) in &differences {
        let shown = |i: usize| match &pair[i] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text += &format!("{name:32}  {:24}  {}\n", shown(0), shown(1));
    }
    if differences.is_empty() {
        text += "no difference\n";
    }
    output::print(&text)
}

/// Recipe keys and results of a run, flat.
async fn facts(store: &Store, run: &RunKey) -> anyhow::Result<Map<String, Value>> {
    let file = store.run_file(run).await?;
    let mut facts = Map::new();
    flatten(&mut facts, "", &serde_json::to_value(&file.recipe)?);
    facts.insert("seed".to_owned(), json!(file.seed));
    facts.insert("arithmetic".to_owned(), json!(file.arithmetic));
    if let Some(result) = store.results(std::slice::from_ref(run)).await?.remove(run) {
        results(&mut facts, &result);
    }
    Ok(facts)
}

fn results(facts: &mut Map<String, Value>, result: &RunResult) {
    facts.insert("state".to_owned(), json!(result.state));
    let mut keep = |name: String, value: f64| {
        facts.insert(name, json!(rungs_spec::protocol::Num(value)));
    };
    if let Some(last) = result.evaluations.iter().rfind(|e| e.split == "val") {
        for (name, value) in &last.metrics {
            keep(format!("last {name}"), *value);
        }
    }
    let best = result.finished.as_ref().and_then(|f| {
        result
            .evaluations
            .iter()
            .find(|e| e.split == "val" && e.epoch == f.best_epoch)
    });
    for (name, value) in best.iter().flat_map(|e| &e.metrics) {
        keep(format!("best {name}"), *value);
    }
    if let Some(finished) = &result.finished {
        facts.insert("weights_blake3".to_owned(), json!(finished.weights_blake3));
    }
}

/// Leaves of a JSON value by their dotted paths.
pub(super) fn flatten(facts: &mut Map<String, Value>, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(facts, &path, value);
            }
        }
        other => {
            facts.insert(path.to_owned(), other.clone());
        }
    }
}
