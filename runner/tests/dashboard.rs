//! Buttons of the dashboard, from the browser's request to the trainer's end.

mod common;

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use common::{Bench, eventually};
use serde_json::Value;

/// `runner dashboard` of a bench, and what a browser keeps.
struct Dashboard {
    process: Child,
    address: String,
    cookie: String,
    csrf: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Dashboard {
    fn start(bench: &Bench) -> Dashboard {
        let mut process = bench
            .command(&["dashboard", "--bind", "127.0.0.1:0", "--json", "--quiet"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let mut said = serde_json::Deserializer::from_reader(out).into_iter::<Value>();
        let said = said.next().unwrap().unwrap();
        let mut dashboard = Dashboard {
            process,
            address: said["address"].as_str().unwrap().to_owned(),
            cookie: String::new(),
            csrf: String::new(),
        };
        let link = said["link"].as_str().unwrap();
        let path = link.split_once(&dashboard.address).unwrap().1;
        let entered = dashboard.ask("GET", path, "");
        assert_eq!(entered.status, 303, "{}", entered.head);
        let cookie = entered.head.lines().find_map(|l| {
            let (name, value) = l.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie")
                .then(|| value.split(';').next().unwrap().to_owned())
        });
        dashboard.cookie = cookie.unwrap();
        let page = dashboard.ask("GET", "/queue", "").body;
        let field = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
        dashboard.csrf = field.split('"').next().unwrap().to_owned();
        dashboard
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {}\r\nOrigin: http://{}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.cookie,
            self.address,
            body.len()
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Of a run that waits.
    fn priority(&self, run: &str) -> Option<i64> {
        let answer = self.ask("GET", "/api/v1/runs?state=queued", "");
        let list: Value = serde_json::from_str(&answer.body).unwrap();
        let runs = list["runs"].as_array().unwrap();
        let found = runs.iter().find(|r| r["run"] == run)?;
        found["priority"].as_i64()
    }

    /// Presses a button, follows where it leads, and returns that page.
    fn press(&self, fields: &str) -> String {
        let body = format!("csrf={}&back=/queue&{fields}", self.csrf);
        let answer = self.ask("POST", "/requests", &body);
        assert_eq!(answer.status, 303, "{} {}", answer.head, answer.body);
        let to = answer
            .head
            .lines()
            .find_map(|l| l.strip_prefix("location: "));
        self.ask("GET", to.unwrap(), "").body
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        common::signal(self.process.id(), "INT");
        self.process.wait().ok();
    }
}

fn state(bench: &Bench, run: &str) -> String {
    let rows = bench.run(&["runs", run, "--json"]).ok().json();
    rows[0]["state"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn buttons_cancel_retry_order_and_add_seeds() {
    let bench = Bench::new().with("FAKE_STEP_MS", "60");
    // Queued, and left there: two runs train at most, so two wait.
    let mut watched = bench.start(&["reproduce", "tiny", "--slots", "1"]);
    eventually("a trainer lives", || bench.trainers().len() == 1);
    common::signal(watched.id(), "INT");
    watched.wait().unwrap();
    let dashboard = Dashboard::start(&bench);
    // A run is said to be running before its trainer has taken the lock.
    let at_work = || {
        let running = bench.run(&["runs", "running", "--json"]).ok().json();
        let lives = bench.trainers();
        running.as_array().unwrap().iter().find_map(|row| {
            let run = row["run"].as_str().unwrap().to_owned();
            let lock = bench.home.join("runs").join(&run).join("trainer.lock");
            let pid: u32 = std::fs::read_to_string(lock).ok()?.trim().parse().ok()?;
            lives.contains(&pid).then_some((run, pid))
        })
    };
    let found = std::cell::RefCell::new(None);
    eventually("it trains again", || {
        *found.borrow_mut() = at_work();
        found.borrow().is_some()
    });
    let (run, pid) = found.take().unwrap();

    // A run that trains is cancelled: its trainer leaves, and it is not started again.
    let page = dashboard.press(&format!("kind=cancel&run={run}"));
    assert!(
        page.contains("data-state=\"done\"") && page.contains("Cancel tiny / "),
        "{page}"
    );
    assert_eq!(state(&bench, &run), "cancelled");
    eventually("its trainer has left", || !bench.trainers().contains(&pid));

    // A second time is refused with a reason, and so is what makes no sense.
    let page = dashboard.press(&format!("kind=priority&run={run}&priority=5"));
    assert!(page.contains("data-state=\"refused\""), "{page}");
    assert!(
        page.contains("only a run that waits has a place in the queue"),
        "{page}"
    );

    // Paused, nothing new starts; a retried run waits first with a higher priority.
    assert!(dashboard.press("kind=pause").contains("<b>Paused.</b>"));
    dashboard.press(&format!("kind=retry&run={run}"));
    let page = dashboard.press(&format!("kind=priority&run={run}&priority=7"));
    assert!(page.contains("data-state=\"done\""), "{page}");
    assert_eq!(dashboard.priority(&run), Some(7), "it waits");
    let said = bench.run(&["priority", &run[..12], "-2"]).ok().out();
    assert!(said.ends_with(" waits with priority -2\n"), "{said}");
    assert_eq!(dashboard.priority(&run), Some(-2));

    // More seeds of every cell are queued, once.
    let page = dashboard.press("kind=seeds&experiment=tiny&add=2");
    assert!(
        page.contains("2 more seeds of every cell of tiny: 3 instead of 1"),
        "{page}"
    );
    let rows = bench.run(&["runs", "--json"]).ok().json();
    assert_eq!(rows.as_array().unwrap().len(), 12);
    assert!(!dashboard.press("kind=resume").contains("<b>Paused.</b>"));
    drop(dashboard);
    bench.run(&["reproduce", "tiny", "--seeds", "3"]).ok();
    bench.nothing_lost_or_doubled();
}

#[test]
fn without_a_scheduler_a_request_waits_for_one() {
    let mut bench = Bench::new();
    bench.run(&["reproduce", "tiny"]).ok();
    // A trainer that cannot be found: pages only.
    bench.set("RUNGS_TRAINER", "/nonexistent/trainer");
    std::fs::remove_file(bench.home.join("machine.json")).ok();
    let dashboard = Dashboard::start(&bench);
    let page = dashboard.press("kind=pause");
    assert!(
        page.contains("data-state=\"waiting\"") && page.contains("runner daemon"),
        "{page}"
    );
    assert_eq!(
        std::fs::read_dir(bench.home.join("requests"))
            .unwrap()
            .count(),
        1
    );
    drop(dashboard);
    // The next command that finds nobody there carries it out.
    bench.run(&["resume"]).ok();
    assert_eq!(
        std::fs::read_dir(bench.home.join("requests"))
            .unwrap()
            .count(),
        0
    );
    let journal = std::fs::read_to_string(bench.home.join("journal.jsonl")).unwrap();
    let kinds: Vec<&str> = journal
        .lines()
        .filter(|l| l.contains("paused") || l.contains("resumed"))
        .collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}
