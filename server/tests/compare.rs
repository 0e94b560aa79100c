//! `/compare` and `/api/v1/compare` over a home with invented numbers.
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

async fn ask(app: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path)
        .header("host", "localhost")
        .header("accept", "text/html")
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let to = parts.headers.get("location");
    let to = to.map_or_else(String::new, |v| v.to_str().unwrap().to_owned());
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    (parts.status, to, String::from_utf8(body).unwrap())
}

async fn page(app: &Router, path: &str) -> String {
    let (status, _, body) = ask(app, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

async fn json(app: &Router, query: &str) -> Value {
    let path = format!("/api/v1/compare?{query}");
    serde_json::from_str(&page(app, &path).await).unwrap()
}

/// Three seeds of table4, `fp16` at the small batch not yet begun; keys of a cell.
async fn site(dir: &tempfile::TempDir) -> (Router, impl Fn(&str, &str) -> Vec<String>) {
    let home = Home(dir.path().to_owned());
    let plan = support::plan(&home, "quick", 3);
    support::write(&home, &plan, |row, column, _| match (row, column) {
        ("fp16", "bs256") => Fate::Queued,
        _ => Fate::Done(1),
    });
    rungs_store::reindex(&home, &home.database()).await.unwrap();
    let keys = move |row: &str, column: &str| -> Vec<String> {
        let runs = &plan.cell(row, column).unwrap().runs;
        runs.iter().map(ToString::to_string).collect()
    };
    let dashboard = Dashboard::new(home.clone(), home.database());
    (app(dashboard, Guard::loopback()), keys)
}

#[tokio::test]
async fn numbers_are_the_tables_and_images_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (app, keys) = site(&dir).await;
    let (base, ours) = (keys("linear-scaling", "bs1024"), keys("warmup", "bs1024"));
    let query = format!("runs={},{}", base.join(","), ours.join(","));
    let cells = json(&app, &format!("{query}&by=cell")).await;
    for select in ["best", "last"] {
        let path = format!("/api/v1/tables/table4?profile=quick&select={select}");
        let table: Value = serde_json::from_str(&page(&app, &path).await).unwrap();
        for (side, row) in cells["sides"].as_array().unwrap().iter().zip([0, 1]) {
            let theirs = &table["rows"][row]["cells"]["bs1024"]["metrics"]["val/top1"];
            let ours = &side["values"]["val/top1"][select];
            assert!(ours["mean"].is_f64());
            for key in ["n", "mean", "sd", "ci95"] {
                assert_eq!(ours[key], theirs[key], "{select} {key}");
            }
            if row == 1 {
                assert!(ours["delta"].is_f64());
                assert_eq!(ours["delta"], theirs["delta"]);
                assert_eq!(ours["delta_ci95"], theirs["delta_ci95"]);
            }
        }
    }
    assert_eq!(cells["agreement"].as_array().unwrap().len(), 3);
    let each = json(&app, &query).await;
    assert_eq!(each["sides"].as_array().unwrap().len(), 6);
    let images = &each["agreement"][0]["images"];
    let sum: u64 = ["both", "only_a", "only_b", "neither"]
        .iter()
        .map(|k| images[*k].as_u64().unwrap())
        .sum();
    assert_eq!(sum, support::IMAGES);
}

#[tokio::test]
async fn the_page_shows_what_differs_and_all_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let (app, keys) = site(&dir).await;
    let (base, ours) = (
        &keys("linear-scaling", "bs1024")[0],
        &keys("warmup", "bs1024")[0],
    );
    let path = format!("/compare?runs={base},{ours}");
    let html = page(&app, &path).await;
    let recipe = |html: &str| {
        html.split("id=\"recipe\"")
            .nth(1)
            .unwrap()
            .split("</section>")
            .next()
            .unwrap()
            .to_owned()
    };
    assert!(recipe(&html).contains("warmup_epochs") && !recipe(&html).contains("batch_size"));
    assert!(
        html.contains("1 of ") && html.contains("keys differ"),
        "{html}"
    );
    let all = page(&app, &format!("{path}&keys=all")).await;
    assert!(recipe(&all).contains("warmup_epochs") && recipe(&all).contains("batch_size"));
    // The picture at its address is drawn.
    let chart = html
        .split("<img src=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&")
        .replace("&#38;", "&");
    let svg = page(&app, &chart).await;
    assert!(
        svg.starts_with("<svg") && svg.contains("warmup / bs1024 / seed 1"),
        "{svg}"
    );
    // The same run twice is one side; one side is no comparison, and says so.
    let one = page(&app, &format!("/compare?runs={ours},{ours}")).await;
    assert!(one.contains("nothing to compare it with yet"), "{one}");
    let waiting = &keys("fp16", "bs256")[0];
    let html = page(&app, &format!("/compare?runs={ours},{waiting}")).await;
    assert!(html.contains("not evaluated yet"), "{html}");
}

