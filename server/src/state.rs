//! What every request needs: the home, its database (opened when there is one), and the answer to
//! "is a scheduler there?".

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use rungs_report::Select;
use rungs_report::claims::Judged;
use rungs_spec::RunKey;
use rungs_spec::home::Home;
use rungs_spec::plan::Options;
use rungs_store::Store;
use rungs_store::parsed::Parsed;
use rungs_store::world::HomeWorld;
use tokio::sync::Mutex;

use crate::control::Memory;
use crate::error::Failure;
use crate::remember::{self, Remembered, Stamp};
use crate::view::{self, View};

/// Shared by all requests; cheap to clone.
#[derive(Clone)]
pub struct Dashboard(Arc<Inner>);

struct Inner {
    home: Home,
    db: PathBuf,
    store: Mutex<Opened>,
    /// What was asked of the scheduler here.
    memory: Memory,
    /// Which files it was made of, and when.
    world: std::sync::Mutex<Option<(blake3::Hash, Instant, Arc<HomeWorld>)>>,
    /// Experiment files, whatever world read them.
    parsed: Arc<Parsed>,
    views: Remembered<Arc<Shown>>,
    pages: Remembered<Bytes>,
    charts: Remembered<Bytes>,
}

/// A view, and the change counter that it was made at.
#[derive(Debug)]
pub struct Shown {
    view: View,
    /// Of the database, before anything was read.
    pub counter: u64,
}

impl std::ops::Deref for Shown {
    type Target = View;
    fn deref(&self) -> &View {
        &self.view
    }
}

/// Where experiment files are looked for before those built in; of the directory that the server runs in.
const EXPERIMENTS: &str = "experiments";

/// What came of opening the database, and which file it was: a rebuilt database is another file.
#[derive(Default)]
enum Opened {
    #[default]
    No,
    /// And when it was last known to be of a version that this program reads.
    Yes(FileId, Store, Instant),
    /// When it was tried, and what was said.
    Failed(FileId, Instant, Failure),
}

/// How long a page waits for somebody else's lock before it says so.
const BUSY: Duration = Duration::from_secs(5);
/// For how long a failure is said again before the next try: those who waited behind it need not wait for
/// their own.
const SAID_AGAIN: Duration = Duration::from_secs(1);
/// A newer program migrates the database in place, under a server that keeps it open.
const VERSION_HOLDS: Duration = Duration::from_secs(1);

type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

impl Dashboard {
    /// A dashboard over a home and its database; neither needs to exist yet.
    pub fn new(home: Home, db: PathBuf) -> Self {
        Dashboard(Arc::new(Inner {
            home,
            db,
            store: Mutex::default(),
            memory: Memory::default(),
            world: std::sync::Mutex::default(),
            parsed: Arc::default(),
            views: Remembered::default(),
            pages: Remembered::default(),
            charts: Remembered::default(),
        }))
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.0.home
    }

    /// What was asked of the scheduler through this server.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The database; `None` while there is none. It is opened again when its file was replaced, and no longer
    /// read when a newer Rungs has migrated it.
    pub async fn store(&self) -> Result<Option<Store>, Failure> {
        let mut open = self.0.store.lock().await;
        let Some(id) = file_id(&self.0.db) else {
            *open = Opened::No;
            return Ok(None);
        };
        match &mut *open {
            Opened::Yes(of, store, at) if *of == id => {
                if at.elapsed() < VERSION_HOLDS {
                    return Ok(Some(store.clone()));
                }
                if store.check_version().await.is_ok() {
                    *at = Instant::now();
                    return Ok(Some(store.clone()));
                }
                // Opening it again says what is wrong with it.
            }
            Opened::Failed(of, at, failure) if *of == id && at.elapsed() < SAID_AGAIN => {
                return Err(failure.clone());
            }
            _ => {}
        }
        match Store::open_reader_within(&self.0.db, BUSY).await {
            Ok(store) => {
                *open = Opened::Yes(id, store.clone(), Instant::now());
                Ok(Some(store))
            }
            Err(error) => {
                let failure = Failure::from(error);
                *open = Opened::Failed(id, Instant::now(), failure.clone());
                Err(failure)
            }
        }
    }

    /// The database, or a 404 that says how to get one.
    pub async fn some_store(&self) -> Result<Store, Failure> {
        self.store().await?.ok_or_else(|| {
            Failure::not_found(
                "no_database",
                format!(
                    "There is no database at {} yet, so nothing has run in this home. Start with: runner reproduce table4",
                    self.0.db.display()
                ),
            )
        })
    }

