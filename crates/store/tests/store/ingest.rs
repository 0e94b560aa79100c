//! What comes out of the database is what attempts wrote, to the bit.

use rungs_spec::result::RunState;
use rungs_store::events;

use crate::home::{TestHome, evaluation, event, finished, key, loss, queued, run_file, started};

#[tokio::test]
async fn every_bit_is_kept_nan_and_infinities_too() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    let odd = [
        0.1 + 0.2,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        5e-324,
        f64::MAX,
        2.5,
    ];
    home.store
        .ingest(
            &key(1),
            1,
            9,
            &[
                event(0, 1, started(&key(1), 0)),
                event(1, 1, loss(0, 0, &odd)),
            ],
        )
        .await
        .unwrap();
    let points = home
        .store
        .series(&key(1), "train/loss", false)
        .await
        .unwrap();
    let bits: Vec<u64> = points.iter().map(|p| p.value.to_bits()).collect();
    assert_eq!(bits, odd.map(f64::to_bits));
    assert_eq!(
        home.store.metrics_of(&key(1)).await.unwrap(),
        ["train/loss"]
    );
    assert_eq!(home.store.series(&key(1), "lr", false).await.unwrap(), []);
}

#[tokio::test]
async fn a_long_series_is_cut_into_blocks_and_comes_back_whole() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    home.store
        .ingest(&key(1), 1, 1, &[event(0, 1, started(&key(1), 0))])
        .await
        .unwrap();
    let value = |step: u64| (step as f64).sqrt();
    let mut end = 1;
    for epoch in 0..13 {
        let values: Vec<f64> = (epoch * 1000..epoch * 1000 + 1000).map(value).collect();
        end += 1;
        home.store
            .ingest(
                &key(1),
                1,
                end,
                &[event(1, 1, loss(epoch * 1000, epoch, &values))],
            )
            .await
            .unwrap();
    }
    let points = home
        .store
        .series(&key(1), "train/loss", false)
        .await
        .unwrap();
    assert_eq!(points.len(), 13_000);
    for (i, p) in points.iter().enumerate() {
        let step = i as u64;
        assert_eq!(
            (p.step, p.epoch, p.value, p.attempt, p.superseded),
            (step, step / 1000, value(step), 1, false)
        );
    }
    let size = home.store.series_size(&key(1), "train/loss").await.unwrap();
    assert_eq!((size.points, size.chunks), (13_000, 4));
}

#[tokio::test]
async fn a_later_attempt_supersedes_from_its_first_step_on() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    let first = [
        event(0, 1, started(&key(1), 0)),
        event(1, 1, loss(0, 0, &[1.0; 10])),
        event(2, 1, evaluation(1, 10, 50.0)),
        event(3, 1, loss(10, 1, &[1.0; 10])),
        event(4, 1, evaluation(2, 20, 51.0)),
    ];
    home.store.ingest(&key(1), 1, 10, &first).await.unwrap();
    let progress = |r: &rungs_spec::result::RunResult| {
        (
            r.progress.step,
            r.progress.steps,
            r.progress.steps_per_epoch,
        )
    };
    let result = home
        .store
        .results(&[key(1)])
        .await
        .unwrap()
        .remove(&key(1))
        .unwrap();
    assert_eq!(
        (result.evaluations.len(), progress(&result)),
        (2, (20, 40, 10))
    );

    // It resumes at the checkpoint of step 10: the evaluation at step 10 stays, that at step 20 goes.
    home.store
        .ingest(&key(1), 2, 10, &[event(5, 2, started(&key(1), 10))])
        .await
        .unwrap();
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
            .collect::<Vec<_>>(),
        [(1, 1)]
    );
    assert_eq!((progress(&result), result.attempts), ((10, 40, 10), 2));
    let live = home
        .store
        .series(&key(1), "train/loss", false)
        .await
        .unwrap();
    assert_eq!(
        live.iter().map(|p| p.step).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );

    let second = [
        event(6, 2, loss(10, 1, &[2.0; 5])),
        event(7, 2, evaluation(1, 10, 60.0)),
    ];
    home.store.ingest(&key(1), 2, 20, &second).await.unwrap();
    let all = home
        .store
        .series(&key(1), "train/loss", true)
        .await
        .unwrap();
    assert_eq!(
        (all.len(), all.iter().filter(|p| p.superseded).count()),
        (25, 10)
    );
    assert_eq!(
        (
            all[10].attempt,
            all[10].superseded,
            all[11].attempt,
            all[11].superseded
        ),
        (1, true, 2, false)
    );
    let live = home
        .store
        .series(&key(1), "train/loss", false)
        .await
        .unwrap();
    assert_eq!(live.iter().map(|p| p.value).sum::<f64>(), 20.0);
    let run = key(1);
    let lean = home.store.series_as(&run, "train/loss", |p| p).await;
    assert_eq!(lean.unwrap(), live);
    // The same epoch evaluated again: the newest attempt's counts, once.
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
            .map(|e| (e.epoch, e.metrics["val/top1"]))
            .collect::<Vec<_>>(),
        [(1, 60.0)]
    );
    assert_eq!(result.evaluations[0].top1_bits, [7, 0]);
    assert!(result.evaluations[0].metrics["val/loss"].is_nan());
}

