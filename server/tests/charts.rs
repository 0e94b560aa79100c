//! Charts at their addresses: every way of looking at a run's points.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use rungs_spec::home::Home;
use serde_json::Value;
use support::Fate;
use tower::ServiceExt;

async fn answer(app: &Router, path: &str) -> (StatusCode, Vec<u8>) {
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, body.to_vec())
}

async fn bytes(app: &Router, path: &str) -> Vec<u8> {
    let (status, body) = answer(app, path).await;
    assert_eq!(
        status,
        StatusCode::OK,
        "{path}: {}",
        String::from_utf8_lossy(&body)
    );
    body
}

async fn text(app: &Router, path: &str) -> String {
    String::from_utf8(bytes(app, path).await).unwrap()
}

fn attribute<'a>(svg: &'a str, name: &str) -> &'a str {
    let rest = svg.split(&format!("{name}=\"")).nth(1).unwrap();
    rest.split('"').next().unwrap()
}

/// Three seeds of table4, and the keys of two cells: `warmup` was resumed at step 60 after 70 steps.
async fn site(dir: &tempfile::TempDir) -> (Router, Vec<String>, Vec<String>) {
    let home = Home(dir.path().to_owned());
    let plan = support::plan(&home, "quick", 3);
    support::write(&home, &plan, |row, column, _| match (row, column) {
        ("warmup", "bs1024") => Fate::Done(2),
        _ => Fate::Done(1),
    });
    rungs_store::reindex(&home, &home.database()).await.unwrap();
    let keys = |row, column| -> Vec<String> {
        let runs = &plan.cell(row, column).unwrap().runs;
        runs.iter().map(ToString::to_string).collect()
    };
    let dashboard = Dashboard::new(home.clone(), home.database());
    (
        app(dashboard, Guard::loopback()),
        keys("linear-scaling", "bs256"),
        keys("warmup", "bs1024"),
    )
}

#[tokio::test]
async fn a_resumed_run_shows_its_restart_and_on_request_what_was_done_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _, resumed) = site(&dir).await;
    let base = format!("/charts/line.svg?runs={}&metric=train/loss", resumed[0]);
    let plain = text(&app, &base).await;
    assert!(
        plain.contains("attempt 2") && plain.contains("1 run, 160 of 160 points"),
        "{plain}"
    );
    assert!(
        !text(&app, &format!("{base}&restarts=0"))
            .await
            .contains("attempt 2")
    );
    assert!(!plain.contains("opacity=\"0.4\""));
    let all = text(&app, &format!("{base}&superseded=1")).await;
    assert!(all.contains("opacity=\"0.4\""), "ten steps lie behind");
    assert!(all.contains("160 of 160 points"), "and do not count");
    let zoomed = text(&app, &format!("{base}&from=10&to=19")).await;
    assert!(zoomed.contains("1 run, 10 of 160 points"), "{zoomed}");
}

#[tokio::test]
async fn x_is_steps_epochs_training_time_or_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _, resumed) = site(&dir).await;
    let points = async |x: &str| -> Value {
        let path = format!(
            "/charts/line.json?runs={}&metric=lr&width=4000&x={x}",
            resumed[0]
        );
        serde_json::from_str(&text(&app, &path).await).unwrap()
    };
    let xs = |json: &Value| -> Vec<f64> {
        let points = json["series"][0]["points"].as_array().unwrap();
        points.iter().map(|p| p[0].as_f64().unwrap()).collect()
    };
    let steps = points("step").await;
    assert_eq!((xs(&steps)[0], xs(&steps)[159]), (0.0, 159.0));
    assert_eq!(steps["full"], serde_json::json!([0.0, 159.0]));
    assert_eq!(xs(&points("epoch").await)[159], 159.0 / 40.0);
    // Attempt 1: step 0 at 04:01:00, step 70 at 04:01:17. Attempt 2: step 60 at 04:02:15, step 160 at 04:02:40.
    let start = 1_795_492_860.0;
    let wall = xs(&points("wall").await);
    assert_eq!((wall[0], wall[60]), (start, start + 75.0));
    assert!(
        (wall[35] - (start + 8.5)).abs() < 1e-6,
        "half of the first attempt: {}",
        wall[35]
    );
    let time = xs(&points("relative").await);
    assert_eq!(
        (time[0], time[60]),
        (0.0, 17.0),
        "the pause between attempts is left out"
    );
    assert!((time[110] - 29.5).abs() < 1e-6, "{}", time[110]);
    let svg = text(
        &app,
        &format!("/charts/line.svg?runs={}&metric=lr&x=wall", resumed[0]),
    )
    .await;
    assert!(svg.contains("UTC, from 2026-11-24 04:01"), "{svg}");
}

