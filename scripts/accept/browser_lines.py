"""Lines of accept-6 in a real browser: the tests of every page, and a training run watched live."""

import subprocess
import time

from common import ROOT, Browser, check, environment, free_port, line, run, stop, wait_for
from server_lines import missing, passed


# There may be more in the binary `browser`; these must be.
WANTED = {
    "every_page_is_quiet_stays_at_home_and_looks_right_at_every_width",
    "axe_has_no_serious_finding_on_any_page",
    "every_number_on_a_table_page_is_the_exports",
    "every_number_of_a_comparison_is_the_apis",
    "every_number_that_is_read_on_a_table_page_is_the_exports",
    "every_figure_that_is_read_on_a_run_page_is_the_exports",
    "charts_are_read_zoomed_and_moved_with_pointer_and_keys",
    "choices_are_the_address_and_back_undoes_them",
    "a_double_click_and_show_all_undo_a_zoom_and_back_brings_it_again",
    "buttons_are_clicked_with_javascript_and_the_page_learns_the_answer_by_itself",
    "without_javascript_buttons_are_clicked_and_the_page_says_the_answer",
    "pages_of_an_empty_home_look_right",
    "pages_that_are_errors_look_right",
    "pages_of_a_home_at_work_look_right_locked_and_with_their_buttons",
    "without_javascript_runs_are_chosen_and_added",
    "without_javascript_tables_charts_and_exports_are_there",
}


def in_browser(lab, wanted, *arguments):
    """Tests of the binary `browser`: these ran among others, and none skipped itself."""
    Browser(lab.work).close()  # skips where there is no browser
    run("scripts/setup-test-tools", cwd=ROOT)
    # One of them asks the runner, which it looks for beside the server.
    run("cargo", "build", "-p", "rungs-runner", "--bins", cwd=ROOT, ok=(0,))
    names, skipped = passed("-p", "rungs-server", "--test", "browser", *arguments)
    check(not missing(names, wanted), f"these did not run: {missing(names, wanted)}")
    check(not skipped, skipped)
    return f"{len(names)} tests"


@line("every page in Chromium: console, hosts, 360 to 3840 px, contrast, dark, axe-core, numbers, controls, no JavaScript")
def browser_tests(lab):
    return in_browser(lab, WANTED)


@line("JavaScript off: tables, charts, exports, choosing and adding runs, and whatever else is tested without it")
def no_javascript(lab):
    wanted = {name for name in WANTED if name.startswith("without_javascript")}
    return in_browser(lab, wanted, "-E", "test(/without_javascript/)")


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
