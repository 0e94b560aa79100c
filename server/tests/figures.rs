//! Figures at their addresses: curves against the runs they come from, block diagrams against the models.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use rungs_spec::home::Home;
use serde_json::Value;
use support::Fate;
use tower::ServiceExt;

async fn send(app: &Router, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::get(path).header("host", "localhost");
    let response = app
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

async fn text(app: &Router, path: &str) -> String {
    let (status, _, body) = send(app, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

async fn json(app: &Router, path: &str) -> Value {
    serde_json::from_str(&text(app, path).await).unwrap()
}

fn site(home: &Home) -> Router {
    app(
        Dashboard::new(home.clone(), home.database()),
        Guard::loopback(),
    )
}

/// Two seeds of the cells behind Figure 3.
async fn home(dir: &tempfile::TempDir) -> Home {
    let home = Home(dir.path().to_owned());
    let plan = support::plan_of_figure_3(&home, "quick", 2);
    support::write(&home, &plan, |_, _, _| Fate::Done(1));
    rungs_store::reindex(&home, &home.database()).await.unwrap();
    home
}

#[tokio::test]
async fn figure_3_is_the_mean_of_the_tables_own_runs() {
    let dir = tempfile::tempdir().unwrap();
    let app = site(&home(&dir).await);
    let figure = json(&app, "/api/v1/figures/figure3").await;
    assert_eq!(figure["profile"], "quick");
    assert_eq!(
        figure["profiles"],
        serde_json::json!(["paper", "quick", "standard"])
    );
    for (at, metric, points) in [(0, "lr", 160), (1, "val/top1", 4)] {
        let panel = &figure["panels"][at];
        assert_eq!(
            (panel["x"].as_str(), panel["y"].as_str()),
            (Some("epoch"), Some(metric))
        );
        assert_eq!(panel["series"][0]["label"], "Cosine decay");
        for series in panel["series"].as_array().unwrap() {
            assert_eq!(
                (
                    series["n"].as_u64(),
                    series["points"].as_array().unwrap().len()
                ),
                (Some(2), points)
            );
            let mut own = Vec::new();
            for run in series["runs"].as_array().unwrap() {
                let path = format!("/api/v1/runs/{}/series/{metric}", run.as_str().unwrap());
                own.push(json(&app, &path).await);
            }
            for (i, point) in series["points"].as_array().unwrap().iter().enumerate() {
                let mean = own
                    .iter()
                    .map(|o| o["points"][i][2].as_f64().unwrap())
                    .sum::<f64>()
                    / 2.0;
                assert!(
                    (point[1].as_f64().unwrap() - mean).abs() < 1e-12,
                    "{metric} {i}: {point} is not {mean}"
                );
            }
        }
    }
    // The picture says how many runs it is made of.
    let svg = text(&app, "/charts/figure.svg?experiment=figure3&panel=1").await;
    assert!(
        svg.contains("Cosine decay, n = 2") && svg.contains("Step decay, n = 2"),
        "{svg}"
    );
    assert!(
        svg.contains("4 runs, 16 of 16 points, band \u{b1} sd"),
        "{svg}"
    );
    let zoomed = text(
        &app,
        "/charts/figure.svg?experiment=figure3&panel=0&from=1&to=2",
    )
    .await;
    assert!(
        zoomed.contains("data-x=\"1 2\"") && zoomed.contains("of 640 points"),
        "{zoomed}"
    );
    let read_out = json(&app, "/charts/figure.json?experiment=figure3&panel=1").await;
    assert_eq!(read_out["series"].as_array().unwrap().len(), 2);
    let (_, headers, png) = send(&app, "/charts/figure.png?experiment=figure3").await;
    assert!(headers["content-type"] == "image/png" && png.contains("PNG"));
}

#[tokio::test]
async fn the_page_has_both_panels_and_the_tables_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let app = site(&home(&dir).await);
    let page = text(&app, "/figures/figure3").await;
    for wanted in [
        "Figure 3 \u{b7} Step and cosine decay",
        "(a) Learning rate by epoch",
        "(b) Top-1 by epoch",
        "redrawn from 4 runs, profile quick: not the paper",
        "href=\"/figures/figure3?profile=standard\"",
        "href=\"/charts/figure.png?experiment=figure3&#38;profile=quick&#38;panel=1",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing: {page}");
    }
    let table = json(&app, "/tables/table6.json?profile=quick").await;
    for row in ["cosine", "efficient"] {
        let rows = table["rows"].as_array().unwrap();
        let of = rows.iter().find(|r| r["id"] == row).unwrap();
        let value = &of["cells"]["resnet50d"]["metrics"]["val/top1"];
        for (name, number) in [("value", &value["mean"]), ("paper", &value["paper"])] {
            let wanted = format!(
                "data-cell=\"{row}/resnet50d\" data-metric=\"val/top1\" data-{name}=\"{number}\""
            );
            assert!(page.contains(&wanted), "{wanted} is missing");
        }
    }
    // Both ways, and from the other pages.
    let (status, headers, _) = send(&app, "/tables/figure3?profile=standard").await;
    assert_eq!(
        (status, headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/figures/figure3?profile=standard")
    );
    let (status, headers, _) = send(&app, "/figures/table4").await;
    assert_eq!(
        (status, headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/tables/table4")
    );
    assert!(
        text(&app, "/tables/table6")
            .await
            .contains("<a href=\"/figures/figure3\">Figure 3</a>")
    );
    let list = text(&app, "/figures").await;
    for name in ["figure1", "figure2", "figure3"] {
        assert!(
            list.contains(&format!("href=\"/figures/{name}\"")),
            "{name}"
        );
        assert!(
            text(&app, "/")
                .await
                .contains(&format!("href=\"/figures/{name}\"")),
            "{name}"
        );
    }
    // Without runs it says how to get them.
    let none = text(&app, "/figures/figure3?profile=paper").await;
    assert!(
        none.contains("runner reproduce figure3 --profile paper"),
        "{none}"
    );
}

#[tokio::test]
async fn figures_1_and_2_are_drawn_from_the_models_layers() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().to_owned());
    let app = site(&home);
    let (status, headers, svg) =
        send(&app, "/charts/diagram.svg?experiment=figure1&theme=light").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("image/svg+xml")
    );
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    for wanted in [
        "<title>Architecture of ResNet-50 v1</title>",
        "Conv 7 \u{d7} 7, 64, stride 2",
        "Conv 1 \u{d7} 1, 512, stride 2",
        "Path B",
    ] {
        assert!(svg.contains(wanted), "{wanted} is missing: {svg}");
    }
    let png = "/charts/diagram.png?experiment=figure1&theme=dark";
    let (status, headers, _) = send(&app, png).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "image/png")
    );
    let two = text(&app, "/charts/diagram.svg?experiment=figure2&width=340").await;
    for wanted in [
        "was stride 2",
        "instead of Conv 7 \u{d7} 7, 64, stride 2",
        "Average pool 2 \u{d7} 2, stride 2",
    ] {
        assert!(two.contains(wanted), "{wanted} is missing");
    }
    // In words: every convolution of the trainer's list.
    let page = text(&app, "/figures/figure2").await;
    for net in ["ResNet-50 v1 in words", "ResNet-50-D in words"] {
        assert!(page.contains(net), "{net}");
    }
    assert_eq!(page.matches("<td>Conv ").count(), 53 + 53 + 55 + 55);
    assert!(page.contains("<td>was stride 2</td>") && page.contains("25,576,264 parameters"));
    let figure = json(&app, "/api/v1/figures/figure2").await;
    assert_eq!(figure["networks"][3]["macs"], 4_328_824_832_u64);
    assert_eq!(figure["changes"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_drawn_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let app = site(&home(&dir).await);
    for (path, status, said) in [
        ("/figures/figure9", 404, "figure"),
        ("/figures/figure3?profile=quik", 422, "quick"),
        (
            "/charts/figure.svg?experiment=figure3&panel=2",
            400,
            "it has 2",
        ),
        (
            "/charts/figure.svg?experiment=figure3&panel=x",
            400,
            "not a number",
        ),
        ("/charts/figure.svg", 400, "experiment="),
        (
            "/charts/figure.svg?experiment=table4",
            404,
            "/tables/table4",
        ),
        (
            "/charts/diagram.svg?experiment=figure3",
            404,
            "no block diagram",
        ),
        ("/tables/figure1.csv", 400, "block diagram"),
        (
            "/charts/diagram.json?experiment=figure1",
            404,
            "diagram.svg as .png",
        ),
        (
            "/charts/diagram.svg?experiment=figure1&theme=pink",
            400,
            "light, dark",
        ),
    ] {
        let (found, _, body) = send(&app, path).await;
        assert!(
            found.as_u16() == status && body.contains(said),
            "{path}: {found} {body}"
        );
    }
}
