"""What comes in at the last moment: results while the program is closed, files while a run is cancelled."""

import asyncio
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from swarmtally.core.runs import Runs
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.errors import DiskFull, NoBackend, RunFinished
from swarmtally.domain.ids import id_factory
from swarmtally.domain.run import BackendChoice, Run
from swarmtally.domain.task import Artefact, TaskStatus
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task
from tests.core.invariants import assert_lawful, broken
from tests.gate import Gate


class MoodyShelf:
    """Writes nothing, and refuses as long as `full`; `reached` when it was asked, then waits for its gate."""

    def __init__(self) -> None:
        self.full = False
        self.put_away: list[str] = []
        self.reached = anyio.Event()
        self.gate = anyio.Event()

    async def put(self, run: Run, artefact: Artefact) -> str:
        self.reached.set()
        await self.gate.wait()
        if self.full:
            raise OSError("no room on the shelf")
        self.put_away.append(artefact.name)
        return f"/shelf/{artefact.name}"


async def end(swarm: Swarmed, run_id: str) -> Run:
    with anyio.fail_after(20):
        return (await swarm.runs.wait(run_id, None)).run


async def test_a_result_that_waits_to_be_written_when_the_program_is_closed_is_kept(tmp_path: Path) -> None:
    gate, slow = anyio.Event(), Gate()

    async with swarmed(tmp_path, ScriptedBackend(gate=gate)) as swarm:
        run_id = await swarm.start(task("a"), task("b", "a"))
        await swarm.backend.met.wait()
        other = asyncio.create_task(swarm.database.write(slow.unit))
        await slow.reached()
        gate.set()
        while not swarm.database._queue:
            await anyio.lowlevel.checkpoint()
        (waiting,) = swarm.database._queue

        async def release() -> None:
            while waiting in swarm.database._queue:
                await anyio.lowlevel.checkpoint()
            slow.open()

        releasing = asyncio.create_task(release())
    await asyncio.gather(other, releasing)
    async with swarmed(tmp_path) as swarm:
        found = await swarm.tasks(run_id)
        assert found["a"].status is TaskStatus.SUCCEEDED
        assert (await swarm.rows("SELECT status FROM usage"))[0]["status"] == "reported"
    await assert_lawful(tmp_path / "swarm.db")


async def test_a_result_that_cannot_be_recorded_does_not_hide_what_it_cost(tmp_path: Path) -> None:
    backend = ScriptedBackend(lambda key, asked: "same" if key == "plan" else "ok")
    async with swarmed(tmp_path, backend) as swarm:
        # Two tasks of one key cannot be: what "plan" makes possible is refused by the database.
        await swarm.run(task("plan", expands=True), task("same"))
        rows = await swarm.rows("SELECT status, input_tokens FROM usage")
        assert [tuple(row) for row in rows] == [("reported", 10)] * 2
        assert await swarm.database.read(lambda tx: broken(tx, at_rest=True)) == {}


async def test_a_run_may_be_cancelled_while_its_files_are_written(tmp_path: Path) -> None:
    shelf = MoodyShelf()
    async with swarmed(tmp_path, shelf=shelf) as swarm:
        run_id = await swarm.start(task("a"), out_dir="/shelf")
        await shelf.reached.wait()
        assert await swarm.runs.cancel(run_id) == 0
        shelf.gate.set()
        run = await end(swarm, run_id)
        assert (run.status, run.reason) == ("cancelled", "cancelled by request: 0 tasks had not ended")
        assert (await end(swarm, await swarm.start(task("b")))).status == "succeeded"
        assert await swarm.database.read(lambda tx: broken(tx, at_rest=True)) == {}


async def test_files_that_could_not_be_written_before_a_cancel_are_written_after_the_retry(tmp_path: Path) -> None:
    shelf, gate = MoodyShelf(), anyio.Event()
    shelf.full = True
    shelf.gate.set()

    class Half(ScriptedBackend):
        async def execute(self, prompt):  # type: ignore[no-untyped-def]
            if prompt.parts[-1] == "b":
                await gate.wait()
            return await super().execute(prompt)

    async with swarmed(tmp_path, Half(), shelf) as swarm:
        run_id = await swarm.start(task("a"), task("b"), out_dir="/shelf")
        await shelf.reached.wait()
        with anyio.fail_after(5):
            while not swarm.scheduler._unshelved:
                await anyio.lowlevel.checkpoint()
        await swarm.runs.cancel(run_id)
        shelf.full = False
        await swarm.runs.retry(run_id)
        gate.set()
        run = await end(swarm, run_id)
        assert (run.status, run.reason) == ("succeeded", None)
        assert sorted(shelf.put_away) == ["a", "b"]


async def test_a_fault_of_the_database_is_told_of_the_runs_it_ended_and_of_no_other(tmp_path: Path) -> None:
    gate = anyio.Event()
    held = ScriptedBackend(gate=anyio.Event())
    async with swarmed(tmp_path, held) as swarm, swarmed(tmp_path, ScriptedBackend(gate=gate)) as other:
        run_id = await swarm.start(task("a"), task("b"))
        await held.met.wait()
        elsewhere = await other.start(task("c"))
        swarm.scheduler._fail(DiskFull("swarm.db"))  # what it does when a write meets a full disk
        with pytest.raises(DiskFull):
            await swarm.runs.wait(run_id, None)
        gate.set()
        assert (await end(swarm, elsewhere)).status == "succeeded"


@pytest.mark.parametrize("opens", [True, False])
async def test_a_run_cancelled_while_its_backend_is_opened_to_go_on_stays_cancelled(
    tmp_path: Path, opens: bool
) -> None:
    opening, gate = anyio.Event(), anyio.Event()

    async def open_slowly(choice: BackendChoice) -> ScriptedBackend:
        opening.set()
        await gate.wait()
        if not opens:
            raise NoBackend("no key; set one")
        return ScriptedBackend()

    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
    async with swarmed(tmp_path) as swarm:
        clock, new_id = SystemClock(), id_factory()
        runs = Runs(swarm.database, clock, new_id, "test", "here:1:1", swarm.scheduler, open_slowly)
        resuming = asyncio.create_task(runs.resume(run_id))
        await opening.wait()
        await swarm.runs.cancel(run_id)
        before = [tuple(row) for row in await swarm.rows("SELECT * FROM run, task, attempt")]
        gate.set()
        with pytest.raises(RunFinished if opens else NoBackend):
            await resuming
        assert [tuple(row) for row in await swarm.rows("SELECT * FROM run, task, attempt")] == before
        assert not swarm.scheduler.holds(run_id)


async def test_a_paused_run_of_another_machine_goes_on_there_or_once_its_lease_has_ended(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
        await swarm.runs.pause(run_id)
    async with swarmed(tmp_path) as swarm:
        far = f"UPDATE run SET lease_owner = 'far:1:1', lease_expires_ns = {2**62}"
        await swarm.database.write(lambda tx: tx.rows(far))
        await swarm.runs.resume(run_id)
        assert not swarm.scheduler.holds(run_id)
        assert (await swarm.runs.show(run_id)).status == "running"
        await swarm.database.write(lambda tx: tx.rows("UPDATE run SET lease_expires_ns = 1"))
        assert (await swarm.runs.show(run_id)).status == "interrupted"
        await swarm.runs.resume(run_id)
        assert (await end(swarm, run_id)).status == "succeeded"