#[tokio::test]
async fn bitsets_come_with_the_last_and_the_best_evaluation_only() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    let mut all = vec![event(0, 1, started(&key(1), 0))];
    for (i, top1) in [60.0, 80.0, 80.0, f64::NAN, 70.0].into_iter().enumerate() {
        let epoch = i as u64 + 1;
        all.push(event(epoch as u32, 1, evaluation(epoch, 10 * epoch, top1)));
    }
    home.store.ingest(&key(1), 1, 10, &all).await.unwrap();
    let result = home
        .store
        .results(&[key(1)])
        .await
        .unwrap()
        .remove(&key(1))
        .unwrap();
    let with: Vec<u64> = result
        .evaluations
        .iter()
        .filter(|e| !e.top5_bits.is_empty())
        .map(|e| e.epoch)
        .collect();
    assert_eq!(with, [2, 5]);
}

#[tokio::test]
async fn images_per_second_leave_evaluations_out() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    let all = [
        event(0, 1, started(&key(1), 0)),
        event(50, 1, loss(0, 0, &[1.0; 10])),
        event(60, 1, loss(10, 1, &[1.0; 10])),
        event(160, 1, evaluation(2, 20, 50.0)),
        event(170, 1, loss(20, 2, &[1.0; 10])),
        event(180, 1, loss(30, 3, &[1.0; 10])),
    ];
    home.store.ingest(&key(1), 1, 10, &all).await.unwrap();
    let result = home
        .store
        .results(&[key(1)])
        .await
        .unwrap()
        .remove(&key(1))
        .unwrap();
    // 10 steps of 64 images in 10 seconds, twice.
    assert!(
        (result.progress.images_per_s - 64.0).abs() < 1e-9,
        "{}",
        result.progress.images_per_s
    );
}

#[tokio::test]
async fn a_failure_event_ends_a_run_until_it_is_queued_again() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    home.store.claim("a").await.unwrap().unwrap();
    let failed: rungs_spec::protocol::Event = serde_json::from_str(
        r#"{"v":1,"t":"2026-01-01T00:00:10Z","attempt":1,"kind":"failed","class":"permanent","message":"loss is NaN"}"#,
    )
    .unwrap();
    home.store
        .ingest(&key(1), 1, 10, std::slice::from_ref(&failed))
        .await
        .unwrap();
    let result = home
        .store
        .results(&[key(1)])
        .await
        .unwrap()
        .remove(&key(1))
        .unwrap();
    assert_eq!(
        (result.state, result.failure.unwrap().message.as_str()),
        (RunState::Failed, "loss is NaN")
    );
    home.decide(20, queued(&key(1))).await;
    // Read again by a reindex: the failure is older than the decision to try again.
    home.store.ingest(&key(1), 1, 11, &[failed]).await.unwrap();
    let result = home
        .store
        .results(&[key(1)])
        .await
        .unwrap()
        .remove(&key(1))
        .unwrap();
    assert_eq!((result.state, result.failure), (RunState::Queued, None));
}

