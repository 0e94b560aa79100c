//! A figure with what stands behind it: curves over runs that tables train, or block diagrams.

use std::collections::BTreeMap;
use std::sync::Arc;

use rungs_report::Select;
use rungs_report::chart::diagram::Diagram;
use rungs_spec::RunKey;
use rungs_spec::experiment::{Experiment, Figure, Series};

use crate::error::Failure;
use crate::state::{Dashboard, Shown};

/// A figure under one profile.
pub struct FigureView {
    /// Its file.
    pub experiment: Arc<Experiment>,
    /// What the file says.
    pub figure: Figure,
    /// Profile of the tables that the curves come from; `None` of block diagrams.
    pub profile: Option<String>,
    /// Profiles that all of those tables have, in the order of the alphabet.
    pub profiles: Vec<String>,
    /// Curves, in the order of the file.
    pub curves: Vec<Curve>,
    /// Block diagrams, where the figure names models.
    pub diagram: Option<Diagram>,
}

/// A curve: a cell of a table, with the seeds that the table has.
pub struct Curve {
    /// What people read.
    pub label: String,
    /// Which cell.
    pub series: Series,
    /// The table.
    pub view: Arc<Shown>,
    /// Its runs that this home knows.
    pub runs: Vec<RunKey>,
}

/// Loads a figure. `profile` is one of its tables' profiles; without, the figure's default.
///
/// Errors: an experiment that is no figure, and those of a table.
pub async fn load(
    dashboard: &Dashboard,
    name: &str,
    profile: Option<&str>,
) -> Result<FigureView, Failure> {
    let own = dashboard.view(name, profile, Select::Best).await?;
    let experiment = own.experiment.clone();
    let Some(figure) = experiment.figure.clone() else {
        return Err(Failure::not_found(
            "no_figure",
            format!("{name} is a table, no figure: look at /tables/{name}"),
        ));
    };
    let mut tables: BTreeMap<String, Arc<Shown>> = BTreeMap::new();
    let mut curves = Vec::new();
    for (series, row) in figure.series.iter().zip(&experiment.rows) {
        let view = match tables.get(&series.experiment) {
            Some(view) => view.clone(),
            None => {
                let profile = own.plan.profile.as_deref();
                let view = dashboard
                    .view(&series.experiment, profile, Select::Best)
                    .await?;
                tables.insert(series.experiment.clone(), view.clone());
                view
            }
        };
        let cell = view.plan.cell(&series.row, &series.column);
        let known = cell.into_iter().flat_map(|c| &c.runs);
        curves.push(Curve {
            label: row.label.clone(),
            series: series.clone(),
            runs: known
                .filter(|run| view.results.contains_key(run))
                .cloned()
                .collect(),
            view,
        });
    }
    let mut profiles: Vec<String> = Vec::new();
    if let Some(first) = tables.values().next() {
        let shared = |name: &&String| {
            tables
                .values()
                .all(|v| v.experiment.profiles.contains_key(*name))
        };
        profiles.extend(first.experiment.profiles.keys().filter(shared).cloned());
    }
    let diagram = match figure.models.as_slice() {
        [] => None,
        models => Some(Diagram::new(models)?),
    };
    Ok(FigureView {
        profile: own
            .plan
            .profile
            .clone()
            .filter(|_| !figure.series.is_empty()),
        experiment,
        figure,
        profiles,
        curves,
        diagram,
    })
}
