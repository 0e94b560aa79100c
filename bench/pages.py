#!/usr/bin/env python3
"""Times of the dashboard's addresses over a home of 10,000 runs and 10^8 points.

    make bench-pages                       the whole home (some minutes to make, half a gigabyte)
    bench/pages.py --home DIR              a home made before by the example scale-home
    bench/pages.py --rows 10 --columns 5   less
    bench/pages.py --mlflow                and MLflow's UI API beside Rungs', on 200 runs (bench/peers/mlflow_ui.py)

Every address is asked for one after the other, and then by 64 viewers at once while a writer adds 100,000
points a second. Times are the client's, over loopback, connection included. "first" is the first
answer of an address, before the server has kept anything of it.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
VIEWERS, RATE = 64, 100_000


def percentile(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(share * len(times)))]


class Server:
    def __init__(self, program, home):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        env = {k: v for k, v in os.environ.items() if not k.startswith("RUNGS_")}
        self.process = subprocess.Popen(
            [program, "--home", home, "--bind", f"127.0.0.1:{self.port}"], cwd=home, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + 20
        while True:
            try:
                return self.get("/healthz") and None
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def get(self, path):
        """Seconds and body; anything but 200 is an error."""
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
            return time.perf_counter() - begun, body
        finally:
            connection.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def addresses(server):
    """(name, path, milliseconds asked for)."""
    found = json.loads(server.get("/api/v1/runs?limit=1000&sort=run")[1])["runs"]
    long = max(found, key=lambda run: run["progress"]["steps"])
    if long["progress"]["steps"] < 100_000:
        page = json.loads(server.get("/api/v1/runs?limit=1000&sort=queued")[1])["runs"]
        long = max(page, key=lambda run: run["progress"]["steps"])
    others = [run["run"] for run in found if run["run"] != long["run"]][:50]
    key = long["run"]
    return [
        ("overview", "/", 100),
        ("table", "/tables/scale", 100),
        ("run", f"/runs/{others[0]}", 100),
        ("compare", f"/compare?runs={others[0]},{others[1]}", 100),
        ("queue", "/queue", 100),
        ("chart of the longest series", f"/charts/line.svg?runs={key}&metric=train/loss", 60),
        (f"chart of {len(others)} series", f"/charts/line.svg?runs={','.join(others)}&metric=train/loss", 120),
        ("API list, filtered and sorted", "/api/v1/runs?state=done&model=resnet50&sort=-ended&limit=100", 100),
        ("status", "/api/v1/status", 100),
        ("metrics", "/metrics", 100),
    ]


def one_by_one(server, times):
    rows = []
    for name, path, asked in addresses(server):
        try:
            first = server.get(path)[0]
            taken = [server.get(path)[0] for _ in range(times)]
        except RuntimeError as error:
            rows.append({"what": name, "error": str(error), "asked_ms": asked})
            print(f"{name:32} {error}")
            continue
        size = len(server.get(path)[1])
        row = {"what": name, "p50_ms": 1000 * percentile(taken, 0.5), "p95_ms": 1000 * percentile(taken, 0.95), "first_ms": 1000 * first, "asked_ms": asked, "bytes": size}
        rows.append(row)
        print(f"{name:32} p50 {row['p50_ms']:7.1f} ms   p95 {row['p95_ms']:7.1f} ms   first {row['first_ms']:7.1f} ms   asked {asked} ms   {size:,} bytes", flush=True)
    return rows


def viewers(server, home, example, seconds):
    """64 of them, each looks at a page, reads it for two seconds, looks at the next; they did not all come at
    the same instant, but within these two seconds."""
    places = [path for _, path, _ in addresses(server)]
    writer = subprocess.Popen([example, home, "--write", str(RATE), "--seconds", str(seconds + 2)], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    end = time.monotonic() + seconds

    def look(number):
        times, errors = [], []
        turn = number
        time.sleep(2 * number / VIEWERS)
        while time.monotonic() < end:
            try:
                times.append(server.get(places[turn % len(places)])[0])
            except (OSError, RuntimeError) as error:
                errors.append(str(error))
            turn += 1
            time.sleep(2)
        return times, errors

    with concurrent.futures.ThreadPoolExecutor(VIEWERS) as pool:
        done = list(pool.map(look, range(VIEWERS)))
    written = writer.communicate()[0]
    times = [t for of, _ in done for t in of]
    errors = [e for _, of in done for e in of]
    rate = float(re.search(r"(\d+) points/s", written).group(1))
    row = {"viewers": VIEWERS, "answers": len(times), "errors": len(errors), "p50_ms": 1000 * percentile(times, 0.5),
           "p99_ms": 1000 * percentile(times, 0.99), "points_per_s": rate, "first_error": errors[0] if errors else None}  # fmt: skip
    print(f"{VIEWERS} viewers: {len(times)} answers, {len(errors)} errors, p50 {row['p50_ms']:.0f} ms, p99 {row['p99_ms']:.0f} ms, {rate:,.0f} points/s written")
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=pathlib.Path)
    parser.add_argument("--rows", default="100")
    parser.add_argument("--columns", default="20")
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=20, help="of the viewers; 0 leaves them out")
    parser.add_argument("--target", type=pathlib.Path, default=ROOT / "target" / "release")
    parser.add_argument("--mlflow", action="store_true", help="then the same questions of MLflow, which `bench/peers/setup mlflow` installs")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    example = args.target / "examples" / "scale-home"
    for program in (args.target / "server", example):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program}: no such program; `make bench-pages` builds it")
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as directory:
        home = args.home or pathlib.Path(directory) / "home"
        if not home.exists():
            begun = time.monotonic()
            said = subprocess.run([example, home, "--rows", args.rows, "--columns", args.columns], check=True, stdout=subprocess.PIPE, text=True)
            print(f"{said.stdout.splitlines()[0]}, made in {time.monotonic() - begun:.0f} s", flush=True)
        server = Server(args.target / "server", home)
        try:
            result = {"addresses": one_by_one(server, args.times)}
            if args.seconds:
                result["viewers"] = viewers(server, home, example, args.seconds)
        finally:
            server.stop()
    if args.mlflow:
        subprocess.run([ROOT / "bench" / "peers" / "setup", "mlflow"], check=True)
        peer = [ROOT / ".venv-mlflow" / "bin" / "python", ROOT / "bench" / "peers" / "mlflow_ui.py", "--target", args.target]
        subprocess.run(peer, check=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
