"""Runs through the real scheduler and store."""

from pathlib import Path

import anyio
import pytest

from swarmtally.core.ports import Reply
from swarmtally.domain.errors import BackendFailure, ContextExceeded, RoleMissing
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.task import TaskStatus
from swarmtally.domain.usage import TokenUsage
from tests.core.harness import ScriptedBackend, swarmed, task


async def test_tasks_run_after_what_they_need_and_see_its_artefacts(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []

    class Watching(ScriptedBackend):
        async def execute(self, prompt) -> Reply:  # type: ignore[no-untyped-def]
            seen.append(prompt.parts)
            return await super().execute(prompt)

    async with swarmed(tmp_path, Watching()) as swarm:
        found = await swarm.run(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))
        assert {one.status for one in found.values()} == {TaskStatus.SUCCEEDED}
        assert seen[0] == ("a",)
        assert seen[-1] == ("saw b", "saw c", "d")


async def test_ready_tasks_start_by_priority_then_longest_remaining_path(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(
            task("short"), task("urgent", priority=1), task("long"), task("middle", "long"), task("end", "middle")
        )
        assert swarm.backend.order[:3] == ["urgent", "long", "middle"]


async def test_no_more_calls_run_at_once_than_the_backend_takes(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=3, together=3)
    async with swarmed(tmp_path, backend) as swarm:
        await swarm.init(max_agents=10)
        found = await swarm.run(*(task(f"t{number}") for number in range(20)))
        assert len(found) == 20
        assert backend.most_at_once == 3


async def test_a_transient_failure_is_tried_again_and_counted(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> str | BackendFailure:
        return BackendFailure("busy", transient=True, retry_after_s=0.001) if asked < 2 else "done"

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        found = await swarm.run(task("a"))
        assert (found["a"].status, found["a"].attempts, found["a"].error) == (TaskStatus.SUCCEEDED, 3, None)
        rows = await swarm.rows("SELECT status, reason FROM usage ORDER BY usage_id")
        assert [row["status"] for row in rows] == ["unknown", "unknown", "reported"]
        assert "busy" in rows[0]["reason"]


async def test_a_failure_that_stays_transient_ends_the_task_when_no_attempt_remains(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(lambda key, asked: BackendFailure("busy", transient=True))) as swarm:
        found = await swarm.run(task("a"))
        assert (found["a"].status, found["a"].attempts, found["a"].error) == (TaskStatus.FAILED, 3, "busy")


async def test_a_final_failure_cancels_what_needs_it_and_spares_what_tolerates_it(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> str | BackendFailure:
        return BackendFailure("refused", transient=False) if key == "bad" else f"result of {key}"

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        run_id = await swarm.start(
            task("bad"),
            task("good"),
            task("needs_bad", "bad"),
            task("further", "needs_bad"),
            task("review", "good", "needs_bad", tolerates_failure=True),
            task("hopeless", "bad", tolerates_failure=True),
        )
        with anyio.fail_after(20):
            ended = await swarm.runs.wait(run_id, None)
        found = await swarm.tasks(run_id)
        assert {key: one.status for key, one in found.items()} == {
            "bad": TaskStatus.FAILED,
            "good": TaskStatus.SUCCEEDED,
            "needs_bad": TaskStatus.CANCELLED,
            "further": TaskStatus.CANCELLED,
            "review": TaskStatus.SUCCEEDED,
            "hopeless": TaskStatus.CANCELLED,
        }
        assert found["needs_bad"].error == "needs bad, which failed"
        assert found["further"].error == "needs needs_bad, which was cancelled"
        assert found["hopeless"].error == "none of its dependencies succeeded"
        assert ended.run.reason == "1 of 6 tasks failed, 3 of 6 tasks were cancelled"


async def test_what_a_task_makes_possible_is_inserted_with_its_result(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(lambda key, asked: "x,y,z" if key == "plan" else "ok")) as swarm:
        found = await swarm.run(task("plan", expands=True))
        assert list(found) == ["plan", "x", "y", "z"]
        rows = await swarm.rows("SELECT at_ns FROM event WHERE kind IN ('task.succeeded', 'task.blocked') LIMIT 4")
        assert len({row["at_ns"] for row in rows}) == 1


async def test_a_prompt_that_does_not_fit_is_packed_again_and_each_call_is_counted(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> str | BackendFailure:
        return ContextExceeded("too long") if asked == 0 else "fits"

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        found = await swarm.run(task("a"))
        assert (found["a"].status, found["a"].attempts) == (TaskStatus.SUCCEEDED, 1)
        assert [row["status"] for row in await swarm.rows("SELECT status FROM usage")] == ["unknown", "reported"]


async def test_a_backend_that_breaks_down_fails_its_task_and_nothing_else(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> str | Exception:
        return ZeroDivisionError("oops") if key == "bad" else "ok"

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        found = await swarm.run(task("bad"), task("good"))
        assert found["bad"].status is TaskStatus.FAILED
        assert "internal error in backend scripted" in (found["bad"].error or "")
        assert found["good"].status is TaskStatus.SUCCEEDED


async def test_a_failed_call_that_reported_usage_keeps_it(tmp_path: Path) -> None:
    failure = BackendFailure("cut off", transient=False, usage=TokenUsage(7, 3, 0, 0, 0))
    async with swarmed(tmp_path, ScriptedBackend(lambda key, asked: failure)) as swarm:
        await swarm.run(task("a"))
        rows = await swarm.rows("SELECT status, input_tokens, output_tokens FROM usage")
        assert [tuple(row) for row in rows] == [("reported", 7, 3)]


async def test_agents_of_the_role_are_taken_first_and_spawned_while_there_is_room(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=3)
        await swarm.swarms.spawn("tester", None, (), 1, None)
        found = await swarm.run(task("code"), task("test", role="tester"), task("more"))
        rows = await swarm.rows("SELECT agent_id, role FROM agent ORDER BY joined")
        assert [row["role"] for row in rows] == ["tester", "coder", "coder"]
        assert found["test"].agent_id == rows[0]["agent_id"]


async def test_a_full_balanced_swarm_gives_a_task_to_any_idle_agent(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=1)
        await swarm.swarms.spawn("tester", None, (), 1, None)
        found = await swarm.run(task("code"))
        assert found["code"].status is TaskStatus.SUCCEEDED


async def test_a_specialized_swarm_without_room_for_a_role_refuses_the_run_at_its_start(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=1, strategy=Strategy.SPECIALIZED)
        await swarm.swarms.spawn("tester", None, (), 1, None)
        with pytest.raises(RoleMissing, match="no agent of role coder and room for 0"):
            await swarm.start(task("code"))
        assert await swarm.rows("SELECT * FROM run") == []


async def test_a_specialized_swarm_serves_each_role_with_its_own_agents(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=2, strategy=Strategy.SPECIALIZED)
        plan = [task(f"code{n}") for n in range(6)] + [task(f"test{n}", role="tester") for n in range(3)]
        found = await swarm.run(*plan)
        roles = {row["agent_id"]: row["role"] for row in await swarm.rows("SELECT agent_id, role FROM agent")}
        assert sorted(roles.values()) == ["coder", "tester"]
        assert all(roles[one.agent_id or ""] == one.role for one in found.values())


async def test_every_change_of_state_is_an_event(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.run(task("a"), task("b", "a"))
        kinds = [row["kind"] for row in await swarm.rows("SELECT kind FROM event ORDER BY event_id")]
        assert kinds == [
            "swarm.created",
            "run.queued",
            "task.ready",
            "task.blocked",
            "agent.spawned",
            "run.running",
            "task.running",
            "task.succeeded",
            "task.ready",
            "task.running",
            "task.succeeded",
            "run.succeeded",
        ]


async def test_two_runs_at_once_share_the_agents_and_both_end(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(together=2)) as swarm:
        await swarm.init(max_agents=2)
        first = await swarm.start(*(task(f"a{n}") for n in range(10)))
        second = await swarm.start(*(task(f"b{n}") for n in range(10)))
        with anyio.fail_after(20):
            for run_id in (first, second):
                assert (await swarm.runs.wait(run_id, None)).status == "succeeded"
        assert swarm.backend.most_at_once == 2
        busy = await swarm.rows("SELECT * FROM agent WHERE status = 'busy'")
        assert busy == []


async def test_a_result_that_cannot_be_recorded_fails_its_own_task_only(tmp_path: Path) -> None:
    backend = ScriptedBackend(lambda key, asked: "same" if key == "plan" else "ok")
    async with swarmed(tmp_path, backend) as swarm:
        # Two tasks of one key cannot be: what "plan" makes possible is refused by the database.
        found = await swarm.run(task("plan", expands=True), task("same"), task("other"))
        assert (found["plan"].status, found["plan"].error) == (TaskStatus.FAILED, "its result could not be recorded")
        assert (found["same"].status, found["other"].status) == (TaskStatus.SUCCEEDED, TaskStatus.SUCCEEDED)
