//! Numbers as a person reads them, against what the program `runner` exports of the same home: every digit
//! on the screen, at as many decimals as are shown. (`every_number_on_a_table_page_is_the_exports` reads
//! only what stands beside them for scripts.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use rungs_spec::metric;
use serde_json::Value;

use super::{Site, browser, words};

/// Reads an element as shown: the numbers of its first line, of its small lines, and of the words under the
/// pointer. What is not visible has no numbers, so that they are missed.
const READ: &str = r"
    const visible = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true});
    const numbers = text => text.match(/[+\u2212-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s[kMG]\b)?/g) ?? [];
    const read = e => {
        let [first, small] = ['', ''];
        for (const part of visible(e) ? e.childNodes : []) {
            if (part.nodeType === Node.TEXT_NODE) first += part.data;
            else if (!visible(part) || part.matches('sup, svg, .visually-hidden')) continue;
            else if (part.matches('small')) small += part.innerText + '\n';
            else first += part.innerText;
        }
        return [numbers(first), numbers(small), numbers(e.title)];
    };
";

/// `[cell, metric, kind, first, small, title]` of every number cell; a cell without a name has no number.
const CELLS: &str = "return [...document.querySelectorAll('#results td.paper, #results td[data-cell]')].map(e => [e.dataset.cell ?? '', e.dataset.metric ?? '', ['paper', 'ours', 'dl'].find(k => e.classList.contains(k)) ?? 'side', ...read(e)])";

/// `[metric or label, first, small, title]` of every figure of a run.
const FIGURES: &str = "return [...document.querySelectorAll('#figures dd')].map(e => [e.dataset.metric ?? e.previousElementSibling.innerText, ...read(e)])";

impl Site {
    /// The JSON that `runner` prints of this home.
    fn runner(&self, arguments: &[&str]) -> Value {
        let program = Path::new(env!("CARGO_BIN_EXE_server")).with_file_name("runner");
        let build = "cargo build -p rungs-runner --bins";
        assert!(program.is_file(), "{program:?} is not there: {build}");
        let mut command = Command::new(program);
        command.args(arguments).arg("--home").arg(self._dir.path());
        let out = command.env_remove("RUNGS_DB").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&out.stdout).unwrap()
    }
}

/// A number that should be read, and its decimals; `None`: as many as it has.
type Wanted = (f64, Option<usize>);

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn integer(value: &Value) -> Option<Wanted> {
    Some((value.as_f64()?, Some(0)))
}

/// What was compared, and what of it was wrong.
#[derive(Default)]
struct Tally {
    compared: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// As many numbers as there should be, each of them right in all digits that are shown.
    fn compare(&mut self, place: &str, read: &Value, wanted: &[Wanted]) {
        let read = words(read);
        let mut pairs = read.iter().zip(wanted);
        if read.len() != wanted.len() || !pairs.all(|(text, want)| says(text, *want)) {
            self.wrong.push(format!("{place}: {read:?} for {wanted:?}"));
        }
        self.compared += read.len();
    }
}

/// Whether a number as written (`+0.34`, `2,000`, `25.6 M`) is that value, rounded to what is shown of it.
fn says(text: &str, (value, decimals): Wanted) -> bool {
    let (digits, unit) = match text.split_once(char::is_whitespace) {
        Some((digits, "k")) => (digits, 1e3),
        Some((digits, "M")) => (digits, 1e6),
        Some((digits, "G")) => (digits, 1e9),
        _ => (text, 1.0),
    };
    let plain = digits.replace('\u{2212}', "-").replace(',', "");
    let places = plain.split_once('.').map_or(0, |(_, after)| after.len());
    // Fewer digits would hide a wrong one.
    let enough = match decimals {
        Some(decimals) => places == decimals,
        None => unit == 1.0 || plain.bytes().filter(u8::is_ascii_digit).count() >= 3,
    };
    let last = unit * 0.1_f64.powi(i32::try_from(places).unwrap());
    let off = (plain.parse::<f64>().unwrap() * unit - value).abs();
    // A tie may go either way.
    enough && off <= last * 0.500_001
}

