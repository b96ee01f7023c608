"""Runs survive kill -9 and go on with resume."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.core.ports import Prompt, Reply
from swarmtally.domain.errors import RunFinished, RunHeld
from swarmtally.domain.task import TaskStatus
from swarmtally.domain.text import counted
from swarmtally.store.usage import LOST
from swarmtally_tools.run_views import calls_lost
from swarmtally_tools.usage_views import usage_view
from tests.core.harness import ScriptedBackend, Swarmed, forty_tasks, swarmed, task
from tests.core.hosted import hosted


class Child:
    """The process to be killed, and what it has told us."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.run_id = ""
        self.ended = 0
        self.calls = 0

    def allow(self, answers: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n" * answers)
        self.process.stdin.flush()

    def listen(self) -> bool:
        """Take in one line; False when there are no more."""
        assert self.process.stdout is not None
        word, _, value = self.process.stdout.readline().strip().partition(" ")
        match word:
            case "run":
                self.run_id = value
            case "ended":
                self.ended = int(value)
            case "calls":
                self.calls = int(value)
        return bool(word)

    def kill(self) -> None:
        self.process.kill()
        while self.listen():
            pass
        self.process.wait()


@contextmanager
def child(folder: Path, *more: str) -> Iterator[Child]:
    command = [sys.executable, "-m", "tests.core.child", str(folder), *more]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        started = Child(process)
        try:
            yield started
        finally:
            process.kill()


def killed_after(folder: Path, answers: int, *more: str, settled: bool) -> Child:
    """Kill a run after so many answers; `settled` waits until they are acknowledged, else it dies recording them."""
    with child(folder, *more) as started:
        while not started.run_id or started.calls == 0:
            assert started.listen(), "the child ended by itself"
        started.allow(answers)
        while settled and started.ended < answers:
            assert started.listen(), "the child ended by itself"
        started.kill()
    return started


@pytest.mark.parametrize("answers", range(0, 40, 2))
async def test_a_killed_run_is_resumed_and_nothing_is_lost_or_done_twice(tmp_path: Path, answers: int) -> None:
    settled = answers % 4 == 0
    dead = await anyio.to_thread.run_sync(lambda: killed_after(tmp_path, answers, settled=settled))
    async with swarmed(tmp_path) as swarm:
        before = await swarm.runs.show(dead.run_id)
        assert before.status == "interrupted", "a dead holder's lease need not run out first"
        had_ended = {state.task.key for state in before.tasks if state.task.status is TaskStatus.SUCCEEDED}
        assert len(had_ended) >= dead.ended, "an acknowledged result is missing"

        open_calls = await swarm.rows("SELECT usage_id FROM usage WHERE status = 'open'")
        await swarm.runs.resume(dead.run_id)
        with anyio.fail_after(30):
            ended = await swarm.runs.wait(dead.run_id, None)

        assert ended.status == "succeeded"
        assert set(swarm.backend.asked) == {one.key for one in forty_tasks()} - had_ended
        await assert_each_result_was_recorded_once(swarm)
        lost = await swarm.rows(f"SELECT usage_id, input_tokens FROM usage WHERE reason = '{LOST}'")
        assert {row["usage_id"] for row in lost} == {row["usage_id"] for row in open_calls}
        assert all(row["input_tokens"] is None for row in lost)


async def assert_each_result_was_recorded_once(swarm: Swarmed) -> None:
    rows = await swarm.rows(
        "SELECT task.key, task.status, COUNT(DISTINCT artefact.artefact_id) AS artefacts,"
        " (SELECT COUNT(*) FROM attempt WHERE attempt.task_id = task.task_id AND status = 'succeeded') AS successes"
        " FROM task LEFT JOIN artefact ON artefact.task_id = task.task_id GROUP BY task.task_id"
    )
    assert len(rows) == 40
    assert {tuple(row)[1:] for row in rows} == {("succeeded", 1, 1)}
    assert await swarm.rows("SELECT * FROM agent WHERE status = 'busy'") == []


async def test_open_calls_of_a_killed_run_are_not_shown_as_under_way(tmp_path: Path) -> None:
    dead = await anyio.to_thread.run_sync(lambda: killed_after(tmp_path, 2, settled=True))
    async with swarmed(tmp_path) as swarm:
        state = await swarm.runs.show(dead.run_id)
        assert (state.status, state.abandoned, state.usage.open > 0) == ("interrupted", True, True)
        view = usage_view(state.usage, lost=calls_lost(state))
        assert "no process executes the run" in view.reasons["open_calls"]
        assert f"without {counted(view.open_calls, 'call')} whose tokens" in view.reasons["raw_tokens"]


async def test_calls_under_way_need_no_reason(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate)) as swarm, swarmed(tmp_path) as other:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
        for runs in (swarm.runs, other.runs):
            state = await runs.show(run_id)
            assert not calls_lost(state)
            assert usage_view(state.usage, lost=calls_lost(state)).open_calls == 1
        gate.set()
        await swarm.runs.wait(run_id, None)


