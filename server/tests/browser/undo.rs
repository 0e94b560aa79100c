//! The ways back from a zoom: a double click, the link "Show all", and Back for who goes too far.

use super::controls::until;
use super::{Site, browser};

/// Whether the first chart shows that part of x, or more than it, and the page says so.
fn state(from: f64, to: f64, zoomed: bool) -> String {
    let is = if zoomed {
        format!("low === {from} && high === {to}")
    } else {
        format!("low <= {from} && high >= {to} && high - low > {to} - {from}")
    };
    format!(
        "const q = new URLSearchParams(location.search); \
         if (q.has('from') !== {zoomed} || q.has('to') !== {zoomed}) return false; \
         if ((document.querySelector('#zoomed') !== null) !== {zoomed}) return false; \
         const i = document.querySelector('figure.chart[data-zoom] img'); \
         if (!i?.complete || !i.naturalWidth) return false; \
         return fetch(i.currentSrc).then(a => a.text()).then(t => {{ \
         const [low, high] = t.match(/ data-x=\"([^\"]*)\"/)[1].split(' ').map(Number); return {is}; }})"
    )
}

#[test]
fn a_double_click_and_show_all_undo_a_zoom_and_back_brings_it_again() {
    let Some(browser) = browser(true) else { return };
    let site = Site::start();
    browser.window(1280, 1000);
    let compared = format!("/compare?runs={},{}&", site.base_run, site.run);
    for (page, from, to) in [
        (format!("/runs/{}?", site.run), 20.0, 60.0),
        (compared, 1.25, 1.75),
        ("/figures/figure3?".to_owned(), 1.25, 1.75),
        ("/tables/table4?profile=standard&".to_owned(), 1.25, 1.75),
    ] {
        for by_link in [false, true] {
            browser.open(&format!("{}{page}from={from}&to={to}", site.base));
            let way = if by_link {
                "the link"
            } else {
                "a double click"
            };
            until(
                &browser,
                &format!("{page} is zoomed"),
                &state(from, to, true),
            );
            if by_link {
                browser.click("//*[@id='zoomed']/descendant-or-self::a");
            } else {
                let middle = browser.js(
                    "const f = document.querySelector('figure.chart[data-zoom]'); f.scrollIntoView({block: 'center'}); \
                     const b = f.querySelector('img').getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]",
                    &[],
                );
                let at = [0, 1].map(|i| middle[i].as_f64().unwrap());
                browser.double_click((at[0], at[1]));
            }
            until(
                &browser,
                &format!("{page} shows all after {way}"),
                &state(from, to, false),
            );
            browser.js("history.back(); return 0", &[]);
            // First the address alone: a script that waits for a picture does not outlive its page.
            until(
                &browser,
                &format!("Back on {page} after {way}"),
                "return location.search.includes('from=')",
            );
            until(
                &browser,
                &format!("{page} is zoomed again after {way}"),
                &state(from, to, true),
            );
        }
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{page}");
    }
}
