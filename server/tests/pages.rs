//! Every address of the dashboard against a home with invented numbers, and against an empty one.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use rungs_spec::home::Home;
use support::site::{ask, dashboard, get, small_home};
use tower::ServiceExt;

/// `NAME="..."` of every element that has `data-cell="CELL"`.
fn data(html: &str, cell: &str, name: &str) -> Option<f64> {
    let elements = html
        .split('<')
        .filter(|e| e.contains(&format!("data-cell=\"{cell}\"")));
    elements
        .filter_map(|e| {
            e.split(&format!("{name}=\""))
                .nth(1)?
                .split('"')
                .next()?
                .parse()
                .ok()
        })
        .next()
}

#[tokio::test]
async fn every_number_of_the_table_page_is_the_exports() {
    let dir = tempfile::tempdir().unwrap();
    let app = dashboard(&small_home(&dir).await);
    for (metric, select) in [("val/top1", "best"), ("val/top5", "last")] {
        let page = get(
            &app,
            &format!("/tables/table4?metric={metric}&select={select}"),
        )
        .await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let table = get(&app, &format!("/api/v1/tables/table4?select={select}"))
            .await
            .json();
        let mut numbers = 0;
        for row in table["rows"].as_array().unwrap() {
            for (column, cell) in row["cells"].as_object().unwrap() {
                let place = format!("{}/{column}", row["id"].as_str().unwrap());
                let value = &cell["metrics"][metric];
                for (attribute, key) in [
                    ("data-paper", "paper"),
                    ("data-value", "mean"),
                    ("data-delta", "delta"),
                    ("data-n", "n"),
                ] {
                    assert_eq!(
                        data(&page.body, &place, attribute),
                        value[key].as_f64(),
                        "{place} {attribute}"
                    );
                    numbers += usize::from(value[key].is_f64());
                }
            }
        }
        assert!(numbers >= 24, "{numbers} numbers were compared");
        // What the profile narrows: the head of it, and every setting below.
        let note = table["profile_note"].as_str().unwrap();
        let unfolded = |text: &str| page.body.contains(text) && note.contains(text);
        assert!(unfolded("Fashion-MNIST, 12,800 images, 4 epochs"), "{note}");
        assert!(unfolded("lr 0.8 instead of 0.1"), "{note}");
        let folded = page.body.split("id=\"note\"").nth(1).unwrap();
        let folded = folded.split("</details>").next().unwrap();
        let differing = folded.matches("<li>").count();
        let said = format!("{differing} more settings differ from the file as written");
        assert!(differing > 3 && page.body.contains(&said), "{said}");
        assert_eq!(table["rows"][4]["cells"]["bs256"]["status"], "failed");
    }
}

#[tokio::test]
async fn downloads_are_the_api_and_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let app = dashboard(&small_home(&dir).await);
    for (suffix, kind, part) in [
        ("csv", "text/csv", "warmup"),
        ("json", "application/json", "\"experiment\": \"table4\""),
        ("md", "text/markdown", "| + LR warmup"),
        ("tex", "application/x-tex", "\\toprule"),
        ("html", "text/html", "<table"),
    ] {
        let file = get(&app, &format!("/tables/table4.{suffix}?profile=quick")).await;
        assert_eq!(file.status, StatusCode::OK);
        assert!(
            file.header("content-type").starts_with(kind),
            "{}",
            file.header("content-type")
        );
        assert!(
            file.header("content-disposition")
                .contains(&format!("table4-quick.{suffix}"))
        );
        assert!(file.body.contains(part), "{suffix}: {}", file.body);
    }
    let same = get(&app, "/api/v1/tables/table4?profile=quick").await.body;
    assert_eq!(
        get(&app, "/tables/table4.json?profile=quick").await.body,
        same
    );
}

