//! The buttons of queue, run and table, pressed with JavaScript and without.

use rungs_spec::home::Home;
use serde_json::{Value, json};

use super::controls::until;
use super::driver::{self, Browser};
use super::{Site, browser, words};

/// Requests that the scheduler finds.
fn requests(site: &Site) -> Vec<Value> {
    let home = Home(site._dir.path().to_owned());
    let waiting = rungs_store::requests::list(&home.requests()).unwrap();
    let json = |w: rungs_store::requests::Waiting| serde_json::to_value(w.request.unwrap());
    waiting.into_iter().map(|w| json(w).unwrap()).collect()
}

/// Gives this browser the right to change things, by the form.
fn enter(browser: &Browser, site: &Site) {
    let token = std::fs::read_to_string(site._dir.path().join("server.token")).unwrap();
    browser.open(&format!("{}/enter", site.base));
    let fill = "document.querySelector('#token').value = arguments[0]; document.querySelector('form.unlock button').click(); return 0";
    browser.js(fill, &[json!(token.trim())]);
    until(
        browser,
        "the token is taken",
        "return !location.pathname.startsWith('/enter')",
    );
}

/// Presses the first button of that kind, label and page; the page that follows says what was asked.
fn press(browser: &Browser, site: &Site, page: &str, kind: &str, label: &str) -> String {
    browser.open(&format!("{}{page}", site.base));
    let click = "const b = [...document.querySelectorAll(`form.act button[value=\"${arguments[0]}\"]`)].find(b => b.textContent === arguments[1]); if (!b) return false; b.click(); return true";
    let pressed = browser.js(click, &[json!(kind), json!(label)]);
    assert_eq!(pressed, true, "{page} has no button {label:?}");
    let said = until(
        browser,
        "the page says what was asked",
        "return document.querySelector('#asked')?.textContent",
    );
    let address = browser.js("return location.pathname", &[]);
    assert_eq!(
        address,
        page.split('?').next().unwrap(),
        "back where it was pressed"
    );
    said.as_str().unwrap().to_owned()
}

fn every_button_leaves_its_request(javascript: bool) {
    let Some(browser) = browser(javascript) else {
        return;
    };
    let site = Site::start();
    browser.resize(1280, 1000);
    enter(&browser, &site);
    let failed = format!("/runs/{}", site.failed);
    for (page, kind, label) in [
        ("/queue", "priority", "Sooner"),
        ("/queue", "priority", "Later"),
        ("/queue", "cancel", "Cancel"),
        ("/queue", "retry", "Retry"),
        ("/queue", "pause", "Pause"),
        ("/queue", "seeds", "Add 2 seeds"),
        ("/tables/table4?profile=quick", "seeds", "Add 2 seeds"),
        (failed.as_str(), "retry", "Retry"),
    ] {
        let before = requests(&site).len();
        let said = press(&browser, &site, page, kind, label);
        assert!(!said.is_empty());
        let now = requests(&site);
        // More seeds are the table applied anew, with more of them.
        let asked = if kind == "seeds" { "apply" } else { kind };
        assert_eq!(now.len(), before + 1, "{label} on {page}: {said}");
        assert!(
            now.iter().any(|request| request["kind"] == asked),
            "{kind}: {now:?}"
        );
    }
}

#[test]
fn every_button_leaves_its_request_with_javascript() {
    every_button_leaves_its_request(true);
}

#[test]
fn without_javascript_every_button_leaves_its_request() {
    every_button_leaves_its_request(false);
}

#[test]
fn pages_with_buttons_look_right_and_axe_finds_nothing_serious() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    let Some(axe) = driver::axe() else {
        eprintln!("SKIPPED: axe-core is not in .tools (scripts/setup-test-tools)");
        return;
    };
    browser.resize(1280, 1000);
    enter(&browser, &site);
    press(&browser, &site, "/queue", "pause", "Pause");
    let ask = format!(
        "{axe};\nreturn axe.run(document, {{resultTypes: ['violations']}}).then(r => r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v => v.id + ': ' + v.nodes.slice(0, 2).map(n => n.html.slice(0, 160)).join(' | ')))"
    );
    let pages = [
        "/queue".to_owned(),
        format!("/runs/{}", site.failed),
        "/tables/table4?profile=quick".to_owned(),
        "/enter".to_owned(),
    ];
    let mut wrong = Vec::new();
    for page in pages {
        browser.open(&format!("{}{page}", site.base));
        for width in [360, 1280] {
            browser.resize(width, 1000);
            for text in words(&browser.js(include_str!("look.js"), &[])) {
                wrong.push(format!("{page} at {width}: {text}"));
            }
        }
        let found = words(&browser.js(&ask, &[]));
        wrong.extend(found.into_iter().map(|text| format!("{page}: {text}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