#[tokio::test]
async fn groups_are_means_with_a_band() {
    let dir = tempfile::tempdir().unwrap();
    let (app, one, two) = site(&dir).await;
    let runs = format!("{};{}", one.join(","), two.join(","));
    let base = format!("runs={runs}&metric=train/loss&mean=1");
    let svg = text(&app, &format!("/charts/line.svg?{base}")).await;
    assert!(
        svg.contains("6 runs, 960 of 960 points, band ± sd"),
        "{svg}"
    );
    assert!(
        svg.contains("linear-scaling / bs256, n = 3") && svg.contains("warmup / bs1024, n = 3")
    );
    assert_eq!(svg.matches("<polygon").count(), 2);
    let without = text(&app, &format!("/charts/line.svg?{base}&band=0")).await;
    assert_eq!(without.matches("<polygon").count(), 0);
    // The mean of the three series, exactly.
    let path = format!("/charts/line.json?{base}&width=4000");
    let mean: Value = serde_json::from_str(&text(&app, &path).await).unwrap();
    let mut values = Vec::new();
    for run in &one {
        let path = format!("/api/v1/runs/{run}/series/train/loss");
        let series: Value = serde_json::from_str(&text(&app, &path).await).unwrap();
        values.push(series["points"][77][2].as_f64().unwrap());
    }
    let shown = mean["series"][0]["points"][77].as_array().unwrap();
    assert_eq!(shown[0], 77.0);
    let wanted = values.iter().sum::<f64>() / 3.0;
    assert!((shown[1].as_f64().unwrap() - wanted).abs() < 1e-12);
    // A table's rows have theirs too.
    let table = text(
        &app,
        "/charts/table.svg?experiment=table4&profile=quick&column=bs256&metric=val/top1",
    )
    .await;
    assert!(
        table.contains("band ± sd") && table.contains("<polygon"),
        "{table}"
    );
    // Of as many seeds as the page's cells, which its address chooses.
    for (seeds, runs) in [("1", "5 runs"), ("3", "15 runs")] {
        let page = text(&app, &format!("/tables/table4?profile=quick&seeds={seeds}")).await;
        let address = page.split("<img src=\"/charts/table").nth(1).unwrap();
        let address = address.split('"').next().unwrap().replace("&#38;", "&");
        let drawn = text(&app, &format!("/charts/table{address}")).await;
        assert!(drawn.contains(runs), "{seeds}: {drawn}");
        let api = text(
            &app,
            &format!("/api/v1/tables/table4?profile=quick&seeds={seeds}"),
        )
        .await;
        let api: Value = serde_json::from_str(&api).unwrap();
        assert_eq!(api["seeds"].to_string(), seeds);
    }
    let several = "/charts/table.svg?experiment=table4&profile=quick&metric=val/top1,val/top5";
    let (status, said) = answer(&app, several).await;
    let said = String::from_utf8_lossy(&said);
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    assert!(
        said.contains("one metric for all its rows, not 2"),
        "{said}"
    );
}

#[tokio::test]
async fn the_address_is_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let (app, one, _) = site(&dir).await;
    let base = format!("runs={}&metric=train/loss", one[0]);
    let svg = |query: &str| {
        let path = format!("/charts/line.svg?{base}{query}");
        let app = &app;
        async move { text(app, &path).await }
    };
    let plain = svg("").await;
    assert_eq!(
        (attribute(&plain, "width"), attribute(&plain, "height")),
        ("740", "340")
    );
    let small = svg("&width=300&height=200&theme=dark").await;
    assert_eq!(
        (attribute(&small, "width"), attribute(&small, "height")),
        ("300", "200")
    );
    assert!(small.contains("#1B1D20") && !plain.contains("fill=\"#1B1D20\""));
    assert_eq!(attribute(&svg("&scale=log").await, "data-y-log"), "true");
    let smooth = svg("&smooth=0.9").await;
    assert!(smooth.contains("opacity=\"0.22\"") && smooth.contains("Smoothed with weight 0.9"));
    let png = bytes(
        &app,
        &format!("/charts/line.png?{base}&width=300&height=200"),
    )
    .await;
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(png[16..24], [0, 0, 1, 44, 0, 0, 0, 200], "300 x 200");
}

#[tokio::test]
async fn all_charts_of_a_run_have_one_x_axis() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _, resumed) = site(&dir).await;
    for query in [
        "",
        "?x=epoch",
        "?x=wall",
        "?x=time",
        "?x=step&from=10&to=50",
    ] {
        let page = text(&app, &format!("/runs/{}{query}", resumed[0])).await;
        let mut ranges = Vec::new();
        for address in page.split("<img src=\"").skip(1) {
            let address = address.split('"').next().unwrap().replace("&#38;", "&");
            ranges.push(attribute(&text(&app, &address).await, "data-x").to_owned());
        }
        assert!(ranges.len() >= 4, "{query}: {ranges:?}");
        assert!(
            ranges.iter().all(|range| *range == ranges[0]),
            "{query}: {ranges:?}"
        );
    }
    let page = text(&app, &format!("/runs/{}?superseded=1", resumed[0])).await;
    assert!(
        page.contains("10 superseded"),
        "of attempt 1, done again by attempt 2"
    );
}
