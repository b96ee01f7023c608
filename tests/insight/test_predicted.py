"""How predictions held, counted by hand: tasks that end second by second, some inside of what was said of them."""

from pathlib import Path

import pytest

from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.insight.predicted import held
from swarmtally.insight.statistics import wilson
from tests.insight.history import NOW_NS, History, database_of, reported
from tests.insight.test_explained import assert_agree

BEGUN_NS = NOW_NS - 1_000 * NS_PER_S


def tasks(count: int, swarm_id: str = "s", history: History | None = None) -> History:
    """`count` tasks of a run, each of 1 s, that end one second apart. Every fourth was said to take longer, each to
    succeed with 80 %, and every fifth fails; nobody knows their tokens."""
    if history is None:
        history = History()
        history.project("p")
    history.swarm(swarm_id, "p")
    history.agent(f"a_{swarm_id}", swarm_id, BEGUN_NS, None)
    run_id = f"r_{swarm_id}"
    history.run(run_id, "p", swarm_id, BEGUN_NS)
    for number in range(count):
        task_id = f"t_{swarm_id}_{number}"
        history.task(task_id, run_id, "succeeded")
        end_ns = BEGUN_NS + (number + 1) * NS_PER_S
        status = "failed" if number % 5 == 0 else "succeeded"
        given = {"begun_ns": end_ns - NS_PER_S, "ended_ns": end_ns, "committed_ns": end_ns}
        history.attempt(task_id, 1, status, end_ns - NS_PER_S, final=1, exec_ns=NS_PER_S, **given)
        low, high = (2.0, 3.0) if number % 4 == 0 else (0.5, 1.0)
        history.prediction("p", run_id, task_id, "duration_s", low=low, value=low, high=high)
        history.prediction("p", run_id, task_id, "success", low=0.6, value=0.8, high=0.9)
        history.prediction("p", run_id, task_id, "tokens", low=1, value=2, high=3)
    return history


def moment(second: int) -> str:
    return iso(BEGUN_NS + second * NS_PER_S)


async def test_the_newest_fifty_of_a_window_are_counted(empty: Path, tmp_path: Path) -> None:
    async with database_of(tasks(60), empty, tmp_path / "swarm.db") as database:
        report = await reported(database)
        duration, success = report.predictions["duration_s"], report.predictions["success"]
        # Numbers 10 to 59: 12, 16 … 56 were said to take longer, 10, 15 … 55 failed.
        assert (duration.value, duration.n) == (38 / 50, 50)
        assert duration.interval == wilson(38, 50)
        assert duration.basis is not None
        assert duration.basis.startswith("the newest 50, of 1 run; those of one run share its luck")
        assert (success.value, success.n, success.interval) == (
            pytest.approx((10 * 0.8**2 + 40 * 0.2**2) / 50),
            50,
            None,
        )
        tokens = report.predictions["tokens"]
        assert (tokens.value, tokens.n, str(tokens.reason)[:21]) == (None, 0, "of nothing that ended")
        assert_agree(report)


async def test_a_window_begins_after_its_first_moment_and_holds_its_last(empty: Path, tmp_path: Path) -> None:
    async with database_of(tasks(60), empty, tmp_path / "swarm.db") as database:
        report = await reported(database, timeframe=f"{moment(10)}/{moment(40)}")
        # Those that ended in second 11 to 40: numbers 10 to 39.
        assert (report.predictions["duration_s"].value, report.predictions["duration_s"].n) == (23 / 30, 30)
        assert_agree(report)


async def test_fewer_than_twenty_are_not_enough_and_are_counted(empty: Path, tmp_path: Path) -> None:
    async with database_of(tasks(60), empty, tmp_path / "swarm.db") as database:
        few = (await reported(database, timeframe=f"{moment(10)}/{moment(29)}")).predictions["duration_s"]
        assert (few.value, few.n) == (None, 19)
        assert few.reason == "19 predictions of what ended in this time; 20 are needed"
        enough = await reported(database, timeframe=f"{moment(10)}/{moment(30)}")
        assert (enough.predictions["duration_s"].value, enough.predictions["duration_s"].n) == (15 / 20, 20)
        assert_agree(enough)


async def test_another_swarm_s_predictions_change_nothing(empty: Path, tmp_path: Path) -> None:
    history = tasks(24, "s", tasks(30, "other"))
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        mine = await reported(database, swarm_id="s")
        assert (mine.predictions["duration_s"].value, mine.predictions["duration_s"].n) == (18 / 24, 24)
        both = await reported(database)
        assert both.predictions["duration_s"].n == 50
        assert "of 2 runs" in str(both.predictions["duration_s"].basis)
        assert_agree(mine)


async def test_what_was_said_of_a_moment_stays_when_a_task_is_done_again(empty: Path, tmp_path: Path) -> None:
    async with database_of(tasks(30), empty, tmp_path / "swarm.db") as database:
        # Retried before anybody asked: the task goes on, but how it ended first is known.
        again = "UPDATE task SET status = 'running', finished_ns = NULL WHERE task_id = 't_s_29'"
        await database.write(lambda tx: tx.rows(again))
        before = await reported(database, as_of=moment(40))
        assert before.predictions["duration_s"].n == 30
        done = (
            "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, begun_ns, ended_ns,"
            " committed_ns, final, exec_ns) SELECT task_id, 2, 1, 'a', 'succeeded', :at, :at, :at, :at, 1, 9000000000"
            " FROM task WHERE task_id = 't_s_29'"
        )
        await database.write(lambda tx: tx.rows(done, {"at": BEGUN_NS + 50 * NS_PER_S}))
        after = await reported(database, as_of=moment(40))
        assert after.predictions == before.predictions
        assert_agree(after)


def test_predictions_of_runs_of_their_own_are_told_without_a_warning() -> None:
    rows = [{"value": 1.0, "low": 0.5, "high": 1.5, "actual": 1.0, "run_id": f"r{number}"} for number in range(20)]
    found = held("duration_s", rows)  # type: ignore[arg-type]
    assert (found.value, found.basis) == (1.0, "the newest 20, of 20 runs")