/// The numbers that a cell should show, from its JSON: first line, small lines, under the pointer.
fn wanted(kind: &str, cell: &Value, name: &str) -> [Vec<Wanted>; 3] {
    let value = &cell["metrics"][name];
    // Counts have three digits and a unit instead.
    let decimals =
        (!name.starts_with("model/")).then(|| metric::find(name).map_or(4, |m| m.digits));
    let number = |value: &Value| value.as_f64().map(|x| (x, decimals));
    let numbers = |value| list(value).filter_map(number).collect::<Vec<_>>();
    let (mut small, mut title) = (Vec::new(), Vec::new());
    let shown = match kind {
        "paper" => "paper",
        "dl" => "delta",
        _ => "mean",
    };
    let first: Vec<Wanted> = number(&value[shown]).into_iter().collect();
    match kind {
        "paper" => small.extend(number(&value["paper_delta"])),
        "side" => small.extend(number(&value["paper"])),
        "dl" => {
            // `p < 0.0001`, else two decimals, or four of a small one.
            let p = value["p_holm"].as_f64().filter(|_| !first.is_empty());
            let p = p.map(|p| (p.max(0.0001), Some(if p < 0.01 { 4 } else { 2 })));
            let interval = numbers(&value["delta_ci95"]);
            if !interval.is_empty() && !first.is_empty() {
                small = interval;
            } else if let Some(p) = p.filter(|_| value["test"] == "mcnemar") {
                small = vec![(2.0, Some(0)), p]; // `2 models, p = ...`
            }
            title.extend(p.filter(|_| value["test"].is_string()));
        }
        _ => {
            if metric::is_timed(name) {
                small.extend(integer(&value["n"]));
            } else {
                small.extend(number(&value["sd"]));
                small.extend(integer(&value["n"]).filter(|(n, _)| *n > 0.0));
                // `1 of 3 done`
                let settled = ["done", "new", "reference"].map(Value::from);
                let progress = &cell["progress"];
                if !settled.contains(&cell["status"]) && progress["runs"].as_u64() > Some(1) {
                    small.extend(integer(&progress["done"]));
                    small.extend(integer(&progress["runs"]));
                }
            }
            let interval = numbers(&value["ci95"]); // `95 % CI of the mean ...`
            title.extend((!interval.is_empty()).then_some((95.0, Some(0))));
            title.extend(interval);
            title.extend(list(&value["best_epoch"]).filter_map(integer));
        }
    }
    [first, small, title]
}

/// Every number cell of a page against that table; also, that no cell is missing.
fn compare_table(tally: &mut Tally, page: &str, read: &Value, table: &Value, head: &str) {
    let beside = |name: &str| name.starts_with("model/") || name.starts_with("time/");
    let mut missing = BTreeMap::new();
    for row in list(&table["rows"]) {
        for (column, cell) in row["cells"].as_object().unwrap() {
            let id = format!("{}/{column}", row["id"].as_str().unwrap());
            let mut want = |name, kind| missing.insert((id.clone(), name, kind), cell);
            if !cell["metrics"][head]["paper"].is_null() {
                want(head, "paper");
            }
            if cell["status"] == "reference" {
                continue;
            }
            _ = (want(head, "ours"), want(head, "dl"));
            for name in list(&table["metrics"]).filter_map(|m| m["name"].as_str()) {
                if name != head && beside(name) {
                    want(name, "side");
                }
            }
        }
    }
    for found in list(read) {
        let [id, name, kind] = [0, 1, 2].map(|i| found[i].as_str().unwrap());
        let place = format!("{page}: {kind} {name} of {id:?}");
        let [first, small, title] = match missing.remove(&(id.to_owned(), name, kind)) {
            Some(cell) => wanted(kind, cell, name),
            None if id.is_empty() => Default::default(),
            None => {
                tally.wrong.push(format!("{place}: unknown, or twice"));
                continue;
            }
        };
        tally.compare(&place, &found[3], &first);
        tally.compare(&place, &found[4], &small);
        // A message or a reason may follow, with numbers of its own.
        let said = found[5].as_array().unwrap();
        let said = &said[..said.len().min(title.len())];
        tally.compare(&format!("{place}, title"), &Value::from(said), &title);
    }
    let missing = missing.keys();
    (tally.wrong).extend(missing.map(|key| format!("{page}: no cell {key:?}")));
}

