"""Cancelling, pausing, resuming and retrying runs: what is true at once, and what becomes of the work under way."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from swarmtally.core.run_states import Progress
from swarmtally.domain.errors import BackendFailure, InvalidInput, NotFound, RoleMissing, RunFinished, RunHeld
from swarmtally.domain.run import BackendChoice, NewRun, RunKind, RunStatus
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.task import TaskStatus
from swarmtally.store.usage import CANCELLED
from tests.core.harness import Answer, ScriptedBackend, Swarmed, swarmed, task
from tests.core.invariants import broken

HOST_CHOICE = BackendChoice("host", "host", None, "chosen by the test", None)


async def start_for_host(swarm: Swarmed) -> str:
    found, _ = await swarm.swarms.find_or_make(None)
    new = NewRun(RunKind.BATCH, "the work", (), None, HOST_CHOICE)
    return await swarm.runs.start(new, [task("a"), task("b", "a")], found, ["coder"])


async def ended(swarm: Swarmed, run_id: str) -> Progress:
    with anyio.fail_after(20):
        return await swarm.runs.wait(run_id, None)


async def lawful(swarm: Swarmed) -> None:
    assert await swarm.database.read(broken) == {}


async def everything(swarm: Swarmed) -> list[list[tuple[Any, ...]]]:
    """Every row a control could change."""
    tables = ("run", "task", "attempt", "agent", "swarm", "usage", "event")
    return [[tuple(row) for row in await swarm.rows(f"SELECT * FROM {table}")] for table in tables]


def failing(*keys: str) -> Any:
    """Fails each of `keys` the first time it is asked."""

    def script(key: str, asked: int) -> Answer:
        return BackendFailure("refused", transient=False) if key in keys and not asked else f"result of {key}"

    return script


async def test_cancelling_ends_every_task_at_once_and_frees_the_agents(tmp_path: Path) -> None:
    backend = ScriptedBackend(gate=anyio.Event(), together=2)
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(task("a"), task("b"), task("c", "a"))
        await backend.met.wait()
        assert await swarm.runs.cancel(run_id) == 3
        state = await swarm.runs.show(run_id)
        assert (state.status, state.run.reason) == ("cancelled", "cancelled by request: 3 tasks had not ended")
        assert {one.task.status for one in state.tasks} == {TaskStatus.CANCELLED}
        assert {one.task.error for one in state.tasks} == {"cancelled by request"}
        usage = await swarm.rows("SELECT status, reason, input_tokens FROM usage")
        assert {tuple(row) for row in usage} == {("unknown", CANCELLED, None)}
        assert await swarm.rows("SELECT 1 FROM agent WHERE status = 'busy'") == []
        with anyio.fail_after(5):
            while backend.at_once or swarm.scheduler.holds(run_id):
                await anyio.lowlevel.checkpoint()
        await lawful(swarm)


async def test_a_cancelled_run_done_again_in_the_same_process_stops_the_old_calls(tmp_path: Path) -> None:
    backend = ScriptedBackend(gate=anyio.Event(), together=2, max_parallel=2)
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(task("a"), task("b"))
        await backend.met.wait()
        async with anyio.create_task_group() as group:  # one commit carries both, so the scheduler sees neither alone
            group.start_soon(swarm.runs.cancel, run_id)
            group.start_soon(swarm.runs.retry, run_id)
        with anyio.fail_after(5):
            while sorted(backend.order) != ["a", "a", "b", "b"] or backend.at_once != 2:
                await anyio.lowlevel.checkpoint()
        assert backend.gate is not None
        backend.gate.set()
        assert (await ended(swarm, run_id)).status == "succeeded"
        attempts = await swarm.rows("SELECT number, status FROM attempt ORDER BY task_id, number")
        assert [tuple(row) for row in attempts] == [(1, "cancelled"), (2, "succeeded")] * 2
        await lawful(swarm)


async def test_pausing_lets_calls_end_and_starts_nothing_until_resumed(tmp_path: Path) -> None:
    backend = ScriptedBackend(gate=anyio.Event())
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(task("a"), task("b", "a"))
        await backend.met.wait()
        assert await swarm.runs.pause(run_id)
        assert not await swarm.runs.pause(run_id)
        assert backend.gate is not None
        backend.gate.set()
        paused = await ended(swarm, run_id)
        assert (paused.status, paused.ended, paused.run.reason) == ("paused", 1, "paused by request")
        assert backend.order == ["a"]
        await swarm.runs.resume(run_id)
        assert (await ended(swarm, run_id)).status == "succeeded"
        assert backend.order == ["a", "b"]
        kinds = [row["kind"] for row in await swarm.rows("SELECT kind FROM event WHERE kind LIKE 'run.%'")]
        assert kinds == ["run.queued", "run.running", "run.paused", "run.unpaused", "run.succeeded"]


async def test_waiting_for_a_paused_run_ends_although_its_process_died_with_calls_under_way(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm, swarmed(tmp_path) as other:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
        await swarm.runs.pause(run_id)
        await other.database.write(lambda tx: tx.rows("UPDATE run SET lease_owner = 'gone:1:1', lease_expires_ns = 0"))
        assert (await ended(other, run_id)).status == "paused"


async def test_a_paused_run_whose_process_is_gone_goes_on_in_the_callers(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await swarm.start(task("a"), task("b", "a"))
        await swarm.backend.met.wait()
        await swarm.runs.pause(run_id)
    async with swarmed(tmp_path) as swarm:
        assert (await swarm.runs.show(run_id)).status == "paused"
        await lawful(swarm)
        await swarm.runs.resume(run_id)
        assert (await ended(swarm, run_id)).status == "succeeded"


async def test_a_run_paused_before_its_first_task_is_queued_again_when_resumed(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate)) as swarm:
        await swarm.init(max_agents=1)
        await swarm.start(task("a"))
        await swarm.backend.met.wait()
        second = await swarm.start(task("b"))
        await swarm.runs.pause(second)
        assert (await swarm.runs.show(second)).status == "paused"
        await swarm.runs.resume(second)
        assert (await swarm.runs.show(second)).status == "queued"
        gate.set()
        assert (await ended(swarm, second)).status == "succeeded"


async def test_retrying_does_failed_and_cancelled_tasks_again_and_nothing_else(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(failing("bad"))) as swarm:
        run_id = await swarm.start(
            task("good"), task("bad"), task("needs_bad", "bad"), task("review", "good", "bad", tolerates_failure=True)
        )
        assert (await ended(swarm, run_id)).status == "failed"
        before = await swarm.tasks(run_id)
        assert before["review"].status is TaskStatus.SUCCEEDED
        assert await swarm.runs.retry(run_id) == 2
        after = await swarm.tasks(run_id)
        assert after["needs_bad"].status is TaskStatus.BLOCKED
        assert (after["good"], after["review"]) == (before["good"], before["review"])
        assert (await ended(swarm, run_id)).status == "succeeded"
        assert swarm.backend.asked == {"good": 1, "bad": 2, "needs_bad": 1, "review": 1}
        done = await swarm.tasks(run_id)
        assert (done["bad"].attempts, done["bad"].error) == (1, None)
        assert (await swarm.runs.show(run_id)).run.reason is None
        await lawful(swarm)


async def test_a_run_under_way_is_retried_and_what_has_not_begun_waits_again(tmp_path: Path) -> None:
    gate = anyio.Event()

    class Slow(ScriptedBackend):
        async def execute(self, prompt: Any) -> Any:
            if prompt.parts[-1] == "slow":
                await gate.wait()
            return await super().execute(prompt)

    async with swarmed(tmp_path, Slow(failing("bad"), max_parallel=2)) as swarm:
        await swarm.init(max_agents=1)
        # The one agent is busy with "slow" when "bad" has failed, so "review" is ready and cannot begin.
        run_id = await swarm.start(
            task("bad", priority=2),
            task("good", priority=1),
            task("slow"),
            task("review", "good", "bad", tolerates_failure=True),
        )
        with anyio.fail_after(5):
            while (await swarm.tasks(run_id))["slow"].status is not TaskStatus.RUNNING:
                await anyio.lowlevel.checkpoint()
        assert (await swarm.tasks(run_id))["review"].status is TaskStatus.READY
        assert await swarm.runs.retry(run_id) == 1
        states = [row["kind"] for row in await swarm.rows("SELECT kind FROM event ORDER BY event_id DESC LIMIT 3")]
        assert states == ["run.retried", "task.blocked", "task.ready"], "every change of state is an event"
        gate.set()
        assert (await ended(swarm, run_id)).status == "succeeded"
        assert swarm.backend.order.index("review") > max(n for n, key in enumerate(swarm.backend.order) if key == "bad")
        await lawful(swarm)


async def test_a_run_is_retried_in_the_very_moment_its_own_process_finishes_it(tmp_path: Path) -> None:
    """The retry is committed together with the scheduler's turn that ends the run, or right behind it."""
    async with swarmed(tmp_path, ScriptedBackend(failing("bad"))) as swarm:

        async def retry(run_id: str) -> None:
            while True:
                try:
                    await swarm.runs.retry(run_id)
                except InvalidInput:
                    await anyio.lowlevel.checkpoint()
                else:
                    return

        for _ in range(20):
            swarm.backend.asked.clear()
            run_id = await swarm.start(task("bad"))
            with anyio.fail_after(5):
                await retry(run_id)
                while not (await swarm.runs.get(run_id)).status.final:
                    await anyio.lowlevel.checkpoint()
            assert (await swarm.runs.show(run_id)).status == "succeeded"


