"""token_usage over many recorded calls, within 1 s over a week's; beside it raw sqlite3 adding up nothing but their
tokens."""

import tempfile
import time
from pathlib import Path

import anyio

from benchmarks.figures_database import PROJECT, Template, build, seconds
from swarmtally.app import open_app
from swarmtally.settings import Settings
from swarmtally_tools.tokens import TokensView, token_usage

LIMIT_S = 1.0


def run(smoke: bool) -> list[str]:
    tasks = 20_000 if smoke else 1_000_000
    lines = []
    for what, template, count in (
        ("runs of 38 tasks", Template(64, 38), tasks),
        ("runs of one task", Template(256, 1), tasks // 10),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "swarm.db")
            runs = build(path, count, template)
            raw = _raw(path)
            lines.append(f"{count} tasks in {runs} {what}; raw sqlite3, all tokens only {raw:6.3f} s")
            lines += anyio.run(_counted, path, raw)
    return lines


async def _counted(path: Path, raw: float) -> list[str]:
    lines = []
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather("shell", db=str(path), project=PROJECT, environ={}, cwd=path.parent)
    )
    async with open_app(settings) as app:
        for timeframe, group in (("7d", "operation"), ("7d", "mode"), ("all", "operation"), ("all", "agent")):
            times = []
            for _ in range(3):
                started = time.perf_counter()
                view = await token_usage.call(app, {"timeframe": timeframe, "group_by": group})
                times.append(time.perf_counter() - started)
            assert isinstance(view, TokensView)
            median = sorted(times)[1]
            kept = "held" if median <= LIMIT_S else "NOT HELD"
            lines.append(
                f"  {timeframe:3} by {group:9} {view.calls:8} calls {median:6.3f} s; limit {LIMIT_S:.0f} s {kept};"
                f" ratio to raw over all {median / raw:5.2f}"
            )
    return lines


def _raw(path: Path) -> float:
    return seconds(
        path,
        "SELECT SUM(input_tokens + output_tokens) FROM run JOIN usage ON usage.run_id = run.run_id"
        " WHERE run.project = ?",
    )
