//! `runner series`: every point of a metric of a run, exactly.

use anyhow::bail;
use rungs_report::series::Series;
use rungs_spec::error::nearest;
use rungs_spec::protocol::Num;

use crate::cli::SeriesArgs;
use crate::context::Context;
use crate::output;

pub(super) async fn run(context: &Context, args: &SeriesArgs) -> anyhow::Result<()> {
    let store = context.must_read().await?;
    let run = store.find_run(&args.run).await?;
    let points = store.points(&run, &args.metric, args.superseded).await?;
    if points.is_empty() {
        let known = store.all_metrics_of(&run).await?;
        if !known.contains(&args.metric) {
            if known.is_empty() {
                bail!("run {} has no points of any metric yet", run.short());
            }
            let near = nearest(&args.metric, known.iter().map(String::as_str));
            bail!(
                "run {} has no metric \"{}\"; {near}",
                run.short(),
                args.metric
            );
        }
    }
    let series = Series::new(run, args.metric.as_str(), &points);
    if context.json {
        return output::print_json(&series);
    }
    let mut text = String::new();
    for (step, epoch, Num(value)) in &series.points {
        text += &format!("{step}\t{epoch}\t{value}\n");
    }
    output::print(&text)
}
