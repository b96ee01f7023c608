"""What is suggested ends what was lost, was not refused before, and is not in force already."""

from pathlib import Path

import pytest

from swarmtally.domain.run import BackendChoice
from swarmtally.domain.swarm import Strategy
from swarmtally.insight.commands import Place
from swarmtally.insight.study import WhatIf
from swarmtally.store.database import Database
from tests.core.harness import task
from tests.insight.planting import Limits, Planted, Sampled, Try, plant, sample
from tests.insight.test_causes import CODERS, analysed, place
from tests.insight.test_causes_now import causes, tasks

HOST = BackendChoice("host", "host", None, "planted", None)
LOCAL = BackendChoice("local", "local:tiny", None, "planted", None)

IN_TURN = [Planted(task(f"t{at}"), (Try(0, 0, at * 10, 10),)) for at in range(3)]
"""One agent's tasks, 30 s."""


async def what_if(database: Database, cause: str) -> WhatIf:
    found = (await causes(database))[cause].what_if
    assert found is not None
    return found


async def test_branches_that_hold_a_chain_up_alike_are_shortened_together(database: Database) -> None:
    branches = [Planted(task(f"code{at}", "plan", mode="coder"), (Try(at, 2, 2, 10),)) for at in range(4)]
    planted = [
        Planted(task("plan"), (Try(0, 0, 0, 2),)),
        *branches,
        Planted(task("done", *(each.task.key for each in branches)), (Try(0, 12, 12, 3),)),
    ]
    await plant(database, Limits(), planted, CODERS)
    cause = (await causes(database))["critical_path"]
    # A chain of 15 s, and 45 s of work over six places. One branch alone could take half as long for nothing.
    assert cause.lost_ns / 1e9 == pytest.approx(15 - 45 / 6)
    assert cause.what_if is not None
    assert cause.what_if.makespan_ns / 1e9 == 10
    assert cause.what_if.change == "the 4 tasks of mode coder that lie side by side take half as long"


async def test_what_a_chain_waited_for_locks_does_not_make_it_longer(database: Database) -> None:
    chain = [Planted(task("a"), (Try(0, 0, 0, 1, after=9),)), Planted(task("b", "a"), (Try(0, 10, 10, 1, after=9),))]
    await plant(database, Limits(), chain, CODERS)
    await sample(database, *(Sampled(at, lock_ns=1_000_000_000) for at in (*range(2, 11), *range(12, 21))))
    found = await causes(database)
    # Two calls of a second in a chain, over two places.
    assert {name: round(cause.lost_ns / 1e9, 6) for name, cause in found.items()} == {
        "lock_wait": 18,
        "critical_path": 1,
    }


def refused_with_two() -> list[Planted]:
    """Two calls are taken and two refused."""
    return [
        *tasks(2, 2),
        *(Planted(task(f"t{at}"), (Try(at, 0, 0, 1, cause="rate_limit"), Try(at, 41, 41, 10))) for at in range(2, 4)),
    ]


async def test_as_many_calls_as_were_refused_are_not_suggested_again(database: Database) -> None:
    await plant(database, Limits(8), refused_with_two(), CODERS)
    await plant(database, Limits(2), tasks(8, 2, at=100), {}, run=2, at=100)
    assert "backend_saturation" not in await causes(database)


async def test_agents_are_not_suggested_with_more_calls_than_were_refused(database: Database) -> None:
    await plant(database, Limits(8, 4), refused_with_two(), dict.fromkeys(range(4), "coder"))
    await plant(database, Limits(4, 4), tasks(16, 4, at=100), {}, run=2, at=100)
    assert not {"agents_and_backend", "backend_saturation"} & (await causes(database)).keys()


async def test_fewer_calls_that_are_in_force_by_now_are_not_suggested_again(database: Database) -> None:
    await plant(database, Limits(8), refused_with_two(), CODERS)
    assert (await what_if(database, "rate_limit")).command == "export SWARMTALLY_MAX_PARALLEL=2"
    await plant(database, Limits(2), tasks(8, 2, at=100), {}, run=2, at=100)
    assert "rate_limit" in (await analysed(database)).ruled_out


async def test_a_call_that_was_taken_just_after_a_refused_one_was_sent_counts_beside_it(database: Database) -> None:
    taken = [Planted(task(f"t{at}"), (Try(at, 0, 0, 10, before=0.5),)) for at in range(3)]
    refused = Planted(task("t3"), (Try(3, 0, 0, 1, cause="rate_limit"), Try(3, 41, 41, 10)))
    await plant(database, Limits(), [*taken, refused], CODERS)
    assert (await what_if(database, "rate_limit")).command == "export SWARMTALLY_MAX_PARALLEL=3"


async def test_waits_for_locks_end_in_a_database_of_the_project_s_own(database: Database) -> None:
    chain = [Planted(task("a"), (Try(0, 0, 0, 1, after=9),))]
    limits = Limits(max_agents=3, strategy=Strategy.SPECIALIZED)
    await plant(database, limits, chain, {0: "coder", 1: "tester", 2: "tester"})
    await sample(database, *(Sampled(at, lock_ns=1_000_000_000) for at in range(2, 11)))
    found = await what_if(database, "lock_wait")
    own = Place("test", database.path).own
    assert own.database.parent == database.path.parent
    assert own.database != database.path
    there = f" --project test --db {own.database}"
    assert found.command is not None
    assert found.command.split(" && ") == [
        f"export SWARMTALLY_DB={own.database}",
        f"swarmtally mcp swarm_init --topology star --max-agents 3 --strategy specialized{there}",
        f"swarmtally mcp agent_spawn --type coder --count 1{there}",
        f"swarmtally mcp agent_spawn --type tester --count 2{there}",
    ]
    assert (found.note or "").endswith(f"memory, agents and history stay in {database.path}")


