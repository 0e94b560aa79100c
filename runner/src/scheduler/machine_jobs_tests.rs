//! What the state machine does with jobs of Slurm.

use super::super::ending::Exit;
use super::tests::{claimed, ended, id, run, work};
use super::*;

/// Two places in Slurm's queue.
fn queue() -> Machine {
    Machine::new(&Shares {
        slots: vec!["slurm".to_owned(); 2],
        threads: None,
        jobs: true,
    })
}

/// Puts run `n` into the place that has just asked.
fn submit(m: &mut Machine, slot: usize, n: u32) {
    let effects = m.step(claimed(slot, n, 1, 8));
    assert_eq!(effects[0], Effect::Start { slot, id: id(n, 1) });
    let handle = Handle::Job;
    m.step(Input::Started {
        id: id(n, 1),
        handle,
    });
}

#[test]
fn jobs_take_places_and_no_processors() {
    let mut m = queue();
    m.step(Input::Tick);
    submit(&mut m, 0, 1);
    assert!(!m.is_full());
    submit(&mut m, 1, 2);
    assert!(m.is_full());
    assert_eq!(m.step(Input::Tick), []);
    let effects = m.step(ended(1, 1, Exit::Status(0)));
    assert_eq!(effects[1], Effect::Claim { slot: 0 });
}

#[test]
fn a_refusal_undoes_the_claim_and_nothing_is_claimed_until_it_is_over() {
    let mut m = queue();
    m.step(Input::Tick);
    m.step(claimed(0, 1, 1, 1));
    assert_eq!(
        m.step(Input::Refused { id: id(1, 1) }),
        [Effect::Unclaim { id: id(1, 1) }]
    );
    // The other place was asking meanwhile, and gets an answer: it is refused as well.
    assert_eq!(m.step(claimed(1, 2, 1, 1)), []);
    assert!(m.is_full());
    assert_eq!(m.step(Input::Tick), []);
    assert_eq!(
        m.step(Input::Reopened),
        [
            Effect::Start {
                slot: 1,
                id: id(2, 1)
            },
            Effect::Claim { slot: 0 }
        ]
    );
}

#[test]
fn stopping_leaves_jobs_alone() {
    for how in [Stop::Detach, Stop::Checkpoint, Stop::AtOnce] {
        let mut m = queue();
        m.step(Input::Tick);
        submit(&mut m, 0, 1);
        m.step(Input::Claimed {
            slot: 1,
            claim: None,
        });
        assert_eq!(m.step(Input::Stop(how)), [Effect::Leave], "{how:?}");
    }
}

#[test]
fn stopping_waits_for_the_answer_to_a_submission() {
    let mut m = queue();
    m.step(Input::Tick);
    m.step(claimed(0, 1, 1, 1));
    m.step(Input::Claimed {
        slot: 1,
        claim: None,
    });
    assert_eq!(m.step(Input::Stop(Stop::AtOnce)), []);
    let started = Input::Started {
        id: id(1, 1),
        handle: Handle::Job,
    };
    assert_eq!(m.step(started), [Effect::Leave]);
}

#[test]
fn cancelling_cancels_the_job_even_if_it_is_only_on_its_way() {
    let cancel = || Effect::CancelJob { run: run(1) };
    let mut m = queue();
    m.step(Input::Tick);
    submit(&mut m, 0, 1);
    assert_eq!(m.step(Input::Cancelled { run: run(1) }), [cancel()]);
    let mut m = queue();
    m.step(Input::Tick);
    m.step(claimed(0, 1, 1, 1));
    assert_eq!(m.step(Input::Cancelled { run: run(1) }), []);
    let started = Input::Started {
        id: id(1, 1),
        handle: Handle::Job,
    };
    assert_eq!(m.step(started), [cancel()]);
}

#[test]
fn a_job_that_slurm_started_again_is_known_by_its_new_attempt() {
    let mut m = queue();
    m.step(Input::Tick);
    submit(&mut m, 0, 1);
    m.step(Input::Advanced {
        id: id(1, 1),
        attempt: 2,
    });
    assert_eq!(
        m.step(ended(1, 1, Exit::Status(0))),
        [],
        "that was an earlier one"
    );
    let effects = m.step(ended(1, 2, Exit::Status(0)));
    assert!(matches!(&effects[0], Effect::Record { id: ended, .. } if *ended == id(1, 2)));
}

#[test]
fn jobs_of_an_earlier_scheduler_take_no_local_slot() {
    let mut m = Machine::new(&Shares {
        slots: vec!["cpu:0".to_owned()],
        threads: Some(1),
        jobs: false,
    });
    m.step(Input::Adopted {
        work: Work {
            alone: true,
            ..work(1, 1, 1)
        },
        handle: Handle::Job,
    });
    assert_eq!(m.step(Input::Tick), [Effect::Claim { slot: 0 }]);
    assert_eq!(
        m.step(claimed(0, 2, 1, 1)),
        [Effect::Start {
            slot: 0,
            id: id(2, 1)
        }]
    );
    assert_eq!(
        m.step(ended(1, 1, Exit::Status(0))).len(),
        1,
        "the machine is no freer than before"
    );
}
