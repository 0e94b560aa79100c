//! Trainers and runners die at any byte, files are read again from anywhere: nothing is lost, nothing
//! doubled, and a reindex says the same as ingest did while it happened.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rungs_spec::home::{CellRun, JournalEntry};
use rungs_spec::protocol::{EventKind, FailureClass};
use rungs_spec::result::RunState;
use rungs_store::{AttemptEnd, Store, events, reindex};

use crate::home::{
    TestHome, content, evaluation, event, finished, key, loss, queued, run_file, started,
};

/// Steps of a run, and of an epoch.
const STEPS: u64 = 40;
const EPOCH: u64 = 10;

/// How one attempt goes.
#[derive(Debug, Clone)]
struct Plan {
    /// Which of the checkpoints it resumes from.
    from: prop::sample::Index,
    /// Steps of each of its metrics events; it dies after the last one.
    lengths: Vec<u64>,
    /// Whether an epoch's checkpoint is written before its evaluation.
    checkpoint_first: bool,
    /// Bytes missing from its last line.
    torn: usize,
    /// Line behind which something foreign stands.
    garbage: Option<prop::sample::Index>,
    /// Where its file is read while it grows, and how far back each read begins.
    reads: Vec<(prop::sample::Index, Option<prop::sample::Index>)>,
    /// How the runner sees it end.
    end: u8,
}

fn plan() -> impl Strategy<Value = Plan> {
    let reads = prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            proptest::option::of(any::<prop::sample::Index>()),
        ),
        0..8,
    );
    (
        any::<prop::sample::Index>(),
        prop::collection::vec(1u64..8, 0..14),
        any::<bool>(),
        0usize..30,
        proptest::option::of(any::<prop::sample::Index>()),
        reads,
        0u8..4,
    )
        .prop_map(
            |(from, lengths, checkpoint_first, torn, garbage, reads, end)| Plan {
                from,
                lengths,
                checkpoint_first,
                torn,
                garbage,
                reads,
                end,
            },
        )
}

/// What one attempt leaves: its file, and what whole lines of it say.
struct Attempt {
    file: Vec<u8>,
    step0: Option<u64>,
    points: Vec<(u64, f64)>,
    evaluations: Vec<(u64, u64)>,
    checkpoints: Vec<u64>,
}

fn live(plan: &Plan, attempt: u32, second: &mut u32, checkpoints: &[u64]) -> Attempt {
    let step0 = plan.from.get(checkpoints);
    let mut lines = vec![started(&key(1), *step0)];
    let mut step = *step0;
    for (i, len) in plan.lengths.iter().enumerate() {
        let len = (*len).min(EPOCH - step % EPOCH).min(STEPS - step);
        if len == 0 {
            break;
        }
        let values: Vec<f64> = (step..step + len)
            .map(|s| {
                if s % 11 == 3 {
                    f64::NAN
                } else {
                    s as f64 + f64::from(attempt) / 8.0
                }
            })
            .collect();
        lines.push(loss(step, step / EPOCH, &values));
        step += len;
        if step.is_multiple_of(EPOCH) || i % 5 == 4 {
            let checkpoint = EventKind::Checkpoint {
                epoch: step / EPOCH,
                step,
                file: format!("checkpoints/{attempt}-last.safetensors"),
                blake3: "cd".repeat(32),
            };
            let evaluated = (step.is_multiple_of(EPOCH))
                .then(|| evaluation(step / EPOCH, step, f64::from(attempt)));
            if plan.checkpoint_first {
                lines.push(checkpoint);
                lines.extend(evaluated);
            } else {
                lines.extend(evaluated);
                lines.push(checkpoint);
            }
        }
        if step == STEPS {
            lines.push(finished());
        }
    }
    let texts: Vec<String> = lines
        .iter()
        .map(|kind| {
            *second += 1;
            serde_json::to_string(&event(*second, attempt, kind.clone())).unwrap() + "\n"
        })
        .collect();
    let whole = if plan.torn == 0 {
        lines.len()
    } else {
        lines.len() - 1
    };
    let garbage = plan.garbage.map(|g| g.index(lines.len()));
    let mut file = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        file.extend_from_slice(text.as_bytes());
        if garbage == Some(i) && i + 1 < lines.len() {
            file.extend_from_slice(b"Segmentation fault \xff\xfe {\"v\":1}\n");
        }
    }
    file.truncate(file.len() - plan.torn);
    let mut left = Attempt {
        file,
        step0: None,
        points: vec![],
        evaluations: vec![],
        checkpoints: vec![],
    };
    for kind in &lines[..whole] {
        match kind {
            EventKind::Started { step, .. } => left.step0 = Some(*step),
            EventKind::Metrics { step0, values, .. } => {
                left.points.extend(
                    values["train/loss"]
                        .iter()
                        .enumerate()
                        .map(|(i, v)| (step0 + i as u64, v.0)),
                );
            }
            EventKind::Evaluation { epoch, step, .. } => left.evaluations.push((*epoch, *step)),
            EventKind::Checkpoint { step, .. } => left.checkpoints.push(*step),
            _ => {}
        }
    }
    left
}