def test_projects_of_one_name_do_not_get_the_same_database() -> None:
    one, other = (Place(project, Path("/data/swarm.db")).own for project in ("/home/a/My shop", "/home/b/My shop"))
    assert one.database.name.startswith("swarm-my-shop-")
    assert one.database.name != other.database.name
    assert one.own == one
    assert Place("…", Path("/data/swarm.db")).own.database.parent == Path("/data")


async def test_a_client_s_late_claims_end_with_the_call_that_is_named(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(0, 0, at * 40, 5),)) for at in range(3)]
    await plant(database, Limits(None, 8, None, choice=HOST), planted, CODERS)
    found = await what_if(database, "queue_wait")
    assert found.makespan_ns / 1e9 == 15
    assert found.command == (
        f"swarmtally mcp work_report --task-id TASK --lease LEASE --output TEXT --claim 1{place(database)}"
    )


async def test_overhead_is_less_with_half_as_many_tasks(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(0, 0, at * 10, 4, before=3, after=3),)) for at in range(3)]
    await plant(database, Limits(1, 1, "compute", choice=LOCAL), planted, {0: "coder"})
    found = await causes(database)
    cause = found["overhead"]
    assert cause.what_if is not None
    # 12 s of 30 are work; of 18 s of overhead half stays.
    assert (cause.lost_ns / 1e9, cause.what_if.makespan_ns / 1e9) == (18, 21)


async def test_what_locks_explain_is_no_evidence_of_overhead(database: Database) -> None:
    await plant(database, Limits(), [Planted(task("t"), (Try(0, 0, 0, 2, after=8),))], CODERS)
    await sample(database, *(Sampled(at, lock_ns=750_000_000) for at in range(3, 11)))
    evidence = (await causes(database))["overhead"].evidence
    assert [(one.value, one.threshold, one.n) for one in evidence] == [(2, 2, 1)]


async def test_memory_that_two_processes_tell_of_was_waited_for_once(database: Database) -> None:
    await plant(database, Limits(1, 1, "compute", choice=LOCAL), IN_TURN, {0: "coder"})
    owners = ("here:1:1", "here:2:2")
    await sample(database, *(Sampled(at, stall_ns=400_000_000, owner=owner) for at in range(1, 31) for owner in owners))
    cause = (await causes(database))["memory"]
    assert cause.lost_ns / 1e9 == pytest.approx(12)
    assert [one.value for one in cause.evidence if one.figure == "memory_stall_s"] == [pytest.approx(12)]


async def test_locks_that_two_processes_waited_for_did_not_hold_one_up_twice(database: Database) -> None:
    await plant(database, Limits(), [Planted(task("t"), (Try(0, 0, 0, 2, after=8),))], CODERS)
    owners = ("here:1:1", "here:2:2")
    await sample(database, *(Sampled(at, lock_ns=400_000_000, owner=owner) for at in range(3, 11) for owner in owners))
    assert (await causes(database))["lock_wait"].lost_ns / 1e9 == pytest.approx(3.2)


async def test_a_sample_of_the_time_of_two_runs_is_one_sample(database: Database) -> None:
    planted = [Planted(task("t"), (Try(0, 0, 0, 1, after=9.5),))]
    await plant(database, Limits(), planted, CODERS)
    later = [Planted(task("t"), (Try(0, 10.7, 10.7, 5),))]
    await plant(database, Limits(), later, {}, run=2, at=10.7)
    await sample(database, Sampled(10), Sampled(11, lock_ns=400_000_000))
    evidence = (await causes(database))["lock_wait"].evidence
    assert [(one.figure, one.value, one.n) for one in evidence] == [("lock_wait_s", 0.4, 2)]


async def test_what_a_task_that_failed_for_good_would_have_taken_is_not_known(database: Database) -> None:
    tries = tuple(Try(3, at * 10, at * 10, 0.1, cause="network") for at in range(4))
    await plant(database, Limits(), [Planted(task("t3"), tries)], CODERS)
    found = await analysed(database)
    assert found.causes == ()
    assert found.reasons["network"].startswith("1 tasks were tried 4 times and failed for good")


async def test_a_task_that_failed_for_good_does_not_hide_what_others_lost(database: Database) -> None:
    in_vain = tuple(Try(3, at * 10, at * 10, 0.1, cause="network") for at in range(4))
    again = (Try(1, 0, 0, 30, cause="timeout"), Try(1, 35, 35, 10))
    await plant(database, Limits(), [Planted(task("bad"), in_vain), Planted(task("late"), again)], CODERS)
    cause = (await causes(database))["network"]
    # 45 s; without the timeout the task that failed for good would have been the last, at 30.1 s.
    assert cause.lost_ns / 1e9 == pytest.approx(45 - 30.1)
