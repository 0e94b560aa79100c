//! The API beyond single answers: pages of the list, its document, what it refuses, what is counted.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use rungs_spec::home::Home;
use serde_json::{Value, json};
use support::Fate;
use tower::ServiceExt;

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body).unwrap(),
    )
}

fn to(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "127.0.0.1:8080");
    request.body(Body::empty()).unwrap()
}

async fn json_of(app: &Router, path: &str) -> Value {
    let (status, _, body) = send(app, to(path)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The answer keeps to the schema that the document has for its address.
fn holds(address: &str, answer: &Value) {
    let document = rungs_server::openapi::document();
    let place = format!(
        "/paths/{}/get/responses/200/content/application~1json/schema",
        address.replace('/', "~1")
    );
    let mut schema = document.pointer(&place).unwrap().clone();
    schema["components"] = document["components"].clone();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = schema
        .iter_errors(answer)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{address}: {errors:?}");
}

async fn small_home(dir: &tempfile::TempDir) -> (Home, Router) {
    let home = Home(dir.path().to_owned());
    let plan = support::plan(&home, "quick", 2);
    support::write(&home, &plan, |row, column, _| match (row, column) {
        ("fp16", "bs256") => Fate::Failed,
        ("fp16", "bs1024") => Fate::Queued,
        _ => Fate::Done(1),
    });
    rungs_store::reindex(&home, &home.database()).await.unwrap();
    let dashboard = Dashboard::new(home.clone(), home.database());
    (home, app(dashboard, Guard::loopback()))
}

/// Keys of all pages of a list, and how many pages there were.
async fn pages(app: &Router, query: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut keys, mut count, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = json_of(app, &format!("/api/v1/runs?{query}&limit={limit}{cursor}")).await;
        holds("/api/v1/runs", &page);
        count += 1;
        let runs = page["runs"].as_array().unwrap();
        assert!(runs.len() <= limit);
        keys.extend(runs.iter().map(|r| r["run"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (keys, count),
        }
    }
}

#[tokio::test]
async fn every_order_lists_every_run_once_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let (_, app) = small_home(&dir).await;
    let (whole, one) = pages(&app, "sort=run", 1000).await;
    assert_eq!((whole.len(), one), (20, 1));
    assert!(whole.is_sorted());
    for by in rungs_store::SortBy::ALL {
        let (up, count) = pages(&app, &format!("sort={}", by.word()), 3).await;
        assert_eq!(count, 7, "{by:?}");
        let (mut down, _) = pages(&app, &format!("sort=-{}", by.word()), 7).await;
        down.reverse();
        assert_eq!(up, down, "{by:?}");
        let mut sorted = up.clone();
        sorted.sort();
        assert_eq!(sorted, whole, "{by:?}");
    }
    let (first_seed, _) = pages(&app, "sort=-ended&seed=1&state=done", 3).await;
    assert_eq!(first_seed.len(), 8);
    let page = json_of(&app, "/api/v1/runs?state=failed,queued&limit=1").await;
    assert_eq!(page["total"], 4);
    assert!(["failed", "queued"].contains(&page["runs"][0]["state"].as_str().unwrap()));
}

#[tokio::test]
async fn answers_keep_to_the_document_and_are_not_sent_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (home, app) = small_home(&dir).await;
    let key = support::plan(&home, "quick", 1).runs[0].key.clone();
    for (address, path) in [
        ("/api/v1/openapi.json", "/api/v1/openapi.json".to_owned()),
        ("/api/v1/status", "/api/v1/status".to_owned()),
        ("/api/v1/experiments", "/api/v1/experiments".to_owned()),
        (
            "/api/v1/tables/{experiment}",
            "/api/v1/tables/table4".to_owned(),
        ),
        ("/api/v1/claims", "/api/v1/claims".to_owned()),
        ("/api/v1/compare", format!("/api/v1/compare?runs={key}")),
        (
            "/api/v1/figures/{experiment}",
            "/api/v1/figures/figure2".to_owned(),
        ),
        (
            "/api/v1/figures/{experiment}",
            "/api/v1/figures/figure3".to_owned(),
        ),
        ("/api/v1/runs/{run}", format!("/api/v1/runs/{key}")),
        (
            "/api/v1/runs/{run}/series/{metric}",
            format!("/api/v1/runs/{key}/series/train/loss"),
        ),
        (
            "/api/v1/runs/{run}/series/{metric}",
            format!("/api/v1/runs/{key}/series/val/top1"),
        ),
        ("/healthz", "/healthz".to_owned()),
    ] {
        let (status, headers, body) = send(&app, to(&path)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        holds(address, &serde_json::from_str(&body).unwrap());
        let mut again = to(&path);
        again
            .headers_mut()
            .insert("if-none-match", headers["etag"].clone());
        let (status, _, body) = send(&app, again).await;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::NOT_MODIFIED, ""),
            "{path}"
        );
    }
    let status = json_of(&app, "/api/v1/status").await;
    assert_eq!(
        status["states"],
        json!({"done": 16, "failed": 2, "queued": 2})
    );
}

