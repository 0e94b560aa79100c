//! `runner top-up`: as many seeds as it takes to see the paper's steps, or to say that they are not there.

use anyhow::bail;
use rungs_report::power::{Needed, needed};
use rungs_spec::plan::Options;
use serde_json::json;

use crate::cli::{ReproduceArgs, Selection, TopUpArgs};
use crate::context::Context;
use crate::output;

pub(super) async fn run(context: &Context, args: &TopUpArgs) -> anyhow::Result<()> {
    if !(args.power > 0.0 && args.power < 1.0) {
        bail!(
            "--power {} is not between 0 and 1; 0.8 is usual",
            args.power
        );
    }
    if let Some(effect) = args.effect
        && !(effect > 0.0 && effect.is_finite())
    {
        bail!("--effect {effect} must be a number of points above 0");
    }
    let store = context.reader().await?;
    let world = context.world_of_trainer()?;
    let options = Options {
        profile: args.profile.clone(),
        ..Options::default()
    };
    let view = rungs_server::view::table(
        store.as_ref(),
        &context.home,
        &world,
        &args.experiment,
        rungs_report::Select::Last,
        &options,
    )
    .await?;
    drop(store);
    let steps = needed(
        &view.plan,
        &view.results,
        args.power,
        args.effect,
        args.most,
    );
    if steps.is_empty() {
        bail!(
            "{} has no step between two rows that could need seeds; top-up is for tables whose rows stand on each other",
            view.experiment.name
        );
    }
    // All rows get the same seeds: a step is paired by seed, and each row stands in two of them.
    let seeds = steps
        .iter()
        .map(|step| step.seeds)
        .max()
        .unwrap_or(0)
        .max(view.plan.seeds);
    if context.json && args.dry_run {
        return output::print_json(&json!({ "seeds": seeds, "steps": steps }));
    }
    if !context.quiet {
        eprint!("{}", text(&steps, args));
        eprintln!(
            "{}: {} seeds of every cell now, {seeds} wanted",
            view.experiment.name, view.plan.seeds
        );
    }
    if args.dry_run {
        return Ok(());
    }
    let reproduce = ReproduceArgs {
        selection: Selection {
            experiments: vec![args.experiment.clone()],
            profile: view.plan.profile.clone(),
            seeds: Some(seeds),
            set: view.options.set.clone(),
            rows: None,
            columns: None,
        },
        executor: args.executor.clone(),
        check: false,
    };
    super::reproduce::run(context, &reproduce).await
}

fn text(steps: &[Needed], args: &TopUpArgs) -> String {
    let mut text = String::new();
    for step in steps {
        let spread = step.sd.map_or_else(
            || "spread unknown".to_owned(),
            |sd| format!("sd of the difference {sd:.2}"),
        );
        let why = match (step.sd, step.enough) {
            (None, _) => format!("{} seeds tell the spread first", step.seeds),
            (Some(_), true) => format!("{} seeds for a power of {}", step.seeds, args.power),
            (Some(_), false) => format!(
                "more than --most {} seeds for a power of {}",
                args.most, args.power
            ),
        };
        text += &format!(
            "{} / {}: effect {:.2}, {spread}, n = {}: {why}\n",
            step.row, step.column, step.effect, step.n
        );
    }
    text
}