    /// What planning asks of this machine. Its experiments are parsed once, until a file changes.
    pub fn world(&self) -> Result<Arc<HomeWorld>, Failure> {
        let files = remember::files(self.home(), Path::new(EXPERIMENTS));
        let mut kept = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, since, world)) = kept.as_ref()
            && *of == files
            && since.elapsed() < remember::KEPT
        {
            return Ok(world.clone());
        }
        let world = HomeWorld::with_experiments(self.home(), Path::new(EXPERIMENTS))?;
        let world = Arc::new(world.with_parsed(self.0.parsed.clone()));
        *kept = Some((files, Instant::now(), world.clone()));
        Ok(world)
    }

    /// Names of all experiments: files, built in, and whatever was ever applied in this home.
    pub async fn experiments(&self) -> Result<Vec<String>, Failure> {
        let mut names: BTreeSet<String> = self.world()?.experiment_names().into_iter().collect();
        if let Some(store) = self.store().await? {
            names.extend(store.applied(None).await?.into_iter().map(|a| a.experiment));
        }
        Ok(names.into_iter().collect())
    }

    /// The table of an experiment. Only known names are looked up, so that no part of an address
    /// becomes a path.
    pub async fn view(
        &self,
        experiment: &str,
        profile: Option<&str>,
        select: Select,
    ) -> Result<Arc<Shown>, Failure> {
        let options = Options {
            profile: profile.map(str::to_owned),
            ..Options::default()
        };
        self.view_with(experiment, &options, select).await
    }

    /// As [`Dashboard::view`], with other options than the profile.
    pub async fn view_with(
        &self,
        experiment: &str,
        options: &Options,
        select: Select,
    ) -> Result<Arc<Shown>, Failure> {
        let key = format!("{experiment} {select:?} {options:?}");
        let (dashboard, experiment, options) =
            (self.clone(), experiment.to_owned(), options.clone());
        let make = || async move {
            let stamp = dashboard.stamp().await?;
            let view = dashboard.look(&experiment, &options, select).await?;
            let counter = stamp.counter;
            Ok((stamp, Arc::new(Shown { view, counter })))
        };
        self.0.views.get(&key, self.stamp().await?, make).await
    }

    /// A page that is the same for all who ask for this address, as what `make` returns.
    pub async fn page<F>(&self, address: &str, make: impl FnOnce() -> F) -> Result<Bytes, Failure>
    where
        F: Future<Output = Result<(u64, Bytes), Failure>> + Send + 'static,
    {
        // Not a change in the database, and on every page.
        let key = format!("{address} {}", self.scheduler_is_here());
        let now = self.stamp().await?;
        let of = now.clone();
        let make = || {
            let made = make();
            async move {
                let (counter, bytes) = made.await?;
                Ok((Stamp { counter, ..of }, bytes))
            }
        };
        self.0.pages.get(&key, now, make).await
    }

    /// A chart of these runs, as what `make` draws: it is drawn again when one of them has moved on.
    pub async fn chart<F>(
        &self,
        asked: &str,
        runs: &[RunKey],
        make: impl FnOnce() -> F,
    ) -> Result<Bytes, Failure>
    where
        F: Future<Output = Result<Bytes, Failure>> + Send + 'static,
    {
        let store = self.some_store().await?;
        let now = Stamp {
            counter: 0,
            db: file_id(&self.0.db),
            made_of: Some(store.stamp_of(runs).await?),
        };
        let of = now.clone();
        let make = || {
            let drawn = make();
            async move { Ok((of, drawn.await?)) }
        };
        self.0.charts.get(asked, now, make).await
    }

    /// What views are made from now.
    async fn stamp(&self) -> Result<Stamp, Failure> {
        Ok(Stamp {
            counter: self.change_counter().await?,
            db: file_id(&self.0.db),
            made_of: Some(remember::files(self.home(), Path::new(EXPERIMENTS))),
        })
    }

    async fn look(
        &self,
        experiment: &str,
        options: &Options,
        select: Select,
    ) -> Result<View, Failure> {
        let store = self.store().await?;
        let world = self.world()?;
        let known = self.experiments().await?;
        if !known.iter().any(|name| name == experiment) {
            let near = rungs_spec::error::nearest(experiment, known.iter().map(String::as_str));
            return Err(Failure::not_found(
                "no_such_experiment",
                format!("There is no experiment {experiment:?}; {near}"),
            ));
        }
        Ok(view::table(
            store.as_ref(),
            self.home(),
            world.as_ref(),
            experiment,
            select,
            options,
        )
        .await?)
    }

    /// Every claim of the paper, judged.
    pub async fn claims(&self, profile: Option<&str>) -> Result<Vec<Judged>, Failure> {
        let store = self.store().await?;
        Ok(view::claims(store.as_ref(), self.home(), self.world()?.as_ref(), profile).await?)
    }

    /// Grows with every change of what pages show; 0 without a database.
    pub async fn change_counter(&self) -> Result<u64, Failure> {
        match self.store().await? {
            Some(store) => Ok(store.change_counter().await?),
            None => Ok(0),
        }
    }

    /// Whether somebody on this machine holds the scheduler's lock.
    pub fn scheduler_is_here(&self) -> bool {
        rungs_store::locks::holder_of(&self.home().scheduler_lock()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_schedules_an_empty_home_until_somebody_locks_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home(dir.path().to_owned());
        let dashboard = Dashboard::new(home.clone(), home.database());
        assert!(!dashboard.scheduler_is_here());
        let file = std::fs::File::create(home.scheduler_lock()).expect("created");
        assert!(!dashboard.scheduler_is_here());
        file.lock().expect("locked");
        assert!(dashboard.scheduler_is_here());
        drop(file);
        assert!(!dashboard.scheduler_is_here());
    }
}