#[tokio::test]
async fn refusals_have_a_code_and_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (_, app) = small_home(&dir).await;
    for (path, status, code) in [
        ("/api/v1/runs?limit=0", 400, "bad_query"),
        ("/api/v1/runs?limit=many", 400, "bad_query"),
        ("/api/v1/runs?limit=1001", 400, "bad_query"),
        ("/api/v1/runs?seed=-1", 400, "bad_query"),
        ("/api/v1/runs?sort=endde", 400, "bad_query"),
        (
            "/api/v1/runs?sort=r.key;DROP%20TABLE%20runs",
            400,
            "bad_query",
        ),
        ("/api/v1/runs?state=bussy", 400, "bad_state"),
        ("/api/v1/runs?cursor=zz", 400, "bad_cursor"),
        ("/api/v1/runs?state=done&state=failed", 400, "bad_request"),
        ("/api/v1/compare", 400, "no_runs"),
        ("/api/v1/compare?runs=zz", 404, "no_such_run"),
        ("/api/v1/compare?runs=zz&by=row", 400, "bad_query"),
        ("/api/v1/runs/zz", 404, "no_such_run"),
        ("/api/v1/runs/%FF", 400, "bad_request"),
        ("/api/v1/tables/..%2F..%2Fetc", 404, "no_such_experiment"),
        ("/api/v1/nothing", 404, "no_such_page"),
    ] {
        let (found, _, body) = send(&app, to(path)).await;
        assert_eq!(found.as_u16(), status, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error_code"], code, "{path}: {body}");
        assert!(body["message"].as_str().unwrap().len() > 10, "{body}");
    }
    let near = json_of_error(&app, "/api/v1/runs?sort=endde").await;
    assert!(near.contains("ended"), "{near}");
}

async fn json_of_error(app: &Router, path: &str) -> String {
    send(app, to(path)).await.2
}

#[tokio::test]
async fn prometheus_reads_the_queue_and_the_requests() {
    let dir = tempfile::tempdir().unwrap();
    let (_, app) = small_home(&dir).await;
    send(&app, to("/api/v1/nothing")).await;
    let (status, headers, body) = send(&app, to("/metrics")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "rungs_runs{state=\"done\"} 16",
        "rungs_runs{state=\"queued\"} 2",
        "rungs_runs{state=\"running\"} 0",
        "rungs_attempts{state=\"finished\"} 16",
        "rungs_scheduler_up 0",
        "rungs_ingest_lag_bytes 0",
        "rungs_slots_busy 0",
        "rungs_http_requests_total{status=\"4xx\"} 1",
    ] {
        assert!(body.lines().any(|l| l == line), "{line} in {body}");
    }
    // Every sample belongs to a family that is described before it.
    for line in body.lines().filter(|l| !l.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .fold(name, |n, end| n.strip_suffix(end).unwrap_or(n));
        assert!(body.contains(&format!("# TYPE {family} ")), "{line}");
    }
}

#[tokio::test]
async fn a_newer_foreign_or_missing_database_is_said_and_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    let (home, app) = small_home(&dir).await;
    let (db, kept) = (home.database(), dir.path().join("kept.db"));
    assert_eq!(json_of(&app, "/api/v1/runs").await["total"], 20);
    let browser = |path: &str| {
        let mut request = to(path);
        request
            .headers_mut()
            .insert("accept", "text/html".parse().unwrap());
        request
    };
    std::fs::rename(&db, &kept).unwrap();
    assert_eq!(json_of(&app, "/api/v1/runs").await["total"], 0);
    std::fs::write(
        &db,
        "not a database at all, just a text that is long enough to be looked at by SQLite ........",
    )
    .unwrap();
    let (status, _, page) = send(&app, browser("/")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{page}");
    assert!(page.contains("<h1") && page.contains("rungs.db"), "{page}");
    std::fs::remove_file(&db).unwrap();
    std::fs::rename(&kept, &db).unwrap();
    assert_eq!(json_of(&app, "/api/v1/runs").await["total"], 20);
    // Migrated in place, as a newer runner does, while this server has it open.
    let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (99990101000000, 'future', 1, x'00', 0)";
    sqlite(&db, future);
    let newer = async || {
        let (status, _, page) = send(&app, browser("/")).await;
        (status == StatusCode::SERVICE_UNAVAILABLE && page.contains("newer")).then_some(page)
    };
    let said = eventually(newer).await;
    assert!(said.contains("<h1") && said.contains("rungs.db"), "{said}");
    sqlite(
        &db,
        "DELETE FROM _sqlx_migrations WHERE version = 99990101000000",
    );
    let again = async || {
        let (status, _, body) = send(&app, to("/api/v1/runs")).await;
        let total =
            (status == StatusCode::OK).then(|| serde_json::from_str::<Value>(&body).unwrap());
        total.filter(|list| list["total"] == 20)
    };
    eventually(again).await;
}

/// Runs SQL in a database, as another program would.
fn sqlite(db: &std::path::Path, sql: &str) {
    let python =
        format!("import sqlite3; c = sqlite3.connect({db:?}); c.execute({sql:?}); c.commit()");
    let done = std::process::Command::new("python3")
        .args(["-c", &python])
        .status();
    assert!(done.unwrap().success());
}

/// Asks until there is an answer: what a server looks at once a second is noticed within some.
async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..300 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("still not, after half a minute")
}