#[tokio::test]
async fn live_points_come_in_order_of_step_whatever_the_attempts_began_from() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    // The third begins before the second did: its checkpoint was damaged.
    for (attempt, from, to) in [(1, 0, 12), (2, 8, 20), (3, 4, 16)] {
        let values = vec![f64::from(attempt); to - from];
        let from = from as u64;
        let events = [
            event(0, attempt, started(&key(1), from)),
            event(1, attempt, loss(from, 0, &values)),
        ];
        let offset = u64::from(attempt) * 10;
        home.store
            .ingest(&key(1), attempt, offset, &events)
            .await
            .unwrap();
    }
    let run = key(1);
    let lean = home.store.series_as(&run, "train/loss", |p| p).await;
    let lean = lean.unwrap();
    let steps: Vec<(u64, u32)> = lean.iter().map(|p| (p.step, p.attempt)).collect();
    let expected: Vec<(u64, u32)> = (0..16).map(|s| (s, if s < 4 { 1 } else { 3 })).collect();
    assert_eq!(steps, expected);
    let all = home.store.series(&key(1), "train/loss", true).await;
    let live: Vec<_> = all.unwrap().into_iter().filter(|p| !p.superseded).collect();
    assert_eq!(lean, live);
}

#[tokio::test]
async fn a_stamp_changes_with_its_runs_and_with_no_other() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    home.register(&run_file(2), &[]).await;
    let runs = [key(1)];
    let mut seen = vec![home.store.stamp_of(&runs).await.unwrap()];
    let events = [
        event(0, 1, started(&key(1), 0)),
        event(1, 1, loss(0, 0, &[1.0])),
    ];
    home.store.ingest(&key(1), 1, 10, &events).await.unwrap();
    seen.push(home.store.stamp_of(&runs).await.unwrap());
    let events = [event(2, 1, loss(1, 0, &[1.0]))];
    home.store.ingest(&key(1), 1, 20, &events).await.unwrap();
    seen.push(home.store.stamp_of(&runs).await.unwrap());
    home.decide(20, queued(&key(1))).await;
    seen.push(home.store.stamp_of(&runs).await.unwrap());
    seen.push(home.store.stamp_of(&[key(1), key(2)]).await.unwrap());
    let last = home.store.stamp_of(&runs).await.unwrap();
    let events = [event(0, 1, started(&key(2), 0))];
    home.store.ingest(&key(2), 1, 10, &events).await.unwrap();
    assert_eq!(home.store.stamp_of(&runs).await.unwrap(), last);
    assert_eq!(last, seen[3]);
    for (i, a) in seen.iter().enumerate() {
        assert!(!seen[..i].contains(a), "stamp {i} is one of those before");
    }
}

#[tokio::test]
async fn events_of_another_attempt_or_run_are_left_out() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    let foreign = [
        event(0, 1, started(&key(2), 5)),
        event(1, 2, loss(0, 0, &[1.0])),
    ];
    home.store.ingest(&key(1), 1, 10, &foreign).await.unwrap();
    assert_eq!(
        home.store
            .series(&key(1), "train/loss", true)
            .await
            .unwrap(),
        []
    );
    assert_eq!(home.store.attempts(&key(1)).await.unwrap()[0].step0, None);
}

#[test]
fn a_bad_line_is_named_and_left_out_and_a_torn_one_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attempt-1.jsonl");
    assert_eq!(events::read_from(&path, 0).unwrap().offset, 0);
    let line = |e| serde_json::to_string(&event(0, 1, e)).unwrap();
    let mut text = format!("{}\n", line(started(&key(1), 0)));
    text += "{\"v\":1,\"t\":\"x\0garbage\n";
    text += &format!("{}\n\n", line(loss(0, 0, &[f64::NAN])));
    text += &line(evaluation(1, 10, 50.0)).replace("BwA=", "BwAA");
    text += &format!("\n{}\n", line(finished()).replace("\"v\":1", "\"v\":9"));
    let torn = line(finished());
    std::fs::write(&path, format!("{text}{}", &torn[..20])).unwrap();
    let tail = events::read_from(&path, 0).unwrap();
    assert_eq!(
        (tail.events.len(), tail.offset, tail.more),
        (2, text.len() as u64, false)
    );
    let bad: Vec<u64> = tail.bad.iter().map(|b| b.line).collect();
    assert_eq!(bad, [2, 5, 6]);
    assert!(
        tail.bad[1]
            .message
            .contains("top1_bits has 3 bytes, 16 images need 2"),
        "{:?}",
        tail.bad
    );
    assert!(
        tail.bad[2].message.contains("protocol version 9"),
        "{:?}",
        tail.bad
    );
    std::fs::write(&path, format!("{text}{torn}\n")).unwrap();
    let rest = events::read_from(&path, tail.offset).unwrap();
    assert_eq!((rest.events.len(), rest.bad.len()), (1, 0));
}
