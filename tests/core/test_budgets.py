"""Runs with a budget, through the real scheduler: held before each call, paused for, gone on with."""

from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.domain.budget import NANO, Budget
from swarmtally.domain.errors import BackendFailure, InvalidInput
from swarmtally.domain.run import RunStatus
from swarmtally.domain.task import TaskStatus
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import budgets
from tests.core.harness import ScriptedBackend, Swarmed, forty_tasks, swarmed, task
from tests.core.invariants import broken
from tests.core.test_killed import killed_after

CALL = 106
"""What is held for the first call of a task with a key of one letter: 9 bytes make 5 tokens, which with what is spare
are 6, and 100 tokens of output. Each spends 15."""


class Dollar:
    """A dollar a token."""

    date = "2026-01-01"
    output_weight = 1.0
    cache_read_weight = None

    def cost_nanousd(self, usage: TokenUsage) -> int | None:
        return ((usage.input_tokens or 0) + (usage.output_tokens or 0)) * NANO


class PricedBackend(ScriptedBackend):
    @property
    def info(self) -> BackendInfo:
        return replace(super().info, pricing=Dollar())


async def ended(swarm: Swarmed, run_id: str) -> str:
    with anyio.fail_after(20):
        return (await swarm.runs.wait(run_id, None)).status


async def held(swarm: Swarmed) -> list[tuple[int | None, ...]]:
    rows = await swarm.rows("SELECT estimated_tokens, reserved_tokens, reserved_nanousd FROM usage ORDER BY usage_id")
    return [tuple(row) for row in rows]


async def test_a_call_holds_its_estimate_with_some_to_spare_and_its_whole_output(tmp_path: Path) -> None:
    async with swarmed(tmp_path, PricedBackend()) as swarm:
        run_id = await swarm.start(task("a"), budget=Budget(1_000))
        assert await ended(swarm, run_id) == "succeeded"
        assert await held(swarm) == [(5, CALL, CALL * NANO)]