/// By step: the attempt that owns it and the bits of its value.
type Points = BTreeMap<u64, (u32, u64)>;

/// The rule, spelled out point by point: the newest attempt that began at or before a step owns it.
fn expected(attempts: &[Attempt]) -> (Points, BTreeSet<(u64, u32)>) {
    let later = |i: usize| attempts[i + 1..].iter().filter_map(|a| a.step0);
    let mut points = BTreeMap::new();
    let mut evaluations: BTreeMap<u64, u32> = BTreeMap::new();
    for (i, attempt) in attempts.iter().enumerate() {
        for (step, value) in &attempt.points {
            if later(i).all(|s| *step < s) {
                assert!(
                    points
                        .insert(*step, (i as u32 + 1, value.to_bits()))
                        .is_none()
                );
            }
        }
        for (epoch, step) in &attempt.evaluations {
            if later(i).all(|s| *step <= s) {
                evaluations.insert(*epoch, i as u32 + 1);
            }
        }
    }
    (points, evaluations.into_iter().collect())
}

async fn tail(home: &TestHome, attempt: u32, offset: u64) {
    let read = events::read_from(&home.home.run(&key(1)).attempt(attempt), offset).unwrap();
    home.store
        .ingest(&key(1), attempt, read.offset, &read.events)
        .await
        .unwrap();
}

