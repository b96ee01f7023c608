"""The first of several prompts that begin alike goes ahead, and the others wait for its answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.core.ports import BackendInfo, Inputs, Prompt, Reply
from swarmtally.core.warming import KEPT_NS, Beginning, Warming, beginning_of
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.run import Run
from swarmtally.domain.task import Task
from swarmtally.domain.usage import TokenUsage
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task
from tests.store.conftest import HandClock

SHARED = Beginning("r_1", "abc", False)
OTHER = Beginning("r_2", "abc", False)


@dataclass
class Calls:
    """Calls that stay under way until the test ends them."""

    clock: HandClock = field(default_factory=HandClock)
    warming: Warming = field(default_factory=Warming)
    started: list[int] = field(default_factory=list)
    ends: dict[int, anyio.Event] = field(default_factory=dict)
    cancels: dict[int, anyio.CancelScope] = field(default_factory=dict)
    failing: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)

    async def call(self, number: int, beginning: Beginning | None = SHARED) -> None:
        self.ends[number] = anyio.Event()
        with anyio.CancelScope() as self.cancels[number]:
            async with self.warming.turn(beginning, self.clock) as turn:
                self.started.append(number)
                await self.ends[number].wait()
                if number not in self.failing:
                    turn.answered()
        self.done.add(number)

    async def settle(self) -> None:
        """Let every task run until none can."""
        for _ in range(50):
            await anyio.lowlevel.checkpoint()

    async def answer(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number].set()
        await self.settle()

    async def fail(self, number: int) -> None:
        self.failing.add(number)
        await self.answer(number)

    async def cancel(self, number: int) -> None:
        self.cancels[number].cancel()
        await self.settle()


async def test_the_others_wait_until_the_first_was_answered_and_then_all_go() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(calls.call, number)
        await calls.settle()
        assert calls.started == [0]
        await calls.answer(0)
        assert calls.started == [0, 1, 2, 3, 4]
        await calls.answer(1, 2, 3, 4)


async def test_nobody_waits_once_it_is_warm() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        group.start_soon(calls.call, 0)
        await calls.settle()
        await calls.answer(0)
        for number in (1, 2):
            group.start_soon(calls.call, number)
        await calls.settle()
        assert calls.started == [0, 1, 2]
        await calls.answer(1, 2)


async def test_a_failed_first_one_passes_its_place_on() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(calls.call, number)
        await calls.settle()
        await calls.fail(0)
        assert calls.started == [0, 1]
        await calls.answer(1)
        assert calls.started == [0, 1, 2, 3]
        await calls.answer(2, 3)


async def test_a_cancelled_first_one_passes_its_place_on() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(calls.call, number)
        await calls.settle()
        for number in range(3):
            await calls.cancel(number)
            assert calls.started == list(range(number + 2))
        await calls.answer(3)


async def test_one_that_is_cancelled_while_it_waits_never_starts_and_holds_nobody_up() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(calls.call, number)
        await calls.settle()
        await calls.cancel(1)
        await calls.answer(0)
        assert calls.started == [0, 2]
        await calls.answer(2)


async def test_an_outage_is_not_met_one_call_after_the_other() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(calls.call, number)
        await calls.settle()
        await calls.fail(0)
        await calls.fail(1)
        assert calls.started == [0, 1, 2, 3, 4, 5]
        await calls.answer(2, 3, 4, 5)


async def test_a_beginning_is_cold_again_when_it_was_not_used_for_five_minutes() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        group.start_soon(calls.call, 0)
        await calls.settle()
        await calls.answer(0)
        calls.clock.ns += KEPT_NS - 1
        group.start_soon(calls.call, 1)
        await calls.settle()
        await calls.answer(1)
        # Used again, so it is kept from then on.
        calls.clock.ns += KEPT_NS - 1
        for number in (2, 3):
            group.start_soon(calls.call, number)
        await calls.settle()
        assert calls.started == [0, 1, 2, 3]
        await calls.answer(2, 3)
        calls.clock.ns += KEPT_NS
        for number in (4, 5):
            group.start_soon(calls.call, number)
        await calls.settle()
        assert calls.started == [0, 1, 2, 3, 4]
        await calls.answer(4, 5)


async def test_runs_and_beginnings_do_not_wait_for_each_other() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number, beginning in enumerate((SHARED, OTHER, Beginning("r_1", "abc", True), None, None)):
            group.start_soon(calls.call, number, beginning)
        await calls.settle()
        assert calls.started == [0, 1, 2, 3, 4]
        await calls.answer(0, 1, 2, 3, 4)


async def test_beginnings_of_the_past_are_forgotten() -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(calls.call, number, Beginning(f"r_{number}", "abc", False))
            await calls.settle()
            await (calls.answer(number) if number % 2 else calls.fail(number))
        calls.clock.ns += KEPT_NS
        group.start_soon(calls.call, 40)
        await calls.settle()
        await calls.answer(40)
    assert len(calls.warming._states) == 1


steps = st.lists(
    st.tuples(st.sampled_from(["call", "answer", "fail", "cancel", "wait"]), st.integers(0, 9)), max_size=40
)


@given(steps=steps)
def test_at_most_one_goes_ahead_and_nobody_is_left_waiting(steps: list[tuple[str, int]]) -> None:
    anyio.run(_walk, steps)


async def _walk(steps: list[tuple[str, int]]) -> None:
    calls = Calls()
    async with anyio.create_task_group() as group:
        for step, number in steps:
            if step == "call":
                group.start_soon(calls.call, len(calls.ends))
            elif step == "wait":
                calls.clock.ns += KEPT_NS // 4
            elif number in calls.started and number not in calls.done:
                await {"answer": calls.answer, "fail": calls.fail, "cancel": calls.cancel}[step](number)
            await calls.settle()
            under_way = [number for number in calls.started if number not in calls.done]
            # Whoever waits, waits for a call that is under way.
            assert under_way or len(calls.done) == len(calls.ends)
            if not calls.done & set(calls.started):
                assert len(under_way) <= 1
        for _ in calls.ends:
            await calls.answer(*calls.ends)
        assert len(calls.done) == len(calls.ends)


def info(caches: bool = True, least: int = 1_024) -> BackendInfo:
    return BackendInfo("m", "m", None, 8, True, "latency", 9_000, 100, "tool", caches, least)


def test_a_beginning_is_named_by_its_run_and_its_bytes_alone() -> None:
    long = "x" * 4_000
    found = beginning_of("r_1", Prompt("sys", (long, "a"), shared_parts=1), info())
    assert found is not None
    assert found == beginning_of("r_1", Prompt("sys", (long, "b"), shared_parts=1), info())
    assert found != beginning_of("r_1", Prompt("sys", (long + "y", "a"), shared_parts=1), info())
    assert found != beginning_of("r_2", Prompt("sys", (long, "a"), shared_parts=1), info())
    # Providers put tools before everything else.
    assert found != beginning_of("r_1", Prompt("sys", (long, "a"), shared_parts=1, left_out=("context:1",)), info())


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (Prompt("", ("x" * 3_072, "a"), shared_parts=1), info(caches=False)),
        (Prompt("", ("x" * 3_072, "a"), shared_parts=0), info()),
        (Prompt("", ("x" * 3_069, "a"), shared_parts=1), info()),
        (Prompt("", ("x" * 3_072, "a"), shared_parts=1), info(least=4_096)),
    ],
    ids=["no cache", "nothing shared", "too short", "too short for this model"],
)
def test_nobody_waits_for_what_no_cache_keeps(prompt: Prompt, told: BackendInfo) -> None:
    assert beginning_of("r_1", prompt, told) is None


def test_one_that_is_just_long_enough_is_waited_for() -> None:
    assert beginning_of("r_1", Prompt("", ("x" * 3_070, "a"), shared_parts=1), info()) is not None


@dataclass
class SharingPacker:
    """All prompts of a run begin with the same long part."""

    packed: int = 0

    def pack(self, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
        self.packed += 1
        return Prompt("system", ("shared " * 500, task.key), shared_parts=1)

    def parts(self, run: Run, inputs: Inputs, references: Sequence[str], budget_bytes: int) -> str:
        raise AssertionError("nothing was left out")


@dataclass
class CachingBackend(ScriptedBackend):
    caches: bool = True

    @property
    def info(self) -> BackendInfo:
        return replace(super().info, caches=self.caches)


async def claimed(swarm: Swarmed, packer: SharingPacker, backend: CachingBackend) -> None:
    """Return when three attempts are at their calls, and everything that can be sent was."""
    while packer.packed < 3 or backend.at_once < (1 if backend.caches else 3):
        await anyio.lowlevel.checkpoint()
    # Writes are done in order, so the rows of calls about to be sent are there before this is.
    await swarm.database.write(lambda tx: tx.rows("SELECT 1"))
    for _ in range(100):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("caches", [True, False])
async def test_a_run_s_first_call_goes_ahead_and_waiting_for_it_is_no_execution(tmp_path: Path, caches: bool) -> None:
    clock = HandClock()
    packer = SharingPacker()
    backend = CachingBackend(caches=caches, gate=anyio.Event())
    async with swarmed(tmp_path, backend, clock=clock, packer=packer) as swarm:
        run_id = await swarm.start(task("a"), task("b"), task("c"))
        with anyio.fail_after(20):
            await claimed(swarm, packer, backend)
            assert backend.at_once == (1 if caches else 3)
            # Calls that wait are not sent, so they have no row yet.
            assert len(await swarm.rows("SELECT * FROM usage")) == backend.at_once
            clock.advance(10)
            assert backend.gate is not None
            backend.gate.set()
            await swarm.runs.wait(run_id, None)
        attempts = await swarm.rows("SELECT exec_ns, started_ns FROM attempt ORDER BY started_ns")
    assert [row["exec_ns"] // NS_PER_S for row in attempts] == ([10, 0, 0] if caches else [10, 10, 10])
    if caches:
        assert attempts[1]["started_ns"] - attempts[0]["started_ns"] == 10 * NS_PER_S


@dataclass
class FirstAloneBackend(CachingBackend):
    """Answers the first call at once, and the others only when there are two."""

    async def execute(self, prompt: Prompt) -> Reply:
        if self.order:
            self.together = 2
        else:
            self.together, self.met = 1, anyio.Event()
        reply = await super().execute(prompt)
        self.met = anyio.Event() if len(self.order) == 1 else self.met
        return reply


async def test_once_the_first_was_answered_the_others_are_sent_at_once(tmp_path: Path) -> None:
    backend = FirstAloneBackend()
    async with swarmed(tmp_path, backend, packer=SharingPacker()) as swarm:
        run_id = await swarm.start(task("a"), task("b"), task("c"))
        with anyio.fail_after(5):
            await swarm.runs.wait(run_id, None)
    assert backend.most_at_once == 2


async def test_a_run_that_is_cancelled_while_its_calls_wait_ends_and_sends_none_of_them(tmp_path: Path) -> None:
    packer = SharingPacker()
    backend = CachingBackend(gate=anyio.Event())
    async with swarmed(tmp_path, backend, packer=packer) as swarm:
        run_id = await swarm.start(task("a"), task("b"), task("c"))
        with anyio.fail_after(20):
            await claimed(swarm, packer, backend)
            await swarm.runs.cancel(run_id)
            await swarm.runs.wait(run_id, None)
        assert len(backend.order) == 1
        assert {task.status for task in (await swarm.tasks(run_id)).values()} == {"cancelled"}


@dataclass
class HeldBackend(CachingBackend):
    """Answers `a` at once, and what builds on it when the gate opens."""

    async def execute(self, prompt: Prompt) -> Reply:
        if prompt.parts[-1] == "a":
            return Reply("done", TokenUsage(10, 1))
        return await super().execute(prompt)


async def test_what_a_task_needs_is_known_to_have_arrived_while_its_call_waits(tmp_path: Path) -> None:
    packer = SharingPacker()
    backend = HeldBackend(gate=anyio.Event())
    async with swarmed(tmp_path, backend, packer=packer) as swarm:
        run_id = await swarm.start(task("a"), task("b", "a"), task("c", "a"))
        with anyio.fail_after(20):
            await claimed(swarm, packer, backend)
            arrived = await swarm.rows("SELECT received_ns FROM message WHERE kind = 'data_transfer'")
            # None goes to the agent that made it.
            assert arrived
            assert all(row["received_ns"] is not None for row in arrived)
            assert backend.gate is not None
            backend.gate.set()
            await swarm.runs.wait(run_id, None)
