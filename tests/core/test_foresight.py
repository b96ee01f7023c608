"""Runs whose tasks' durations are expected: what the real scheduler starts first, and what history it takes."""

from pathlib import Path

from swarmtally.domain.clock import SystemClock
from swarmtally.domain.task import NewTask, TaskStatus
from swarmtally.preparing import expecting
from tests.core.harness import ScriptedBackend, swarmed, task

LONG_LAST = (task("a"), task("b", "a"), task("c", "b"), task("long"))


def expected(*durations: int) -> list[NewTask]:
    return [task(one.key, *one.depends_on, expected_ns=ns) for one, ns in zip(LONG_LAST, durations, strict=True)]


async def test_what_is_expected_to_take_longest_starts_first(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*expected(1, 1, 1, 9))
        assert swarm.backend.order == ["long", "a", "b", "c"]


async def test_tasks_beside_each_other_start_by_what_is_expected_too(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=2, together=2)) as swarm:
        plan = [task(f"t{ns}", expected_ns=ns) for ns in (1, 9, 5, 7)]
        await swarm.run(*plan)
        assert swarm.backend.order[:2] == ["t9", "t7"]


async def test_without_expectations_the_longest_chain_of_tasks_starts_first(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*LONG_LAST)
        assert swarm.backend.order == ["a", "b", "c", "long"]


async def test_priority_goes_before_what_is_expected(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*expected(1, 1, 1, 9), task("urgent", priority=1, expected_ns=1))
        assert swarm.backend.order == ["urgent", "long", "a", "b", "c"]


async def test_what_was_expected_and_the_order_made_of_it_are_recorded(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*expected(1, 1, 1, 9))
        rows = await swarm.rows("SELECT key, place, expected_ns FROM task ORDER BY ordinal")
        assert [tuple(row) for row in rows] == [("a", 2, 1), ("b", 3, 1), ("c", 4, 1), ("long", 1, 9)]


async def test_a_mode_without_enough_finished_tasks_is_expected_to_take_nobody_knows_how_long(tmp_path: Path) -> None:
    clock = SystemClock()
    plan = [task("x", mode="coder"), task("y", mode="tester"), task("z", mode="coder", expected_ns=7)]
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        assert await expecting(swarm.database, clock, "test", plan) == tuple(plan)
        found = await swarm.run(*(task(f"t{number}") for number in range(3)), task("one", mode="tester"))
        assert {one.status for one in found.values()} == {TaskStatus.SUCCEEDED}
        took = sorted(
            row["exec_ns"]
            for row in await swarm.rows("SELECT exec_ns FROM attempt JOIN task USING (task_id) WHERE mode = 'coder'")
        )
        made = await expecting(swarm.database, clock, "test", plan)
        assert [one.expected_ns for one in made] == [took[1], None, 7]
        assert await expecting(swarm.database, clock, "other", plan) == tuple(plan)
