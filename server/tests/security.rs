//! What a hostile or broken visitor, and hostile text in a home, can do to the dashboard: nothing.
//! Who may change things is in control.rs; foreign hosts are in pages.rs.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use rungs_server::guard::Guard;
use rungs_server::{Dashboard, Limits, app};
use rungs_spec::home::Home;
use rungs_spec::plan::{Options, Plan, World};
use rungs_store::world::HomeWorld;
use support::Fate;
use tower::ServiceExt;

/// Runs where a page takes text for markup; ends an attribute, a script, a title and a CDATA part on the way.
const SCRIPT: &str = "]]></title></script>'><script>pwned(1)</script><img src=x onerror=pwned(2)>";

fn fates(row: &str, column: &str) -> Fate {
    match (row, column) {
        ("fp16", "bs256") => Fate::Failed,
        ("fp16", "bs1024") => Fate::Queued,
        ("warmup", "bs1024") => Fate::Done(2),
        _ => Fate::Done(1),
    }
}

/// Puts text into every file below a directory.
fn replace(dir: &Path, from: &str, to: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += replace(&path, from, to);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            count += text.matches(from).count();
            std::fs::write(&path, text.replace(from, to)).unwrap();
        }
    }
    count
}

/// A home in which every text that a person or a program may choose is a script.
async fn hostile_home(dir: &Path) -> (Home, Plan) {
    let (home, files) = (Home(dir.join("home")), dir.join("experiments"));
    let table4 = rungs_spec::builtin::find("table4").unwrap();
    std::fs::create_dir_all(&files).unwrap();
    let text: String = table4
        .lines()
        .map(|line| {
            let free = ["title = \"", "label = \"", "note = \""];
            match free.iter().find(|start| line.starts_with(**start)) {
                Some(start) => format!("{start}{SCRIPT}{}\n", &line[start.len()..]),
                None => format!("{line}\n"),
            }
        })
        .collect();
    assert!(text.matches("pwned(1)").count() >= 8, "{text}");
    std::fs::write(files.join("table4.toml"), text).unwrap();
    let world = HomeWorld::with_experiments(&home, &files).unwrap();
    let options = Options {
        profile: Some("quick".to_owned()),
        seeds: Some(1),
        ..Options::default()
    };
    let plan =
        rungs_spec::plan::build(world.experiment("table4").unwrap(), &options, &world).unwrap();
    support::write(&home, &plan, |row, column, _| fates(row, column));
    // What the failed run says, its log, and what trainers tell of their machine.
    assert!(replace(home.dir(), "train/loss became NaN", SCRIPT) >= 2);
    assert!(replace(home.dir(), "Invented CPU", SCRIPT) > 0);
    assert!(
        replace(
            home.dir(),
            "\"host\":\"bench\"",
            &format!("\"host\":\"{SCRIPT}\"")
        ) > 0
    );
    assert!(replace(home.dir(), " epoch 1: ", &format!(" {SCRIPT} ")) > 0);
    rungs_store::reindex(&home, &home.database()).await.unwrap();
    (home, plan)
}

fn site(home: &Home) -> Router {
    app(
        Dashboard::new(home.clone(), home.database()),
        Guard::loopback(),
    )
}

async fn get(app: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path)
        .header("host", "127.0.0.1:8080")
        .header("accept", "text/html")
        .body(Body::empty())
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let kind = response
        .headers()
        .get("content-type")
        .map_or("", |v| v.to_str().unwrap())
        .to_owned();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, kind, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_script_in_any_free_text_is_shown_and_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let (home, plan) = hostile_home(dir.path()).await;
    let app = site(&home);
    let run = |row, column| plan.cell(row, column).unwrap().runs[0].to_string();
    let (failed, done) = (run("fp16", "bs256"), run("warmup", "bs1024"));
    let mut shown = 0;
    for path in [
        "/".to_owned(),
        "/tables/table4".to_owned(),
        "/tables/table4?pivot=1".to_owned(),
        "/tables/table4.html".to_owned(),
        "/queue".to_owned(),
        "/claims".to_owned(),
        format!("/runs/{failed}"),
        format!("/runs/{done}"),
        format!("/charts/line.svg?runs={failed},{done}&metric=train/loss"),
        format!("/compare?runs={failed},{done}"),
        "/figures/figure3".to_owned(),
        format!("/runs/{}", SCRIPT.replace(['<', '>', ' ', '\''], "%3C")),
        "/tables/%3Cscript%3Epwned(1)%3C%2Fscript%3E".to_owned(),
        "/queue?asked=%3Cscript%3Epwned(1)%3C%2Fscript%3E".to_owned(),
    ] {
        let (status, kind, body) = get(&app, &path).await;
        assert!(
            kind.starts_with("text/html") || kind.starts_with("image/svg"),
            "{path}: {status} {kind}"
        );
        for live in ["<script>pwned", "<img src=x", "onerror=pwned(2)>"] {
            assert!(!body.contains(live), "{path}: {live} is live");
        }
        shown += usize::from(body.contains("pwned(1)"));
    }
    assert!(shown >= 7, "only {shown} pages show the text at all");
    // JSON and plain text carry it as it is, and are never taken for a page.
    for path in [
        "/api/v1/tables/table4".to_owned(),
        format!("/api/v1/runs/{failed}"),
        format!("/runs/{failed}/files/log.txt"),
        "/tables/table4.csv".to_owned(),
        "/tables/table4.tex".to_owned(),
    ] {
        let (status, kind, _) = get(&app, &path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(
            !kind.contains("html") && !kind.contains("svg"),
            "{path}: {kind}"
        );
    }
}

