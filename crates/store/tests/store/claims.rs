//! The queue: who goes next, and what sends a run back.

use std::collections::BTreeSet;

use rungs_spec::home::{CellRun, JournalEntry};
use rungs_spec::protocol::{FailureClass, RunFile};
use rungs_spec::result::RunState;
use rungs_store::{AttemptEnd, RunFilter, SlotRow, Store, StoreError};

use crate::home::{TestHome, event, finished, key, queued, run_file, started};

async fn state(home: &TestHome, n: u64) -> RunState {
    let filter = RunFilter {
        prefix: Some(key(n).to_string()),
        ..RunFilter::default()
    };
    home.store.runs(&filter).await.unwrap()[0].state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_claimers_never_share_a_run() {
    let home = TestHome::new().await;
    for n in 0..40 {
        home.queue(1, &run_file(n)).await;
    }
    let mut claimers = Vec::new();
    for i in 0..16 {
        // Every fourth opens the database for itself, as another process would.
        let store = if i % 4 == 0 {
            Store::open_writer(&home.db()).await.unwrap()
        } else {
            home.store.clone()
        };
        claimers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            while let Some(claim) = store.claim(&format!("slot-{i}")).await.unwrap() {
                assert_eq!((claim.attempt, claim.tries), (1, 1));
                mine.push(claim.run);
            }
            mine
        }));
    }
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    assert_eq!(all.len(), 40);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

#[tokio::test]
async fn timing_runs_come_last_of_their_priority() {
    let home = TestHome::new().await;
    for n in [1, 2, 3] {
        let timing = n == 1;
        home.queue(
            1,
            &RunFile {
                timing,
                ..run_file(n)
            },
        )
        .await;
    }
    for wanted in [2, 3, 1] {
        let claim = home.store.claim("a").await.unwrap().unwrap();
        assert_eq!(claim.run, key(wanted));
    }
    home.queue(
        2,
        &RunFile {
            timing: true,
            ..run_file(4)
        },
    )
    .await;
    home.queue(3, &run_file(5)).await;
    let raised = JournalEntry::Priority {
        run: key(4),
        priority: 1,
    };
    home.decide(4, raised).await;
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().run, key(4));
}

#[tokio::test]
async fn priority_first_then_begun_runs_then_the_order_of_queueing() {
    let home = TestHome::new().await;
    for n in [3, 1, 2] {
        home.queue(1, &run_file(n)).await;
    }
    home.decide(
        2,
        JournalEntry::Priority {
            run: key(2),
            priority: 5,
        },
    )
    .await;
    let first = home.store.claim("a").await.unwrap().unwrap();
    assert_eq!(first.run, key(2));
    assert_eq!(home.store.claim("b").await.unwrap().unwrap().run, key(3));
    home.store
        .attempt_ended(&key(3), 1, AttemptEnd::Checkpointed)
        .await
        .unwrap();
    home.queue(3, &run_file(0)).await;
    let again = home.store.claim("b").await.unwrap().unwrap();
    assert_eq!((again.run, again.attempt, again.tries), (key(3), 2, 1));
    assert_eq!(home.store.claim("b").await.unwrap().unwrap().run, key(1));
    assert_eq!(home.store.claim("b").await.unwrap().unwrap().run, key(0));
    assert_eq!(home.store.claim("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_run_waits_for_its_teacher_and_nothing_starts_while_paused() {
    let home = TestHome::new().await;
    let (teacher, student) = (run_file(1), run_file(2));
    // The journal may name a run before anybody has registered it.
    home.decide(
        1,
        JournalEntry::Queued {
            run: key(2),
            depends_on: vec![key(1)],
            priority: 9,
        },
    )
    .await;
    assert_eq!(home.store.claim("a").await.unwrap(), None);
    home.register(&student, &[key(1)]).await;
    home.queue(1, &teacher).await;
    assert_eq!(state(&home, 2).await, RunState::Blocked);
    let waiting =
        RunFilter::parse("state=blocked model=resnet50 dataset=synthetic seed=2").unwrap();
    assert_eq!(
        home.store.runs(&waiting).await.unwrap()[0].waits_for,
        [key(1)]
    );
    assert_eq!(
        home.store
            .count_runs(&RunFilter::parse("queued").unwrap())
            .await
            .unwrap(),
        1
    );

    home.decide(2, JournalEntry::Paused).await;
    assert_eq!(home.store.claim("a").await.unwrap(), None);
    home.decide(3, JournalEntry::Resumed).await;
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().run, key(1));
    assert_eq!(home.store.claim("a").await.unwrap(), None);
    let events = [event(4, 1, started(&key(1), 0)), event(5, 1, finished())];
    home.store.ingest(&key(1), 1, 100, &events).await.unwrap();
    home.store
        .attempt_ended(&key(1), 1, AttemptEnd::Finished)
        .await
        .unwrap();
    assert_eq!(state(&home, 1).await, RunState::Done);
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().run, key(2));
}

