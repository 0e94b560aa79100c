//! One experiment under one profile, as pages, exports and the runner's printed table all see it:
//! the file, its plan, what is known of its runs, and the table made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rungs_report::claims::{self, Judged};
use rungs_report::{Select, Table};
use rungs_spec::experiment::Experiment;
use rungs_spec::home::Home;
use rungs_spec::plan::{Options, Plan, World as _};
use rungs_spec::result::RunResult;
use rungs_spec::{RunKey, SpecError};
use rungs_store::world::{HomeWorld, name_of};
use rungs_store::{Applied, Store, StoreError};

/// An experiment with its results.
#[derive(Debug, Clone)]
pub struct View {
    /// The file it was applied from, else the one in `./experiments`, else the built-in one.
    pub experiment: Arc<Experiment>,
    /// Its cells and runs.
    pub plan: Arc<Plan>,
    /// What is known of the plan's runs; runs never queued are absent.
    pub results: BTreeMap<RunKey, RunResult>,
    /// Paper and ours, side by side.
    pub table: Table,
    /// Options in force: those asked for, completed by the newest application's.
    pub options: Options,
}

impl View {
    /// What exports are written from.
    pub fn source(&self) -> rungs_report::export::Source<'_> {
        rungs_report::export::Source {
            table: &self.table,
            plan: &self.plan,
            results: &self.results,
            set: &self.options.set,
        }
    }
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The experiment, the profile or a key is not known.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The experiment has no such profile.
    #[error("{experiment} has no {near}")]
    Profile {
        /// Experiment.
        experiment: String,
        /// What was asked for, and the nearest name or all; or that there are none.
        near: String,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the home cannot be read.
    #[error("{file} cannot be read: {source}")]
    File {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Loads an experiment, plans it with the seeds and settings it was applied with, and lays the
/// results beside the paper's numbers. `store` is `None` while there is no database: every cell is
/// new then. Options that are absent (`seeds`, an empty `set`) are those of the newest application
/// under that profile. `name` is an experiment's name or the path of its file; what was applied is
/// found by either.
///
/// Errors: an unknown experiment or profile, a file or database that cannot be read.
pub async fn table(
    store: Option<&Store>,
    home: &Home,
    world: &HomeWorld,
    name: &str,
    select: Select,
    options: &Options,
) -> Result<View, ViewError> {
    let (experiment, options) = choose(store, home, world, name, options).await?;
    if let Some(profile) = options
        .profile
        .as_ref()
        // A figure takes any profile that its series have.
        .filter(|p| experiment.figure.is_none() && !experiment.profiles.contains_key(*p))
    {
        let known = experiment.profiles.keys().map(String::as_str);
        let near = if experiment.profiles.is_empty() {
            format!("profiles, so there is none called {profile:?}; ask for none")
        } else {
            let near = rungs_spec::error::nearest(profile, known);
            format!("profile {profile:?}; {near}")
        };
        return Err(ViewError::Profile {
            experiment: experiment.name.clone(),
            near,
        });
    }
    let plan = world.plan(&experiment, &options)?;
    let keys: Vec<RunKey> = plan.runs.iter().map(|run| run.key.clone()).collect();
    let results = match store {
        Some(store) => store.results(&keys).await?,
        None => BTreeMap::new(),
    };
    let table = rungs_report::table::build(&plan, &results, select);
    Ok(View {
        experiment,
        plan,
        results,
        table,
        options,
    })
}

/// Every claim of the ledger, judged by what this home knows: each under `profile`, or under its experiment's
/// default. A claim about an experiment or profile that is not here is undecided, with the reason.
///
/// Errors: a bad ledger, a claim about a row that does not exist, a file or database that cannot be read.
pub async fn claims(
    store: Option<&Store>,
    home: &Home,
    world: &HomeWorld,
    profile: Option<&str>,
) -> Result<Vec<Judged>, ViewError> {
    let options = Options {
        profile: profile.map(str::to_owned),
        ..Options::default()
    };
    let known = world.experiment_names();
    let mut views: BTreeMap<String, Result<View, String>> = BTreeMap::new();
    let mut judged = Vec::new();
    for claim in world.claims()? {
        let name = &claim.experiment;
        if !views.contains_key(name) {
            let view = if known.contains(name) {
                match table(store, home, world, name, Select::Last, &options).await {
                    Ok(view) => Ok(view),
                    Err(error @ (ViewError::Profile { .. } | ViewError::Spec(_))) => {
                        Err(error.to_string())
                    }
                    Err(error) => return Err(error),
                }
            } else {
                Err(format!("there is no experiment {name} here"))
            };
            views.insert(name.clone(), view);
        }
        judged.push(match &views[name] {
            Ok(view) => claims::judge(&claim, &view.plan, &view.results)?,
            Err(why) => claims::undecided(&claim, why.clone()),
        });
    }
    Ok(judged)
}

/// The file and the options to plan with.
pub(crate) async fn choose(
    store: Option<&Store>,
    home: &Home,
    world: &HomeWorld,
    name: &str,
    asked: &Options,
) -> Result<(Arc<Experiment>, Options), ViewError> {
    let applied = match store {
        Some(store) => store.applied(Some(&name_of(name))).await?,
        None => Vec::new(),
    };
    // Newest first, by the order of decisions.
    let newest = applied.first();
    let current = match newest {
        Some(application) => applied_file(home, world, application)?,
        None => world.experiment(name)?,
    };
    let mut options = asked.clone();
    let profile = options
        .profile
        .clone()
        .or_else(|| current.default_profile.clone());
    let Some(application) = applied.iter().find(|a| a.profile == profile) else {
        // Never applied under this profile: what `reproduce` would do now.
        let file = if newest.is_some() {
            world.experiment(name).unwrap_or(current)
        } else {
            current
        };
        options.profile = profile;
        return Ok((file, options));
    };
    let file = if newest.is_some_and(|n| n.hash == application.hash) {
        current
    } else {
        applied_file(home, world, application)?
    };
    options.profile = profile;
    options.seeds = options.seeds.or(Some(application.seeds));
    if options.set.is_empty() {
        options.set.clone_from(&application.set);
    }
    Ok((file, options))
}

/// The text that was applied, as the home keeps it.
fn applied_file(
    home: &Home,
    world: &HomeWorld,
    application: &Applied,
) -> Result<Arc<Experiment>, ViewError> {
    let path = home
        .experiments()
        .join(format!("{}.toml", application.hash));
    let file = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|source| ViewError::File {
        file: file.clone(),
        source,
    })?;
    Ok(world.parse(&application.experiment, &file, &text)?)
}