async fn live_and_check(plans: Vec<Plan>) {
    let home = TestHome::new().await;
    home.queue(0, &run_file(1)).await;
    let dir = home.home.run(&key(1));
    let (mut attempts, mut checkpoints, mut second) = (Vec::new(), vec![0], 0);
    for plan in plans {
        let Some(claim) = home.store.claim("slot").await.unwrap() else {
            break;
        };
        let attempt = live(&plan, claim.attempt, &mut second, &checkpoints);
        let path = dir.attempt(claim.attempt);
        let mut cuts: Vec<_> = plan
            .reads
            .iter()
            .map(|(cut, back)| (cut.index(attempt.file.len() + 1), back))
            .collect();
        cuts.sort_by_key(|(cut, _)| *cut);
        for (cut, back) in cuts {
            std::fs::write(&path, &attempt.file[..cut]).unwrap();
            let known = home
                .store
                .ingest_offset(&key(1), claim.attempt)
                .await
                .unwrap();
            let from = back.map_or(known, |b| b.index(known as usize + 1) as u64);
            tail(&home, claim.attempt, from).await;
            tail(&home, claim.attempt, from).await;
        }
        std::fs::write(&path, &attempt.file).unwrap();
        let known = home
            .store
            .ingest_offset(&key(1), claim.attempt)
            .await
            .unwrap();
        tail(&home, claim.attempt, known).await;
        let end = match plan.end {
            0 => AttemptEnd::Killed { retry_at_ms: None },
            1 => AttemptEnd::Lost,
            2 => AttemptEnd::Checkpointed,
            _ => AttemptEnd::Transient {
                message: "lost the node".into(),
                retry_at_ms: 0,
            },
        };
        home.store
            .attempt_ended(&key(1), claim.attempt, end)
            .await
            .unwrap();
        checkpoints.extend(&attempt.checkpoints);
        attempts.push(attempt);
    }

    let (points, evaluations) = expected(&attempts);
    let series = home
        .store
        .series(&key(1), "train/loss", false)
        .await
        .unwrap();
    assert!(
        series.windows(2).all(|w| w[0].step < w[1].step),
        "one live point per step"
    );
    assert!(series.iter().all(|p| p.epoch == p.step / EPOCH));
    let found: BTreeMap<u64, (u32, u64)> = series
        .iter()
        .map(|p| (p.step, (p.attempt, p.value.to_bits())))
        .collect();
    assert_eq!(found, points);
    let all = home
        .store
        .series(&key(1), "train/loss", true)
        .await
        .unwrap();
    assert_eq!(
        all.len(),
        attempts.iter().map(|a| a.points.len()).sum::<usize>(),
        "superseded points are kept"
    );
    let result = home
        .store
        .results(&[key(1)])
        .await
        .unwrap()
        .remove(&key(1))
        .unwrap();
    assert_eq!(
        result
            .evaluations
            .iter()
            .map(|e| (e.epoch, e.attempt))
            .collect::<BTreeSet<_>>(),
        evaluations
    );

    let other = home.home.dir().join("other.db");
    let found = reindex(&home.home, &other).await.unwrap();
    assert_eq!((found.runs, found.attempts), (1, attempts.len() as u64));
    let again = Store::open_reader(&other).await.unwrap();
    assert_eq!(content(&again).await, content(&home.store).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_or_doubled(plans in prop::collection::vec(plan(), 1..6)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(live_and_check(plans));
    }
}

#[tokio::test]
async fn a_reindex_brings_back_every_decision() {
    let home = TestHome::new().await;
    let attempt = |n: u64, attempt: u32, kinds: Vec<(u32, EventKind)>| {
        let text: String = kinds
            .into_iter()
            .map(|(second, kind)| {
                serde_json::to_string(&event(second, attempt, kind)).unwrap() + "\n"
            })
            .collect();
        let path = home.home.run(&key(n)).attempt(attempt);
        std::fs::write(&path, text).unwrap();
        let read = events::read_from(&path, 0).unwrap();
        let store = home.store.clone();
        async move {
            store
                .ingest(&key(n), attempt, read.offset, &read.events)
                .await
                .unwrap()
        }
    };
    let failed = |message: &str| EventKind::Failed {
        class: FailureClass::Permanent,
        message: message.into(),
    };
    let given_up = |n, message: &str| JournalEntry::Failed {
        run: key(n),
        class: FailureClass::Permanent,
        message: message.into(),
    };
    for n in 1..=6 {
        home.queue(1, &run_file(n)).await;
    }
    home.decide(
        2,
        JournalEntry::Applied {
            experiment: "table4".into(),
            hash: "ff".into(),
            profile: None,
            seeds: 3,
            set: vec!["epochs=1".into()],
            cells: (1..=6)
                .map(|n| CellRun {
                    row: "r".into(),
                    column: "c".into(),
                    seed: n,
                    run: key(n),
                })
                .collect(),
        },
    )
    .await;
    for _ in 1..=5 {
        home.store.claim("a").await.unwrap().unwrap();
    }
    // 1 is done; 2 failed; 3 failed, was tried again and is done; 4 was cancelled while running; 5 failed
    // and waits for another try; 6 never ran and depends on a run that nobody knows yet.
    attempt(
        1,
        1,
        vec![
            (3, started(&key(1), 0)),
            (4, loss(0, 0, &[1.0, 0.5])),
            (5, finished()),
        ],
    )
    .await;
    for n in [2, 3, 5] {
        attempt(
            n,
            1,
            vec![(3, started(&key(n), 0)), (6, failed("loss is NaN"))],
        )
        .await;
        home.store
            .attempt_ended(
                &key(n),
                1,
                AttemptEnd::Permanent {
                    message: "status 1".into(),
                },
            )
            .await
            .unwrap();
        home.decide(7, given_up(n, "loss is NaN")).await;
    }
    home.decide(8, queued(&key(3))).await;
    home.store.claim("a").await.unwrap().unwrap();
    attempt(3, 2, vec![(9, started(&key(3), 0)), (10, finished())]).await;
    attempt(
        4,
        1,
        vec![(3, started(&key(4), 0)), (6, loss(0, 0, &[1.0]))],
    )
    .await;
    home.decide(11, JournalEntry::Cancelled { run: key(4) })
        .await;
    home.store
        .attempt_ended(&key(4), 1, AttemptEnd::Checkpointed)
        .await
        .unwrap();
    home.decide(12, queued(&key(5))).await;
    home.decide(
        13,
        JournalEntry::Queued {
            run: key(6),
            depends_on: vec![key(99)],
            priority: 4,
        },
    )
    .await;
    home.decide(14, JournalEntry::Paused).await;

    let states: Vec<RunState> = home
        .store
        .results(&(1..=6).map(key).collect::<Vec<_>>())
        .await
        .unwrap()
        .into_values()
        .map(|r| r.state)
        .collect();
    let count = |s| states.iter().filter(|x| **x == s).count();
    use RunState::{Blocked, Cancelled, Done, Failed, Queued};
    assert_eq!(
        [Done, Failed, Cancelled, Queued, Blocked].map(count),
        [2, 1, 1, 1, 1]
    );

    let before = content(&home.store).await;
    home.store.close().await;
    let found = reindex(&home.home, &home.db()).await.unwrap();
    assert_eq!((found.runs, found.attempts, found.problems), (6, 6, vec![]));
    let again = Store::open_reader(&home.db()).await.unwrap();
    assert_eq!(content(&again).await, before);
}

#[tokio::test]
async fn a_reindex_names_what_it_leaves_out() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    home.register(&run_file(2), &[]).await;
    std::fs::write(home.home.run(&key(2)).recipe(), "{").unwrap();
    std::fs::write(home.home.run(&key(1)).attempt(1), "nonsense\n").unwrap();
    std::fs::create_dir(home.home.runs().join("not-a-key")).unwrap();
    home.store.close().await;
    let found = reindex(&home.home, &home.db()).await.unwrap();
    assert_eq!((found.runs, found.problems.len()), (1, 2));
    assert!(
        found.problems.iter().any(|p| p.contains("recipe.json")),
        "{:?}",
        found.problems
    );
    assert!(
        found
            .problems
            .iter()
            .any(|p| p.contains("attempt-1.jsonl:1:")),
        "{:?}",
        found.problems
    );
}
