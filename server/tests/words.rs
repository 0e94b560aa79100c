//! What pages say: to strangers, of addresses that are wrong, and of what their numbers prove.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::http::StatusCode;
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use support::site::{ask, dashboard, get, small_home};

#[tokio::test]
async fn whom_the_guard_refuses_learns_nothing_of_the_home() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let closed = app(
        Dashboard::new(home.clone(), home.database()),
        Guard::with_token("0123456789abcdef0123456789abcdef"),
    );
    let asked = ask(&closed, "/", &[("accept", "text/html")]).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert!(asked.body.contains("href=\"/enter\""), "{}", asked.body);
    let open = dashboard(&home);
    let foreign = [("accept", "text/html"), ("host", "rebound.example")];
    let foreign = ask(&open, "/", &foreign).await;
    assert_eq!(foreign.status, StatusCode::MISDIRECTED_REQUEST);
    for said in [&asked.body, &foreign.body] {
        assert!(said.contains("<h1"), "a page: {said}");
        assert!(
            said.contains("data-counter=\"0\"") && !said.contains("waiting"),
            "{said}"
        );
    }
    // The counter and the words in the header are there for who may read.
    let read = get(&open, "/queue").await.body;
    assert!(!read.contains("data-counter=\"0\"") && read.contains("1 waiting"));
}

#[tokio::test]
async fn a_value_in_an_address_that_is_none_is_told_by_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let app = dashboard(&home);
    let runs = get(&app, "/api/v1/runs?state=done&limit=1").await.json();
    let run = runs["runs"][0]["run"].as_str().unwrap();
    for (query, named) in [
        ("from=abc", "from=abc"),
        ("to=1e999", "to=1e999"),
        ("smooth=x", "smooth=x"),
    ] {
        let said = ask(
            &app,
            &format!("/runs/{run}?{query}"),
            &[("accept", "text/html")],
        )
        .await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(said.body.contains(named), "{}", said.body);
    }
    for skip in ["1", "18446744073709551615"] {
        let page = get(&app, &format!("/queue?skip={skip}")).await;
        assert_eq!(page.status, StatusCode::OK, "{skip}: {}", page.body);
        assert!(!page.body.contains(">After<"), "nothing is behind the end");
    }
}

#[tokio::test]
async fn claims_say_of_which_profile_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let app = dashboard(&small_home(&dir).await);
    let page = get(&app, "/claims").await.body;
    assert!(page.contains(">table4</a>, quick"), "{page}");
    assert!(page.contains("Judged on the runs of the profile"), "{page}");
    let paper = get(&app, "/claims?profile=paper").await.body;
    assert!(paper.contains(">table4</a>, paper") && !paper.contains("Judged on the runs"));
    let chosen = paper.split("aria-current=\"true\">").nth(1).unwrap();
    assert!(chosen.starts_with("paper<"), "{chosen}");
}

#[tokio::test]
async fn the_evidence_of_every_verdict_can_be_read_without_a_mouse() {
    let dir = tempfile::tempdir().unwrap();
    let app = dashboard(&small_home(&dir).await);
    let page = get(&app, "/tables/table4").await.body;
    let table = get(&app, "/api/v1/tables/table4").await.json();
    let list = page.split("id=\"verdicts\"").nth(1).unwrap();
    let list = list.split("</details>").next().unwrap();
    let mut told = 0;
    for row in table["rows"].as_array().unwrap() {
        for cell in row["cells"].as_object().unwrap().values() {
            let value = &cell["metrics"]["val/top1"];
            let Some(verdict) = value["verdict"].as_str() else {
                continue;
            };
            told += 1;
            assert!(
                list.contains(&format!(": {verdict}. ")),
                "{verdict}: {list}"
            );
        }
    }
    assert!(told > 0);
    assert_eq!(list.matches("<li>").count(), told, "{list}");
}

/// The `alt` of a page's pictures.
fn alternatives(html: &str) -> Vec<&str> {
    let after = html.split(" alt=\"").skip(1);
    after.filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn pictures_say_where_their_curves_end() {
    let dir = tempfile::tempdir().unwrap();
    let app = dashboard(&small_home(&dir).await);
    let table = get(&app, "/api/v1/tables/table4?select=last").await.json();
    let page = get(&app, "/tables/table4?select=last&column=bs256").await;
    let said = alternatives(&page.body);
    let [said] = said[..] else { panic!("{said:?}") };
    let mut rows = 0;
    for row in table["rows"].as_array().unwrap() {
        let cell = &row["cells"]["bs256"];
        let label = row["label"].as_str().unwrap();
        match cell["metrics"]["val/top1"]["mean"].as_f64() {
            Some(mean) if cell["status"] == "done" => {
                let end = format!("{label} ends at {mean:.2}");
                assert!(said.contains(&end), "{end}: {said}");
                rows += 1;
                // And what a run's own page says of the same number.
                let run = cell["runs"][0].as_str().unwrap();
                let page = get(&app, &format!("/runs/{run}")).await;
                let end = format!("Top-1 ends at {mean:.2}");
                let said = alternatives(&page.body);
                assert!(said.iter().any(|alt| alt.contains(&end)), "{end}: {said:?}");
            }
            _ => {}
        }
    }
    assert_eq!(rows, 4, "{said}");
}
