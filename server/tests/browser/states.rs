//! What the walk's home has none of: a run at work, a paused queue, a request that waits, an empty home, errors.

use std::io::Write as _;
use std::process::Child;

use rungs_spec::home::{Home, JournalEntry, JournalLine};
use rungs_store::{SlotRow, Store};

use super::controls::until;
use super::driver::{self, Browser};
use super::support::{self, Fate};
use super::{OPEN, assert_nothing_found, browser, serve, words};

/// The server on a home of its own.
pub struct Served {
    server: Child,
    pub base: String,
    pub home: Home,
    _dir: tempfile::TempDir,
}

impl Served {
    fn start(dir: tempfile::TempDir) -> Served {
        let (server, base) = serve(dir.path());
        Served {
            server,
            base,
            home: Home(dir.path().to_owned()),
            _dir: dir,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Keys of a run at work, one that waits, one that failed.
pub struct Keys {
    pub running: String,
    pub waiting: String,
    pub failed: String,
}

/// One seed of table4 with a run at work.
pub fn at_work(paused: bool) -> (Served, Keys) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().to_owned());
    let plan = support::plan(&home, "quick", 1);
    support::write(&home, &plan, |row, column, _| match (row, column) {
        ("no-bias-decay", "bs1024") => Fate::Begun,
        ("fp16", "bs256") => Fate::Failed,
        ("fp16", "bs1024") => Fate::Queued,
        _ => Fate::Done(1),
    });
    if paused {
        let line = JournalLine {
            t: "2026-11-24T05:00:00Z".to_owned(),
            entry: JournalEntry::Paused,
        };
        rungs_store::journal::append(&home.journal(), &[line]).unwrap();
    }
    let of = |row, column| plan.cell(row, column).unwrap().runs[0].clone();
    let running = of("no-bias-decay", "bs1024");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let db = home.database();
        rungs_store::reindex(&home, &db).await.unwrap();
        let store = Store::open_writer(&db).await.unwrap();
        let pid = Some(std::process::id());
        store.adopt(&running, 1, pid, "cpu-0").await.unwrap();
        let slot = |name: &str, run, attempt| SlotRow {
            slot: name.to_owned(),
            device: "cpu".to_owned(),
            threads: 1,
            run,
            attempt,
            updated_at_ms: 0,
        };
        let busy = slot("cpu-0", Some(running.clone()), Some(1));
        let free = slot("cpu-1", None, None);
        store.set_slots(&[busy, free]).await.unwrap();
        store.close().await;
    });
    let keys = Keys {
        running: running.to_string(),
        waiting: of("fp16", "bs1024").to_string(),
        failed: of("fp16", "bs256").to_string(),
    };
    (Served::start(dir), keys)
}

/// From a run's page to the form, and with the token back to the page; a wrong one is told first.
pub fn enter(browser: &Browser, site: &Served, run: &str) {
    browser.open(&format!("{}/runs/{run}", site.base));
    browser.click("//*[@id='run-buttons']//a[.='Enter the token to change this run']");
    let token = std::fs::read_to_string(site.home.dir().join("server.token")).unwrap();
    for (text, then) in [
        (
            "wrong",
            "return document.querySelector('#problem') !== null".to_owned(),
        ),
        (
            token.trim(),
            format!("return location.pathname === '/runs/{run}'"),
        ),
    ] {
        browser.focus("#token");
        for key in text.chars() {
            browser.press(&key.to_string());
        }
        browser.click("//form[contains(@class, 'unlock')]//button");
        until(browser, "the token is judged", &then);
    }
    // The console tells of the wrong one, as it should.
    browser.complaints();
}

/// What is wrong with the page that is open, at both widths, in the dark, in its console and its requests.
fn findings(browser: &Browser, site: &Served, axe: Option<&str>, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    browser.js(OPEN, &[]);
    for (width, dark) in [(360, false), (360, true), (1280, true), (1280, false)] {
        browser.resize(width, 1000);
        browser.dark(dark);
        let place = format!("{page} at {width}{}", if dark { ", dark" } else { "" });
        let look = words(&browser.js(include_str!("look.js"), &[]));
        wrong.extend(look.into_iter().map(|text| format!("{place}: {text}")));
        if let Some(axe) = axe.filter(|_| !dark) {
            let found = words(&browser.js(axe, &[]));
            wrong.extend(found.into_iter().map(|text| format!("{place}: {text}")));
        }
    }
    // Of a page that is an error, the console says that it is one, and nothing else.
    let own = browser.js("return location.href", &[]);
    let own = own.as_str().unwrap();
    let complaints = browser.complaints().into_iter();
    let others = complaints.filter(|text| !(text.contains(own) && text.contains("Failed to load")));
    wrong.extend(others.map(|text| format!("{page}: console: {text}")));
    let foreign = browser.foreign(&site.base).into_iter();
    wrong.extend(foreign.map(|url| format!("{page} asks {url}")));
    wrong
}

