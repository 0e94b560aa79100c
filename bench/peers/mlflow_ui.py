#!/usr/bin/env python3
"""Times of the questions that a page of runs asks, of MLflow's UI API and of Rungs' API beside it.

    make bench-pages ARGS=--mlflow              after the dashboard's own times (bench/pages.py)
    .venv-mlflow/bin/python bench/peers/mlflow_ui.py --runs 200 --points 1000

Both hold the same number of finished runs with the same number of points of `train/loss` each, in SQLite on
the same disk; MLflow is filled through its own batching API. Both servers run at once on this machine and are
asked in turns, one question at a time, over loopback, a new connection each. A question is what the page
needs to draw: where MLflow's page makes several requests for it, all of them count. Answers are checked to hold
the same number of runs and points.
"""

import argparse
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from pages import Server, percentile  # noqa: E402
from trackers import loss  # noqa: E402

METRIC = "train/loss"
LISTED = 100


def fill(uri, runs, points):
    """`runs` finished runs in one experiment; gives its id and the ids of two runs."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("bench")
    ids = []
    for number in range(runs):
        run = client.create_run(experiment).info.run_id
        params = [Param("model", "resnet50"), Param("lr", str(number / 1000)), Param("seed", str(number))]
        now = int(time.time() * 1000)
        client.log_batch(run, params=params, metrics=[Metric("val/top1", 50 + 40 * number / runs, now, points)])
        for first in range(0, points, 1000):
            steps = range(first, min(first + 1000, points))
            client.log_batch(run, metrics=[Metric(METRIC, loss(s), now, s) for s in steps])
        client.set_terminated(run)
        ids.append(run)
    return experiment, ids[:2]


class MLflow:
    """Its server, started as its documentation says for one machine."""

    def __init__(self, uri, directory):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(self.port)]
        self.log = open(directory / "mlflow.log", "w")
        self.process = subprocess.Popen(command, cwd=directory, stdout=self.log, stderr=self.log, start_new_session=True)
        end = time.monotonic() + 120
        while True:
            try:
                return self.ask("GET", "/health") and None
            except (OSError, RuntimeError):
                if time.monotonic() > end or self.process.poll() is not None:
                    self.stop()
                    sys.exit(f"MLflow's server did not start: {(directory / 'mlflow.log').read_text()[-500:]}")
                time.sleep(0.3)

    def ask(self, method, path, body=None):
        """Seconds and body."""
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")
            return time.perf_counter() - begun, text
        finally:
            connection.close()

    def stop(self):
        # Its workers are processes of their own group.
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait(20)
        self.log.close()


def theirs(server, experiment, runs):
    """(question, function that asks it and gives seconds and how many things came back)."""
    a, b = runs
    search = {
        "experiment_ids": [experiment],
        "filter": "attributes.status = 'FINISHED' and params.model = 'resnet50'",
        "order_by": ["attributes.end_time DESC"],
        "max_results": LISTED,
    }
    bulk = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={a}&run_ids={b}&metric_key={METRIC}&max_results=320"

    def listing():
        taken, text = server.ask("POST", "/api/2.0/mlflow/runs/search", search)
        return taken, len(json.loads(text)["runs"])

    def one():
        taken, text = server.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={a}")
        return taken, len({json.loads(text)["run"]["info"]["run_id"]})

    def history():
        taken, text = server.ask("GET", f"/api/2.0/mlflow/metrics/get-history?run_id={a}&metric_key={METRIC}")
        return taken, len(json.loads(text)["metrics"])

    def compare():
        first, _ = server.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={a}")
        second, _ = server.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={b}")
        curves, text = server.ask("GET", bulk)
        return first + second + curves, len({point["run_id"] for point in json.loads(text)["metrics"]})

    return [listing, one, history, compare]


def ours(server):
    found = json.loads(server.get("/api/v1/runs?limit=2&sort=run")[1])["runs"]
    a, b = (run["run"] for run in found)

    def listing():
        taken, text = server.get(f"/api/v1/runs?state=done&model=resnet50&sort=-ended&limit={LISTED}")
        return taken, len(json.loads(text)["runs"])

    def one():
        taken, text = server.get(f"/api/v1/runs/{a}")
        return taken, len({json.loads(text)["run"]})

    def history():
        taken, text = server.get(f"/api/v1/runs/{a}/series/{METRIC}")
        return taken, len(json.loads(text)["points"])

    def compare():
        sides, text = server.get(f"/api/v1/compare?runs={a},{b}")
        curves, _ = server.get(f"/charts/line.json?runs={a},{b}&metric={METRIC}")
        return sides + curves, len(json.loads(text)["sides"])

    return [listing, one, history, compare]


def measure(args, directory):
    home = directory / "home"
    scale = ["--rows", str(args.runs), "--columns", "1", "--seeds", "1", "--points", str(args.points), "--long", str(args.points)]
    subprocess.run([args.target / "examples" / "scale-home", home, *scale], check=True, stdout=subprocess.DEVNULL)
    uri = f"sqlite:///{directory}/mlflow.db"
    begun = time.monotonic()
    experiment, ids = fill(uri, args.runs, args.points)
    print(f"{args.runs:,} runs of {args.points:,} points; MLflow filled in {time.monotonic() - begun:.0f} s", flush=True)
    questions = [f"list of {LISTED} runs, filtered and sorted", "one run", f"{args.points:,} points of a metric", "two runs compared, with curves"]
    rows = []
    peer = MLflow(uri, directory)
    try:
        server = Server(args.target / "server", home)
        try:
            for what, left, right in zip(questions, ours(server), theirs(peer, experiment, ids), strict=True):
                times = ([], [])
                for turn in range(args.times + 1):
                    (mine, n), (other, m) = left(), right()
                    if n != m:
                        sys.exit(f"{what}: {n} of Rungs, {m} of MLflow: not the same question")
                    # The first of each warms up caches on both sides.
                    if turn:
                        times[0].append(mine)
                        times[1].append(other)
                row = {"what": what, "rungs_p50_ms": 1000 * percentile(times[0], 0.5), "rungs_p95_ms": 1000 * percentile(times[0], 0.95),
                       "mlflow_p50_ms": 1000 * percentile(times[1], 0.5), "mlflow_p95_ms": 1000 * percentile(times[1], 0.95)}  # fmt: skip
                row["ratio_p50"] = row["rungs_p50_ms"] / row["mlflow_p50_ms"]
                rows.append(row)
                print(f"{what:42} Rungs p50 {row['rungs_p50_ms']:7.1f} p95 {row['rungs_p95_ms']:7.1f} ms   MLflow p50 {row['mlflow_p50_ms']:7.1f} p95 {row['mlflow_p95_ms']:7.1f} ms   ratio {row['ratio_p50']:.2f}", flush=True)  # fmt: skip
        finally:
            server.stop()
    finally:
        peer.stop()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--target", type=pathlib.Path, default=ROOT / "target" / "release")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    for program in (args.target / "server", args.target / "examples" / "scale-home"):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program}: no such program; `make bench-pages` builds it")
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as directory:
        rows = measure(args, pathlib.Path(directory))
    if args.json:
        import mlflow

        args.json.write_text(json.dumps({"mlflow": mlflow.__version__, "runs": args.runs, "points": args.points, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
