"""Acceptance lines of part 5: many readers, full and read-only disks, files that somebody removes or spoils."""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import urllib.error

from common import (
    Failed, Mounted, attempts, check, environment, events_of, fetch, free_port, kill, line, paragraph, programs_of, run,
    run_keys, stop, wait_for,
)
from homes import Small, as_undisturbed, weights

READERS, READ_S = 64, 600
ONE = ("reproduce", "small", "--rows", "plain", "--columns", "low")


# ---- readers


class Crowd:
    """Readers that look again and again until time is up, and what went wrong."""

    def __init__(self, seconds):
        self.end, self.looks, self.wrong, self.lock = time.monotonic() + seconds, {}, [], threading.Lock()

    def look(self, kind, act):
        while time.monotonic() < self.end and len(self.wrong) < 20:
            try:
                act()
            except (Failed, OSError, sqlite3.Error, ValueError, subprocess.SubprocessError) as error:
                with self.lock:
                    self.wrong.append(f"{kind}: {type(error).__name__}: {error}")
            with self.lock:
                self.looks[kind] = self.looks.get(kind, 0) + 1
            time.sleep(0.02)

    def run(self, kinds):
        """`kinds`: (name, action), one per reader."""
        threads = [threading.Thread(target=self.look, args=kind, daemon=True) for kind in kinds]
        for thread in threads:
            thread.start()
        return threads


def sqlite_reader(db):
    def act():
        with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*), max(attempts.started_at_ms) FROM runs JOIN attempts ON attempts.run_id = runs.id").fetchall()
            connection.execute("SELECT * FROM runs").fetchall()

    return act


def page_reader(base, paths):
    turn = itertools.cycle(paths)

    def act():
        path = next(turn)
        try:
            status, _, body = fetch(base + path, 60)
        except urllib.error.HTTPError as error:
            raise Failed(f"{path}: status {error.code}: {error.read()[:300]!r}") from error
        check(status == 200 and b"locked" not in body, f"{path}: status {status}: {body[:300]!r}")

    return act


def command_reader(small, home, commands):
    turn = itertools.cycle(commands)

    def act():
        result = small.runner(*next(turn), home=home, timeout=120)
        check("locked" not in result.stderr, result.stderr)

    return act


@line(f"{READERS} readers (commands, pages, SQLite) beside the writer for {READ_S // 60} minutes: no 'database is locked', no error")
def readers(lab):
    small = Small(lab, "readers", epochs=6)
    home, port = small.dir / "home", free_port()
    base = f"http://127.0.0.1:{port}"
    small.runner(*ONE, home=home)
    [key] = run_keys(home)
    server = subprocess.Popen(
        [lab.bin / "server", "--home", home, "--bind", f"127.0.0.1:{port}"], cwd=small.dir, env=environment(),
        stdin=subprocess.DEVNULL, stdout=open(small.dir / "server.log", "w"), stderr=subprocess.STDOUT,
    )
    try:
        wait_for(base + "/healthz")
        crowd = Crowd(READ_S)
        pages = ["/", "/tables/small", f"/runs/{key}", "/queue", f"/compare?runs={key},{key}", "/api/v1/tables/small", "/healthz"]
        commands = [("status",), ("runs",), ("show", key), ("series", key, "train/loss"), ("export", "small", "--format", "csv"), ("plan", "small")]
        kinds = [("command", command_reader(small, home, commands[n % 6:] + commands[: n % 6])) for n in range(8)]
        kinds += [("page", page_reader(base, pages[n % 7:] + pages[: n % 7])) for n in range(28)]
        kinds += [("SQLite", sqlite_reader(home / "rungs.db")) for _ in range(READERS - len(kinds))]
        threads = crowd.run(kinds)
        seeds = 1
        while time.monotonic() < crowd.end and not crowd.wrong:
            seeds += 1
            small.runner("reproduce", "small", "--seeds", seeds, home=home)
        for thread in threads:
            thread.join()
    finally:
        stop(server)
    check(not crowd.wrong, "; ".join(crowd.wrong[:5]))
    said = (small.dir / "server.log").read_text()
    check("locked" not in said and "ERROR" not in said, said[-600:])
    looks = ", ".join(f"{n} of {kind}" for kind, n in sorted(crowd.looks.items()))
    return f"{looks}; {len(run_keys(home))} runs trained meanwhile"


# ---- troubles


