//! Buttons: who may press them, what they write, and how pages show what became of it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, app};
use rungs_spec::RunKey;
use rungs_spec::home::Home;
use serde_json::{Value, json};
use support::Fate;
use tower::ServiceExt;

const TOKEN: &str = "0123456789abcdef0123";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
    fn code(&self) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        json["error_code"].as_str().unwrap_or_default().to_owned()
    }
    /// `name="csrf" value="..."` of the first form.
    fn csrf(&self) -> String {
        let rest = self.body.split("name=\"csrf\" value=\"").nth(1);
        rest.unwrap_or_else(|| panic!("no form: {}", self.body))
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }
}

struct Site {
    app: Router,
    home: Home,
    run: RunKey,
    waiting: RunKey,
    _dir: tempfile::TempDir,
}

impl Site {
    /// One seed of table4: one run failed, one waits, one was resumed, the rest is done.
    async fn new(guard: Guard) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().to_owned());
        let plan = support::plan(&home, "quick", 1);
        support::write(&home, &plan, |row, column, _| match (row, column) {
            ("fp16", "bs256") => Fate::Failed,
            ("fp16", "bs1024") => Fate::Queued,
            ("warmup", "bs1024") => Fate::Done(2),
            _ => Fate::Done(1),
        });
        rungs_store::reindex(&home, &home.database()).await.unwrap();
        let of = |row, column| plan.cell(row, column).unwrap().runs[0].clone();
        Site {
            app: app(Dashboard::new(home.clone(), home.database()), guard),
            run: of("warmup", "bs1024"),
            waiting: of("fp16", "bs1024"),
            home,
            _dir: dir,
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:8080");
        if method == "POST" && !headers.iter().any(|h| h.0 == "content-type") {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.ask("GET", path, &[("cookie", cookie)], "").await
    }

    /// The cookie that the token is exchanged for.
    async fn enter(&self) -> String {
        let entered = self
            .ask("POST", "/enter", &[], &format!("token={TOKEN}&to=/queue"))
            .await;
        assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.body);
        assert_eq!(entered.header("location"), "/queue");
        let cookie = entered.header("set-cookie");
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(TOKEN), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    fn requests(&self) -> Vec<Value> {
        let waiting = rungs_store::requests::list(&self.home.requests()).unwrap();
        let json = |w: rungs_store::requests::Waiting| serde_json::to_value(w.request.unwrap());
        waiting.into_iter().map(|w| json(w).unwrap()).collect()
    }
}

