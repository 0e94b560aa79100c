//! Every page in a real Chromium: console, foreign hosts, look at three widths and in the dark, axe-core,
//! numbers against the export, JavaScript off. Skipped, loudly, where there is no Chromium.
#![expect(clippy::unwrap_used, reason = "tests")]

mod clicks;
mod controls;
mod driver;
mod numbers;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod undo;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use driver::Browser;
use rungs_spec::home::Home;
use serde_json::Value;
use support::Fate;

/// The real server on a home with invented numbers, in which one of everything has happened.
struct Site {
    server: Child,
    base: String,
    run: String,
    failed: String,
    /// The same seed of the row that `run` stands on.
    base_run: String,
    /// Three seeds of two cells.
    cells: String,
    _dir: tempfile::TempDir,
}

impl Site {
    fn start() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().to_owned());
        let quick = support::plan(&home, "quick", 1);
        support::write(&home, &quick, |row, column, _| match (row, column) {
            ("fp16", "bs256") => Fate::Failed,
            ("fp16", "bs1024") => Fate::Queued,
            ("warmup", "bs1024") => Fate::Done(2),
            _ => Fate::Done(1),
        });
        let standard = support::plan(&home, "standard", 3);
        support::write(&home, &standard, |_, _, _| Fate::Done(1));
        let figure = support::plan_of_figure_3(&home, "quick", 3);
        support::write(&home, &figure, |_, _, _| Fate::Done(1));
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(rungs_store::reindex(&home, &home.database()))
            .unwrap();
        let key = |row, column| quick.cell(row, column).unwrap().runs[0].to_string();
        let (server, base) = serve(dir.path());
        Site {
            server,
            base,
            run: key("warmup", "bs1024"),
            failed: key("fp16", "bs256"),
            base_run: key("linear-scaling", "bs1024"),
            cells: ["linear-scaling", "warmup"]
                .iter()
                .flat_map(|row| &standard.cell(row, "bs1024").unwrap().runs)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
            _dir: dir,
        }
    }

    fn pages(&self) -> Vec<String> {
        vec![
            "/".to_owned(),
            "/tables/table4".to_owned(),
            "/tables/table4?profile=standard&metric=val/top5&select=last".to_owned(),
            "/tables/table4?pivot=1".to_owned(),
            "/tables/table4?columns=bs1024&hide=curve,cost".to_owned(),
            "/tables/table2".to_owned(),
            "/tables/table3".to_owned(),
            "/tables/table5?metric=val/top1".to_owned(),
            "/tables/table6".to_owned(),
            "/tables/table7".to_owned(),
            "/tables/table8".to_owned(),
            "/tables/table9".to_owned(),
            format!("/runs/{}", self.run),
            format!("/runs/{}", self.failed),
            "/queue".to_owned(),
            "/enter".to_owned(),
            "/claims".to_owned(),
            "/compare".to_owned(),
            format!("/compare?runs={}", self.run),
            format!("/compare?runs={},{}&keys=all", self.base_run, self.run),
            format!("/compare?runs={}&by=cell&metric=train/loss", self.cells),
            "/figures".to_owned(),
            "/figures/figure1".to_owned(),
            "/figures/figure2".to_owned(),
            "/figures/figure3".to_owned(),
            "/figures/figure3?profile=paper".to_owned(),
        ]
    }

    fn json(&self, path: &str) -> Value {
        let text = ureq::get(format!("{}{path}", self.base))
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The real server on that home, and its address.
fn serve(home: &std::path::Path) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_server"))
        .args(["--bind", "127.0.0.1:0", "--json", "--home"])
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    (
        server,
        format!("http://{}", said["address"].as_str().unwrap()),
    )
}

/// A browser, or nothing on a machine without one.
fn browser(javascript: bool) -> Option<Browser> {
    if driver::installed() {
        return Some(Browser::start(javascript));
    }
    eprintln!("SKIPPED: no Chromium with chromedriver here (scripts/setup-test-tools)");
    None
}

fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// What folds is unfolded.
const OPEN: &str = "for (const d of document.querySelectorAll('details')) d.open = true; return 0";

fn assert_nothing_found(wrong: &[String]) {
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} findings:\n{}", wrong.join("\n"));
}

#[test]
fn every_page_is_quiet_stays_at_home_and_looks_right_at_every_width() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    let look = include_str!("look.js");
    let mut wrong = Vec::new();
    for page in site.pages() {
        for (width, dark) in [
            (360, false),
            (360, true),
            (1280, false),
            (1280, true),
            (3840, false),
        ] {
            browser.resize(width, 1000);
            browser.dark(dark);
            if width == 360 && !dark {
                browser.open(&format!("{}{page}", site.base));
                browser.js(OPEN, &[]);
            }
            for text in words(&browser.js(look, &[])) {
                wrong.push(format!(
                    "{page} at {width}{}: {text}",
                    if dark { ", dark" } else { "" }
                ));
            }
        }
        wrong.extend(
            browser
                .complaints()
                .into_iter()
                .map(|text| format!("{page}: console: {text}")),
        );
        let foreign = browser.foreign(&site.base).into_iter();
        wrong.extend(foreign.map(|url| format!("{page} asks {url}")));
    }
    assert_nothing_found(&wrong);
}

#[test]
fn axe_has_no_serious_finding_on_any_page() {
    let Some(browser) = browser(true) else { return };
    let Some(axe) = driver::axe() else { return };
    let site = Site::start();
    let mut wrong = Vec::new();
    for page in site.pages() {
        browser.resize(1280, 1000);
        browser.open(&format!("{}{page}", site.base));
        browser.js(OPEN, &[]);
        let found = words(&browser.js(&axe, &[]));
        wrong.extend(found.into_iter().map(|text| format!("{page}: {text}")));
    }
    assert_nothing_found(&wrong);
}

/// `[cell, metric, attribute, value]` of every number on the page.
const NUMBERS: &str = "return [...document.querySelectorAll('[data-cell]')].flatMap(e => ['paper', 'value', 'delta', 'n'].filter(k => e.dataset[k] !== undefined).map(k => [e.dataset.cell, e.dataset.metric, k, Number(e.dataset[k])]))";

#[test]
fn every_number_on_a_table_page_is_the_exports() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    for (name, query, least) in [
        ("table4", "profile=quick", 30),
        ("table4", "profile=quick&pivot=1", 30),
        ("table4", "profile=standard&select=last", 36),
        ("table4", "profile=standard&seeds=1", 36),
        ("table2", "profile=quick", 5),
        ("table5", "profile=quick&metric=val/top1", 15),
        ("table6", "profile=quick", 12),
    ] {
        let table = site.json(&format!("/tables/{name}.json?{query}"));
        browser.open(&format!("{}/tables/{name}?{query}", site.base));
        let numbers = browser.js(NUMBERS, &[]);
        let numbers = numbers.as_array().unwrap();
        assert!(
            numbers.len() >= least,
            "{name}?{query}: {} numbers",
            numbers.len()
        );
        for number in numbers {
            let (row, column) = number[0].as_str().unwrap().split_once('/').unwrap();
            let key = match number[2].as_str().unwrap() {
                "value" => "mean",
                other => other,
            };
            let rows = table["rows"].as_array().unwrap();
            let row = rows.iter().find(|r| r["id"] == row).unwrap();
            let value = &row["cells"][column]["metrics"][number[1].as_str().unwrap()][key];
            assert_eq!(
                value.as_f64(),
                number[3].as_f64(),
                "{name}?{query}: {number}"
            );
        }
    }
}

/// `[side, metric, select, attribute, value]` and `[pair, name, value]` of every number on the page.
const COMPARED: &str = "return [[...document.querySelectorAll('[data-side]')].flatMap(e => ['value', 'delta', 'n'].filter(k => e.dataset[k] !== undefined).map(k => [Number(e.dataset.side), e.dataset.metric, e.dataset.select, k, Number(e.dataset[k])])), [...document.querySelectorAll('[data-pair]')].map(e => [Number(e.dataset.pair), e.dataset.name, Number(e.dataset.value)])]";