def fill(disk):
    """Leaves no byte free."""
    with contextlib.suppress(OSError), open(disk / "ballast", "ab", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                for _ in range(4096):
                    ballast.write(bytes(size))


def when_at_work(small, home, act, *arguments, env=None):
    """A command during which something is done as soon as a run has a checkpoint. Returns how it ended."""
    command = small.command(*arguments, home=home)
    process = subprocess.Popen(
        command, cwd=small.dir, env=env or environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    end = time.monotonic() + 60
    while not any(events_of(home, key, "checkpoint") for key in run_keys(home)):
        check(process.poll() is None and time.monotonic() < end, "no checkpoint came")
        time.sleep(0.01)
    act()
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def of_small(lab):
    """The table's folder, and its home as it is without trouble."""
    if "troubles" not in lab.state:
        small = Small(lab, "troubles", epochs=6)
        lab.state["troubles"] = small, small.undisturbed("small")
    return lab.state["troubles"]


@line("disk full in the run directories: named with the cure, no endless retry; with space again it goes on from there")
def full_runs(lab):
    small, reference = of_small(lab)
    home = lab.directory("full-runs-home")
    (home / "runs").mkdir()
    with Mounted(home / "runs", "size=64m") as disk:
        failed = when_at_work(small, home, lambda: fill(disk), "reproduce", "small")
        text = paragraph(failed, ("space", str(home / "runs")), {1, 2})
        small.runner("status", home=home)
        (disk / "ballast").unlink()
        small.runner("reproduce", "small", home=home)
        as_undisturbed(lab, home, reference)
    return text.splitlines()[-1][:300]


@line("disk full under the database: named with the cure; trainers keep what they did; with space again it goes on")
def full_database(lab):
    small, reference = of_small(lab)
    home, disk = lab.directory("full-db-home"), lab.directory("full-db")
    with Mounted(disk, "size=16m"):
        env = environment(RUNGS_DB=disk / "rungs.db")
        failed = when_at_work(small, home, lambda: fill(disk), "reproduce", "small", env=env)
        text = paragraph(failed, ("rungs.db", "full", "free"), {2})
        (disk / "ballast").unlink()
        small.runner("reproduce", "small", home=home, env=env)
        shown = json.loads(small.runner("export", "small", "--format", "json", home=home, env=env).stdout)
        check(all(cell["status"] == "done" for row in shown["rows"] for cell in row["cells"].values()), "not every cell is done")
    # The database of before is gone with its disk: from the files alone.
    as_undisturbed(lab, home, reference)
    return text.splitlines()[-1][:300]


@line("a home that became read-only: what is there can be read, what would write says why, exit 2")
def home_read_only(lab):
    small, reference = of_small(lab)
    with Mounted(lab.directory("read-only-home"), "size=64m") as disk:
        home = disk / "home"
        shutil.copytree(reference, home)
        run("mount", "-o", "remount,ro", disk, ok=(0,))
        refused = small.runner("reproduce", "other", home=home, ok=None)
        text = paragraph(refused, (str(home), "writable"), {2})
        for command in (("status",), ("runs",), ("export", "small", "--format", "csv"), ("show", run_keys(home)[0])):
            small.runner(*command, home=home)
    return text.splitlines()[-1][:300]


@line("a run's directory deleted while it trains: that run says so, the others go on, the next `reproduce` trains it anew")
def deleted_directory(lab):
    small, reference = of_small(lab)
    home, gone = lab.directory("deleted-home"), []

    def delete():
        key = next(key for key in run_keys(home) if events_of(home, key, "checkpoint"))
        gone.append(key)
        shutil.rmtree(home / "runs" / key)

    failed = when_at_work(small, home, delete, "reproduce", "small")
    text = paragraph(failed, (str(home / "runs" / gone[0]), "reproduce"), {1})
    others = set(weights(reference)) - set(gone)
    check(all(events_of(home, key, "finished") for key in others), "the other runs did not go on")
    small.runner("reproduce", "small", home=home)
    check(weights(home) == weights(reference), "other weights")
    return text.splitlines()[-1][:300]


@line("garbage in a live event file: named with file and line, everything else counts")
def garbage(lab):
    small, reference = of_small(lab)
    home, where = lab.directory("garbage-home"), []

    def spoil():
        key = next(key for key in run_keys(home) if events_of(home, key, "checkpoint"))
        [path] = (home / "runs" / key).glob("attempt-*.jsonl")
        where.append(path)
        # A program that appends to the wrong file; the trainer is asked to go on after it.
        kill(programs_of(home, "runner") + programs_of(home, "trainer"))
        with open(path, "ab") as file:
            file.write(b'\n\xff\x00garbage\n{"kind": "metrics"}\n[1, 2]\n')

    when_at_work(small, home, spoil, "reproduce", "small")
    said = small.runner("reproduce", "small", home=home).stderr
    for words in (where[0].name, "left a line out"):
        check(words in said, f"no {words!r} in: {said[-600:]}")
    # What is no event is passed over when the files are looked at, too.
    rebuilt = small.runner("reindex", "--json", home=home)
    problems = json.loads(rebuilt.stdout)["problems"]
    check(len(problems) >= 3 and all(str(where[0]) in p for p in problems), f"{problems}")
    text = where[0].read_bytes().replace(b'\xff\x00garbage\n{"kind": "metrics"}\n[1, 2]\n', b"")
    where[0].write_bytes(text)
    as_undisturbed(lab, home, reference)
    return problems[0][-200:]


@line("a database of a newer version: refused with the cure, exit 2, and left as it is")
def newer_database(lab):
    small, reference = of_small(lab)
    home = lab.work / "newer-home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(reference, home)
    with contextlib.closing(sqlite3.connect(home / "rungs.db")) as connection:
        connection.execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99990101000000, 'future', 1, x'00', 0)"
        )
        connection.commit()
    before = (home / "rungs.db").read_bytes()
    for command in (("status",), ("runs",), ("reproduce", "small"), ("export", "small", "--format", "csv")):
        text = paragraph(small.runner(*command, home=home, ok=None), ("newer", "rungs.db", "reindex"), {2})
    check((home / "rungs.db").read_bytes() == before, "the database was changed")
    # The cure that it names.
    os.rename(home / "rungs.db", home / "rungs.db.newer")
    small.runner("reindex", home=home)
    as_undisturbed(lab, home, reference)
    return text[:300]
