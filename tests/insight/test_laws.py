"""What must not change a figure does not, and what must change it does so exactly."""

import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.retention import Retention
from swarmtally.insight.figures import Figures
from swarmtally.insight.performance import Report
from tests.insight.history import NOW_NS, Given, History, MadeUp, database_of, reported

RANDOMS = st.integers(0, 2**32).map(random.Random)
"""Chance of hypothesis's own kind makes pasts in which too little happens."""

SLACK = settings(max_examples=12, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))

LENGTHS = ("exec_ns", "interval_ns", "cpu_ns", "store_ns", "scheduling_ns", "backends_ns", "rest_ns")


async def seen(history: History, empty: Path, **given: Any) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        async with database_of(history, empty, Path(folder, "swarm.db")) as database:
            return await reported(database, explain=(), **given)


def told(figures: Figures) -> dict[str, object]:
    """Everything about figures, with what floats lose by being added in another order."""
    return {
        name: (
            None if figure.value is None else pytest.approx(figure.value, rel=1e-9),
            figure.n,
            figure.reason,
            None if figure.interval is None else pytest.approx(figure.interval, rel=1e-6),
        )
        for name, figure in figures.items()
    }


def exactly(figures: Figures) -> dict[str, object]:
    return {name: (figure.value, figure.n, figure.reason, figure.interval) for name, figure in figures.items()}


def assert_same(one: Report, other: Report) -> None:
    assert exactly(one.figures) == told(other.figures)
    assert one.spreads == other.spreads
    assert dict(one.resources) == dict(other.resources)
    for name, pair in one.trends.items():
        assert [exactly(each) for each in pair] == [told(each) for each in other.trends[name]]
    assert [row["run_id"] for row in one.runs] == [row["run_id"] for row in other.runs]


def without(history: History, dropped: Callable[[Given], bool]) -> History:
    return History([(table, given) for table, given in history.rows if not dropped(given)], history.ended)


def mentions(*names: str) -> Callable[[Given], bool]:
    def found(given: Given) -> bool:
        return any(name in str(value) for name in names for value in given.values())

    return found


@SLACK
@given(draw=RANDOMS)
def test_the_order_in_which_rows_were_written_changes_nothing(draw: random.Random, empty: Path) -> None:
    history = MadeUp(draw).before
    shuffled = list(history.rows)
    draw.shuffle(shuffled)

    async def check() -> None:
        assert_same(await seen(history, empty), await seen(replace(history, rows=shuffled), empty))

    anyio.run(check)


@SLACK
@given(draw=RANDOMS)
def test_the_rows_of_another_swarm_change_nothing_about_a_swarm(draw: random.Random, empty: Path) -> None:
    history = MadeUp(draw).before
    if not any(table == "swarm" and given["swarm_id"] == "p0" for table, given in history.rows):
        history.swarm("p0", "p")
    # Calibrations are made for the whole project.
    shared = [g["run_id"] for table, g in history.rows if table == "run" and g["kind"] == "calibration"]
    alone = without(history, lambda given: mentions("p1")(given) and not mentions(*shared)(given))

    async def check() -> None:
        assert_same(await seen(history, empty, swarm_id="p0"), await seen(alone, empty, swarm_id="p0"))

    anyio.run(check)


@SLACK
@given(draw=RANDOMS)
def test_the_rows_of_another_project_change_nothing(draw: random.Random, empty: Path) -> None:
    history = MadeUp(draw).before
    alone = without(history, lambda given: given.get("project") == "q" or mentions("q0", "q1", "ion_q")(given))

    async def check() -> None:
        assert_same(await seen(history, empty), await seen(alone, empty))

    anyio.run(check)


@SLACK
@given(draw=RANDOMS)
def test_doubling_every_duration_doubles_makespans_and_leaves_efficiency(draw: random.Random, empty: Path) -> None:
    history = MadeUp(draw).before

    def later(name: str, value: Any) -> Any:
        if not name.endswith("_ns") or not isinstance(value, int) or (value < 10**12 and name not in LENGTHS):
            return value
        return 2 * value if name in LENGTHS else NOW_NS - 2 * (NOW_NS - value)

    slow = History(
        [(table, {name: later(name, value) for name, value in given.items()}) for table, given in history.rows],
        {run_id: (status, later("_ns", at_ns)) for run_id, (status, at_ns) in history.ended.items()},
    )

    async def check() -> None:
        once, twice = await seen(history, empty), await seen(slow, empty)
        before, after = once.figures, twice.figures
        for name in ("makespan_s", "work_s", "critical_path_s"):
            value = before[name].value
            assert after[name].value == (None if value is None else pytest.approx(2 * value, rel=1e-9))
        for name in ("parallelism", "schedule_efficiency", "success_rate", "retry_rate", "tasks_ended"):
            value = before[name].value
            assert (after[name].value, after[name].n) == (
                None if value is None else pytest.approx(value, rel=1e-9),
                before[name].n,
            )
        for name, spread in once.spreads.items():
            assert twice.spreads[name].max_ns == (None if spread.max_ns is None else 2 * spread.max_ns)

    anyio.run(check)


