"""The performance report as its callers get it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from swarmtally.app import App, open_app
from swarmtally.domain.errors import InvalidInput, NotFound
from swarmtally.settings import Settings
from swarmtally.store.explanations import QUERIES
from swarmtally_tools.performance import PerformanceView, performance_report
from tests.insight.figures_writer import PROJECT


@asynccontextmanager
async def app_over(folder: Path) -> AsyncIterator[App]:
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather("mcp", db=str(folder / "swarm.db"), project=PROJECT, environ={}, cwd=folder)
    )
    async with open_app(settings) as app:
        yield app


async def reported(app: App, **given: Any) -> PerformanceView:
    view = await performance_report.call(app, given)
    assert isinstance(view, PerformanceView)
    return view


async def test_on_a_fresh_database_every_figure_is_null_with_its_reason(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        for form in ("summary", "detailed", "json"):
            view = await reported(app, format=form, explain=list(QUERIES)[:20])
            assert set(view.n.values()) == {0}
            for name in view.n:
                assert getattr(view, name) is None, name
                assert view.reasons[name], name
            for trend in view.trends.values():
                assert set(trend.figures.values()) == set(trend.change.values()) == {None}
                assert set(trend.reasons) == set(trend.figures)
            for of, spreads in (("latency_ms", view.latency_ms), ("durations_s", view.durations_s)):
                for kind, spread in spreads.items():
                    assert set(spread.model_dump(exclude={"n"}).values()) == {None}
                    assert view.reasons[f"{of}.{kind}"]
            assert set(view.resources.model_dump(exclude={"samples", "processes", "time"}).values()) == {None}
            assert (view.resources.time, bool(view.reasons["resources"])) == ({}, True)
            assert {(each.value, each.rows) for each in view.explained if each.figure != "tasks_ended"} == {(None, 0)}
            assert (view.runs, view.timeline, view.intervals, view.basis) == ([], [], {}, {})


async def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        with pytest.raises(InvalidInput, match="no query gives a figure 'speed'"):
            await reported(app, explain=["speed"])
        with pytest.raises(NotFound, match="no swarm 's_x'"):
            await reported(app, swarm_id="s_x")


WRITERS = 3


def without_late(view: PerformanceView) -> PerformanceView:
    """The report but for messages whose arrival is written down with the call that follows, a moment later."""
    late = ("data_transfer", "coordination")
    kept = {kind: latency for kind, latency in view.latency_ms.items() if kind not in late}
    reasons = {name: why for name, why in view.reasons.items() if not name.endswith(late)}
    return view.model_copy(update={"latency_ms": kept, "reasons": reasons})


async def test_reports_while_several_processes_write_are_each_of_one_state(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        command = [sys.executable, "-m", "tests.insight.figures_writer", str(tmp_path / "swarm.db")]
        root = Path(__file__).parents[2]
        children = [
            await anyio.open_process([*command, f"w{number}"], stdin=subprocess.PIPE, cwd=root)
            for number in range(WRITERS)
        ]
        seen: list[PerformanceView] = []
        explain = [
            "success_rate",
            "tasks_ended",
            "retry_rate",
            "makespan_s",
            "agent_utilisation",
            "latency_ms.status_update",
        ]
        with anyio.fail_after(60):
            while any(child.returncode is None for child in children):
                view = await reported(app, timeframe="all", explain=explain, format="detailed")
                for each in view.explained:
                    name = each.figure.partition(".")[2]
                    n = view.latency_ms[name].n if name else view.n[each.figure]
                    assert n == each.rows, each
                    if not name:
                        assert getattr(view, each.figure) == each.value, each
                seen.append(view)
        assert [child.returncode for child in children] == [0] * WRITERS
        assert len({view.tasks_ended for view in seen}) > 2
        # Whatever was written since, what was said of a moment stays.
        for view in (seen[0], seen[len(seen) // 2], seen[-1]):
            again = await reported(app, timeframe="all", explain=explain, format="detailed", as_of=view.as_of)
            assert without_late(again) == without_late(view)
        last = await reported(app, timeframe="all")
        assert last.tasks_ended == last.n["success_rate"] == WRITERS * 10 * 8
        for child in children:
            await child.aclose()