#[test]
fn every_number_that_is_read_on_a_table_page_is_the_exports() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    browser.resize(1280, 1000);
    let listed = site.runner(&["list", "--json"]);
    let (mut tally, mut ours) = (Tally::default(), BTreeSet::new());
    for entry in list(&listed) {
        let name = entry["experiment"].as_str().unwrap();
        let filled = list(&entry["profiles"]);
        // The numbers of a figure are its curves, and those are cells of tables.
        let filled = filled.filter(|p| p["done"] != 0 && entry["paper"]["figure"].is_null());
        for profile in filled.map(|p| p["profile"].as_str().unwrap()) {
            ours.insert(format!("{name} {profile}"));
            // Both ways round, one with either selection.
            for (select, turned) in [("best", ""), ("last", "&pivot=1")] {
                let export = ["export", name, "--format", "json", "--profile", profile];
                let table = site.runner(&[&export[..], &["--select", select]].concat());
                for head in list(&table["metrics"]) {
                    let head = head["name"].as_str().unwrap();
                    let page = format!(
                        "/tables/{name}?profile={profile}&select={select}&metric={head}{turned}"
                    );
                    browser.open(&format!("{}{page}", site.base));
                    let read = browser.js(&format!("{READ}{CELLS}"), &[]);
                    compare_table(&mut tally, &page, &read, &table, head);
                }
            }
        }
    }
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    for table in ["table4 quick", "table4 standard", "table6 quick"] {
        assert!(ours.contains(table), "{table} is not among {ours:?}");
    }
    assert!(tally.compared >= 400, "{} numbers", tally.compared);
}

#[test]
fn every_figure_that_is_read_on_a_run_page_is_the_exports() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    browser.resize(1280, 1000);
    let export = ["export", "table4", "--format", "json", "--select", "last"];
    let tables =
        ["quick", "standard"].map(|p| site.runner(&[&export[..], &["--profile", p]].concat()));
    let rows = tables.iter().flat_map(|t| list(&t["rows"]));
    let cells = rows.flat_map(|r| r["cells"].as_object().unwrap().values());
    let cells: Vec<&Value> = cells.collect();
    let (mut tally, mut exported) = (Tally::default(), 0);
    let runs = [&*site.run, &*site.failed, &*site.base_run].into_iter();
    for run in runs.chain(site.cells.split(',')) {
        let shown = site.runner(&["show", run, "--json"]);
        let last = list(&shown["evaluations"]).last().unwrap();
        let holds = |cell: &&&Value| list(&cell["runs"]).any(|r| r == run);
        let cell = cells.iter().find(holds).unwrap();
        // Values are those of the cell's finished runs, in the order of seeds.
        let pairs = list(&cell["runs"]).zip(list(&cell["states"]));
        let mut done = pairs.filter(|(_, state)| *state == "done");
        let at = done.position(|(of, _)| of == run);
        browser.open(&format!("{}/runs/{run}", site.base));
        let read = browser.js(&format!("{READ}{FIGURES}"), &[]);
        let mut missing = last["metrics"].as_object().unwrap().clone();
        for figure in list(&read) {
            let name = figure[0].as_str().unwrap();
            let place = format!("run {run}: {name}");
            if let Some(value) = missing.remove(name) {
                let digits = metric::find(name).map(|m| m.digits);
                tally.compare(&place, &figure[1], &[(value.as_f64().unwrap(), digits)]);
                let small = ["epoch", "n"].map(|key| integer(&last[key]).unwrap());
                tally.compare(&place, &figure[2], &small);
                let values = &cell["metrics"][name]["values"];
                if let Some(value) = at.and_then(|at| values[at].as_f64()) {
                    tally.compare(&place, &figure[1], &[(value, digits)]);
                    exported += 1;
                }
            } else if name == "Best epoch" {
                let epoch = integer(&shown["finished"]["best_epoch"]).unwrap();
                tally.compare(&place, &figure[1], &[epoch]);
            }
        }
        let missing = missing.keys();
        (tally.wrong).extend(missing.map(|name| format!("{run}: no figure of {name}")));
    }
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    assert!(exported >= 16, "{exported} figures");
}

#[test]
fn a_wrong_digit_is_seen() {
    let top1 = (76.034, Some(2));
    assert!(says("76.03", top1) && says("76,034", (76_034.0, Some(0))));
    for wrong in ["76.04", "76.0", "76.030", "75.03", "76", "\u{2212}76.03"] {
        assert!(!says(wrong, top1), "{wrong}");
    }
    assert!(says("\u{2212}0.34", (-0.344, Some(2))) && !says("+0.34", (-0.344, Some(2))));
    let params = (25_557_032.0, None);
    assert!(says("25.6 M", params) && !says("25.5 M", params) && !says("26 M", params));
}