#[tokio::test]
async fn no_address_leads_out_of_the_home() {
    let dir = tempfile::tempdir().unwrap();
    let (home, plan) = hostile_home(dir.path()).await;
    let secret = "the secret beside the home";
    std::fs::write(dir.path().join("secret.txt"), secret).unwrap();
    std::fs::write(home.dir().join("server.token"), secret).unwrap();
    let app = site(&home);
    let run = plan.cell("warmup", "bs1024").unwrap().runs[0].to_string();
    let ups = [
        "../../../secret.txt",
        "..%2F..%2F..%2Fsecret.txt",
        "..%2F..%2Fserver.token",
        "%2e%2e/%2e%2e/server.token",
        "..%5C..%5Cserver.token",
        "checkpoints/../../../server.token",
        "log.txt%00",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
    ];
    for up in ups {
        for base in [
            format!("/runs/{run}/files/"),
            format!("/runs/{run}/pictures/"),
            "/static/".to_owned(),
            "/tables/".to_owned(),
            "/runs/".to_owned(),
            "/api/v1/tables/".to_owned(),
            "/api/v1/requests/".to_owned(),
            "/charts/".to_owned(),
        ] {
            let path = base + up;
            let (status, _, body) = get(&app, &path).await;
            assert!(status.is_client_error(), "{path}: {status}");
            assert!(
                !body.contains(secret) && !body.contains("root:"),
                "{path}: {body}"
            );
        }
    }
    // A link that somebody put into a run's directory is not followed either.
    let log = home.dir().join("runs").join(&run).join("log.txt");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(home.dir().join("server.token"), &log).unwrap();
    for path in [format!("/runs/{run}/files/log.txt"), format!("/runs/{run}")] {
        let (_, _, body) = get(&app, &path).await;
        assert!(!body.contains(secret), "{path} shows what the link names");
    }
}

/// A server on a port of its own; the end of the returned sender ends it.
async fn listening(home: &Home, limits: Limits) -> (SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let listen = rungs_server::bind(home, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = listen.address;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let stop = async move {
        ended.await.ok();
    };
    tokio::spawn(rungs_server::serve_within(
        listen,
        home.clone(),
        home.database(),
        limits,
        stop,
    ));
    (address, end)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// What comes until the other side closes; a reset counts as closed.
fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!(
            "the connection is still open: {error}; {}",
            String::from_utf8_lossy(&all)
        ),
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn status_of(address: SocketAddr) -> String {
    let mut stream = connect(address);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    rest(stream).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_are_cut_off_and_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().to_owned());
    let limits = Limits {
        headers: Duration::from_millis(700),
        answer: Duration::from_millis(900),
        connections: 8,
    };
    let (address, _end) = listening(&home, limits).await;
    tokio::task::spawn_blocking(move || {
        // As many as there are places, and none of them says more than the beginning.
        let slow: Vec<TcpStream> = (0..8)
            .map(|_| {
                let mut stream = connect(address);
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
                    .unwrap();
                stream
            })
            .collect();
        // The ninth is answered, when the others have been cut off.
        assert_eq!(status_of(address), "HTTP/1.1 200 OK");
        for stream in slow {
            let said = rest(stream);
            assert!(
                !said.starts_with("HTTP/1.1 200"),
                "a half request was answered: {said}"
            );
        }
        // A body that does not come.
        let mut stream = connect(address);
        stream
            .write_all(
                b"POST /enter HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                  Content-Length: 100\r\n\r\ntoken=",
            )
            .unwrap();
        let begun = Instant::now();
        let said = rest(stream);
        assert!(said.starts_with("HTTP/1.1 504"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().to_owned());
    let (address, _end) = listening(&home, Limits::default()).await;
    tokio::task::spawn_blocking(move || {
        let many: String = (0..500).map(|n| format!("X-{n}: a\r\n")).collect();
        for (what, head) in [
            ("a header", format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(1 << 20))),
            ("headers", format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")),
            ("an address", format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20))),
            (
                "a body",
                format!(
                    "POST /enter HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{}",
                    1 << 20,
                    "a".repeat(1 << 20)
                ),
            ),
        ] {
            let mut stream = connect(address);
            // The answer may come, and the connection end, before all of it is sent.
            let _ = stream.write_all(head.as_bytes());
            let said = rest(stream);
            // A reset can overtake the answer.
            assert!(
                said.is_empty() || said.starts_with("HTTP/1.1 4"),
                "{what}: {said}"
            );
            assert_eq!(status_of(address), "HTTP/1.1 200 OK", "after {what}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_locked_database_is_said_and_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    let (home, _) = hostile_home(dir.path()).await;
    let app = site(&home);
    // What keeps every reader out: a program that does not share.
    let lock = || {
        std::process::Command::new("python3")
            .args(["-c", LOCK, home.database().to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
    };
    let Ok(mut program) = lock() else {
        eprintln!("SKIPPED: no python3 to lock the database with");
        return;
    };
    let mut held = [0; 1];
    program
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut held)
        .unwrap();
    let begun = Instant::now();
    for path in ["/", "/queue", "/api/v1/runs"] {
        let (status, _, body) = get(&app, path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {body}");
        assert!(body.contains("rungs.db") && body.contains("lock"), "{body}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "not forever");
    drop(program.stdin.take());
    program.wait().unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(get(&app, "/").await.0, StatusCode::OK);
}

/// Holds the database alone until its standard input ends.
const LOCK: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('PRAGMA locking_mode = EXCLUSIVE')
connection.execute('BEGIN EXCLUSIVE')
connection.execute('CREATE TABLE held (x)')
sys.stdout.write('h')
sys.stdout.flush()
sys.stdin.read()
connection.execute('ROLLBACK')
connection.close()
";