#[tokio::test]
async fn nothing_changes_without_the_right_to() {
    let site = Site::new(Guard::loopback_with_token(TOKEN)).await;
    let cookie = site.enter().await;
    let csrf = site.get("/queue", &cookie).await.csrf();
    let body = format!("csrf={csrf}&kind=pause&back=/queue");
    let cookie = ("cookie", cookie.as_str());
    let bearer = format!("Bearer {TOKEN}");
    let json = ("content-type", "application/json");
    let pause = r#"{"kind": "pause"}"#;
    for (path, headers, body, status, code) in [
        ("/requests", &[][..], body.as_str(), 401, "token_needed"),
        ("/requests", &[cookie], "kind=pause", 403, "stale_form"),
        (
            "/requests",
            &[cookie],
            "csrf=00&kind=pause",
            403,
            "stale_form",
        ),
        (
            "/requests",
            &[cookie, ("origin", "http://evil.example")],
            &body,
            403,
            "foreign_origin",
        ),
        (
            "/requests",
            &[cookie, ("origin", "null")],
            &body,
            403,
            "foreign_origin",
        ),
        (
            "/requests",
            &[cookie, ("sec-fetch-site", "cross-site")],
            &body,
            403,
            "foreign_origin",
        ),
        (
            "/requests",
            &[("cookie", "rungs-00000000=0.0")],
            &body,
            401,
            "token_needed",
        ),
        // The cookie alone does not open the JSON address, for it has no form's field.
        (
            "/api/v1/requests",
            &[cookie, json],
            pause,
            401,
            "token_needed",
        ),
        (
            "/api/v1/requests",
            &[("authorization", "Bearer wrong"), json],
            pause,
            401,
            "token_needed",
        ),
        (
            "/api/v1/requests",
            &[("authorization", &bearer), json],
            "{\"kind\": \"pauze\"}",
            400,
            "bad_request",
        ),
        ("/queue", &[cookie], &body, 405, "read_only"),
    ] {
        let answer = site.ask("POST", path, headers, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{path} {headers:?}: {}",
            answer.body
        );
    }
    let large = "x".repeat(20_000);
    let answer = site.ask("POST", "/requests", &[cookie], &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(site.requests(), Vec::<Value>::new());
    // And with it, it does.
    let answer = site
        .ask(
            "POST",
            "/requests",
            &[cookie, ("origin", "http://127.0.0.1:8080")],
            &body,
        )
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(site.requests(), [json!({"kind": "pause"})]);
}

#[tokio::test]
async fn the_token_is_taken_from_a_form_and_never_from_an_address() {
    let site = Site::new(Guard::loopback_with_token(TOKEN)).await;
    let page = site.get("/queue", "").await;
    assert!(page.body.contains("id=\"unlock\"") && !page.body.contains("name=\"csrf\""));
    let address = site.get(&format!("/enter?token={TOKEN}"), "").await;
    assert_eq!(address.status, StatusCode::BAD_REQUEST);
    assert_eq!(address.header("set-cookie"), "");
    let wrong = site.ask("POST", "/enter", &[], "token=wrong").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.header("set-cookie"), "");
    assert!(wrong.body.contains("not the token of this home"));
    let elsewhere = format!("token={TOKEN}&to=//evil.example");
    let entered = site.ask("POST", "/enter", &[], &elsewhere).await;
    assert_eq!(entered.header("location"), "/");
    let used = site.get("/enter?code=never-made", "").await;
    assert_eq!(used.status, StatusCode::UNAUTHORIZED);
    // Where there is no token, nothing opens.
    let closed = Site::new(Guard::loopback()).await;
    let refused = closed.ask("POST", "/enter", &[], "token=").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_one_time_link_opens_once() {
    let guard = Guard::loopback_with_token(TOKEN);
    let link = guard.one_time_link().unwrap();
    let site = Site::new(guard).await;
    let first = site.get(&link, "").await;
    assert_eq!(first.status, StatusCode::SEE_OTHER);
    let cookie = first.header("set-cookie").split(';').next().unwrap();
    assert!(
        site.get("/queue", cookie)
            .await
            .body
            .contains("name=\"csrf\"")
    );
    let second = site.get(&link, "").await;
    assert_eq!(second.status, StatusCode::UNAUTHORIZED);
    assert_eq!(second.header("set-cookie"), "");
}

#[tokio::test]
async fn a_button_writes_a_request_and_the_page_says_what_became_of_it() {
    let site = Site::new(Guard::loopback_with_token(TOKEN)).await;
    let cookie = site.enter().await;
    let queue = site.get("/queue", &cookie).await;
    let csrf = queue.csrf();
    for label in ["Pause", "Sooner", "Later", "Cancel", "Retry", "Add 2 seeds"] {
        assert!(
            queue.body.contains(&format!(">{label}</button>")),
            "{label}"
        );
    }
    let run = site.waiting.as_str();
    let press = |fields: String| {
        let body = format!("csrf={csrf}&back=%2Fqueue%3Fskip%3D0&{fields}");
        let (site, cookie) = (&site, &cookie);
        async move {
            let headers = [("cookie", cookie.as_str())];
            let answer = site.ask("POST", "/requests", &headers, &body).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
            let to = answer.header("location").to_owned();
            assert!(to.starts_with("/queue?skip=0&asked="), "{to}");
            to
        }
    };
    let cancel = press(format!("kind=cancel&run={run}")).await;
    press(format!("kind=priority&run={run}&priority=-1")).await;
    press("kind=seeds&experiment=table4&profile=quick&add=2".to_owned()).await;
    let written = site.requests();
    assert_eq!(written[0], json!({"kind": "cancel", "run": run}));
    assert_eq!(
        written[1],
        json!({"kind": "priority", "run": run, "priority": -1})
    );
    assert_eq!(written[2]["kind"], "apply");
    assert_eq!(
        (&written[2]["seeds"], &written[2]["profile"]),
        (&json!(3), &json!("quick"))
    );
    let page = site.get(&cancel, &cookie).await.body;
    assert!(page.contains("data-state=\"waiting\""), "{page}");
    assert!(page.contains("Cancel table4 / fp16 / bs1024 / seed 1"));
    assert!(page.contains("no scheduler is running on this machine"));
    // The scheduler refuses the first and carries out the rest.
    let files = rungs_store::requests::list(&site.home.requests()).unwrap();
    rungs_store::requests::refuse(&files[0].path, "because <script>alert(1)</script>").unwrap();
    for file in &files {
        rungs_store::requests::remove(&file.path).unwrap();
    }
    for _ in 0..2 {
        let page = site.get(&cancel, &cookie).await.body;
        assert!(
            page.contains("data-state=\"refused\""),
            "also when it is loaded again"
        );
        assert!(page.contains("because &#60;script&#62;alert(1)"), "{page}");
    }
    let seeds = press("kind=resume".to_owned()).await;
    rungs_store::requests::remove(
        &rungs_store::requests::list(&site.home.requests()).unwrap()[0].path,
    )
    .unwrap();
    let page = site.get(&seeds, &cookie).await.body;
    assert!(page.contains("data-state=\"done\"") && page.contains("Resume the queue"));
    // What cannot be asked at all is refused at once.
    for (fields, status) in [
        ("kind=cancel&run=zz", 404),
        ("kind=seeds&experiment=table5&add=2", 404),
        ("kind=seeds&experiment=table4&profile=quick&add=many", 400),
        ("kind=destroy", 400),
    ] {
        let body = format!("csrf={csrf}&{fields}");
        let headers = [("cookie", cookie.as_str())];
        let answer = site.ask("POST", "/requests", &headers, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{fields}: {}", answer.body);
    }
    assert_eq!(site.requests(), Vec::<Value>::new());
}

#[tokio::test]
async fn programs_ask_with_the_token_and_are_told_the_same() {
    let site = Site::new(Guard::loopback_with_token(TOKEN)).await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let short = site.waiting.short();
    let body = format!("{{\"kind\": \"cancel\", \"run\": \"{short}\"}}");
    let answer = site.ask("POST", "/api/v1/requests", &headers, &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let asked: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (&asked["state"], &asked["reason"]),
        (&json!("waiting"), &Value::Null)
    );
    assert_eq!(
        site.requests(),
        [json!({"kind": "cancel", "run": site.waiting})]
    );
    let file = &rungs_store::requests::list(&site.home.requests()).unwrap()[0].path;
    rungs_store::requests::refuse(file, "no").unwrap();
    rungs_store::requests::remove(file).unwrap();
    let place = format!("/api/v1/requests/{}", asked["request"].as_str().unwrap());
    let now: Value = serde_json::from_str(&site.get(&place, "").await.body).unwrap();
    assert_eq!(
        (&now["state"], &now["reason"]),
        (&json!("refused"), &json!("no"))
    );
    let none = site
        .get("/api/v1/requests/..%2F..%2Fserver.token", "")
        .await;
    assert_eq!(
        (none.status.as_u16(), none.code().as_str()),
        (404, "no_such_request")
    );
}

#[tokio::test]
async fn files_of_a_run_are_a_whitelist() {
    let site = Site::new(Guard::loopback_with_token(TOKEN)).await;
    let (run, dir) = (&site.run, site.home.run(&site.run));
    std::fs::create_dir_all(dir.checkpoints()).unwrap();
    std::fs::write(dir.checkpoints().join("1-last.safetensors"), "weights").unwrap();
    std::fs::write(dir.lock(), "1").unwrap();
    std::fs::write(site.home.dir().join("server.token"), TOKEN).unwrap();
    let page = site.get(&format!("/runs/{run}"), "").await.body;
    for name in [
        "recipe.json",
        "attempt-2.jsonl",
        "log.txt",
        "checkpoints/1-last.safetensors",
    ] {
        let address = format!("/runs/{run}/files/{name}");
        assert!(page.contains(&format!("href=\"{address}\"")), "{name}");
        let file = site.get(&address, "").await;
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(
            file.body,
            std::fs::read_to_string(dir.dir().join(name)).unwrap()
        );
        assert!(file.header("content-disposition").starts_with("attachment"));
    }
    assert!(!page.contains("trainer.lock"));
    for name in [
        "trainer.lock",
        "attempt-9.jsonl",
        "..%2F..%2Fserver.token",
        "%2e%2e/%2e%2e/server.token",
        "checkpoints/..%2F..%2F..%2Fserver.token",
        "checkpoints/../recipe.json",
        "%2Fetc%2Fpasswd",
        "recipe.json%00",
        "",
    ] {
        let answer = site.get(&format!("/runs/{run}/files/{name}"), "").await;
        assert_eq!(
            answer.status,
            StatusCode::NOT_FOUND,
            "{name}: {}",
            answer.body
        );
        assert!(!answer.body.contains(TOKEN));
    }
}

#[tokio::test]
async fn a_log_is_watched_from_where_the_page_ends() {
    use futures_util::StreamExt as _;
    let site = Site::new(Guard::loopback()).await;
    let log = site.home.run(&site.run).log();
    std::fs::write(&log, "old\n<b>first</b>\n").unwrap();
    let page = site.get(&format!("/runs/{}", site.run), "").await.body;
    assert!(page.contains("data-end=\"17\""), "{page}");
    assert!(page.contains("&#60;b&#62;first"));
    let request = Request::get(format!("/api/v1/runs/{}/log?from=4", site.run.short()))
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let answer = site.app.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.into_body().into_data_stream();
    let mut next =
        async || String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    let first = next().await;
    assert!(
        first.contains("id: 17") && first.contains(r#"data: "<b>first</b>\n""#),
        "{first}"
    );
    let mut file = std::fs::File::options().append(true).open(&log).unwrap();
    std::io::Write::write_all(&mut file, b"second\nhalf").unwrap();
    let second = next().await;
    assert!(
        second.contains("id: 24") && second.contains(r#"data: "second\n""#),
        "{second}"
    );
}
