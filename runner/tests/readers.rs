//! 64 readers beside the writer: commands, pages of the dashboard, connections of SQLite. The short form
//! of the acceptance line `readers` (scripts/accept/5), which lasts ten minutes.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Bench, eventually, signal};

/// Reads again and again, each time with a new connection, until its input ends.
const SQLITE: &str = r#"
import contextlib, sqlite3, sys, threading
stop, looks, wrong = threading.Event(), [], []
def look():
    while not stop.is_set() and not wrong:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)) as c:
                looks.append(c.execute("SELECT count(*) FROM runs JOIN attempts ON attempts.run_id = runs.id").fetchone())
        except sqlite3.Error as error:
            wrong.append(error)
threads = [threading.Thread(target=look) for _ in range(24)]
for thread in threads: thread.start()
sys.stdin.read(); stop.set()
for thread in threads: thread.join()
print(len(looks), *wrong)
sys.exit(bool(wrong) or not looks)
"#;

/// Status line, headers and body of a page.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn sixty_four_readers_and_the_writer_never_wait_for_a_lock() {
    let bench = Bench::new().with("FAKE_STEP_MS", "10");
    bench.run(&["reproduce", "tiny"]).ok();
    let run = bench.run_dirs()[0]
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    // Server and scheduler in one; the other command watches.
    let mut dashboard = bench.start(&["dashboard", "--bind", &address]);
    eventually("the dashboard answers", || {
        TcpStream::connect(&address).is_ok()
    });
    let mut sqlite = Command::new("python3")
        .args(["-c", SQLITE])
        .arg(bench.home.join("rungs.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let over = AtomicBool::new(false);
    let (run, page) = (run.as_str(), format!("/runs/{run}"));
    let pages = [
        "/",
        "/tables/tiny",
        "/queue",
        "/api/v1/tables/tiny",
        "/healthz",
        page.as_str(),
    ];
    let commands = [
        &["status"][..],
        &["runs"],
        &["show", run],
        &["series", run, "train/loss"],
        &["export", "tiny", "--format", "csv"],
        &["plan", "tiny"],
    ];
    std::thread::scope(|scope| {
        for n in 0..32 {
            let (over, address, pages) = (&over, &address, &pages);
            scope.spawn(move || {
                for path in pages.iter().cycle().skip(n) {
                    let page = get(address, path);
                    assert!(page.starts_with("HTTP/1.1 200"), "{path}: {page}");
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for n in 0..8 {
            let (over, bench, commands) = (&over, &bench, &commands);
            scope.spawn(move || {
                for command in commands.iter().cycle().skip(n) {
                    bench.run(command).ok();
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        // About 20 seconds of runs.
        let writer = bench.run(&["reproduce", "tiny", "--seeds", "12"]);
        over.store(true, Ordering::Relaxed);
        writer.ok();
    });
    drop(sqlite.stdin.take());
    let said = sqlite.wait_with_output().unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stdout)
    );
    signal(dashboard.id(), "TERM");
    dashboard.wait().unwrap();
    assert!(!bench.log().contains("locked"), "{}", bench.log());
    assert_eq!(bench.run_dirs().len(), 48);
    bench.nothing_lost_or_doubled();
}