#[tokio::test]
async fn a_run_shows_every_logged_step_and_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let app = dashboard(&home);
    let key = support::plan(&home, "quick", 1)
        .cell("warmup", "bs1024")
        .unwrap()
        .runs[0]
        .clone();
    // Attempt 1 logged 70 steps, attempt 2 took over at 60: 160 live ones in all, one a step.
    let series = get(&app, &format!("/api/v1/runs/{key}/series/train/loss"))
        .await
        .json();
    let steps: Vec<u64> = series["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p[0].as_u64().unwrap())
        .collect();
    assert_eq!(steps, (0..160).collect::<Vec<_>>());
    let page = get(&app, &format!("/runs/{key}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    // Training loss has 160 points, validation loss 4.
    for part in [
        "data-points=\"164\"",
        "data-points=\"160\"",
        "data-points=\"8\"",
        "checkpoints/1-last.safetensors",
        "warmup_epochs",
        "Invented CPU",
        "epoch 4: val/top1",
    ] {
        assert!(page.body.contains(part), "{part} is not on the page");
    }
    let short = get(&app, &format!("/runs/{}", key.short())).await;
    assert_eq!(
        (short.status, short.header("location")),
        (StatusCode::SEE_OTHER, format!("/runs/{key}").as_str())
    );
    let failed = support::plan(&home, "quick", 1)
        .cell("fp16", "bs256")
        .unwrap()
        .runs[0]
        .clone();
    assert!(
        get(&app, &format!("/runs/{failed}"))
            .await
            .body
            .contains("became NaN at step 57")
    );
    assert_eq!(
        get(&app, &format!("/api/v1/runs/{failed}")).await.json()["failure"]["class"],
        "permanent"
    );
}

#[tokio::test]
async fn charts_are_svg_with_title_and_their_own_policy() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let app = dashboard(&home);
    let key = support::plan(&home, "quick", 1)
        .cell("warmup", "bs256")
        .unwrap()
        .runs[0]
        .clone();
    let line = get(
        &app,
        &format!(
            "/charts/line.svg?runs={}&metric=train/loss,val/loss&x=step&from=10&to=50&theme=dark",
            key.short()
        ),
    )
    .await;
    assert_eq!(line.status, StatusCode::OK, "{}", line.body);
    assert!(
        line.body.contains("<title>Training loss")
            && line.header("content-type").starts_with("image/svg+xml")
    );
    assert!(line.header("content-security-policy").contains("sandbox"));
    let table = get(&app, "/charts/table.json?experiment=table4&column=bs1024")
        .await
        .json();
    assert_eq!(
        table["series"].as_array().unwrap().len(),
        4,
        "the fifth row has no evaluation there"
    );
    assert_eq!(table["series"][1]["colour"], 1);
    for (query, code) in [
        ("line.svg?runs=", "bad_chart"),
        (
            &format!("line.svg?runs={key}&metric=train/los"),
            "bad_metric",
        ),
        (&format!("line.svg?runs={key}&width=wide"), "bad_chart"),
        (&format!("line.svg?runs={key}&from=9&to=3"), "bad_chart"),
        ("pie.svg", "no_such_chart"),
    ] {
        let refused = get(&app, &format!("/charts/{query}")).await;
        assert_eq!(refused.json()["error_code"], code, "{query}");
        assert!(refused.status.is_client_error(), "{query}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_with_a_cure() {
    let dir = tempfile::tempdir().unwrap();
    let app = dashboard(&small_home(&dir).await);
    for (path, status, code, part) in [
        (
            "/tables/tabel4",
            404,
            "no_such_experiment",
            "did you mean \"table4\"?",
        ),
        (
            "/tables/..%2F..%2Fetc%2Fpasswd",
            404,
            "no_such_experiment",
            "There is no experiment",
        ),
        (
            "/api/v1/tables/table4?profile=quik",
            400,
            "bad_profile",
            "did you mean \"quick\"?",
        ),
        ("/tables/table4?select=first", 400, "bad_select", "first"),
        (
            "/tables/table4?metric=val/top2",
            400,
            "bad_metric",
            "val/top2",
        ),
        ("/tables/table4?from=soon", 400, "bad_chart", "from=soon"),
        ("/runs/0", 400, "ambiguous_run", "more digits"),
        ("/runs/zz", 404, "no_such_run", "zz"),
        ("/api/v1/runs?state=dead", 400, "bad_state", "dead"),
        ("/nowhere", 404, "no_such_page", "/nowhere"),
        ("/static/none.css", 404, "no_such_file", "none.css"),
    ] {
        let answer = get(&app, path).await;
        // Of ten runs none or one may begin with 0: then it is not found, or found, which is as good.
        let few = [StatusCode::NOT_FOUND, StatusCode::SEE_OTHER];
        if path == "/runs/0" && few.contains(&answer.status) {
            continue;
        }
        let json = answer.json();
        assert_eq!(
            (answer.status.as_u16(), json["error_code"].as_str()),
            (status, Some(code)),
            "{path}: {}",
            answer.body
        );
        assert!(
            json["message"].as_str().unwrap().contains(part),
            "{path}: {}",
            answer.body
        );
    }
    let page = ask(&app, "/tables/tabel4", &[("accept", "text/html")]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(
        page.body.contains("<h1>Not here</h1>")
            && page.body.contains("did you mean &#34;table4&#34;?"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn an_empty_home_says_how_to_start() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().join("not-there-yet"));
    let app = dashboard(&home);
    assert!(
        get(&app, "/")
            .await
            .body
            .contains("runner reproduce table4")
    );
    assert!(
        get(&app, "/queue")
            .await
            .body
            .contains("runner reproduce table4")
    );
    let page = get(&app, "/tables/table4").await;
    assert!(
        page.body.contains("Nothing has run yet")
            && data(&page.body, "warmup/bs1024", "data-paper") == Some(75.93)
    );
    assert_eq!(
        get(&app, "/runs/0").await.json()["error_code"],
        "no_database"
    );
    assert_eq!(get(&app, "/healthz").await.json()["database"], false);
    assert!(!home.dir().exists(), "reading makes nothing");
    // The database appears while the server runs.
    let filled = small_home(&dir).await;
    std::fs::create_dir_all(home.dir()).unwrap();
    std::fs::rename(filled.database(), home.database()).unwrap();
    assert_eq!(get(&app, "/healthz").await.json()["database"], true);
}

#[tokio::test]
async fn strangers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let open = dashboard(&home);
    let foreign = ask(&open, "/", &[("host", "evil.example")]).await;
    assert_eq!(
        (foreign.status, foreign.json()["error_code"].as_str()),
        (StatusCode::MISDIRECTED_REQUEST, Some("foreign_host"))
    );
    let origin = ask(&open, "/api/v1/runs", &[("origin", "http://evil.example")]).await;
    assert_eq!(origin.status, StatusCode::FORBIDDEN);
    assert_eq!(
        ask(
            &open,
            "/api/v1/runs",
            &[("origin", "http://127.0.0.1:8080")]
        )
        .await
        .status,
        StatusCode::OK
    );
    let post = Request::post("/tables/table4")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        open.clone().oneshot(post).await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );

    let closed = app(
        Dashboard::new(home.clone(), home.database()),
        Guard::with_token("0123456789abcdef0123"),
    );
    assert_eq!(
        get(&closed, "/tables/table4.json").await.status,
        StatusCode::UNAUTHORIZED
    );
    // server/tests/control.rs says how a cookie is come by.
    let enter = Request::post("/enter")
        .header("host", "localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("token=0123456789abcdef0123"))
        .unwrap();
    let entered = closed.clone().oneshot(enter).await.unwrap();
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(
        ask(&closed, "/tables/table4.json", &[("cookie", cookie)])
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        ask(
            &closed,
            "/",
            &[("authorization", "Bearer 0123456789abcdef0123")]
        )
        .await
        .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn pages_hold_to_the_policy_they_send() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let app = dashboard(&home);
    let key = support::plan(&home, "quick", 1)
        .cell("warmup", "bs256")
        .unwrap()
        .runs[0]
        .clone();
    for path in ["/", "/tables/table4", "/queue", &format!("/runs/{key}")] {
        let page = get(&app, path).await;
        assert!(
            page.header("content-security-policy")
                .starts_with("default-src 'none'"),
            "{path}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        for forbidden in [
            " style=",
            "<style",
            "onclick",
            "<script>",
            "src=\"http",
            "url(",
        ] {
            assert!(!page.body.contains(forbidden), "{path} has {forbidden}");
        }
        // Every address on a page answers.
        let attributes = ["href=\"/", "src=\"/", "srcset=\"/", "data-chart=\"/"];
        let found = attributes
            .iter()
            .flat_map(|name| page.body.split(name).skip(1))
            .filter_map(|rest| rest.split('"').next());
        for part in found {
            let address = format!("/{}", part.replace("&amp;", "&").replace("&#38;", "&"));
            let answer = get(&app, &address).await;
            assert_eq!(
                answer.status,
                StatusCode::OK,
                "{path} links to {address}: {}",
                answer.body
            );
        }
        let tag = page.header("etag").to_owned();
        assert_eq!(
            ask(&app, path, &[("if-none-match", &tag)]).await.status,
            StatusCode::NOT_MODIFIED,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_api_keeps_its_shape() {
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let app = dashboard(&home);
    let key = support::plan(&home, "quick", 1)
        .cell("zero-gamma", "bs256")
        .unwrap()
        .runs[0]
        .clone();
    let mut run = get(&app, &format!("/api/v1/runs/{key}")).await.json();
    // What changes with the catalogue or the seed's formula is asserted, then left out.
    assert_eq!(run["run"], key.as_str());
    run["run"] = "[key]".into();
    assert_eq!(run["weights_blake3"].as_str().unwrap().len(), 64);
    for place in ["weights_blake3", "recipe", "summary"] {
        assert!(!run[place].is_null());
        run[place] = "[there]".into();
    }
    assert!(run["progress"]["images_per_s"].as_f64().unwrap() > 0.0);
    run["progress"]["images_per_s"] = "[rate]".into();
    let values = run["evaluations"].as_array_mut().unwrap();
    assert_eq!(values.len(), 4);
    values.truncate(1);
    assert!(values[0]["metrics"]["val/top1"].as_f64().unwrap() > 50.0);
    values[0]["metrics"] = "[numbers]".into();
    insta::assert_json_snapshot!("run", run);
    // Every built-in experiment is listed; the two that this home ran are looked at.
    let mut list = get(&app, "/api/v1/experiments").await.json();
    let experiments = list["experiments"].as_array_mut().unwrap();
    assert!(experiments.iter().any(|e| e["experiment"] == "figure3"));
    experiments.retain(|e| e["experiment"] == "linear-scaling" || e["experiment"] == "table4");
    insta::assert_json_snapshot!("experiments", list);
}

/// Boxes and masks are drawn over the image, the prediction beside the truth; of the directory only
/// pictures are sent.
#[tokio::test]
async fn a_run_shows_its_predictions_over_images_beside_the_truth() {
    use rungs_spec::pictures::{Marks, Object, Picture, Pictures};
    let dir = tempfile::tempdir().unwrap();
    let home = small_home(&dir).await;
    let plan = support::plan(&home, "quick", 1);
    let run_of = |row: &str| plan.cell(row, "bs256").unwrap().runs[0].clone();
    let (key, other) = (run_of("warmup"), run_of("zero-gamma"));
    let object = |score| Object {
        at: [3.0, 4.0, 30.0, 40.5],
        class: 1,
        score,
        difficult: false,
    };
    let mask = |file: &str| Marks::Mask {
        file: file.to_owned(),
        classes: vec![0, 1],
    };
    let picture = |name: &str, truth, predicted| Picture {
        name: name.to_owned(),
        image: "1-0-image.png".to_owned(),
        width: 64,
        height: 48,
        truth,
        predicted,
    };
    let pictures = Pictures {
        v: 1,
        epoch: 4,
        classes: vec!["coat".into(), "<bag>".into()],
        pictures: vec![
            picture("first", mask("1-0-truth.png"), mask("1-0-predicted.png")),
            picture(
                "second",
                Marks::Boxes(vec![object(None)]),
                Marks::Boxes(vec![object(Some(0.5))]),
            ),
        ],
    };
    let folder = home.run(&key).pictures();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("1.json"),
        serde_json::to_string(&pictures).unwrap(),
    )
    .unwrap();
    std::fs::write(folder.join("1-0-image.png"), "a picture").unwrap();

    let app = dashboard(&home);
    let page = get(&app, &format!("/runs/{key}")).await;
    for part in [
        "id=\"pictures\"",
        "after 4 epochs",
        &format!("href=\"/runs/{key}/pictures/1-0-image.png\""),
        &format!("href=\"/runs/{key}/pictures/1-0-predicted.png\""),
        "aria-label=\"Truth of first: coat, ",
        "height=\"36.5\"",
        "50 %",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(!page.body.contains("<bag>"), "a name is not escaped");
    let plain = get(&app, &format!("/runs/{other}")).await;
    assert!(!plain.body.contains("id=\"pictures\""));

    let sent = get(&app, &format!("/runs/{key}/pictures/1-0-image.png")).await;
    assert_eq!(sent.header("content-type"), "image/png");
    assert_eq!(sent.body, "a picture");
    for file in ["1-9-image.png", "1.json", "..%2Frecipe.json"] {
        let refused = get(&app, &format!("/runs/{key}/pictures/{file}")).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{file}");
    }
}
