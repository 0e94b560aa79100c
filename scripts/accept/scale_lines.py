"""Lines of accept-5 about size and speed: 10,000 runs, ingest beside experiment trackers, what logging costs
a step. They run the benchmarks of bench/ and hold their figures against the bounds."""

import json

from common import ROOT, check, line, run


@line("10,000 runs: planned in <= 2 s, `runner status` <= 0.3 s, the scheduler's share of a run <= 20 ms")
def scale(lab):
    report = lab.work / "scale.json"
    run(ROOT / "bench/scale.py", "--runner", lab.bin / "runner", "--json", report, ok=(0,), timeout=3600)
    found = json.loads(report.read_text())
    check(found["runs"] == 10_000, f"{found['runs']} runs")
    figure = (
        f"planned in {found['plan_new_s']:.2f} s, and in {found['plan_done_s']:.2f} s when all are done; status "
        f"{found['status_s']:.3f} s; {found['ms_per_run']:.1f} ms a run, {found['noop_trainer_ms']:.1f} ms of it the "
        f"no-op trainer's own ({found['slots']} slots); reindex {found['reindex_s']:.1f} s"
    )
    slow = found["plan_new_s"] > 2 or found["plan_done_s"] > 2 or found["status_s"] > 0.3 or found["ms_per_run"] > 20
    check(not slow, figure)
    return figure


@line("ingest >= 1,000,000 points/s on one core, <= 8 bytes a point for loss and lr of 600,000 steps; trackers beside it")
def ingest(lab):
    run(ROOT / "bench/peers/setup", "trackers", ok=(0,))
    report = lab.work / "ingest.json"
    run(ROOT / ".venv-trackers/bin/python", ROOT / "bench/peers/trackers.py", "--runner", lab.bin / "runner", "--json", report,
        ok=(0,), timeout=3600)  # fmt: skip
    found = json.loads(report.read_text())
    ours, shown = found["rungs"], []
    for name, side in found["trackers"].items():
        shown.append(f"{name} {side['problem']}" if "problem" in side else f"{name} {side['points_per_s']:,.0f}/s")
    figure = (
        f"{ours['points_per_s']:,.0f} points/s ({ours['points_per_cpu_s']:,.0f} a second of CPU time), "
        f"{ours['bytes_per_point']:.2f} bytes a point; " + ", ".join(shown)
    )
    check(min(ours["points_per_s"], ours["points_per_cpu_s"]) >= 1e6 and ours["bytes_per_point"] <= 8, figure)
    return figure


@line("the trainer's own logging costs <= 0.5 % of step time on the quick ResNet")
def logging(lab):
    recipe = lab.work / "logging.toml"
    recipe.write_text(
        'model = "resnet50"\ndataset = "fashion-mnist"\ndepths = [1, 1, 1]\nwidth = 0.25\ninput_size = 32\n'
        "replicas = 1\nbatch_size = 32\n"
    )
    log = lab.work / "logging.jsonl"
    log.unlink(missing_ok=True)
    found = json.loads(run(lab.bin / "trainer", "bench", "step", "--recipe", recipe, "--steps", "1000", "--log", log,
                           "--json", ok=(0,)).stdout)  # fmt: skip
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    points = sum(len(event["values"]["train/loss"]) for event in lines)
    check(points >= 900, f"only {points} points were logged")
    figure = f"{100 * found['logging_share']:.3f} % of {found['ms_per_step']:.2f} ms a step, {points} points in {len(lines)} events"
    check(found["logging_share"] <= 0.005, figure)
    return figure
