//! `trainer run`: one attempt of a run, from its directory to an exit status.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rungs_spec::home::RunDir;
use rungs_spec::protocol::{
    EXIT_CHECKPOINTED, EXIT_FINISHED, EXIT_PERMANENT, EventKind, FailureClass, NUMERICS_VERSION,
    PROTOCOL_VERSION, RunFile,
};

use crate::attempts::{self, Attempts};
use crate::events::Events;
use crate::failure::{EXIT_SUPERSEDED, EXIT_TRANSIENT, EXIT_USAGE, Failure};
use crate::log::say;
use crate::session::{Ended, Session};

/// Set by SIGTERM and SIGINT: checkpoint at the next step boundary and leave.
pub type Stop = Arc<AtomicBool>;

/// Executes one attempt. Returns the exit status; says on stderr what a person should know.
pub fn run(dir: &Path, attempt: Option<u32>) -> i32 {
    let stop: Stop = Arc::default();
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            say(format_args!("cannot handle signal {signal}: {error}"));
            return EXIT_TRANSIENT;
        }
    }
    let run_dir = RunDir(dir.to_owned());
    let run = match read_recipe(&run_dir) {
        Ok(run) => run,
        Err(failure) => return refused(&failure),
    };
    let _lock = match attempts::lock(&run_dir) {
        Ok(lock) => lock,
        Err(Ok(holder)) => {
            say(format_args!(
                "{}: another trainer (process {holder}) is training this run; wait for it or stop it",
                dir.display()
            ));
            return EXIT_USAGE;
        }
        Err(Err(failure)) => return refused(&failure),
    };
    let (past, number, mut events) = match begin(&run_dir, attempt) {
        Ok(Begun::Attempt(past, number, events)) => (past, number, events),
        Ok(Begun::AlreadyFinished) => {
            say(format_args!("{}: already finished", dir.display()));
            return EXIT_FINISHED;
        }
        Err(failure) => return refused(&failure),
    };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        Session::start(&run_dir, &run, &past, number, &mut events, &stop)?.train()
    }));
    let failure = match ended {
        Ok(Ok(Ended::Finished)) => return EXIT_FINISHED,
        Ok(Ok(Ended::Stopped)) => {
            say("stopped as asked; the next attempt continues from the checkpoint");
            return EXIT_CHECKPOINTED;
        }
        Ok(Ok(Ended::Superseded(higher))) => {
            say(format_args!(
                "attempt {higher} has taken this run over: attempt {number} stops"
            ));
            return EXIT_SUPERSEDED;
        }
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::transient(format!(
            "the trainer panicked: {}",
            panic_message(panic.as_ref())
        )),
    };
    say(&failure.message);
    let status = status_of(&failure);
    // On a full disk this fails too; the exit status and stderr still say it.
    let event = EventKind::Failed {
        class: failure.class,
        message: failure.message,
    };
    if let Err(failure) = events.write(event).and_then(|()| events.sync()) {
        say(&failure.message);
    }
    status
}

/// Ends before there is an attempt: no event file is ours to write to, so the status alone says
/// whether another try could succeed.
fn refused(failure: &Failure) -> i32 {
    say(&failure.message);
    status_of(failure)
}

fn status_of(failure: &Failure) -> i32 {
    match failure.class {
        FailureClass::Permanent => EXIT_PERMANENT,
        FailureClass::Transient => EXIT_TRANSIENT,
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

fn read_recipe(run_dir: &RunDir) -> Result<RunFile, Failure> {
    let path = run_dir.recipe();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::permanent(format!(
            "{}: cannot be read: {error}; --run-dir names a directory with a recipe.json",
            path.display()
        ))
    })?;
    let run: RunFile = serde_json::from_str(&text).map_err(|error| {
        Failure::permanent(format!(
            "{}: is not a run's recipe: {error}",
            path.display()
        ))
    })?;
    if run.v != PROTOCOL_VERSION || run.numerics != NUMERICS_VERSION {
        return Err(Failure::permanent(format!(
            "{}: was written for protocol {} and numerics {}, this trainer has {PROTOCOL_VERSION} and \
             {NUMERICS_VERSION}; use runner and trainer of one version",
            path.display(),
            run.v,
            run.numerics
        )));
    }
    Ok(run)
}

enum Begun {
    AlreadyFinished,
    Attempt(Attempts, u32, Events),
}

/// Takes the next number (or the given one), which no other attempt can take any more.
fn begin(run_dir: &RunDir, asked: Option<u32>) -> Result<Begun, Failure> {
    loop {
        let past = Attempts::read(run_dir)?;
        if past.finished {
            return Ok(Begun::AlreadyFinished);
        }
        let number = asked.unwrap_or(past.highest + 1);
        if number <= past.highest {
            // The file of that attempt is another's, and the next try takes the next number.
            return Err(Failure::transient(format!(
                "{}: --attempt {number} comes too late, attempt {} exists; the next is {}",
                run_dir.dir().display(),
                past.highest,
                past.highest + 1
            )));
        }
        if let Some(events) = Events::create(&run_dir.attempt(number), number)? {
            return Ok(Begun::Attempt(past, number, events));
        }
    }
}

/// Whether a signal asked to stop.
pub fn stopping(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