#[tokio::test]
async fn a_form_adds_runs_and_pages_lead_here() {
    let dir = tempfile::tempdir().unwrap();
    let (app, keys) = site(&dir).await;
    let (base, ours) = (
        &keys("linear-scaling", "bs256")[0],
        &keys("warmup", "bs256")[0],
    );
    let (status, to, _) = ask(&app, &format!("/compare?runs={base}&by=cell&add={ours}+")).await;
    assert_eq!(
        (status, to.as_str()),
        (
            StatusCode::SEE_OTHER,
            &*format!("/compare?runs={base},{ours}&by=cell")
        )
    );
    let (status, to, _) = ask(&app, &format!("/compare?runs={base}&runs={ours}&add=")).await;
    assert_eq!(
        (status, to.as_str()),
        (
            StatusCode::SEE_OTHER,
            &*format!("/compare?runs={base},{ours}")
        )
    );
    let chooser = page(&app, "/compare").await;
    assert_eq!(chooser.matches("type=\"checkbox\"").count(), 27);
    let link = format!("/compare?runs={},{}", &base[..16], &ours[..16]);
    assert!(
        page(&app, &format!("/runs/{ours}")).await.contains(&link),
        "{link}"
    );
    let cells: Vec<String> = [keys("linear-scaling", "bs256"), keys("warmup", "bs256")].concat();
    let cells: Vec<&str> = cells.iter().map(|k| &k[..16]).collect();
    let link = format!("/compare?runs={}", cells.join(","));
    let table = page(&app, "/tables/table4?profile=quick").await;
    assert!(table.contains(&link), "{link}");
}

#[tokio::test]
async fn what_is_no_run_is_refused_with_a_cure() {
    let dir = tempfile::tempdir().unwrap();
    let (app, keys) = site(&dir).await;
    let all: Vec<String> = (0..16).map(|i| format!("{i:x}")).collect();
    let run = keys("warmup", "bs256")[0].clone();
    for (query, status, code, part) in [
        ("runs=zz".to_owned(), 404, "no_such_run", "zz"),
        (
            format!("runs={run},{}", "0".repeat(64)),
            404,
            "no_such_run",
            "0000",
        ),
        ("runs=&by=run".to_owned(), 400, "no_runs", "/api/v1/runs"),
        (format!("runs={run}&by=row"), 400, "bad_query", "run, cell"),
        (format!("runs={}", all.join(",")), 0, "", ""),
    ] {
        for path in [
            format!("/api/v1/compare?{query}"),
            format!("/compare?{query}"),
        ] {
            let (found, _, body) = ask(&app, &path).await;
            if status == 0 {
                // Some first digit is shared by several of 27 runs, or is no run's.
                assert!(found.is_client_error(), "{path}: {found} {body}");
                continue;
            }
            if path.starts_with("/compare?runs=&") {
                assert_eq!(found, StatusCode::OK, "the page to choose on");
                continue;
            }
            assert_eq!(found.as_u16(), status, "{path}: {body}");
            assert!(body.contains(part), "{path}: {part} in {body}");
            if path.starts_with("/api") {
                let body: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["error_code"], code);
            }
        }
    }
    for query in [
        "x=left",
        "metric=val/top9",
        "scale=logg",
        "smooth=much",
        "from=NaN",
    ] {
        let (status, _, body) = ask(&app, &format!("/compare?runs={run}&{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
    }
}

#[tokio::test]
async fn an_empty_home_says_how_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().to_owned());
    let app = app(
        Dashboard::new(home.clone(), home.database()),
        Guard::loopback(),
    );
    assert!(
        page(&app, "/compare")
            .await
            .contains("runner reproduce table4")
    );
    let (status, _, body) = ask(&app, "/compare?runs=ab").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("There is no database"), "{body}");
}

#[tokio::test]
async fn a_side_has_its_rows_colour_in_key_and_curve() {
    let dir = tempfile::tempdir().unwrap();
    let (app, keys) = site(&dir).await;
    let key = |row: &str| keys(row, "bs1024")[0].clone();
    // Rows of table4 in their order: linear-scaling, warmup, zero-gamma, no-bias-decay, fp16.
    let path = format!("/compare?runs={},{}", key("no-bias-decay"), key("warmup"));
    let html = page(&app, &path).await;
    let colours_of = |html: &str| -> Vec<String> {
        let numbers = html.split("id=\"numbers\"").nth(1).unwrap();
        let numbers = numbers.split("</section>").next().unwrap();
        let keys = numbers.split("class=\"key k").skip(1);
        keys.map(|rest| rest[..1].to_owned()).collect()
    };
    assert_eq!(colours_of(&html), ["3", "1"]);
    assert!(html.contains("colours=3,1&#38;"), "the chart's address");
    let runs = [key("no-bias-decay"), key("warmup")].map(|k| k[..16].to_owned());
    let chart = format!(
        "/charts/line.json?runs={}&colours=3,1&metric=val/top1",
        runs.join(",")
    );
    let drawn: Value = serde_json::from_str(&page(&app, &chart).await).unwrap();
    let series = drawn["series"].as_array().unwrap();
    let colours: Vec<u64> = series
        .iter()
        .map(|s| s["colour"].as_u64().unwrap())
        .collect();
    assert_eq!(colours, [3, 1]);
    // Two seeds of a row, one by one, would look alike: they are told apart by place.
    let seeds = &keys("warmup", "bs1024")[..2];
    let html = page(&app, &format!("/compare?runs={}", seeds.join(","))).await;
    assert_eq!(colours_of(&html), ["0", "1"]);
    // As many colours as curves.
    for colours in ["3", "3,1,2", "a,b", "3,", "3,8"] {
        let chart = format!("/charts/line.svg?runs={}&colours={colours}", runs.join(","));
        assert_eq!(ask(&app, &chart).await.0, StatusCode::BAD_REQUEST);
    }
}
