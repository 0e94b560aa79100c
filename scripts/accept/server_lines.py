"""Lines of accept-6 about the server: 10,000 runs, 64 viewers, an end without a torn answer, the document of
the API against the answers, strangers, a database that is not there, and what is carried away: report, LaTeX."""

import collections
import http.client
import json
import random
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from common import ROOT, Skipped, check, environment, free_port, line, run, stop, wait_for


def passed(*arguments):
    """Runs tests with nextest: {full names of those that passed}, and why one of them skipped itself, if one did."""
    told = run(
        "cargo", "nextest", "run", "--color", "never", "--status-level", "pass", "--success-output", "immediate",
        *arguments, cwd=ROOT, ok=(0,),
    )  # fmt: skip
    text = told.stdout + told.stderr
    names = re.findall(r"^ *(?:PASS|FLAKY[^\[]*) \[[^\]]*\] (?:\([^)]*\) )?\S+ (\S+)$", text, re.MULTILINE)
    skipped = re.search(r"^ *SKIPPED.*$", text, re.MULTILINE)
    return set(names), skipped[0].strip() if skipped else ""


def missing(names, wanted):
    """Of tests named without their modules, those that are not among full names."""
    return sorted(set(wanted) - {name.rsplit("::", 1)[-1] for name in names})


def measured(lab):
    """Of bench/pages.py, once for both lines."""
    if "pages" not in lab.state:
        run("cargo", "build", "--release", "-p", "rungs-server", "--example", "scale-home", cwd=ROOT, ok=(0,))
        report = lab.work / "pages.json"
        run(ROOT / "bench/pages.py", "--home", lab.work / "scale-home", "--json", report, ok=(0,), timeout=3600)
        lab.state["pages"] = json.loads(report.read_text())
    return lab.state["pages"]


@line("10,000 runs, 10^8 points: 95th percentile of overview, table, run, compare, queue, charts, API within its bound")
def pages_scale(lab):
    rows = measured(lab)["addresses"]
    said = [f"{row['what']} {row['p95_ms']:.0f} of {row['asked_ms']} ms" if "p95_ms" in row else f"{row['what']}: {row['error']}" for row in rows]
    figure = "; ".join(said)
    check(all(row.get("p95_ms", 1e9) <= row["asked_ms"] for row in rows), figure)
    return figure


@line("64 viewers while a writer ingests 100,000 points/s: no error, 99th percentile <= 500 ms")
def viewers(lab):
    row = measured(lab)["viewers"]
    figure = f"{row['answers']} answers, {row['errors']} errors, p99 {row['p99_ms']:.0f} ms, {row['points_per_s']:,.0f} points/s written"
    check(row["errors"] == 0, f"{figure}; {row['first_error']}")
    check(row["p99_ms"] <= 500 and row["points_per_s"] >= 95_000, figure)
    return figure


class Serving:
    """The server over a home."""

    def __init__(self, lab, home):
        self.port = free_port()
        command = [lab.bin / "server", "--home", home, "--bind", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{self.port}"
        wait_for(f"{self.url}/healthz")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)


def golden(lab, name):
    """A copy of the golden home, to write a token and requests into. Its database is not in the repository."""
    home = lab.directory(name) / "home"
    shutil.copytree(ROOT / "tests/golden-home", home)
    lab.runner("reindex", home=home)
    return home


# Small, and such as take their time: the picture is drawn anew for whoever asks.
ANSWERS = {
    "/api/v1/experiments": b"]}",
    "/tables/golden": b"</html>",
    "/charts/table.png?experiment=golden&width=1000&height=600": b"IEND\xaeB`\x82",
}


def ask(port, path, over, whole, torn):
    """Asks for one address again and again, until nobody takes a connection. Whoever has been let in and has
    asked is answered in full, or it is torn."""
    while not over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.connect()
        except ConnectionRefusedError:
            return  # it takes no more
        except OSError as error:
            torn.append(f"{path}: let in by halves: {error!r}")
            continue
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200 and body.rstrip().endswith(ANSWERS[path]):
                whole.append(path)
            else:
                torn.append(f"{path}: status {answer.status}, {len(body)} bytes that end in {body[-20:]!r}")
        # No answer at all (RemoteDisconnected), a reset, fewer bytes than were said.
        except (http.client.HTTPException, OSError) as error:
            torn.append(f"{path}: {error!r}")
        finally:
            connection.close()


