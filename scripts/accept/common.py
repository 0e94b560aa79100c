"""What the acceptance scripts share: lines that pass or fail, and ways to look at a home.

Standard library only. A script registers its lines with @line and calls main():

    @line("again: under 2 s, nothing retrained")
    def again(lab):
        ...
        return "1.2 s"          # the figure; raise Failed, or fail check(), and the line has failed
"""

import argparse
import base64
import inspect
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES = []


class Failed(Exception):
    """The line is not met; the text says what was seen instead."""


class Skipped(Exception):
    """The line cannot be tried on this machine."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def line(text):
    def register(function):
        LINES.append((function.__name__.replace("_", "-"), text, function))
        return function

    return register


def environment(**changes):
    """The caller's environment without what would steer Rungs; None removes a variable."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RUNGS_")}
    env.pop("CARGO_TARGET_DIR", None)
    # Set by make; the clone's own make must not take it for its own.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        env.pop(name, None)
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = str(value)
    return env


def run(*command, cwd=None, env=None, timeout=3600, ok=None):
    """Runs to the end; ok = the exit statuses that are no failure (None: any)."""
    command = [str(part) for part in command]
    result = subprocess.run(
        command, cwd=cwd, env=env or environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=timeout,
    )
    if ok is not None and result.returncode not in ok:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-12:])
        raise Failed(f"`{' '.join(command)}` ended with status {result.returncode}:\n{tail}")
    return result


def paragraph(result, names, statuses):
    """The message is one paragraph on stderr, names what it must, and the status is right."""
    text = result.stderr.strip()
    check(result.returncode in statuses, f"status {result.returncode}: {text[-400:]}")
    check(text and "panicked" not in text and "\n\n" not in text, f"not one paragraph: {text[-400:]!r}")
    for name in names:
        check(name.lower() in text.lower(), f"the message does not say {name!r}: {text[-400:]}")
    return text


class Lab:
    """A working directory, the programs, and the homes that several lines look at."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.bin = ROOT / "target" / "release"
        self.state = {}

    def runner(self, *arguments, home, ok=(0,), env=None, timeout=3600):
        return run(self.bin / "runner", *arguments, "--home", home, cwd=ROOT, ok=ok, env=env, timeout=timeout)

    def json(self, *arguments, home, **options):
        return json.loads(self.runner(*arguments, "--json", home=home, **options).stdout)

    def directory(self, name):
        path = self.work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


# ---- tests

def tests_called(pattern):
    listed = run("cargo", "nextest", "list", "--workspace", "--message-format", "json", cwd=ROOT, ok=(0,))
    suites = json.loads(listed.stdout)["rust-suites"].values()
    return sorted({name for suite in suites for name in suite["testcases"] if re.search(pattern, name)})


def run_tests(names, data=False):
    """data: with the real data that RUNGS_TEST_DATA names."""
    expression = " | ".join(f"test(={name})" for name in names)
    kept = {"RUNGS_TEST_DATA": os.environ["RUNGS_TEST_DATA"]} if data and "RUNGS_TEST_DATA" in os.environ else {}
    run("cargo", "nextest", "run", "--workspace", "-E", expression, cwd=ROOT, env=environment(**kept), ok=(0,))


# ---- looking at a home's files, which are the truth

def attempts(home, run_key):
    """{attempt number: its events}; a torn last line is normal."""
    found = {}
    for path in (pathlib.Path(home) / "runs" / run_key).glob("attempt-*.jsonl"):
        events = []
        for text in path.read_text(errors="replace").splitlines():
            try:
                events.append(json.loads(text))
            except json.JSONDecodeError:
                break
        found[int(path.stem.split("-")[1])] = events
    return dict(sorted(found.items()))


def run_keys(home):
    runs = pathlib.Path(home) / "runs"
    return sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []


def events_of(home, run_key, kind):
    return [e for events in attempts(home, run_key).values() for e in events if e.get("kind") == kind]


def series_of(home, run_key, metric):
    """{step: value}; a later attempt supersedes the points it did again."""
    points = {}
    for events in attempts(home, run_key).values():
        for event in events:
            if event.get("kind") == "started":
                points = {step: value for step, value in points.items() if step < event["step"]}
            elif event.get("kind") == "metrics":
                for i, value in enumerate(event["values"].get(metric, [])):
                    points[event["step0"] + i] = value
    return points


def unfinished_write(home, known):
    """A file in some checkpoints/ that does not have its final name yet, and is not known."""
    for directory in home.glob("runs/*/checkpoints"):
        for name in os.listdir(directory):
            path = directory / name
            if not name.endswith(".safetensors") and path not in known:
                return path
    return None


def programs_of(home, name):
    """Process ids of the programs called `name` whose command line or RUNGS_HOME names this home."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if not words or os.path.basename(words[0].decode(errors="replace")) != name:
                continue
            words += (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(home).encode() in word for word in words[1:]):
            found.append(int(entry.name))
    return found


