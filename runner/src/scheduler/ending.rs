//! What the end of an attempt means for its run: finished, on again, on again after a while, or
//! given up. Pure.

use rungs_spec::protocol::{EXIT_CHECKPOINTED, EXIT_FINISHED, EXIT_PERMANENT, FailureClass};

/// Tries before a run that fails for transient reasons is given up.
pub const MAX_TRIES: u32 = 3;

/// First wait before the next try, doubled at each.
const FIRST_WAIT_MS: i64 = 5_000;

/// A trainer's exit status when it found a higher attempt at work on its run.
const EXIT_SUPERSEDED: i32 = 73;

/// Longest wait of a run that is killed again and again.
const LONGEST_WAIT_MS: i64 = 60_000;

/// When a run goes on that was killed that many times (from 1) without a checkpoint between: the
/// first time at once, then after 2, 4, 8, ... 60 seconds. Something that kills it each time, such as
/// the kernel out of memory, would otherwise have the machine start trainers and do nothing else.
pub fn after_kills(kills: u32, now_ms: i64) -> Option<i64> {
    let doublings = kills.checked_sub(1).filter(|again| *again > 0)?;
    Some(now_ms + (1_000 << doublings.min(10)).min(LONGEST_WAIT_MS))
}

/// How a trainer's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody saw: it was adopted, so its status went to another process.
    Unseen,
}

/// All that is known of the end of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// How the process ended.
    pub exit: Exit,
    /// Its event file ends with `finished`.
    pub finished: bool,
    /// It wrote a checkpoint.
    pub progressed: bool,
    /// What its `failed` event said.
    pub failed: Option<(FailureClass, String)>,
    /// Last lines of log.txt, for a message where no event says more.
    pub log_tail: String,
}

/// What it means.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The run is done.
    Finished,
    /// On again at once; a checkpoint is there.
    Checkpointed,
    /// On again at once, or at this time (milliseconds since 1970); no try is used up.
    Killed {
        /// See [`after_kills`].
        retry_at_ms: Option<i64>,
    },
    /// On again at this time.
    Transient {
        /// Why it failed.
        message: String,
        /// Milliseconds since 1970.
        retry_at_ms: i64,
    },
    /// Given up.
    Permanent {
        /// Whether another attempt could have succeeded.
        class: FailureClass,
        /// Why.
        message: String,
    },
}

/// Signals that come from outside: a person, a job system, the kernel out of memory. Others
/// (SIGSEGV, SIGABRT, ...) are the trainer's own doing.
fn from_outside(signal: i32) -> bool {
    const HUP: i32 = 1;
    const INT: i32 = 2;
    const QUIT: i32 = 3;
    const KILL: i32 = 9;
    const TERM: i32 = 15;
    matches!(signal, HUP | INT | QUIT | KILL | TERM)
}

const KILLED: Verdict = Verdict::Killed { retry_at_ms: None };

/// Judges the end of try number `tries` (from 1) of a run. Who counts kills sets their back-off.
pub fn judge(ending: &Ending, tries: u32, now_ms: i64) -> Verdict {
    if ending.finished && matches!(ending.exit, Exit::Status(EXIT_FINISHED) | Exit::Unseen) {
        return Verdict::Finished;
    }
    let permanent = |message| Verdict::Permanent {
        class: FailureClass::Permanent,
        message,
    };
    match (ending.exit, &ending.failed) {
        (Exit::Status(EXIT_CHECKPOINTED), _) => Verdict::Checkpointed,
        (Exit::Status(EXIT_PERMANENT), _) => permanent(message(ending)),
        // It says that it is done and is not: trying again would say the same.
        (Exit::Status(EXIT_FINISHED), _) => permanent(message(ending)),
        // It ended for another attempt's sake, which says nothing about the run.
        (Exit::Status(EXIT_SUPERSEDED), None) => KILLED,
        (Exit::Signal(signal), _) if from_outside(signal) => KILLED,
        (Exit::Unseen, None) => KILLED,
        (Exit::Unseen, Some((FailureClass::Permanent, _))) => permanent(message(ending)),
        _ if tries >= MAX_TRIES => Verdict::Permanent {
            class: FailureClass::Transient,
            message: format!(
                "gave up after {tries} tries; the last one: {}",
                message(ending)
            ),
        },
        _ => Verdict::Transient {
            message: message(ending),
            retry_at_ms: now_ms + (FIRST_WAIT_MS << (tries.max(1) - 1).min(10)),
        },
    }
}

