"""performance_report over many recorded tasks in a process of its own, within 1 s and 200 MB beyond what its imports
take; beside it raw sqlite3 counting the success rate straight over the attempts."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures_database import Template, build, seconds

LIMIT_S = 1.0
LIMIT_MB = 200.0

_CHILD = """
import json, resource, sys, time
from pathlib import Path
import anyio, numpy
import swarmtally.insight.performance
import swarmtally_tools.performance as tools
from swarmtally.app import open_app
from swarmtally.settings import Settings

def peak_mb():
    # ru_maxrss keeps what the parent held when it forked; the kernel's mark does not.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)

async def main(path, timeframe, form):
    settings = Settings.gather("shell", db=path, project="p", environ={}, cwd=Path("/"))
    async with open_app(settings) as app:
        imported = peak_mb()
        times = []
        for _ in range(5):
            started = time.perf_counter()
            view = await tools.performance_report.function(app, format=form, timeframe=timeframe)
            times.append(time.perf_counter() - started)
        print(json.dumps({"first": times[0], "median": sorted(times)[2], "mb": peak_mb() - imported,
                          "tasks": view.tasks_ended, "success": view.success_rate}))

anyio.run(main, *sys.argv[1:])
"""


def run(smoke: bool) -> list[str]:
    tasks = 20_000 if smoke else 1_000_000
    lines = []
    # The smallest runs there are: as many measures as tasks.
    for what, template, count in (
        ("runs of 38 tasks", Template(64, 38), tasks),
        ("runs of one task", Template(256, 1), tasks // 10),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "swarm.db")
            runs = build(path, count, template)
            lines.append(f"{count} tasks in {runs} {what}, {path.stat().st_size / 2**20:.0f} MB")
            raw = _raw(path)
            lines.append(f"  raw sqlite3, success rate only      {raw:6.3f} s")
            for timeframe, form in (("all", "summary"), ("all", "json"), ("24h", "summary")):
                seen = _report(path, timeframe, form)
                kept = seen["first"] <= LIMIT_S and seen["mb"] <= LIMIT_MB
                lines.append(
                    f"  report {timeframe:4} {form:8} first {seen['first']:6.3f} s, then {seen['median']:6.3f} s,"
                    f" {seen['mb']:5.0f} MB; limits {LIMIT_S:.0f} s, {LIMIT_MB:.0f} MB"
                    f" {'held' if kept else 'NOT HELD'}; ratio to raw {seen['first'] / raw:5.2f}"
                )
    return lines


def _raw(path: Path) -> float:
    return seconds(
        path,
        "SELECT AVG(attempt.status = 'succeeded'), COUNT(*) FROM run JOIN task ON task.run_id = run.run_id"
        " JOIN attempt ON attempt.task_id = task.task_id WHERE run.project = ? AND final",
    )


def _report(path: Path, timeframe: str, form: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), timeframe, form], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