def kill(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def stop(process):
    """Ends a program of ours that a line started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, timeout=30):
    with urllib.request.urlopen(url, timeout=timeout) as response:
        return response.status, response.headers.get_content_type(), response.read()


def wait_for(url, seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            return fetch(url, 5)
        except OSError as error:
            if time.monotonic() > end:
                raise Failed(f"{url} did not answer within {seconds} s: {error}") from error
            time.sleep(0.1)


class Mounted:
    """A small file system of our own; needs root. The programs of ours on it are gone when it is."""

    def __init__(self, path, options):
        self.path, self.options = path, options

    def __enter__(self):
        if os.getuid() != 0 or run("mount", "-t", "tmpfs", "-o", self.options, "tmpfs", self.path).returncode != 0:
            raise Skipped("mounting a small file system needs root")
        return self.path

    def __exit__(self, *_):
        for name in ("runner", "trainer"):
            kill(programs_of(self.path, name))
        time.sleep(0.2)
        run("umount", "-l", self.path)


# ---- a real browser, through the WebDriver protocol

class Browser:
    def __init__(self, work):
        if not shutil.which("chromium") or not shutil.which("chromedriver"):
            raise Skipped("chromium and chromedriver are not installed (scripts/setup-test-tools)")
        self.base = f"http://127.0.0.1:{(port := free_port())}"
        self.profile = tempfile.mkdtemp(dir=work)
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(self.base + "/status")
            arguments = [
                "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
                "--disable-component-update", "--disable-quic", "--hide-scrollbars", "--window-size=1280,1600", f"--user-data-dir={self.profile}",
            ] + (["--no-sandbox"] if os.getuid() == 0 else [])
            capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}}
            self.session = self._call("POST", "/session", {"capabilities": capabilities})["sessionId"]
        except BaseException:
            stop(self.driver)
            raise

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            self.base + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]

    def open(self, url):
        self._call("POST", f"/session/{self.session}/url", {"url": url})

    def js(self, script, *arguments):
        return self._call("POST", f"/session/{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self._call("POST", f"/session/{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width, height):
        """Of the page, not of the window around it."""
        for _ in range(2):
            frame = self.js("return [window.outerWidth - window.innerWidth, window.outerHeight - window.innerHeight]")
            size = {"width": int(width + frame[0]), "height": int(height + frame[1])}
            self._call("POST", f"/session/{self.session}/window/rect", size)

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self._call("GET", f"/session/{self.session}/screenshot")))

    def close(self):
        try:
            self._call("DELETE", f"/session/{self.session}")
        except OSError:
            pass
        stop(self.driver)
        shutil.rmtree(self.profile, ignore_errors=True)


# ---- the script itself

def main(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("lines", nargs="*", metavar="LINE", help="only these (default: all, in order)")
    parser.add_argument("--list", action="store_true", help="names of the lines")
    parser.add_argument("--work", metavar="DIR", help="keep the homes there and use those of an earlier call")
    arguments = parser.parse_args()
    if arguments.list:
        for name, text, _ in LINES:
            print(f"{name:20} {text}")
        return 0
    unknown = set(arguments.lines) - {name for name, _, _ in LINES}
    if unknown:
        parser.error(f"no line is called {', '.join(sorted(unknown))}; see --list")

    work = pathlib.Path(arguments.work or tempfile.mkdtemp(prefix="rungs-accept-")).resolve()
    work.mkdir(parents=True, exist_ok=True)
    lab = Lab(work)
    counts = {"pass": 0, "FAIL": 0, "skip": 0}
    try:
        for name, text, function in LINES:
            if arguments.lines and name not in arguments.lines:
                continue
            start = time.monotonic()
            print(f"      {name}: {text} ...", end="\r" if sys.stdout.isatty() else "\n", flush=True)
            try:
                verdict, figure = "pass", function(lab) or ""
            except Failed as failure:
                verdict, figure = "FAIL", str(failure)
            except Skipped as reason:
                verdict, figure = "skip", str(reason)
            except Exception as error:  # an unexpected shape of an answer is a failure of the line too
                where = traceback.extract_tb(error.__traceback__)[-1]
                verdict, figure = "FAIL", f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            counts[verdict] += 1
            figure = inspect.cleandoc(figure).replace("\n", "\n        ")
            print(f"{verdict}  {name}: {text}\n        {figure}   [{time.monotonic() - start:.0f} s]", flush=True)
    finally:
        if not arguments.work:
            shutil.rmtree(work, ignore_errors=True)
    skipped = f", {counts['skip']} skipped" if counts["skip"] else ""
    print(f"\n{counts['pass']} passed, {counts['FAIL']} failed{skipped}")
    return 1 if counts["FAIL"] else 0