fn message(ending: &Ending) -> String {
    if let Some((_, message)) = &ending.failed {
        return message.clone();
    }
    let how = match ending.exit {
        Exit::Status(EXIT_FINISHED) => {
            "the trainer left with status 0 but without a `finished` event: it breaks the protocol"
                .to_owned()
        }
        Exit::Status(status) => format!("the trainer left with status {status}"),
        Exit::Signal(signal) => format!("the trainer died of signal {signal}"),
        Exit::Unseen => "the trainer is gone".to_owned(),
    };
    if ending.log_tail.is_empty() {
        how
    } else {
        format!("{how}; its log ends with: {}", ending.log_tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(exit: Exit) -> Ending {
        Ending {
            exit,
            finished: false,
            progressed: false,
            failed: None,
            log_tail: String::new(),
        }
    }

    #[test]
    fn a_superseded_trainer_is_neither_a_try_nor_a_failure() {
        assert_eq!(judge(&ending(Exit::Status(73)), 3, 0), KILLED);
    }

    #[test]
    fn kills_back_off_from_the_second_on() {
        let waits: Vec<_> = (1..=9).map(|n| after_kills(n, 5).map(|t| t - 5)).collect();
        let seconds = |s: i64| Some(s * 1_000);
        let expected = [2, 4, 8, 16, 32, 60, 60, 60].map(seconds);
        assert_eq!(waits[0], None, "at once");
        assert_eq!(waits[1..], expected);
        assert_eq!(after_kills(u32::MAX, 0), seconds(60));
    }

    #[test]
    fn status_0_needs_the_finished_event() {
        let mut e = ending(Exit::Status(0));
        assert!(matches!(judge(&e, 1, 0), Verdict::Permanent { .. }));
        e.finished = true;
        assert_eq!(judge(&e, 1, 0), Verdict::Finished);
    }

    #[test]
    fn checkpointed_goes_on() {
        assert_eq!(
            judge(&ending(Exit::Status(75)), 9, 0),
            Verdict::Checkpointed
        );
    }

    #[test]
    fn status_1_is_permanent_with_the_events_message() {
        let mut e = ending(Exit::Status(1));
        e.log_tail = "thread panicked".into();
        let Verdict::Permanent { class, message } = judge(&e, 1, 0) else {
            panic!()
        };
        assert_eq!(class, FailureClass::Permanent);
        assert!(
            message.contains("status 1") && message.contains("thread panicked"),
            "{message}"
        );
        e.failed = Some((FailureClass::Permanent, "the loss is NaN at step 7".into()));
        let Verdict::Permanent { message, .. } = judge(&e, 1, 0) else {
            panic!()
        };
        assert_eq!(message, "the loss is NaN at step 7");
    }

    #[test]
    fn a_signal_from_outside_never_uses_up_the_tries() {
        for tries in [1, 3, 100] {
            assert_eq!(judge(&ending(Exit::Signal(9)), tries, 0), KILLED);
            assert_eq!(judge(&ending(Exit::Signal(15)), tries, 0), KILLED);
        }
    }

    #[test]
    fn a_crash_of_its_own_is_tried_three_times_with_growing_waits() {
        let crash = ending(Exit::Signal(11));
        let wait = |tries| match judge(&crash, tries, 1_000) {
            Verdict::Transient { retry_at_ms, .. } => Some(retry_at_ms - 1_000),
            _ => None,
        };
        assert_eq!(
            [wait(1), wait(2), wait(3)],
            [Some(5_000), Some(10_000), None]
        );
        let Verdict::Permanent { class, message } = judge(&crash, 3, 0) else {
            panic!()
        };
        assert_eq!(class, FailureClass::Transient);
        assert!(message.starts_with("gave up after 3 tries"), "{message}");
    }

    #[test]
    fn an_adopted_trainer_is_judged_by_its_events() {
        let mut e = ending(Exit::Unseen);
        assert_eq!(judge(&e, 1, 0), KILLED);
        e.finished = true;
        assert_eq!(judge(&e, 1, 0), Verdict::Finished);
        e.finished = false;
        e.failed = Some((FailureClass::Permanent, "bad".into()));
        assert!(matches!(judge(&e, 1, 0), Verdict::Permanent { .. }));
        e.failed = Some((FailureClass::Transient, "disk full".into()));
        assert!(matches!(judge(&e, 1, 0), Verdict::Transient { .. }));
    }
}
