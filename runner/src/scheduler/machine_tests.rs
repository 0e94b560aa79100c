use super::super::ending::Exit;
use super::*;
use rungs_spec::protocol::FailureClass;
use rungs_spec::runkey;

pub(super) fn run(n: u32) -> RunKey {
    runkey::of_json(&serde_json::json!(n))
}

pub(super) fn id(n: u32, attempt: u32) -> AttemptId {
    AttemptId {
        run: run(n),
        attempt,
    }
}

fn machine(slots: u32, threads: Option<u32>) -> Machine {
    Machine::new(&Shares {
        slots: (0..slots).map(|i| format!("cpu:{i}")).collect(),
        threads,
        jobs: false,
    })
}

fn exit(exit: Exit) -> Ending {
    Ending {
        exit,
        finished: exit == Exit::Status(0),
        progressed: false,
        failed: None,
        log_tail: String::new(),
    }
}

pub(super) fn ended(n: u32, attempt: u32, how: Exit) -> Input {
    Input::Ended {
        id: id(n, attempt),
        ending: exit(how),
        now_ms: 0,
    }
}

pub(super) fn work(n: u32, attempt: u32, threads: u32) -> Work {
    Work {
        id: id(n, attempt),
        threads,
        tries: 1,
        alone: false,
    }
}

/// A timing run of one thread.
fn timing(slot: usize, n: u32) -> Input {
    Input::Claimed {
        slot,
        claim: Some(Work {
            alone: true,
            ..work(n, 1, 1)
        }),
    }
}

pub(super) fn claimed(slot: usize, n: u32, attempt: u32, threads: u32) -> Input {
    Input::Claimed {
        slot,
        claim: Some(work(n, attempt, threads)),
    }
}

/// Puts run `n` to work on `slot`, which has just asked.
fn start(m: &mut Machine, slot: usize, n: u32) {
    let effects = m.step(claimed(slot, n, 1, 1));
    assert_eq!(effects[0], Effect::Start { slot, id: id(n, 1) });
    m.step(Input::Started {
        id: id(n, 1),
        handle: Handle::Process(100 + n),
    });
}

#[test]
fn free_slots_ask_one_after_the_other() {
    let mut m = machine(2, Some(2));
    assert_eq!(m.step(Input::Tick), [Effect::Claim { slot: 0 }]);
    // While the question is open there is no second one.
    assert_eq!(m.step(Input::Tick), []);
    assert_eq!(
        m.step(claimed(0, 1, 1, 1)),
        [
            Effect::Start {
                slot: 0,
                id: id(1, 1)
            },
            Effect::Claim { slot: 1 }
        ]
    );
    // Nothing waits: the next question comes with the next tick.
    assert_eq!(
        m.step(Input::Claimed {
            slot: 1,
            claim: None
        }),
        []
    );
    assert_eq!(m.step(Input::Tick), [Effect::Claim { slot: 1 }]);
}

#[test]
fn a_freed_slot_asks_at_once() {
    let mut m = machine(1, None);
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    assert_eq!(
        m.step(ended(1, 1, Exit::Status(0))),
        [
            Effect::Record {
                id: id(1, 1),
                verdict: Verdict::Finished
            },
            Effect::Claim { slot: 0 }
        ]
    );
}

#[test]
fn a_large_run_waits_for_its_threads_and_nothing_overtakes_it() {
    let mut m = machine(2, Some(2));
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    // Slot 1 has asked and got a run of two threads: one is taken, so it waits.
    assert_eq!(m.step(claimed(1, 2, 1, 2)), []);
    assert_eq!(m.step(Input::Tick), []);
    assert_eq!(
        m.step(ended(1, 1, Exit::Status(0))),
        [
            Effect::Record {
                id: id(1, 1),
                verdict: Verdict::Finished
            },
            Effect::Start {
                slot: 1,
                id: id(2, 1)
            },
        ]
    );
    // All threads are in use.
    assert_eq!(m.step(Input::Tick), []);
}

#[test]
fn a_timing_run_starts_when_nothing_lives_and_nothing_starts_beside_it() {
    let mut m = machine(3, Some(3));
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    // Threads and slots are free, but run 1 lives.
    assert_eq!(m.step(timing(1, 2)), []);
    assert_eq!(m.step(Input::Tick), []);
    assert_eq!(
        m.step(ended(1, 1, Exit::Status(0))),
        [
            Effect::Record {
                id: id(1, 1),
                verdict: Verdict::Finished
            },
            // Run 2, and no question for more work after it.
            Effect::Start {
                slot: 1,
                id: id(2, 1)
            },
        ]
    );
    m.step(Input::Started {
        id: id(2, 1),
        handle: Handle::Process(102),
    });
    assert_eq!(m.step(Input::Tick), []);
    // Its end gives the machine free again.
    assert_eq!(
        m.step(ended(2, 1, Exit::Status(0)))[1],
        Effect::Claim { slot: 0 }
    );
}

#[test]
fn an_answer_that_was_on_its_way_waits_for_an_adopted_timing_run() {
    let mut m = machine(2, None);
    assert_eq!(m.step(Input::Tick), [Effect::Claim { slot: 0 }]);
    m.step(Input::Adopted {
        work: Work {
            alone: true,
            ..work(1, 1, 1)
        },
        handle: Handle::Process(11),
    });
    assert_eq!(m.step(claimed(0, 2, 1, 1)), []);
    assert_eq!(
        m.step(ended(1, 1, Exit::Unseen))[1],
        Effect::Start {
            slot: 0,
            id: id(2, 1)
        }
    );
}