async def test_a_run_whose_calls_are_being_started_opens_none_once_it_is_cancelled(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm, swarmed(tmp_path) as other:
        for _ in range(20):
            run_id = await swarm.start(*(task(f"t{number}") for number in range(4)))
            while not await other.rows(f"SELECT 1 FROM attempt JOIN task USING (task_id) WHERE run_id = '{run_id}'"):
                pass
            await other.runs.cancel(run_id)
            with anyio.fail_after(5):
                while swarm.scheduler.holds(run_id) or swarm.backend.at_once:
                    await anyio.lowlevel.checkpoint()
            await lawful(swarm)


async def test_a_run_of_a_specialized_swarm_is_retried_only_where_its_roles_fit(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(failing("bad"))) as swarm:
        await swarm.init(max_agents=1, strategy=Strategy.SPECIALIZED)
        run_id = await swarm.start(task("bad"))
        assert (await ended(swarm, run_id)).status == "failed"
        await swarm.swarms.scale(0, None, None)
        tester = (await swarm.swarms.spawn("tester", None, (), 1, None)).agents[0]
        before = await everything(swarm)
        with pytest.raises(RoleMissing, match="no agent of role coder and room for 0"):
            await swarm.runs.retry(run_id)
        assert await everything(swarm) == before
        await swarm.swarms.scale(2, "coder", tester.swarm_id)
        await swarm.runs.retry(run_id)
        assert (await ended(swarm, run_id)).status == "succeeded"


async def test_a_run_whose_swarm_was_deleted_is_not_retried(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(failing("bad"))) as swarm:
        run_id = await swarm.start(task("bad"))
        assert (await ended(swarm, run_id)).status == "failed"
        await swarm.swarms.delete((await swarm.runs.get(run_id)).swarm_id)
        before = await everything(swarm)
        with pytest.raises(InvalidInput, match="was deleted; start a new run"):
            await swarm.runs.retry(run_id)
        assert await everything(swarm) == before


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
async def test_what_cannot_be_done_is_refused_in_one_line_and_changes_nothing(tmp_path: Path, action: str) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path) as swarm, swarmed(tmp_path, ScriptedBackend(gate=gate), project="other") as other:
        done = await swarm.start(task("a"))
        await ended(swarm, done)
        elsewhere = await other.start(task("a"))
        await other.backend.met.wait()
        host = await start_for_host(swarm)
        expected: dict[str, tuple[type[Exception], str]] = {
            "r_none": (NotFound, "project test has no run 'r_none'; list them with run_status"),
            elsewhere: (NotFound, f"project test has no run {elsewhere!r}"),
            done: (RunFinished, f"has succeeded; nothing is left to {action}. See it with run_status"),
        }
        if action == "resume":
            expected[host] = (InvalidInput, "its work waits for clients: claim it with work_claim")
        if action == "retry":
            nothing = "has no failed or cancelled task; see it with run_status"
            expected |= {done: (InvalidInput, nothing), host: (InvalidInput, nothing)}
        before = await everything(swarm)
        for run_id, (kind, text) in expected.items():
            with pytest.raises(kind, match=text.replace(".", "\\.")) as refused:
                await getattr(swarm.runs, action)(run_id)
            assert "\n" not in str(refused.value)
        assert await everything(swarm) == before


