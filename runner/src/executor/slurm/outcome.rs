//! What became of a job, from what squeue says of it and what it left in the run directory. Pure.

use rungs_spec::protocol::{EXIT_FINISHED, EXIT_PERMANENT, FailureClass};

use super::commands::Listed;
use crate::scheduler::ending::Exit;

/// What became of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It waits or works, or nobody knows better.
    Alive,
    /// It will never work, but Slurm keeps it: it must be cancelled, and failed for this reason.
    Stuck(String),
    /// It is gone and left no status where it should have: what it wrote may still be on its way
    /// through a network file system.
    Unclear,
    /// It is over.
    Over {
        /// How the trainer ended, as far as that is known.
        exit: Exit,
        /// Why, if that was no fault of the trainer.
        failed: Option<(FailureClass, String)>,
    },
}

/// States in which a job waits, works, or is about to be started again.
const LIVE: &[&str] = &[
    "PENDING",
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESIZING",
    "RESV_DEL_HOLD",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
    "SUSPENDED",
];

/// States of a job that another ended: a person, a limit, a more important job.
const ENDED_FROM_OUTSIDE: &[&str] = &["CANCELLED", "PREEMPTED", "REVOKED", "TIMEOUT"];

/// Judges a job. `listed` is what Slurm says of it: `None` if it does not know it (any more). `exit`
/// is the status that the newest attempt left. `late` says that nothing more can be on its way.
pub fn outcome(listed: Option<&Listed>, exit: Option<Exit>, late: bool) -> Outcome {
    let over = |exit| Outcome::Over { exit, failed: None };
    // Done is done, whatever Slurm still has to clear up.
    if let Some(done @ Exit::Status(EXIT_FINISHED | EXIT_PERMANENT)) = exit {
        return over(done);
    }
    let Some(listed) = listed else {
        return match exit {
            Some(exit) => over(exit),
            None if late => over(Exit::Unseen),
            None => Outcome::Unclear,
        };
    };
    let state = listed.state.as_str();
    if LIVE.contains(&state) {
        let launch = listed.reason.to_lowercase().replace(['_', ' '], "");
        if state == "PENDING" && launch.contains("launchfailed") {
            return Outcome::Stuck(format!(
                "Slurm could not start job {} on its node and holds it back ({}); see `scontrol \
                 show job {}` and the log of slurmd there",
                listed.number, listed.reason, listed.number
            ));
        }
        return Outcome::Alive;
    }
    let failed = |message: String| Outcome::Over {
        exit: Exit::Unseen,
        failed: Some((FailureClass::Transient, message)),
    };
    let number = listed.number;
    match state {
        "OUT_OF_MEMORY" => failed(format!(
            "Slurm job {number} took more memory than it was given: raise `mem` in slurm.toml"
        )),
        "NODE_FAIL" | "BOOT_FAIL" => {
            failed(format!("the node of Slurm job {number} failed ({state})"))
        }
        "DEADLINE" => failed(format!("Slurm job {number} was ended by its deadline")),
        _ => match exit {
            Some(exit) => over(exit),
            None if ENDED_FROM_OUTSIDE.contains(&state) => over(Exit::Signal(TERM)),
            None if !late => Outcome::Unclear,
            None => failed(format!(
                "Slurm job {number} ended as {state} ({}) before its trainer began or left a status; \
                 is the home on a file system that the node sees?",
                listed.reason
            )),
        },
    }
}

const TERM: i32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(state: &str, reason: &str) -> Listed {
        Listed {
            number: 17,
            name: "rungs-x".into(),
            state: state.into(),
            reason: reason.into(),
        }
    }

    fn of(state: &str, exit: Option<i32>) -> Outcome {
        outcome(Some(&listed(state, "None")), exit.map(Exit::Status), true)
    }

    fn over(exit: Exit) -> Outcome {
        Outcome::Over { exit, failed: None }
    }

    #[test]
    fn a_run_that_is_done_or_given_up_is_so_whatever_slurm_says() {
        for status in [0, 1] {
            for state in ["COMPLETING", "RUNNING", "COMPLETED", "NODE_FAIL"] {
                assert_eq!(of(state, Some(status)), over(Exit::Status(status)));
            }
            let exit = Some(Exit::Status(status));
            assert_eq!(outcome(None, exit, false), over(Exit::Status(status)));
        }
    }

    #[test]
    fn a_checkpoint_is_an_end_only_if_slurm_does_not_start_the_job_again() {
        for state in LIVE {
            assert_eq!(of(state, Some(75)), Outcome::Alive, "{state}");
        }
        for state in ["FAILED", "CANCELLED", "PREEMPTED", "TIMEOUT"] {
            assert_eq!(of(state, Some(75)), over(Exit::Status(75)), "{state}");
        }
        let exit = Some(Exit::Status(75));
        assert_eq!(outcome(None, exit, false), over(Exit::Status(75)));
    }

    #[test]
    fn who_is_ended_from_outside_was_killed() {
        for state in ENDED_FROM_OUTSIDE {
            assert_eq!(of(state, None), over(Exit::Signal(15)), "{state}");
        }
        assert_eq!(outcome(None, None, true), over(Exit::Unseen), "vanished");
    }

    #[test]
    fn files_are_waited_for() {
        assert_eq!(outcome(None, None, false), Outcome::Unclear);
        let completed = listed("COMPLETED", "None");
        assert_eq!(outcome(Some(&completed), None, false), Outcome::Unclear);
    }

    #[test]
    fn errors_of_the_node_are_worth_another_try_and_say_why() {
        for (state, exit, word) in [
            ("OUT_OF_MEMORY", Some(137), "raise `mem`"),
            ("NODE_FAIL", None, "the node"),
            ("BOOT_FAIL", None, "the node"),
            ("DEADLINE", None, "deadline"),
            ("FAILED", None, "file system that the node sees"),
        ] {
            let Outcome::Over {
                exit: Exit::Unseen,
                failed: Some((FailureClass::Transient, message)),
            } = of(state, exit)
            else {
                panic!("{state}")
            };
            assert!(
                message.contains(word) && message.contains("17"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_job_that_slurm_cannot_start_is_not_waited_for() {
        for reason in ["launch failed requeued held", "launch_failed_requeued_held"] {
            let held = listed("PENDING", reason);
            assert!(matches!(
                outcome(Some(&held), None, false),
                Outcome::Stuck(_)
            ));
        }
        let held = listed("PENDING", "JobHeldAdmin");
        assert_eq!(outcome(Some(&held), None, true), Outcome::Alive);
    }
}
