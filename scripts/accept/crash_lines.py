"""Acceptance lines of part 5: what SIGKILL, a power loss and a second command do to a home. Nothing, but time."""

import collections
import shutil
import subprocess
import time

import powerloss
from common import Skipped, check, environment, events_of, kill, line, programs_of, run_keys, unfinished_write
from homes import Small, as_undisturbed, attempts, chosen

BOTH = ("reproduce", "small", "students")
KILLS = 200
LOSSES = 40


def shoot(small, home, dice, kills):
    """One home, killed at random until it comes to its end, or until there were enough kills."""
    process = small.start(*BOTH, home=home)
    while sum(kills.values()) < KILLS:
        time.sleep(dice.expovariate(1 / 1.2))
        what = dice.choices(("runner", "trainer", "all", "write"), (3, 4, 2, 1))[0]
        known, end = set(home.glob("runs/*/checkpoints/*")), time.monotonic() + 3
        while (missed := what == "write" and not unfinished_write(home, known)) and time.monotonic() < end:
            time.sleep(0.0005)
        if missed:
            continue
        victims = programs_of(home, "trainer")
        if what == "trainer" and victims:
            victims = [dice.choice(sorted(victims))]
        elif what == "runner":
            victims = []
        if what in ("runner", "all"):
            victims = [process.pid, *victims]
        if process.poll() is not None:
            break
        kill(victims)
        kills[what] += bool(victims)
        if process.pid in victims and process.wait() == -9:
            process = small.start(*BOTH, home=home)
    status = process.wait()
    check(status == 0, f"reproduce ended with status {status}: {small.log.read_text()[-600:]}")


@line(f"{KILLS} random SIGKILLs of runner and trainers, teachers and students: all done, weights and points as undisturbed")
def kills(lab):
    dice, seed = chosen("RUNGS_KILL_SEED")
    small, kills, homes, resumed = Small(lab, "kills"), collections.Counter(), 0, 0
    reference = small.undisturbed(*BOTH[1:])
    while sum(kills.values()) < KILLS:
        homes += 1
        home = small.dir / f"home-{homes}"
        home.mkdir()
        shoot(small, home, dice, kills)
        resumed += as_undisturbed(lab, home, reference)
    check(resumed > 0 and len(kills) == 4, f"{resumed} resumes after {dict(kills)}")
    said = ", ".join(f"{n} of {what}" for what, n in sorted(kills.items()))
    return f"{sum(kills.values())} kills ({said}), {homes} homes of {len(run_keys(reference))} runs, {resumed} resumes; seed {seed}"


@line(f"power lost at {LOSSES} random moments: what was not fsynced is dropped, or kept as the dice fall; nothing promised is lost")
def power_loss(lab):
    if not shutil.which("strace"):
        raise Skipped("there is no strace (scripts/setup-test-tools)")
    dice, seed = chosen("RUNGS_KILL_SEED")
    small = Small(lab, "power", epochs=5)
    reference = small.undisturbed(*BOTH[1:])
    home, trace = small.dir / "home", small.dir / "trace"
    with open(small.log, "a") as log:
        command = small.command(*BOTH, home=home)
        status = powerloss.record(trace, command, cwd=small.dir, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    check(status == 0, f"under strace reproduce ended with status {status}")
    changes = list(powerloss.changes(trace, home))
    wrong = powerloss.differs(powerloss.after(changes, home))
    check(not wrong, f"the trace does not explain {wrong[:4]}")
    by_kind = collections.defaultdict(list)
    for at, change in enumerate(changes, start=1):
        by_kind[change[0]].append(at)
    kept = resumed = 0
    for loss in range(LOSSES):
        # As often after a rename, of which there are few, as after a write.
        count = dice.choice(by_kind[dice.choice(sorted(by_kind))])
        fall = dice.randrange(1 << 32) if loss % 2 else None
        disk = powerloss.after(changes[:count], home)
        promised = disk.promised(".jsonl")
        powerloss.rebuild(disk, fall)
        where = f"loss {loss}, after change {count} of {len(changes)} ({changes[count - 1][:2]}), dice {fall}"
        again = small.runner(*BOTH, home=home, ok=None)
        check(again.returncode == 0, f"{where}: status {again.returncode}: {again.stderr[-600:]}")
        for name, text in promised.items():
            there = (home / name).read_bytes() if (home / name).exists() else b""
            check(there.startswith(text), f"{where}: {name} has lost synced lines")
            kept += text.count(b"\n")
        try:
            resumed += as_undisturbed(lab, home, reference)
        except Exception as failure:
            raise type(failure)(f"{where}: {failure}") from failure
    return f"{len(changes)} changes on the disk, {LOSSES} losses, {kept} promised lines kept, {resumed} resumes; seed {seed}"


@line("two `reproduce` with overlapping tables at once on one home: shared runs trained once, both end well")
def two_commands(lab):
    dice, seed = chosen("RUNGS_KILL_SEED")
    small, rounds = Small(lab, "two", epochs=4), 6
    reference = small.undisturbed("small", "other")
    for n in range(rounds):
        home = small.dir / f"home-{n}"
        home.mkdir()
        first = small.start("reproduce", "small", home=home)
        time.sleep(dice.choice((0, 0, dice.uniform(0, 0.3), dice.uniform(0, 4))))
        second = small.start("reproduce", "other", home=home)
        status = first.wait(), second.wait()
        check(status == (0, 0), f"round {n}: they ended with {status}: {small.log.read_text()[-600:]}")
        twice = [key[:8] for key in run_keys(home) if len(attempts(home, key)) > 1 or len(events_of(home, key, "started")) > 1]
        check(not twice, f"round {n}: begun more than once: {twice}")
        as_undisturbed(lab, home, reference)
    text = small.log.read_text()
    check(text.count("Small: small") >= rounds and text.count("Small: other") >= rounds, "a command printed no table")
    return f"{rounds} rounds, {len(run_keys(reference))} runs each, 2 of them shared; seed {seed}"
