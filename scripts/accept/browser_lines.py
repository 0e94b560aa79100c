"""Acceptance lines of the dashboard in a real browser: the tests of every page, and a training run watched live."""

import subprocess
import time

from common import ROOT, Browser, check, environment, free_port, line, run, run_tests, stop, tests_called, wait_for


@line("every page in Chromium: console, hosts, 360 to 3840 px, contrast, dark, axe-core, numbers, no JavaScript")
def browser_tests(lab):
    Browser(lab.work).close()  # skips where there is no browser
    run("scripts/setup-test-tools", cwd=ROOT)
    names = tests_called(
        r"every_page_is_quiet|axe_has_no_serious|every_number_on_a_table_page|without_javascript_tables"
    )
    check(len(names) == 4, f"the tests are called otherwise now: {names}")
    run_tests(names)
    return f"{len(names)} tests"


@line("a training run watched: the table changes on the open page, without a reload")
def live_update(lab):
    home = lab.directory("browser-live")
    browser = Browser(lab.work)
    training = server = None
    port = free_port()
    try:
        training = subprocess.Popen(
            [lab.bin / "runner", "reproduce", "table4", "--profile", "quick", "--home", home],
            cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        server = subprocess.Popen(
            [lab.bin / "server", "--home", home, "--bind", f"127.0.0.1:{port}"],
            cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        wait_for(f"http://127.0.0.1:{port}/healthz")
        browser.open(f"http://127.0.0.1:{port}/tables/table4")
        browser.js("window.mark = 1; return 1")
        seen, end = [], time.monotonic() + 180
        while time.monotonic() < end and not any(status == "done" for _, status in seen):
            now = browser.js("return [...document.querySelectorAll('td.ours')].map(e => [e.dataset.cell, e.dataset.status])")
            seen += [tuple(pair) for pair in now if tuple(pair) not in seen]
            time.sleep(0.5)
        check(browser.js("return window.mark") == 1, "the page was loaded anew")
        states = {status for _, status in seen}
        check({"running", "done"} <= states, f"the open page showed only {sorted(states)}")
        return f"{len(seen)} changes of {len({cell for cell, _ in seen})} cells seen on one page"
    finally:
        for process in (training, server):
            if process:
                stop(process)
        browser.close()