/// Opens each page, which has to be the one that is meant, and looks at it.
fn look_at(browser: &Browser, site: &Served, pages: &[(String, &str)]) -> Vec<String> {
    let axe = driver::axe();
    let mut wrong = Vec::new();
    for (page, meant) in pages {
        browser.open(&format!("{}{page}", site.base));
        let is_it = browser.js(&format!("return {meant}"), &[]);
        if is_it != true {
            wrong.push(format!("{page} is not what was meant: {meant}"));
        }
        wrong.extend(findings(browser, site, axe.as_deref(), page));
    }
    wrong
}

fn heading(text: &str) -> String {
    format!("document.querySelector('h1').textContent === '{text}'")
}

#[test]
fn pages_of_an_empty_home_look_right() {
    let Some(browser) = browser(true) else { return };
    let site = Served::start(tempfile::tempdir().unwrap());
    let nothing = "document.querySelector('#live').textContent === 'nothing has run yet'";
    let pages = [
        "/",
        "/queue",
        "/claims",
        "/compare",
        "/figures",
        "/tables/table4",
    ];
    let mut pages = pages.map(|page| (page.to_owned(), nothing)).to_vec();
    pages.push((
        "/figures/figure3".to_owned(),
        "document.querySelector('#start') !== null",
    ));
    let error = heading("Not here");
    pages.push(("/runs/0123456789ab".to_owned(), error.as_str()));
    let wrong = look_at(&browser, &site, &pages);
    assert_nothing_found(&wrong);
}

#[test]
fn pages_that_are_errors_look_right() {
    let Some(browser) = browser(true) else { return };
    let (site, keys) = at_work(true);
    let (none, bad) = (heading("Not here"), heading("That cannot be answered"));
    let token = "document.querySelector('#problem').textContent.includes('not taken')";
    let pages = [
        ("/runs/0123456789ab".to_owned(), none.as_str()),
        ("/tables/table99".to_owned(), none.as_str()),
        ("/figures/figure99".to_owned(), none.as_str()),
        ("/compare?runs=0123456789ab".to_owned(), none.as_str()),
        ("/nowhere".to_owned(), none.as_str()),
        (format!("/runs/{}?x=weeks", keys.running), bad.as_str()),
        ("/tables/table4?metric=val/top9".to_owned(), bad.as_str()),
        ("/enter?token=0123456789abcdef".to_owned(), token),
    ];
    let wrong = look_at(&browser, &site, &pages);
    assert_nothing_found(&wrong);
}

#[test]
fn pages_of_a_home_at_work_look_right_locked_and_with_their_buttons() {
    let Some(browser) = browser(true) else { return };
    let (site, keys) = at_work(true);
    browser.window(1280, 1000);
    // As a scheduler does; its number helps where the file system tells another device than it locks.
    let mut lock = std::fs::File::create(site.home.scheduler_lock()).unwrap();
    lock.lock().unwrap();
    write!(lock, "{}", std::process::id()).unwrap();
    let (work, wait) = (
        format!("/runs/{}", keys.running),
        format!("/runs/{}", keys.waiting),
    );
    let busy = "document.querySelector('#live.busy') !== null";
    let progress = "document.querySelector('#status').dataset.state === 'running' && document.querySelector('#progress') !== null && document.querySelector('#live.busy') !== null";
    let queued = "document.querySelector('#status').dataset.state === 'queued'";
    let locked = [
        (
            "/".to_owned(),
            "document.querySelector('#running li') !== null",
        ),
        ("/tables/table4?profile=quick".to_owned(), busy),
        (
            "/queue".to_owned(),
            "document.querySelector('#slots .progress') !== null && document.querySelector('#unlock') !== null",
        ),
        (work.clone(), progress),
        (wait.clone(), queued),
    ];
    let mut wrong = look_at(&browser, &site, &locked);
    browser.resize(1280, 1000);
    enter(&browser, &site, &keys.failed);
    let buttons = "document.querySelectorAll('form.act button').length >";
    let with = |least: usize| format!("{buttons} {least}");
    let (one, three, more) = (with(0), with(2), with(5));
    let open = [
        ("/tables/table4?profile=quick".to_owned(), one.as_str()),
        ("/queue".to_owned(), more.as_str()),
        (format!("/runs/{}", keys.failed), one.as_str()),
        (work, one.as_str()),
        (wait, three.as_str()),
        (
            "/enter".to_owned(),
            "document.querySelector('#token') !== null",
        ),
    ];
    wrong.extend(look_at(&browser, &site, &open));
    // What was asked for last stands on the page too.
    browser.resize(1280, 1000);
    browser.open(&format!("{}/queue", site.base));
    browser.click("//*[@id='queue-buttons']//button[.='Resume']");
    let asked = "return document.querySelector('#asked[data-state=\"waiting\"]') !== null";
    until(&browser, "the page says what was asked", asked);
    wrong.extend(findings(
        &browser,
        &site,
        driver::axe().as_deref(),
        "/queue after Resume",
    ));
    assert_nothing_found(&wrong);
}