def ended_run(failed: int) -> History:
    history = History()
    history.project("p")
    history.run("r", "p", "s", NOW_NS - 99)
    for number in range(3 + failed):
        status = "succeeded" if number < 3 else "failed"
        history.task(f"t{number}", "r", status)
        history.attempt(f"t{number}", 1, status, NOW_NS - 90, committed_ns=NOW_NS - 50, exec_ns=10, final=1)
    history.ended["r"] = ("failed", NOW_NS - 40)
    return history


async def test_removing_a_failed_task_changes_the_success_rate_exactly(empty: Path) -> None:
    rates = [(await seen(ended_run(failed), empty)).figures["success_rate"] for failed in (2, 1, 0)]
    assert [(rate.value, rate.n) for rate in rates] == [(3 / 5, 5), (3 / 4, 4), (1.0, 3)]


def with_messages(days: dict[str, float]) -> History:
    """Runs that took a second so many days ago, each with a message of half a second."""
    history = History()
    history.project("p")
    history.swarm("s", "p")
    history.agent("a", "s", 1, None)
    for run_id, ago in days.items():
        at_ns = NOW_NS - round(ago * 86_400 * NS_PER_S)
        history.run(run_id, "p", "s", at_ns)
        history.task(f"t_{run_id}", run_id, "succeeded")
        history.attempt(f"t_{run_id}", 1, "succeeded", at_ns, committed_ns=at_ns + NS_PER_S, exec_ns=NS_PER_S, final=1)
        history.message(
            "data_transfer", "p", "s", run_id, f"t_{run_id}", sent_ns=at_ns, received_ns=at_ns + NS_PER_S // 2
        )
        history.call(run_id, f"t_{run_id}", 1, at_ns + NS_PER_S)
        history.sample("p", at_ns)
        history.ended[run_id] = ("succeeded", at_ns + NS_PER_S)
    return history


async def test_what_is_kept_no_longer_is_null_with_the_reason_and_the_rest_stays(empty: Path, tmp_path: Path) -> None:
    history = with_messages({"old": 20, "middle": 10, "new": 2})
    history.project("q")
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        for timeframe in ("all", "15d", "3d"):
            assert (await reported(database, timeframe=timeframe)).gone == {}
        before = {timeframe: await reported(database, timeframe=timeframe) for timeframe in ("all", "15d", "3d")}
        await Bookkeeper(database, database.clock, Retention(runs_days=15, details_days=7)).delete_old()
        after = {timeframe: await reported(database, timeframe=timeframe) for timeframe in ("all", "15d", "3d")}
        # Of the last three days everything is kept.
        assert_same(replace(after["3d"], trends={}), replace(before["3d"], trends={}))
        # Of fifteen days the runs are, messages and samples are not.
        assert exactly(after["15d"].figures) == told(before["15d"].figures)
        assert after["15d"].spreads["transfers"].n == 0
        assert before["15d"].spreads["transfers"].n == 2
        assert set(after["15d"].gone) == {"messages", "samples"}
        assert "2023-11-04" in after["15d"].gone["messages"]
        # Of all time some runs are gone.
        assert {figure.value for figure in after["all"].figures.values()} == {None}
        assert all("kept no longer" in str(figure.reason) for figure in after["all"].figures.values())
        assert {spread.n for spread in after["all"].spreads.values()} == {0}
        assert {each.value for each in after["all"].explained} == {None}
        assert (await reported(database, project="q")).gone == {}


async def test_what_another_swarm_lost_makes_no_figure_of_a_swarm_unknown(empty: Path, tmp_path: Path) -> None:
    history = with_messages({"old": 20, "new": 2})
    history.swarm("other", "p")
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        await Bookkeeper(database, database.clock, Retention(runs_days=15, details_days=7)).delete_old()
        assert set((await reported(database, swarm_id="other")).gone) == {"samples"}


async def test_a_window_counts_what_ends_with_it_and_not_what_ended_as_it_began(empty: Path) -> None:
    history = with_messages({"r": 2})
    end_ns = NOW_NS - 2 * 86_400 * NS_PER_S + NS_PER_S
    before, at, after = (iso(end_ns + seconds * NS_PER_S) for seconds in (-10, 0, 10))
    counted = (await seen(history, empty, timeframe=f"{before}/{at}")).figures
    assert [counted[name].n for name in ("tasks_ended", "makespan_s", "retry_rate")] == [1, 1, 1]
    passed = (await seen(history, empty, timeframe=f"{at}/{after}")).figures
    assert [passed[name].n for name in ("tasks_ended", "makespan_s", "retry_rate")] == [0, 0, 0]
