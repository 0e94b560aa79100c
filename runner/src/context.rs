//! Which home and which database a command works on, and what it needs from them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rungs_spec::experiment::Experiment;
use rungs_spec::home::Home;
use rungs_spec::plan::{Options, Plan, World};
use rungs_store::world::{HomeWorld, name_of};
use rungs_store::{Store, StoreError};

use crate::cli::{Global, Selection};
use crate::files;
use crate::scheduler::catchup;
use crate::trainer::Trainer;

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The home.
    pub home: Home,
    /// `--db`, if given.
    pub db_flag: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
    /// Print results and errors only.
    pub quiet: bool,
}

impl Context {
    /// From the command line.
    pub fn new(global: Global) -> Context {
        let Global {
            home,
            db,
            json,
            quiet,
        } = global;
        Context {
            home: Home(home),
            db_flag: db,
            json,
            quiet,
        }
    }

    /// Refuses a home that can never be one.
    pub fn check(&self) -> anyhow::Result<()> {
        let dir = self.home.dir();
        if dir.exists() && !dir.is_dir() {
            bail!(
                "the home {} is a file, not a directory; choose another with --home or RUNGS_HOME",
                dir.display()
            );
        }
        Ok(())
    }

    /// Where the database is, or will be.
    pub fn database(&self) -> PathBuf {
        rungs_store::database_path(&self.home, self.db_flag.as_deref())
    }

    /// The database to read from, after everything that the home's files know is in it, provided
    /// that no scheduler is at it; `None` if nothing was ever done in this home.
    pub async fn reader(&self) -> anyhow::Result<Option<Store>> {
        let db = self.database();
        if !db.exists() && !self.home.journal().exists() {
            return Ok(None);
        }
        catchup::if_free(&self.home, &db).await?;
        match Store::open_reader(&db).await {
            Ok(store) => Ok(Some(store)),
            // Also while a scheduler is making it.
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Context::reader`], for commands that make no sense without one.
    pub async fn must_read(&self) -> anyhow::Result<Store> {
        self.reader().await?.with_context(|| {
            format!(
                "nothing was ever run in the home {}; start with `runner reproduce table4`, or name \
                 another home with --home",
                self.home.dir().display()
            )
        })
    }

    /// What a plan asks of this machine, as the trainer described it when it was last asked.
    pub fn world(&self) -> anyhow::Result<HomeWorld> {
        Ok(HomeWorld::load(&self.home)?)
    }

    /// As [`Context::world`], but of the machine that `reproduce` would find: the trainer is asked
    /// again if it or the devices changed. Without a trainer, what this home remembers counts, else
    /// a plan is that of a CPU.
    pub fn world_of_trainer(&self) -> anyhow::Result<HomeWorld> {
        let mut world = self.world()?;
        match Trainer::look(&self.home) {
            Ok(trainer) => world.machine = Some(trainer.info),
            Err(error) if world.machine.is_none() => {
                tracing::warn!("{error}; planning for a CPU");
            }
            Err(error) => tracing::debug!("{error}; planning for the machine that this home knows"),
        }
        Ok(world)
    }
}

/// The options of a plan.
pub fn options(selection: &Selection) -> Options {
    let Selection {
        experiments: _,
        profile,
        seeds,
        set,
        rows,
        columns,
    } = selection;
    Options {
        profile: profile.clone(),
        seeds: *seeds,
        set: set.clone(),
        rows: rows.clone(),
        columns: columns.clone(),
    }
}

/// The experiment that a person named: a file, one that is built in, else one that this home has
/// applied, whose file may be gone or elsewhere.
pub async fn experiment(
    context: &Context,
    store: Option<&Store>,
    world: &dyn World,
    named: &str,
) -> anyhow::Result<Arc<Experiment>> {
    let unknown = match world.experiment(named) {
        Ok(experiment) => return Ok(experiment),
        Err(error) => error,
    };
    let applied = match store {
        Some(store) => store.applied(Some(&name_of(named))).await?,
        None => Vec::new(),
    };
    let Some(newest) = applied.iter().max_by_key(|applied| applied.t_ms) else {
        return Err(unknown.into());
    };
    let path = context
        .home
        .experiments()
        .join(format!("{}.toml", newest.hash));
    let text = files::read(&path)?;
    let file = path.display().to_string();
    Ok(Arc::new(Experiment::parse(
        &newest.experiment,
        &file,
        &text,
    )?))
}

/// The plans of all experiments that a person named.
pub async fn plans(
    context: &Context,
    store: Option<&Store>,
    world: &dyn World,
    selection: &Selection,
) -> anyhow::Result<Vec<Plan>> {
    let options = options(selection);
    let mut plans = Vec::new();
    for named in &selection.experiments {
        let experiment = experiment(context, store, world, named).await?;
        if let Some(profile) = &options.profile
            && experiment.profiles.is_empty()
            && experiment.figure.is_none()
        {
            bail!(
                "{} has no profiles, so there is none called {profile:?}; leave --profile out",
                experiment.name
            );
        }
        plans.push(rungs_spec::plan::build(experiment, &options, world)?);
    }
    Ok(plans)
}
