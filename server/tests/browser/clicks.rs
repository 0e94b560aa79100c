//! Every button of queue, run and table, clicked where it is seen, so that one under something else is found;
//! then its request, the words of the page, and the answer.

use rungs_store::requests;
use serde_json::{Value, json};

use super::browser;
use super::controls::until;
use super::driver::Browser;
use super::states::{Served, at_work, enter};

/// Clicks a button of a part of a page: the request is the one wanted, the page says so, then what becomes of it.
fn click(
    browser: &Browser,
    site: &Served,
    javascript: bool,
    page: &str,
    (part, label): (&str, &str),
    wanted: &Value,
    said: &str,
) {
    let place = format!("{label} in {part} of {page}");
    browser.open(&format!("{}{page}", site.base));
    browser.click(&format!("//*[@id='{part}']//button[.='{label}']"));
    let text = until(
        browser,
        &format!("the page says what was asked by {place}"),
        "return document.querySelector('#asked[data-state=\"waiting\"]')?.textContent",
    );
    let text = text.as_str().unwrap();
    assert!(text.contains(said), "{place}: {text}");
    assert!(text.contains("no scheduler is running"), "{place}: {text}");
    let address = browser.js("return location.pathname", &[]);
    assert_eq!(address, page.split('?').next().unwrap(), "{place}");
    // The one file that is there; it goes, so that the next one is alone too.
    let files = requests::list(&site.home.requests()).unwrap();
    assert_eq!(files.len(), 1, "{place}: {files:?}");
    let file = &files[0];
    let found = serde_json::to_value(file.request.as_ref().unwrap()).unwrap();
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(found[name], *value, "{place}: {found}");
    }
    let reason = format!("not {label} now");
    requests::refuse(&file.path, &reason).unwrap();
    requests::remove(&file.path).unwrap();
    // With JavaScript the page learns it by itself; without, when it is loaded again.
    if javascript {
        browser.js("window.stayed = true; return 0", &[]);
    } else {
        let here = browser.js("return location.href", &[]);
        browser.open(here.as_str().unwrap());
    }
    let answer = until(
        browser,
        &format!("the page says what became of {place}"),
        "return document.querySelector('#asked[data-state=\"refused\"]')?.textContent",
    );
    assert!(
        answer.as_str().unwrap().contains(&reason),
        "{place}: {answer}"
    );
    let stayed = browser.js("return window.stayed === true", &[]);
    assert_eq!(stayed, javascript, "{place}");
}

fn buttons_are_clicked(javascript: bool) {
    let Some(browser) = browser(javascript) else {
        return;
    };
    let (site, keys) = at_work(true);
    browser.window(1280, 1000);
    enter(&browser, &site, &keys.failed);
    let of = |key: &str| format!("/runs/{key}");
    let priority =
        |priority: i64| json!({"kind": "priority", "run": keys.waiting, "priority": priority});
    let cancel = |run: &str| json!({"kind": "cancel", "run": run});
    let retry = json!({"kind": "retry", "run": keys.failed});
    let seeds = json!({"kind": "apply", "experiment": "table4", "profile": "quick", "seeds": 3});
    let queue = || "/queue".to_owned();
    let (work, wait, fail) = (of(&keys.running), of(&keys.waiting), of(&keys.failed));
    let table = "/tables/table4?profile=quick".to_owned();
    let (running, waiting) = ("table4 / no-bias-decay / bs1024", "table4 / fp16 / bs1024");
    for (page, part, label, wanted, said) in [
        (
            queue(),
            "queue-buttons",
            "Resume",
            json!({"kind": "resume"}),
            "Resume the queue".to_owned(),
        ),
        (
            queue(),
            "slots",
            "Cancel",
            cancel(&keys.running),
            format!("Cancel {running}"),
        ),
        (
            queue(),
            "waiting",
            "Sooner",
            priority(1),
            format!("Priority 1 for {waiting}"),
        ),
        (
            queue(),
            "waiting",
            "Later",
            priority(-1),
            format!("Priority -1 for {waiting}"),
        ),
        (
            queue(),
            "waiting",
            "Cancel",
            cancel(&keys.waiting),
            format!("Cancel {waiting}"),
        ),
        (
            queue(),
            "failed",
            "Retry",
            retry.clone(),
            "Retry table4 / fp16 / bs256".to_owned(),
        ),
        (
            queue(),
            "experiments",
            "Add 2 seeds",
            seeds.clone(),
            "2 more seeds of every cell of table4".to_owned(),
        ),
        (
            work,
            "run-buttons",
            "Cancel",
            cancel(&keys.running),
            format!("Cancel {running}"),
        ),
        (
            wait.clone(),
            "run-buttons",
            "Sooner",
            priority(1),
            format!("Priority 1 for {waiting}"),
        ),
        (
            wait.clone(),
            "run-buttons",
            "Later",
            priority(-1),
            format!("Priority -1 for {waiting}"),
        ),
        (
            wait,
            "run-buttons",
            "Cancel",
            cancel(&keys.waiting),
            format!("Cancel {waiting}"),
        ),
        (
            fail,
            "run-buttons",
            "Retry",
            retry,
            "Retry table4 / fp16 / bs256".to_owned(),
        ),
        (
            table,
            "main",
            "Add 2 seeds",
            seeds,
            "2 more seeds of every cell of table4".to_owned(),
        ),
    ] {
        click(
            &browser,
            &site,
            javascript,
            &page,
            (part, label),
            &wanted,
            &said,
        );
    }
    // Only a queue that is at work can be paused.
    drop(site);
    let (site, keys) = at_work(false);
    enter(&browser, &site, &keys.failed);
    let button = ("queue-buttons", "Pause");
    let wanted = json!({"kind": "pause"});
    click(
        &browser,
        &site,
        javascript,
        "/queue",
        button,
        &wanted,
        "Pause the queue",
    );
}

#[test]
fn buttons_are_clicked_with_javascript_and_the_page_learns_the_answer_by_itself() {
    buttons_are_clicked(true);
}

#[test]
fn without_javascript_buttons_are_clicked_and_the_page_says_the_answer() {
    buttons_are_clicked(false);
}