async def test_packets_that_are_out_are_calls_under_way(tmp_path: Path) -> None:
    async with hosted(tmp_path) as host:
        run_id = await host.start(task("a"))
        await host.claim_one()
        state = await host.runs.show(run_id)
        assert (state.usage.open, calls_lost(state)) == (1, False)


async def test_the_agents_of_a_killed_run_serve_the_next_run(tmp_path: Path) -> None:
    await anyio.to_thread.run_sync(lambda: killed_after(tmp_path, 0, settled=True))
    async with swarmed(tmp_path) as swarm:
        assert await swarm.rows("SELECT * FROM agent WHERE status = 'busy'") != []
        found = await swarm.run(task("next"))
        assert found["next"].status is TaskStatus.SUCCEEDED
        assert await swarm.rows("SELECT * FROM agent WHERE status = 'busy'") == []


async def test_a_run_of_a_living_process_cannot_be_resumed(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate)) as swarm:
        run_id = await swarm.start(task("a"))
        with pytest.raises(RunHeld, match="executed by another process"):
            await swarm.runs.resume(run_id)
        gate.set()
        await swarm.runs.wait(run_id, None)
        with pytest.raises(RunFinished, match="nothing is left to resume"):
            await swarm.runs.resume(run_id)


async def test_closing_the_program_lets_go_of_its_run_at_once(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
    async with swarmed(tmp_path) as swarm:
        assert (await swarm.runs.show(run_id)).status == "interrupted"
        await swarm.runs.resume(run_id)
        assert (await swarm.runs.wait(run_id, None)).status == "succeeded"


class LateBackend(ScriptedBackend):
    """Answers only when its gate opens, even when the call is cancelled: a process that was stopped and goes on."""

    async def execute(self, prompt: Prompt) -> Reply:
        with anyio.CancelScope(shield=True):
            return await super().execute(prompt)


async def test_a_stale_fence_cannot_record_a_result_and_its_spending_is_still_seen(tmp_path: Path) -> None:
    gate = anyio.Event()
    late = LateBackend(lambda key, asked: "too late", gate=gate)
    async with swarmed(tmp_path, late) as stopped, swarmed(tmp_path) as other:
        run_id = await stopped.start(task("a"))
        await late.met.wait()
        await other.database.write(lambda tx: tx.rows("UPDATE run SET lease_expires_ns = 0"))
        await other.runs.resume(run_id)
        assert (await other.runs.wait(run_id, None)).status == "succeeded"

        gate.set()
        while not late.asked:
            await anyio.lowlevel.checkpoint()
        await stopped.database.read(lambda tx: tx.rows("SELECT 1"))
        while await other.rows(f"SELECT 1 FROM usage WHERE reason = '{LOST}'"):
            await anyio.lowlevel.checkpoint()

        rows = await other.rows("SELECT text FROM artefact")
        assert [row["text"] for row in rows] == ["result of a"]
        attempts = await other.rows("SELECT epoch, status FROM attempt ORDER BY number")
        assert [tuple(row) for row in attempts] == [(1, "lost"), (2, "succeeded")]
        usage = await other.rows("SELECT status, input_tokens FROM usage ORDER BY usage_id")
        assert [tuple(row) for row in usage] == [("reported", 10), ("reported", 10)]