async def test_a_run_that_a_living_process_executes_is_not_resumed(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm, swarmed(tmp_path) as other:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
        before = await everything(other)
        with pytest.raises(RunHeld, match="executed by another process"):
            await other.runs.resume(run_id)
        assert await everything(other) == before


async def test_a_host_driven_run_is_paused_resumed_cancelled_and_retried(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        run_id = await start_for_host(swarm)
        await swarm.runs.pause(run_id)
        await swarm.runs.resume(run_id)
        assert (await swarm.runs.get(run_id)).status is RunStatus.WAITING_FOR_HOST
        assert await swarm.runs.cancel(run_id) == 2
        assert await swarm.runs.retry(run_id) == 2
        run = await swarm.runs.get(run_id)
        assert (run.status, run.lease_owner, run.finished_ns) == (RunStatus.WAITING_FOR_HOST, None, None)
        assert not swarm.scheduler.holds(run_id)


async def test_what_this_process_executes_is_paused_and_what_it_no_longer_holds_is_not(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm, swarmed(tmp_path) as other:
        mine = await swarm.start(task("a"))
        lost = await swarm.start(task("b"))
        with anyio.fail_after(20):
            while await swarm.rows("SELECT 1 FROM task WHERE status <> 'running'"):
                await anyio.lowlevel.checkpoint()
        await other.database.write(lambda tx: tx.rows(f"UPDATE run SET lease_epoch = 9 WHERE run_id = '{lost}'"))
        assert await swarm.runs.pause_held("by Ctrl-C") == [mine]
        found = {run.run_id: (run.status, run.reason) for run, _, _ in await swarm.runs.newest(9)}
        assert found == {mine: (RunStatus.PAUSED, "paused by Ctrl-C"), lost: (RunStatus.RUNNING, None)}


@pytest.mark.parametrize("how", ["start", "retry"])
async def test_ctrl_c_while_a_run_is_committed_leaves_none_that_nobody_executes(tmp_path: Path, how: str) -> None:
    """Ctrl-C is asyncio's own cancellation. It comes in every part of the call, and most of the call is its commit."""
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:

        async def call() -> "asyncio.Task[object]":
            if how == "start":
                return asyncio.create_task(swarm.start(task("a")))
            run_id = await swarm.start(task("a"))
            await swarm.runs.cancel(run_id)
            return asyncio.create_task(swarm.runs.retry(run_id))

        calling, moments = await call(), 0
        while not calling.done():
            await asyncio.sleep(0)
            moments += 1
        for part in range(100):
            calling = await call()
            for _ in range(moments * part // 100):
                await asyncio.sleep(0)
            calling.cancel()
            with suppress(asyncio.CancelledError):
                await calling
            paused = await swarm.runs.pause_held("by Ctrl-C")
            unfinished = await swarm.rows("SELECT run_id FROM run WHERE finished_ns IS NULL AND status <> 'paused'")
            assert unfinished == []
            for each in paused:
                await swarm.runs.cancel(each)