@line("SIGTERM ends it within a second, everybody who was let in is answered in full, an open stream does not hold it up")
def sigterm(lab):
    slowest, answers, home = 0, 0, golden(lab, "sigterm")
    for _ in range(5):
        whole, torn, over = [], [], threading.Event()
        with Serving(lab, home) as serving:
            stream = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=10)
            stream.request("GET", "/api/v1/events")
            stream.getresponse().readline()
            threads = [
                threading.Thread(target=ask, args=(serving.port, path, over, whole, torn)) for path in ANSWERS for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            time.sleep(1)
            begun = time.monotonic()
            serving.process.send_signal(signal.SIGTERM)
            serving.process.wait(10)
            slowest = max(slowest, time.monotonic() - begun)
            over.set()
            for thread in threads:
                thread.join()
        check(not torn, f"{len(torn)} torn, {len(whole)} whole answers: {'; '.join(torn[:3])}")
        check(set(whole) == set(ANSWERS), f"nobody was answered: {sorted(set(ANSWERS) - set(whole))}")
        answers += len(whole)
    check(slowest <= 1, f"it took {slowest:.2f} s")
    return f"five times, at most {slowest:.2f} s, {answers} answers, none torn"


# They never end, and it reads every answer to its end; `examine_streams` asks them instead.
STREAMS = ["/api/v1/events", "/api/v1/runs/{run}/log"]


def without_tuples(schema):
    """The same, with `prefixItems` as one schema of any of them: of answers schemathesis 4.32.5 turns it into the
    list `items` of older drafts, then refuses that. Tests hold answers to the positions."""
    if isinstance(schema, list):
        return [without_tuples(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: without_tuples(value) for key, value in schema.items()}
    if places := schema.pop("prefixItems", None):
        if schema.get("items") is False:
            schema["maxItems"] = len(places)
        schema["items"] = {"anyOf": places}
    return schema


def examine(lab, url, name, *options):
    document = lab.work / "openapi.json"
    described = json.load(urllib.request.urlopen(f"{url}/api/v1/openapi.json", timeout=30))
    document.write_text(json.dumps(without_tuples(described)))
    excluded = [part for path in STREAMS for part in ("--exclude-path", path)]
    found = run(
        ROOT / ".venv-api/bin/schemathesis", "run", document, "--url", url,
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        *excluded, "--max-examples", "100", "--seed", "1", *options, cwd=lab.work, ok=(0,),
    )  # fmt: skip
    said = [text.strip() for text in found.stdout.splitlines() if "generated" in text or "test cases" in text.lower()]
    return f"{name}: {said[-1] if said else 'no failure'}"


def examine_streams(url, headers):
    """Status and type of the streams, asked with anything: what the document says, or this check fails."""
    answers = json.load(urllib.request.urlopen(f"{url}/api/v1/openapi.json", timeout=30))["paths"]
    runs = json.load(urllib.request.urlopen(f"{url}/api/v1/runs", timeout=30))["runs"]
    draw = random.Random(1)

    def odd():
        any_letter = [lambda: draw.randrange(32, 127), lambda: draw.randrange(160, 0xD800), lambda: 0, lambda: 10]
        return "".join(chr(draw.choice(any_letter)()) for _ in range(draw.randrange(1, 20)))

    seen = collections.Counter()
    for path in STREAMS:
        for _ in range(100):
            known = draw.choice(runs)["run"]
            run_key = draw.choice([known, known[: draw.randrange(1, 64)], odd()])
            start = draw.choice(["0", "-1", "7", str(2 ** draw.randrange(31, 80)), "1e3", "", odd()])
            address = path.replace("{run}", urllib.parse.quote(run_key, safe="")) + "?from=" + urllib.parse.quote(start)
            try:
                answer = urllib.request.urlopen(urllib.request.Request(url + address, headers=headers), timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                said = answers[path]["get"]["responses"].get(str(answer.status), {})
                kind = answer.headers.get_content_type()
                check(answer.status < 500 and kind in said.get("content", {}), f"{address}: {answer.status} {kind}, {said}")
                seen[path, answer.status] += 1
    check(all(seen[path, 200] for path in STREAMS) and seen[STREAMS[1], 404], f"the streams answered {dict(seen)}")
    by_status = collections.Counter()
    for (_, status), n in seen.items():
        by_status[status] += n
    return f"streams {dict(by_status)}"


def asked(home):
    """Requests that wait for a scheduler; there is none, so each that was taken is still here."""
    directory = home / "requests"
    return len(list(directory.glob("*.json"))) if directory.is_dir() else 0


@line("schemathesis against the OpenAPI document, without and with the home's token: no 5xx, no undocumented answer")
def schemathesis(lab):
    run(ROOT / "bench/peers/setup", "api", ok=(0,))
    home = golden(lab, "schemathesis")
    token = secrets.token_hex(32)
    (home / "server.token").write_text(token)
    with Serving(lab, home) as serving:
        stranger = examine(lab, serving.url, "a stranger")
        stranger += ", " + examine_streams(serving.url, {})
        check(asked(home) == 0, "a stranger's request was taken")
        # Before it counts for anything that nothing failed: this token opens the door.
        pause = urllib.request.Request(
            f"{serving.url}/api/v1/requests", method="POST", data=b'{"kind": "pause"}',
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )  # fmt: skip
        try:
            urllib.request.urlopen(pause, timeout=30).close()
        except urllib.error.HTTPError as error:
            check(False, f"the home's token is not taken: {error.code} {error.read()[:200]}")
        before = asked(home)
        check(before == 1, f"a request with the token left {before} files")
        holder = examine(lab, serving.url, "with the token", "-H", f"Authorization: Bearer {token}")
        holder += ", " + examine_streams(serving.url, {"Authorization": f"Bearer {token}"})
        taken = asked(home) - before
    check(taken > 0, f"none of its requests was taken; {holder}")
    return f"{stranger}; {holder}, {taken} requests taken"


REFUSED = {
    # Host, Origin, cross-site POST, form field, token: none, wrong, in the address.
    "strangers_are_refused",
    "whom_the_guard_refuses_learns_nothing_of_the_home",
    "only_this_machines_names_are_hosts",
    "nothing_changes_without_the_right_to",
    "the_token_is_taken_from_a_form_and_never_from_an_address",
    "a_one_time_link_opens_once",
    "a_one_time_link_works_once",
    "programs_ask_with_the_token_and_are_told_the_same",
    "a_cookie_gives_a_form_field_of_its_own_and_only_where_it_was_made",
    "a_token_is_drawn_once_and_private",
    # Paths, scripts, sizes, patience.
    "files_of_a_run_are_a_whitelist",
    "no_address_leads_out_of_the_home",
    "a_script_in_any_free_text_is_shown_and_never_run",
    "oversized_requests_are_refused",
    "slow_requests_are_cut_off_and_keep_nobody_out",
    "refusals_have_a_code_and_a_sentence",
    # Databases.
    "a_newer_foreign_or_missing_database_is_said_and_recovered_from",
    "a_locked_database_is_said_and_recovered_from",
}


@line("strangers, cross-site POST, slow and oversized requests, paths out of the home, scripts in free text, no or wrong token; a missing, locked, foreign, newer database: tests")
def refused(lab):
    wanted = " | ".join(f"test(/(^|::){name}$/)" for name in sorted(REFUSED))
    names, skipped = passed("-p", "rungs-server", "-E", wanted)
    check(not missing(names, REFUSED), f"these did not run: {missing(names, REFUSED)}")
    check(not skipped, skipped)
    return f"{len(names)} tests"


LOADED = re.compile(
    r"""<(?!a\b)[^>]*?\b(?:src|srcset|href|xlink:href|data|action|poster)\s*=\s*["']?\s*(?:https?:)?//[^>\s]*|url\(\s*["']?(?:https?:)?//[^)]*|@import[^;]*""",
    re.IGNORECASE,
)


@line("the one-file report of every built-in table in every profile, of a filled home: under 2 MB, nothing loaded from another host")
def report_size(lab):
    run("cargo", "build", "--release", "-p", "rungs-server", "--example", "demo-home", cwd=ROOT, ok=(0,))
    home = lab.directory("report-size") / "home"
    run(ROOT / "target/release/examples/demo-home", home, cwd=ROOT, ok=(0,))
    sizes, filled = {}, 0
    for entry in lab.json("list", home=home):
        for profile in entry["profiles"]:
            # Block diagrams have no runs, and no table; a figure's curves are those of tables.
            if profile["runs"] == 0 or (entry["paper"] or {}).get("figure"):
                continue
            options = ["--profile", profile["profile"]] if profile["profile"] else []
            text = lab.runner("export", entry["experiment"], "--format", "html", *options, home=home).stdout
            name = f"{entry['experiment']} {profile['profile']}"
            check(text.rstrip().endswith("</html>") and "<table" in text, f"{name}: no page with a table")
            foreign = LOADED.findall(text)
            check(not foreign, f"{name} loads {foreign[:3]}")
            sizes[name] = len(text.encode())
            filled += profile["done"] > 0
    check(filled >= 2, f"only {filled} tables have finished runs")
    biggest = max(sizes, key=sizes.get)
    figure = f"{len(sizes)} reports, {filled} of tables with finished runs; the biggest is {biggest}: {sizes[biggest] / 1000:,.0f} kB"
    check(sizes[biggest] < 2_000_000, figure)
    return figure


@line("every built-in table as LaTeX, both ways of rounding, compiled by pdflatex: the long test")
def latex(lab):
    names, skipped = passed("-p", "rungs-runner", "--run-ignored", "all", "-E", "test(=every_table_compiles)")
    check(not missing(names, ["every_table_compiles"]), "the test every_table_compiles did not run")
    if skipped:
        raise Skipped(skipped)
    return f"{len(names)} test"