async def test_a_run_without_a_budget_holds_nothing_and_is_estimated_all_the_same(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.run(task("a"))
        assert await held(swarm) == [(5, None, None)]
        assert (await swarm.runs.show((await swarm.rows("SELECT run_id FROM run"))[0]["run_id"])).account is None


async def test_a_budget_too_small_for_the_first_call_pauses_at_once_with_nothing_spent(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        run_id = await swarm.start(*[task(key) for key in "abcd"], budget=Budget(CALL - 1))
        assert await ended(swarm, run_id) == "paused"
        state = await swarm.runs.show(run_id)
        assert state.run.reason == (
            f"budget: 0 of 105 tokens are spent or held, and the next call may take 106; resume run {run_id} with at "
            "least budget_tokens 106"
        )
        assert {(item.task.status, item.task.attempts) for item in state.tasks} == {(TaskStatus.READY, 0)}
        assert await held(swarm) == []
        assert swarm.backend.order == []
        assert await swarm.database.read(broken) == {}


async def test_many_agents_share_what_one_call_after_another_can_afford(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=8, gate=anyio.Event(), together=2)
    async with swarmed(tmp_path, backend) as swarm:
        # Room for two calls at once, never for three, however many agents ask; their true spending fits ten times.
        run_id = await swarm.start(*[task(key) for key in "abcdefgh"], budget=Budget(8 * 15 + 2 * 112))
        await backend.met.wait()
        backend.gate.set()
        assert await ended(swarm, run_id) == "succeeded"
        assert len(backend.order) == 8
        assert (await swarm.runs.show(run_id)).run.reason is None


async def test_calls_that_wait_for_room_are_not_sent_before_there_is_some(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=8, gate=anyio.Event())
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(*[task(key) for key in "abcdefgh"], budget=Budget(3 * CALL))
        with anyio.fail_after(10):
            while len(await swarm.rows("SELECT 1 FROM attempt WHERE status = 'running'")) < 8 or backend.at_once < 3:
                await anyio.lowlevel.checkpoint()
        assert backend.at_once == 3
        assert (await swarm.runs.show(run_id)).account.spending.open_tokens == 3 * CALL
        backend.gate.set()
        assert await ended(swarm, run_id) == "succeeded"
        assert backend.most_at_once == 3


class HoldingBackend(ScriptedBackend):
    """Holds the call of task `a` until its gate opens, and the others until that was sent."""

    async def execute(self, prompt: Prompt) -> Reply:
        if prompt.parts[-1] == "a":
            self.order.append("a")
            self.met.set()
            assert self.gate is not None
            await self.gate.wait()
            return Reply("result of a", self.usage)
        await self.met.wait()
        return await ScriptedBackend(order=self.order).execute(prompt)


async def test_a_call_for_which_no_room_can_come_does_not_wait_for_others(tmp_path: Path) -> None:
    backend = HoldingBackend(max_parallel=2, gate=anyio.Event())
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(task("a"), task("b"), task("c" * 1_000, "b"), budget=Budget(500))
        with anyio.fail_after(10):
            while (await swarm.runs.get(run_id)).status is not RunStatus.PAUSED:
                await anyio.lowlevel.checkpoint()
        state = await swarm.runs.show(run_id)
        assert state.account.spending.open_tokens == CALL
        assert str(state.run.reason).endswith("; run_status tells what is enough when the calls under way have ended")
        backend.gate.set()
        assert await ended(swarm, run_id) == "paused"
        assert backend.order == ["a", "b"]


async def test_a_run_whose_budget_is_spent_pauses_with_what_was_done_kept(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        # Two calls spend 15 each, and a third would hold 106.
        run_id = await swarm.start(*[task(key) for key in "abcd"], budget=Budget(30 + CALL - 1))
        assert await ended(swarm, run_id) == "paused"
        state = await swarm.runs.show(run_id)
        assert [item.task.status for item in state.tasks] == ["succeeded", "succeeded", "ready", "ready"]
        assert [item.task.attempts for item in state.tasks] == [1, 1, 0, 0]
        assert await swarm.rows("SELECT 1 FROM agent WHERE status = 'busy'") == []
        assert await swarm.database.read(broken) == {}


async def test_resuming_takes_the_budget_that_was_named_and_no_lower(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        run_id = await swarm.start(task("a"), task("b"), budget=Budget(CALL))
        assert await ended(swarm, run_id) == "paused"
        before = await swarm.rows("SELECT * FROM run")
        needed = 15 + CALL
        for given in (Budget(), Budget(needed - 1)):
            with pytest.raises(InvalidInput, match=f"would pause again: .* with at least budget_tokens {needed}$"):
                await swarm.runs.resume(run_id, given)
        with pytest.raises(InvalidInput, match="budget_tokens 106 is not higher than the 106 that run"):
            await swarm.runs.resume(run_id, Budget(CALL))
        with pytest.raises(InvalidInput, match="was started without budget_usd"):
            await swarm.runs.resume(run_id, Budget(nanousd=1))
        assert await swarm.rows("SELECT * FROM run") == before
        await swarm.runs.resume(run_id, Budget(needed))
        assert await ended(swarm, run_id) == "succeeded"


async def test_a_budget_is_kept_when_its_run_is_resumed_elsewhere_and_retried(tmp_path: Path) -> None:
    final = BackendFailure("no", transient=False)
    async with swarmed(tmp_path, ScriptedBackend(lambda key, asked: final, max_parallel=1)) as swarm:
        run_id = await swarm.start(task("a"), budget=Budget(2 * CALL - 1))
        assert await ended(swarm, run_id) == "failed"
    async with swarmed(tmp_path) as other:
        # What the failed call spent is not known: what was held for it stays.
        assert (await other.runs.show(run_id)).account.spending.lost_tokens == CALL
        await other.runs.retry(run_id)
        assert await ended(other, run_id) == "paused"
        assert other.backend.order == []
        await other.runs.resume(run_id, Budget(2 * CALL))
        assert await ended(other, run_id) == "succeeded"


async def test_a_transient_failure_holds_again_for_each_attempt(tmp_path: Path) -> None:
    flaky = ScriptedBackend(lambda key, asked: BackendFailure("busy", transient=True) if not asked else "done")
    async with swarmed(tmp_path, flaky) as swarm:
        run_id = await swarm.start(task("a"), budget=Budget(2 * CALL - 1))
        assert await ended(swarm, run_id) == "paused"
        assert len(flaky.order) == 1
        await swarm.runs.resume(run_id, Budget(2 * CALL))
        assert await ended(swarm, run_id) == "succeeded"


async def test_calls_waiting_for_room_are_put_back_when_their_run_is_paused(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=4, gate=anyio.Event())
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(*[task(key) for key in "abcd"], budget=Budget(CALL + 20))
        await backend.met.wait()
        await swarm.runs.pause(run_id)
        backend.gate.set()
        assert await ended(swarm, run_id) == "paused"
        state = await swarm.runs.show(run_id)
        assert sorted(item.task.status for item in state.tasks) == ["ready", "ready", "ready", "succeeded"]
        assert state.run.reason == "paused by request"


async def test_cancelling_a_run_ends_calls_that_wait_for_room(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=4, gate=anyio.Event())
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(*[task(key) for key in "abcd"], budget=Budget(CALL + 20))
        await backend.met.wait()
        await swarm.runs.cancel(run_id)
        assert await ended(swarm, run_id) == "cancelled"
        with anyio.fail_after(10):
            while backend.at_once:
                await anyio.lowlevel.checkpoint()
        backend.gate.set()
        found = await swarm.run(task("next"))
        assert found["next"].status is TaskStatus.SUCCEEDED
        assert len(backend.order) == 2


async def test_a_provider_that_passes_its_own_limit_is_shown(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=1, usage=TokenUsage(10, 500, 0, 0, 0))
    async with swarmed(tmp_path, backend) as swarm:
        run_id = await swarm.start(task("a"), task("b"), budget=Budget(300))
        assert await ended(swarm, run_id) == "paused"
        spending = (await swarm.runs.show(run_id)).account.spending
        assert (spending.spent_tokens, spending.exceeded) == (510, 1)
        assert len(backend.order) == 1


async def test_a_budget_in_dollars_holds_and_settles_what_calls_cost(tmp_path: Path) -> None:
    async with swarmed(tmp_path, PricedBackend(max_parallel=1)) as swarm:
        run_id = await swarm.start(task("a"), task("b"), budget=Budget(nanousd=CALL * NANO))
        assert await ended(swarm, run_id) == "paused"
        assert "and the next call may cost $106.00; resume" in ((await swarm.runs.show(run_id)).run.reason or "")
        assert await held(swarm) == [(5, CALL, CALL * NANO)]


async def test_what_a_call_cost_takes_the_place_of_what_was_held(tmp_path: Path) -> None:
    async with swarmed(tmp_path, PricedBackend(max_parallel=1)) as swarm:
        run_id = await swarm.start(task("a"), task("b"), budget=Budget(nanousd=CALL * NANO))
        assert await ended(swarm, run_id) == "paused"
        await swarm.database.write(lambda tx: tx.rows("UPDATE usage SET cost_nanousd = NULL"))
        unpriced = (await swarm.runs.show(run_id)).account.spending
        assert (unpriced.spent_nanousd, unpriced.lost_nanousd) == (0, CALL * NANO)
        await swarm.database.write(lambda tx: tx.rows("UPDATE usage SET cost_nanousd = 15"))
        priced = (await swarm.runs.show(run_id)).account.spending
        assert (priced.spent_nanousd, priced.lost_nanousd) == (15, 0)


async def test_a_price_that_is_known_no_more_sends_nothing(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        run_id = await swarm.start(task("a"), budget=Budget(nanousd=NANO))
        assert await ended(swarm, run_id) == "paused"
        assert "what the next call may cost is not known" in ((await swarm.runs.show(run_id)).run.reason or "")
        assert swarm.backend.order == []


async def test_what_a_killed_process_had_under_way_stays_held(tmp_path: Path) -> None:
    dead = await anyio.to_thread.run_sync(lambda: killed_after(tmp_path, 2, "100000", settled=True))
    async with swarmed(tmp_path) as swarm:
        before = (await swarm.runs.show(dead.run_id)).account
        assert before is not None
        assert before.spending.open_tokens > 0
        await swarm.runs.resume(dead.run_id)
        assert await ended(swarm, dead.run_id) == "succeeded"
        after = (await swarm.runs.show(dead.run_id)).account
        assert after is not None
        assert after.spending.lost_tokens == before.spending.open_tokens
        assert after.spending.spent_tokens == len(forty_tasks()) * 15
        assert (await swarm.runs.get(dead.run_id)).budget == Budget(100_000)


class WatchingBackend(ScriptedBackend):
    """Looks what is spent and held whenever a call of its one run is sent."""

    swarm: Swarmed

    async def execute(self, prompt: Prompt) -> Reply:
        (run,) = await self.swarm.rows("SELECT run_id, budget_tokens FROM run")
        spending = await self.swarm.database.read(lambda tx: budgets.spending(tx, run["run_id"]))
        assert 0 < spending.open_tokens <= spending.tokens <= run["budget_tokens"]
        return await super().execute(prompt)


@pytest.mark.parametrize("agents", [1, 7, 16])
async def test_a_whole_graph_is_done_within_a_budget_of_few_calls_at_once(tmp_path: Path, agents: int) -> None:
    backend = WatchingBackend(max_parallel=agents)
    async with swarmed(tmp_path, backend) as swarm:
        backend.swarm = swarm
        await swarm.init(agents)
        # What 40 calls spend, and room for the last of them with a prompt that shows what seven others delivered.
        run_id = await swarm.start(*forty_tasks(), budget=Budget(40 * 15 + 250))
        assert await ended(swarm, run_id) == "succeeded"
        assert len(backend.order) == 40
