"""Lines of accept-6 about the server: 10,000 runs, 64 viewers, an end without a torn answer, the document of
the API against the answers, strangers, and a database that is not there."""

import http.client
import json
import signal
import subprocess
import threading
import time

from common import ROOT, check, environment, free_port, line, run, run_tests, stop, tests_called, wait_for


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


@line("SIGTERM ends it within a second, every answer that was begun is whole, an open stream does not hold it up")
def sigterm(lab):
    slowest = 0
    for _ in range(5):
        whole, torn, over = [], [], threading.Event()
        with Serving(lab, ROOT / "tests/golden-home") as serving:
            stream = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=10)
            stream.request("GET", "/api/v1/events")
            stream.getresponse().readline()

            def look(serving=serving, whole=whole, torn=torn, over=over):
                while not over.is_set():
                    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=10)
                    try:
                        connection.request("GET", "/api/v1/experiments")
                        answer = connection.getresponse()
                    except OSError:
                        return  # it takes no more
                    try:
                        json.loads(answer.read())
                        whole.append(answer.status)
                    except (http.client.HTTPException, ValueError, OSError) as error:
                        torn.append(repr(error))
                    connection.close()

            threads = [threading.Thread(target=look) for _ in range(8)]
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
        check(not torn, f"torn answers: {torn[:3]}")
        check(whole, "nobody was answered at all")
    check(slowest <= 1, f"it took {slowest:.2f} s")
    return f"five times, at most {slowest:.2f} s, {len(whole)} answers in the last"


@line("schemathesis against the OpenAPI document: no 5xx, no undocumented answer")
def schemathesis(lab):
    run(ROOT / "bench/peers/setup", "api", ok=(0,))
    with Serving(lab, ROOT / "tests/golden-home") as serving:
        found = run(
            ROOT / ".venv-api/bin/schemathesis", "run", f"{serving.url}/api/v1/openapi.json",
            "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--exclude-path", "/api/v1/events", "--max-examples", "100", "--seed", "1", cwd=lab.work, ok=(0,),
        )  # fmt: skip
    said = [text.strip() for text in found.stdout.splitlines() if "generated" in text or "test cases" in text.lower()]
    return said[-1] if said else "no failure"


@line("strangers, slow and oversized requests, paths out of the home, scripts in free text, no or wrong token; a missing, locked, foreign, newer database: tests")
def refused(lab):
    names = tests_called(r"strangers|refus|script|token|database|slow_requests|leads_out_of_the_home")
    check(len(names) >= 5, f"only these tests: {names}")
    run_tests(names)
    return f"{len(names)} tests"