#[test]
fn a_run_larger_than_the_machine_gets_it_alone() {
    let mut m = machine(2, Some(2));
    m.step(Input::Tick);
    assert_eq!(
        m.step(claimed(0, 1, 1, 8)),
        [Effect::Start {
            slot: 0,
            id: id(1, 1)
        }]
    );
}

#[test]
fn a_run_is_given_up_after_its_third_try() {
    let mut m = machine(1, None);
    for tries in 1..=3 {
        m.step(Input::Tick);
        let work = Work {
            tries,
            ..work(1, tries, 1)
        };
        m.step(Input::Claimed {
            slot: 0,
            claim: Some(work),
        });
        m.step(Input::Started {
            id: id(1, tries),
            handle: Handle::Process(7),
        });
        let effects = m.step(ended(1, tries, Exit::Status(9)));
        let given_up = matches!(
            &effects[0],
            Effect::GiveUp {
                class: FailureClass::Transient,
                ..
            }
        );
        assert_eq!(given_up, tries == 3, "{effects:?}");
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_waits_until_it_makes_progress() {
    let mut m = machine(1, None);
    let mut attempt = 0;
    let mut killed = |progressed| {
        attempt += 1;
        m.step(Input::Tick);
        m.step(claimed(0, 1, attempt, 1));
        let ending = Ending {
            progressed,
            ..exit(Exit::Signal(9))
        };
        let ended = Input::Ended {
            id: id(1, attempt),
            ending,
            now_ms: 0,
        };
        match m.step(ended).swap_remove(0) {
            Effect::Record {
                verdict: Verdict::Killed { retry_at_ms },
                ..
            } => retry_at_ms,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(killed(false), None);
    assert_eq!(killed(false), Some(2_000));
    assert_eq!(killed(false), Some(4_000));
    assert_eq!(killed(true), None, "it came further");
    assert_eq!(killed(false), Some(2_000));
}

#[test]
fn an_adopted_trainer_takes_a_slot_or_an_extra_one() {
    let mut m = machine(1, None);
    m.step(Input::Adopted {
        work: work(1, 2, 1),
        handle: Handle::Process(11),
    });
    m.step(Input::Adopted {
        work: work(2, 1, 1),
        handle: Handle::Process(12),
    });
    assert_eq!(
        m.step(Input::Tick),
        [],
        "both slots' worth of machine are taken"
    );
    assert_eq!(m.alive().count(), 2);
    assert_eq!(
        m.step(ended(2, 1, Exit::Unseen)),
        [Effect::Record {
            id: id(2, 1),
            verdict: NEVER_STARTED
        }]
    );
    let effects = m.step(ended(1, 2, Exit::Unseen));
    assert_eq!(effects[1], Effect::Claim { slot: 0 });
}

#[test]
fn interrupted_once_trainers_are_asked_and_waited_for() {
    let mut m = machine(2, None);
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    m.step(Input::Claimed {
        slot: 1,
        claim: None,
    });
    assert_eq!(
        m.step(Input::Stop(Stop::Checkpoint)),
        [Effect::Terminate { pid: 101 }]
    );
    assert_eq!(m.step(Input::Tick), [], "nothing new is started");
    assert_eq!(
        m.step(ended(1, 1, Exit::Status(75))),
        [
            Effect::Record {
                id: id(1, 1),
                verdict: Verdict::Checkpointed
            },
            Effect::Leave
        ]
    );
}

#[test]
fn interrupted_twice_trainers_are_killed() {
    let mut m = machine(1, None);
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    m.step(Input::Stop(Stop::Checkpoint));
    assert_eq!(
        m.step(Input::Stop(Stop::AtOnce)),
        [Effect::Kill { pid: 101 }]
    );
    // A third time changes nothing.
    assert_eq!(m.step(Input::Stop(Stop::AtOnce)), []);
    assert!(
        m.step(ended(1, 1, Exit::Signal(9)))
            .contains(&Effect::Leave)
    );
}

#[test]
fn interrupted_with_nothing_alive_it_leaves_at_once() {
    let mut m = machine(1, None);
    assert_eq!(m.step(Input::Stop(Stop::Checkpoint)), [Effect::Leave]);
}

#[test]
fn a_trainer_that_starts_while_stopping_is_asked_to_leave() {
    let mut m = machine(1, None);
    m.step(Input::Tick);
    m.step(claimed(0, 1, 1, 1));
    assert_eq!(m.step(Input::Stop(Stop::Checkpoint)), []);
    assert_eq!(
        m.step(Input::Started {
            id: id(1, 1),
            handle: Handle::Process(5)
        }),
        [Effect::Terminate { pid: 5 }]
    );
}

#[test]
fn detaching_leaves_trainers_alive_and_gives_waiting_runs_back() {
    let mut m = machine(2, Some(2));
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    m.step(claimed(1, 2, 1, 2));
    assert_eq!(
        m.step(Input::Stop(Stop::Detach)),
        [
            Effect::Record {
                id: id(2, 1),
                verdict: NEVER_STARTED
            },
            Effect::Leave
        ]
    );
}

#[test]
fn cancelling_asks_the_trainer_to_leave() {
    let mut m = machine(1, None);
    m.step(Input::Tick);
    start(&mut m, 0, 1);
    assert_eq!(
        m.step(Input::Cancelled { run: run(1) }),
        [Effect::Terminate { pid: 101 }]
    );
    assert_eq!(m.step(Input::Cancelled { run: run(2) }), []);
}

#[test]
fn an_end_that_nobody_waits_for_is_ignored() {
    let mut m = machine(1, None);
    assert_eq!(m.step(ended(1, 1, Exit::Status(0))), []);
}
