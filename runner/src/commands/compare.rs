//! `runner compare`: what differs between two runs.

use rungs_report::compare::{By, Comparison, compare};
use rungs_report::format::{grouped, p_value};
use rungs_report::stats::mcnemar::COMPARES;
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
    let runs = rungs_server::compare::load(&store, &[a.clone(), b.clone()]).await?;
    let comparison = compare(&runs, By::Run)?;
    let differences = comparison.differences();
    if context.json {
        let agreement = comparison.agreement.first();
        return output::print_json(
            &json!({ "runs": [a, b], "differences": differences, "agreement": agreement }),
        );
    }
    output::print(&text([a.short(), b.short()], &differences, &comparison))
}

fn text(names: [&str; 2], differences: &Map<String, Value>, comparison: &Comparison) -> String {
    let mut text = format!("{:32}  {:24}  {}\n", "", names[0], names[1]);
    for (name, pair) in differences {
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
    for pair in &comparison.agreement {
        text += &match (pair.images, pair.reason) {
            (Some(of), _) => format!(
                "\n{} images: both right {}, only {} {}, only {} {}, neither {}; {} (McNemar, {COMPARES})\n",
                grouped(of.n),
                grouped(of.both),
                names[0],
                grouped(of.only_a),
                names[1],
                grouped(of.only_b),
                grouped(of.neither),
                p_value(of.p),
            ),
            (None, reason) => format!("\nimages: {}\n", reason.unwrap_or("not compared")),
        };
    }
    text
}