#[tokio::test]
async fn failures_use_up_tries_and_wait_deaths_do_not() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    let run = key(1);
    let end = |attempt, end| home.store.attempt_ended(&run, attempt, end);
    let transient = |retry_at_ms| AttemptEnd::Transient {
        message: "out of memory".into(),
        retry_at_ms,
    };

    assert_eq!(home.store.claim("a").await.unwrap().unwrap().tries, 1);
    end_of(end(1, transient(0))).await;
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().tries, 2);
    let again_at = |retry_at_ms| AttemptEnd::Killed { retry_at_ms };
    end_of(end(2, again_at(Some(i64::MAX)))).await;
    assert_eq!(home.store.claim("a").await.unwrap(), None, "backs off");
    home.store.forget_kills().await.unwrap();
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().tries, 2);
    // An end that comes twice, or too late, changes nothing.
    end_of(end(2, transient(i64::MAX))).await;
    assert_eq!(state(&home, 1).await, RunState::Running);
    end_of(end(3, transient(i64::MAX))).await;
    assert_eq!(state(&home, 1).await, RunState::Queued);
    // That is no kill.
    home.store.forget_kills().await.unwrap();
    assert_eq!(
        home.store.claim("a").await.unwrap(),
        None,
        "the back-off is not over"
    );
    // Queued again by a person: the count starts afresh.
    home.decide(9, queued(&key(1))).await;
    let claim = home.store.claim("a").await.unwrap().unwrap();
    assert_eq!((claim.attempt, claim.tries), (4, 1));
    end_of(end(
        4,
        AttemptEnd::Permanent {
            message: "NaN".into(),
        },
    ))
    .await;
    let failure = home.store.results(&[key(1)]).await.unwrap()[&key(1)]
        .failure
        .clone()
        .unwrap();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (FailureClass::Permanent, "NaN")
    );
}

async fn end_of(end: impl Future<Output = Result<(), StoreError>>) {
    end.await.unwrap();
}

#[tokio::test]
async fn a_trainer_that_ends_well_without_saying_so_has_failed() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    home.store.claim("a").await.unwrap().unwrap();
    home.store
        .attempt_ended(&key(1), 1, AttemptEnd::Finished)
        .await
        .unwrap();
    assert_eq!(state(&home, 1).await, RunState::Failed);
}

#[tokio::test]
async fn cancelled_stays_cancelled_and_done_stays_done() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    home.store.claim("a").await.unwrap().unwrap();
    home.decide(2, JournalEntry::Cancelled { run: key(1) })
        .await;
    home.store
        .attempt_ended(&key(1), 1, AttemptEnd::Checkpointed)
        .await
        .unwrap();
    assert_eq!(state(&home, 1).await, RunState::Cancelled);
    home.decide(3, queued(&key(1))).await;
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().attempt, 2);
    home.store
        .ingest(
            &key(1),
            2,
            10,
            &[event(4, 2, started(&key(1), 0)), event(5, 2, finished())],
        )
        .await
        .unwrap();
    for entry in [JournalEntry::Cancelled { run: key(1) }, queued(&key(1))] {
        home.decide(6, entry).await;
    }
    assert_eq!(state(&home, 1).await, RunState::Done);
    assert_eq!(home.store.claim("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_live_trainer_is_adopted_not_claimed_again() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    home.store
        .adopt(&key(1), 3, Some(4711), "cpu-0")
        .await
        .unwrap();
    assert_eq!(home.store.claim("a").await.unwrap(), None);
    let attempt = &home.store.attempts(&key(1)).await.unwrap()[0];
    assert_eq!(
        (attempt.attempt, attempt.pid, attempt.slot.as_deref()),
        (3, Some(4711), Some("cpu-0"))
    );
    home.store
        .attempt_ended(&key(1), 3, AttemptEnd::Lost)
        .await
        .unwrap();
    assert_eq!(home.store.claim("a").await.unwrap().unwrap().attempt, 4);
    home.store.set_pid(&key(1), 4, 12, "a").await.unwrap();
    assert_eq!(home.store.attempts(&key(1)).await.unwrap()[1].pid, Some(12));
}

#[tokio::test]
async fn a_claim_that_was_taken_back_leaves_no_trace() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    for _ in 0..3 {
        let claim = home.store.claim("slurm").await.unwrap().unwrap();
        assert_eq!((claim.attempt, claim.tries), (1, 1));
        home.store.unclaim(&key(1), 1).await.unwrap();
        assert_eq!(state(&home, 1).await, RunState::Queued);
        assert!(home.store.attempts(&key(1)).await.unwrap().is_empty());
    }
    home.store.claim("slurm").await.unwrap();
    let begun = event(2, 1, started(&key(1), 0));
    home.store.ingest(&key(1), 1, 9, &[begun]).await.unwrap();
    home.store.unclaim(&key(1), 1).await.unwrap();
    assert_eq!(state(&home, 1).await, RunState::Running, "it has begun");
}

