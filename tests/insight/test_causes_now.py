"""What is not lost is not ranked: what was raised since, tasks that only look like a chain, time counted elsewhere."""

from dataclasses import replace

import pytest

from swarmtally.domain.run import BackendChoice
from swarmtally.domain.swarm import Strategy
from swarmtally.insight.study import Cause
from swarmtally.store.database import Database
from tests.core.harness import task
from tests.insight.planting import Limits, Planted, Try, in_turn, plant
from tests.insight.test_causes import CODERS, analysed


def shifted(planted: list[Planted], seconds: float) -> list[Planted]:
    return [
        replace(
            each,
            tries=tuple(replace(one, ready=one.ready + seconds, claimed=one.claimed + seconds) for one in each.tries),
        )
        for each in planted
    ]


def coders(first: int, end: int) -> dict[int, str]:
    return dict.fromkeys(range(first, end), "coder")


def tasks(number: int, places: int, took: float = 10, at: float = 0) -> list[Planted]:
    return shifted(in_turn([task(f"t{each}") for each in range(number)], places, took), at)


async def causes(database: Database) -> dict[str, Cause]:
    found = await analysed(database)
    assert found.replay_error == pytest.approx(0, abs=1e-6)
    return {cause.name: cause for cause in found.causes}


async def test_agents_that_were_added_since_are_not_credited_again(database: Database) -> None:
    await plant(database, Limits(16, 4), tasks(8, 4), coders(0, 4))
    await plant(database, Limits(16, 8), tasks(8, 8, at=100), coders(4, 8), run=2, at=100)
    assert "agent_starvation" not in await causes(database)


async def test_what_more_agents_gain_is_held_against_those_that_hold_by_now(database: Database) -> None:
    await plant(database, Limits(16, 2), tasks(8, 2), coders(0, 2))
    await plant(database, Limits(16, 4), tasks(8, 4, at=100), coders(2, 4), run=2, at=100)
    cause = (await causes(database))["agent_starvation"]
    # 40 s and 20 s were recorded; with 4 agents both take 20 s, with 8 both take 10 s.
    assert "at most 4 agents" in cause.summary
    assert cause.what_if is not None
    assert (cause.lost_ns / 1e9, cause.what_if.makespan_ns / 1e9) == (20, 20)
    assert cause.what_if.saved_ns(60 * 10**9) / 1e9 == 20


async def test_calls_at_once_that_were_raised_since_are_not_credited_again(database: Database) -> None:
    await plant(database, Limits(2), tasks(8, 2), CODERS)
    await plant(database, Limits(8), tasks(8, 8, at=100), {}, run=2, at=100)
    assert "backend_saturation" not in await causes(database)


async def test_calls_at_once_that_were_lowered_since_are_raised_from_there(database: Database) -> None:
    await plant(database, Limits(8), tasks(8, 8), CODERS)
    await plant(database, Limits(2), tasks(8, 2, at=100), {}, run=2, at=100)
    cause = (await causes(database))["backend_saturation"]
    assert cause.lost_ns / 1e9 == 30
    assert cause.what_if is not None
    assert cause.what_if.change == "8 calls at once instead of 2"


async def test_agents_and_calls_that_were_both_raised_since_are_not_credited_again(database: Database) -> None:
    await plant(database, Limits(2, 2), tasks(8, 2), coders(0, 2))
    await plant(database, Limits(8, 8), tasks(8, 8, at=100), coders(2, 8), run=2, at=100)
    assert await causes(database) == {}


async def test_a_role_that_was_added_to_since_is_not_credited_again(database: Database) -> None:
    limits = Limits(8, 1, strategy=Strategy.SPECIALIZED)
    await plant(database, limits, tasks(4, 1), {0: "coder"})
    assert "role_shortage" in await causes(database)
    await plant(database, replace(limits, max_agents=4), tasks(4, 4, at=100), coders(1, 4), run=2, at=100)
    assert "role_shortage" not in await causes(database)


async def test_clients_of_a_run_that_had_nothing_to_wait_for_tell_nothing(database: Database) -> None:
    host = Limits(None, 8, None, choice=BackendChoice("host", "host", None, "planted", None))
    await plant(database, host, tasks(8, 2), CODERS)
    await plant(database, host, tasks(1, 1, at=100), {}, run=2, at=100)
    assert "at most 2 packets at once" in (await causes(database))["backend_saturation"].summary


async def test_tasks_that_wait_for_nothing_are_no_chain_however_many_places_there_are(database: Database) -> None:
    for run in range(1, 5):
        roles = CODERS if run == 1 else {}
        await plant(database, Limits(40, 40), tasks(8, 8, 1, at=2 * run), roles, run=run, at=2 * run)
    assert "critical_path" not in await causes(database)


async def test_runs_that_were_made_one_after_the_other_are_no_chain(database: Database) -> None:
    # Two at a time on four agents: 17 s, of which nothing is due to a task of 2 s.
    for run in range(1, 17):
        planted = [Planted(task("t"), (Try(run % 4, run, run, 2),))]
        await plant(database, Limits(4, 4), planted, coders(0, 4) if run == 1 else {}, run=run, at=run)
    assert "critical_path" not in await causes(database)


async def test_one_task_longer_than_all_others_is_a_critical_path(database: Database) -> None:
    planted = [*tasks(3, 3), Planted(task("long"), (Try(3, 0, 0, 50),))]
    await plant(database, Limits(8), planted, CODERS)
    cause = (await causes(database))["critical_path"]
    # 50 s, and 80 s of work over four places.
    assert (cause.tasks, cause.lost_ns / 1e9) == (("long",), 30)
    assert "one task alone takes longer" in cause.summary


async def test_what_its_own_change_does_not_gain_is_not_lost(database: Database) -> None:
    planted = [*tasks(7, 7, 3), Planted(task("last"), (Try(7, 0, 0, 3.02),))]
    await plant(database, Limits(8), planted, CODERS)
    found = await analysed(database)
    assert "critical_path" in found.ruled_out
    assert found.causes == ()


async def test_the_time_of_a_lost_attempt_is_an_interruption_and_no_overhead(database: Database) -> None:
    planted = [Planted(task("t"), (Try(0, 0, 0, 40, status="lost"), Try(0, 40, 40, 10, before=1)))]
    await plant(database, Limits(), planted, CODERS)
    found = await causes(database)
    assert found["interruption"].lost_ns / 1e9 == 40
    assert found["overhead"].lost_ns / 1e9 == 1
    assert [(one.value, one.threshold, one.n) for one in found["overhead"].evidence] == [(1, 10, 1)]


@pytest.mark.parametrize("kind", ["other", None])
async def test_failures_of_other_causes_that_were_tried_again(database: Database, kind: str | None) -> None:
    planted = [*tasks(3, 3), Planted(task("t3"), (Try(3, 0, 0, 5, cause=kind, status="failed"), Try(3, 25, 25, 10)))]
    await plant(database, Limits(), planted, CODERS)
    cause = (await causes(database))["failures"]
    # Without the failed 5 s and the 20 s after them t3 ends with the others.
    assert cause.lost_ns / 1e9 == 25
    assert "1 failures that were tried again" in cause.summary
    assert [(one.figure, one.value, one.n) for one in cause.evidence] == [
        ("attempts_failed", 1, 5),
        ("waited_to_be_tried_again_s", 20, 1),
    ]