#[test]
fn every_number_of_a_comparison_is_the_apis() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    for (query, numbers, images) in [
        (format!("runs={},{}", site.base_run, site.run), 24, 6),
        (format!("runs={}&by=cell", site.cells), 24, 18),
        (format!("runs={}", site.cells), 72, 30),
    ] {
        let said = site.json(&format!("/api/v1/compare?{query}"));
        browser.open(&format!("{}/compare?{query}", site.base));
        let shown = browser.js(COMPARED, &[]);
        let (sides, pairs) = (shown[0].as_array().unwrap(), shown[1].as_array().unwrap());
        assert!(sides.len() >= numbers, "{query}: {} numbers", sides.len());
        assert_eq!(pairs.len(), images, "{query}");
        for number in sides {
            let side = &said["sides"][number[0].as_u64().unwrap() as usize];
            let over = &side["values"][number[1].as_str().unwrap()][number[2].as_str().unwrap()];
            let key = match number[3].as_str().unwrap() {
                "value" => "mean",
                other => other,
            };
            assert_eq!(over[key].as_f64(), number[4].as_f64(), "{query}: {number}");
        }
        for number in pairs {
            let pair = &said["agreement"][number[0].as_u64().unwrap() as usize];
            let value = &pair["images"][number[1].as_str().unwrap()];
            assert_eq!(value.as_f64(), number[2].as_f64(), "{query}: {number}");
        }
    }
}

#[test]
fn without_javascript_runs_are_chosen_and_added() {
    let Some(browser) = browser(false) else {
        return;
    };
    let site = Site::start();
    browser.resize(1280, 1000);
    browser.open(&format!("{}/compare", site.base));
    let pick = "for (const box of [...document.querySelectorAll('input[type=checkbox]')].slice(0, 2)) box.click(); document.querySelector('form p button').click(); return 0";
    browser.js(pick, &[]);
    let seen = "return document.querySelectorAll('#numbers tbody tr').length === 2 && [...document.images].filter(i => i.naturalWidth > 0).length === 1 && location.search.startsWith('?runs=')";
    controls::until(&browser, "two runs beside each other", seen);
    browser.open(&format!(
        "{}/compare?runs={}&metric=val/top5",
        site.base, site.run
    ));
    let add = "document.querySelector('#add').value = arguments[0]; document.querySelector('form.add button').click(); return 0";
    browser.js(add, &[serde_json::json!(site.base_run)]);
    let kept = "return location.search.includes('metric=val/top5')";
    controls::until(&browser, "the metric stays chosen", kept);
    controls::until(&browser, "the second run is added", seen);
}

#[test]
fn without_javascript_tables_charts_and_exports_are_there() {
    let Some(browser) = browser(false) else {
        return;
    };
    let site = Site::start();
    browser.resize(1280, 1000);
    browser.open(&format!("{}/tables/table4?profile=standard", site.base));
    let drawn = |pictures: usize| {
        format!("return [...document.images].filter(i => i.naturalWidth > 0).length === {pictures}")
    };
    controls::until(&browser, "curves of a table", &drawn(1));
    let seen = browser.js(
        "return [document.querySelectorAll('td.ours a').length, document.querySelectorAll('a[href*=\".csv\"], a[href*=\".tex\"], a[href*=\".json\"]').length, document.querySelectorAll('svg.spark').length]",
        &[],
    );
    assert_eq!(seen, serde_json::json!([10, 3, 10]));
    browser.open(&format!("{}/runs/{}", site.base, site.run));
    controls::until(&browser, "charts of a run", &drawn(4));
    for (figure, pictures) in [("figure1", 1), ("figure2", 1), ("figure3", 2)] {
        browser.open(&format!("{}/figures/{figure}", site.base));
        controls::until(&browser, figure, &drawn(pictures));
    }
}
