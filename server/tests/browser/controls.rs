//! Charts and choices, used as a person uses them: pointer, keys, links, the browser's Back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::driver::Browser;
use super::{Site, browser};

/// Waits until a script returns something that is neither null nor false; a test that would wait for ever fails.
pub fn until(browser: &Browser, what: &str, script: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found = browser.js(script, &[]);
        if found != Value::Null && found != Value::Bool(false) {
            return found;
        }
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `[left, top, width, height]` of the first chart that can be zoomed, in view with its picture drawn.
fn chart(browser: &Browser) -> [f64; 4] {
    let drawn = "const f = document.querySelector('figure.chart[data-zoom]'); if (!f) return null; \
                 const i = f.querySelector('img'); if (!i.complete || !i.naturalWidth) return null; \
                 f.scrollIntoView({block: 'center'}); const b = i.getBoundingClientRect(); \
                 return [b.left, b.top, b.width, b.height]";
    let found = until(browser, "a chart is drawn", drawn);
    std::array::from_fn(|i| found[i].as_f64().unwrap())
}

/// What part of x the address says, and the chart's own picture shows.
fn window(browser: &Browser) -> Option<[f64; 2]> {
    let said = browser.js(
        "const q = new URLSearchParams(location.search); return [q.get('from'), q.get('to')]",
        &[],
    );
    let number = |v: &Value| v.as_str()?.parse::<f64>().ok();
    Some([number(&said[0])?, number(&said[1])?])
}

/// Waits until the address says another window than before, and the picture is the one of the address.
fn moved(browser: &Browser, before: Option<[f64; 2]>) -> Option<[f64; 2]> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let now = window(browser);
        let drawn = browser.js(
            "const i = document.querySelector('figure.chart[data-zoom] img'); if (!i.complete) return null; \
             return fetch(i.currentSrc).then(a => a.text()).then(t => t.match(/ data-x=\"([^\"]*)\"/)[1])",
            &[],
        );
        let shown: Vec<f64> = drawn
            .as_str()
            .unwrap_or("")
            .split(' ')
            .filter_map(|x| x.parse().ok())
            .collect();
        if now != before && now.is_none_or(|[from, to]| shown == [from, to]) {
            return now;
        }
        assert!(Instant::now() < end, "still {now:?}, drawn {shown:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

const READ: &str = "const r = document.querySelector('figure.chart[data-zoom] .readout div'); return r && r.textContent";

/// The read-out names a point that the chart's own JSON has, with the digits that it gives.
fn read_out_is_a_point(browser: &Browser) -> f64 {
    let text = until(browser, "a read-out", READ);
    let text = text.as_str().unwrap();
    let (value, place) = text.rsplit_once(" at ").unwrap();
    let value = value.rsplit(' ').next().unwrap().replace(',', "");
    let x: f64 = place.rsplit(' ').next().unwrap().parse().unwrap();
    let data = browser.js(
        "return fetch(document.querySelector('figure.chart[data-zoom]').dataset.chart).then(a => a.json())",
        &[],
    );
    let digits = data["digits"].as_u64().unwrap() as usize;
    let points = data["series"][0]["points"].as_array().unwrap();
    let is_it = |p: &&Value| {
        let y = format!("{:.digits$}", p[1].as_f64().unwrap());
        (p[0].as_f64().unwrap() - x).abs() < 0.006 && y == value
    };
    assert!(
        points.iter().any(|p| is_it(&p)),
        "{text} is none of {points:?}"
    );
    x
}

#[test]
fn charts_are_read_zoomed_and_moved_with_pointer_and_keys() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    browser.window(1280, 1000);
    for (page, rounded_to) in [
        // Whole steps; epochs to about a thousandth of what is shown.
        (format!("/runs/{}", site.run), 2.0),
        (
            format!("/compare?runs={},{}", site.base_run, site.run),
            0.02,
        ),
        ("/figures/figure3".to_owned(), 0.02),
        ("/tables/table4?profile=standard".to_owned(), 0.02),
    ] {
        browser.open(&format!("{}{page}", site.base));
        let [left, top, width, height] = chart(&browser);
        let middle = top + height / 2.0;
        let at = |share: f64| (left + share * width, middle);
        browser.point(at(0.5));
        read_out_is_a_point(&browser);

        assert_eq!(window(&browser), None, "{page}");
        browser.drag(at(0.3), at(0.7));
        let [from, to] = moved(&browser, None).unwrap();
        assert!(from < to, "{page}: {from} to {to}");
        until(
            &browser,
            "the way back",
            "return document.querySelector('#zoomed')?.textContent.toLowerCase().includes('show all')",
        );

        // In until something is hidden on either side, then along: the width stays.
        browser.focus("figure.chart[data-zoom]");
        let mut now = Some([from, to]);
        for _ in 0..2 {
            browser.press("+");
            let narrower = moved(&browser, now);
            let width = |w: Option<[f64; 2]>| w.map(|[from, to]| to - from).unwrap();
            assert!(
                width(narrower) < width(now),
                "{page}: {now:?}, then {narrower:?}"
            );
            now = narrower;
        }
        let [from, to] = now.unwrap();
        for (key, sign) in [("\u{e014}", 1.0), ("\u{e012}", -1.0)] {
            let [from, to] = now.unwrap_or([from, to]);
            browser.press(key);
            let [next, end] = moved(&browser, now).unwrap();
            let changed = ((end - next) - (to - from)).abs();
            assert!(
                changed <= rounded_to,
                "{page}: {from} to {to}, then {next} to {end}"
            );
            assert!((next - from) * sign > 0.0, "{page}: {from}, then {next}");
            now = Some([next, end]);
        }
        browser.press("-");
        now = moved(&browser, now);
        browser.press("0");
        if now.is_some() {
            assert_eq!(moved(&browser, now), None, "{page}");
        }
        // The picture in between is gone with the pointer; the keyboard alone reads points too.
        browser.point((9.0, 9.0));
        until(
            &browser,
            "no read-out",
            "return !document.querySelector('figure.chart.pointed')",
        );
        browser.focus("figure.chart[data-zoom]");
        browser.press_with_shift("\u{e014}");
        let first = read_out_is_a_point(&browser);
        browser.press_with_shift("\u{e014}");
        let further =
            "return document.querySelector('figure.chart[data-zoom] .readout div')?.textContent";
        let end = Instant::now() + Duration::from_secs(20);
        while read_out_is_a_point(&browser) <= first {
            assert!(Instant::now() < end, "{page}: {}", browser.js(further, &[]));
        }
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{page}");
    }
}

#[test]
fn choices_are_the_address_and_back_undoes_them() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    browser.resize(1280, 1000);
    let shown = "return [...document.querySelectorAll('.seg a[aria-current]')].map(a => a.textContent).join(', ') + ': ' + document.querySelector('td.ours').dataset.metric + ' ' + document.querySelector('td.ours').dataset.value + ' ' + document.querySelector('#curves figure').dataset.chart.includes('column=bs256')";
    let start = format!("{}/tables/table4?profile=standard", site.base);
    browser.open(&start);
    let mut states = vec![browser.js(shown, &[])];
    for (text, state) in [
        ("Top-5", "metric=val/top5"),
        ("last", "select=last"),
        ("BS=256", "column=bs256"),
    ] {
        let click = "const a = [...document.querySelectorAll('main > .bar:not(.tools) .seg a, #curves .seg a')].find(a => a.textContent === arguments[0]); a.click(); return 0";
        browser.js(click, &[json!(text)]);
        // The address is there at once, the page a moment later.
        let before = states.last().unwrap();
        let expression = shown.replace("return ", "");
        let done =
            format!("return location.search.includes('{state}') && ({expression}) !== {before}");
        until(&browser, state, &done);
        let now = browser.js(shown, &[]);
        states.push(now);
    }
    // Whoever is sent the address sees the same.
    let address = browser.js("return location.href", &[]);
    let other = Browser::start(true);
    other.open(address.as_str().unwrap());
    assert_eq!(other.js(shown, &[]), *states.last().unwrap());
    for state in states.iter().rev().skip(1) {
        browser.js("history.back(); return 0", &[]);
        let there = format!(
            "{} === {state}",
            shown.replace("return ", "return (").to_owned() + ")"
        );
        until(&browser, "Back", &there);
    }
    assert_eq!(browser.js("return location.href", &[]), json!(start));
}