#[tokio::test]
async fn a_student_may_follow_its_teacher_into_slurm_but_not_to_a_local_slot() {
    let home = TestHome::new().await;
    // The student was queued first.
    for (n, on) in [(2, vec![key(1)]), (1, vec![]), (3, vec![])] {
        home.register(&run_file(n), &on).await;
        home.decide(1, queued(&key(n))).await;
    }
    let claim = async |ahead: bool| {
        let claim = match ahead {
            true => home.store.claim_ahead("slurm").await,
            false => home.store.claim("cpu:0").await,
        };
        claim.unwrap().map(|c| c.run)
    };
    let first = claim(true).await;
    assert!(first != Some(key(2)), "its teacher is nowhere yet");
    let second = claim(true).await;
    assert_eq!(
        BTreeSet::from([first, second]),
        BTreeSet::from([Some(key(1)), Some(key(3))])
    );
    assert_eq!(
        claim(true).await,
        None,
        "no job of its teacher is known yet"
    );
    home.store
        .adopt(&key(1), 1, None, "slurm:17")
        .await
        .unwrap();
    assert_eq!(claim(false).await, None);
    assert_eq!(claim(true).await, Some(key(2)));
}

#[tokio::test]
async fn a_journal_line_counts_once() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    let cell = |seed, n| CellRun {
        row: "warmup".into(),
        column: "bs256".into(),
        seed,
        run: key(n),
    };
    let applied = |hash: &str, cells| JournalEntry::Applied {
        experiment: "table4".into(),
        hash: hash.into(),
        profile: Some("quick".into()),
        seeds: 1,
        set: vec![],
        cells,
    };
    home.decide(2, applied("old", vec![cell(1, 7)])).await;
    home.decide(3, applied("new", vec![cell(1, 1)])).await;
    home.decide(4, applied("new", vec![cell(1, 1), cell(2, 2)]))
        .await;
    let before = crate::home::content(&home.store).await;
    let (entries, bad) = rungs_store::journal::read_from(&home.home.journal(), 0).unwrap();
    assert_eq!((entries.len(), bad.len()), (4, 0));
    for entry in entries {
        home.store
            .apply_journal(&entry.line, entry.end_offset)
            .await
            .unwrap();
    }
    assert_eq!(before, crate::home::content(&home.store).await);
    assert_eq!(
        home.store.applied(Some("table4")).await.unwrap().len(),
        1,
        "the newest of (experiment, profile)"
    );
    assert_eq!(home.store.cells_of(&key(2)).await.unwrap()[0].seed, 2);
    assert_eq!(
        home.store.cells_of(&key(7)).await.unwrap(),
        [],
        "the file no longer wants it"
    );
    let of = |text: &str| RunFilter::parse(text).unwrap();
    assert_eq!(
        home.store
            .count_runs(&of("experiment=table4 profile=quick"))
            .await
            .unwrap(),
        3
    );
    assert_eq!(
        home.store
            .count_runs(&of("experiment=table5"))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn slots_are_what_was_said_last() {
    let home = TestHome::new().await;
    let slot = |name: &str, run| SlotRow {
        slot: name.into(),
        device: "cpu".into(),
        threads: 2,
        run,
        attempt: None,
        updated_at_ms: 0,
    };
    home.store
        .set_slots(&[slot("a", None), slot("b", Some(key(1)))])
        .await
        .unwrap();
    home.store.set_slots(&[slot("b", None)]).await.unwrap();
    let slots = home.store.slots().await.unwrap();
    assert_eq!(
        (slots.len(), slots[0].slot.as_str(), slots[0].run.is_none()),
        (1, "b", true)
    );
    assert!(slots[0].updated_at_ms > 0);
}

#[tokio::test]
async fn a_prefix_names_one_run_none_or_several() {
    let home = TestHome::new().await;
    for n in 0..40 {
        home.register(&run_file(n), &[]).await;
    }
    assert_eq!(
        home.store
            .find_run(&key(7).short().to_uppercase())
            .await
            .unwrap(),
        key(7)
    );
    assert!(matches!(
        home.store.find_run("").await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        home.store.find_run("xyz").await,
        Err(StoreError::NotFound { .. })
    ));
    // 40 keys over 16 first digits: some digit begins several.
    let digit = (0..40)
        .map(|n| key(n).as_str()[..1].to_owned())
        .find(|d| (0..40).filter(|n| key(*n).as_str().starts_with(d)).count() > 1);
    let error = home.store.find_run(&digit.unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("more digits"), "{error}");
    assert_eq!(home.store.run_file(&key(7)).await.unwrap(), run_file(7));
    assert!(
        RunFilter::parse("stat=done")
            .unwrap_err()
            .contains("\"state\"")
    );
    assert!(
        RunFilter::parse("runing")
            .unwrap_err()
            .contains("\"running\"")
    );
}
