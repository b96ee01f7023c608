"""Taking over interrupted runs without being asked: which ones, and who of several."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from swarmtally.domain.run import BackendChoice, NewRun, RunKind
from tests.core.harness import CHOICE, ScriptedBackend, Swarmed, swarmed, task
from tests.core.invariants import broken


async def leave_behind(folder: Path, choice: BackendChoice = CHOICE, *, project: str = "test") -> str:
    """A run whose program was closed while a call was under way."""
    async with swarmed(folder, ScriptedBackend(gate=anyio.Event()), project=project) as swarm:
        found, _ = await swarm.swarms.find_or_make(None)
        new = NewRun(RunKind.BATCH, "the work", (), None, choice)
        run_id = await swarm.runs.start(new, [task("a"), task("b", "a")], found, ["coder"])
        if choice.name != "host":
            await swarm.backend.met.wait()
    return run_id


async def end(swarm: Swarmed, run_id: str) -> str:
    with anyio.fail_after(20):
        return (await swarm.runs.wait(run_id, None)).status


async def test_an_interrupted_run_of_the_same_model_is_taken_over_and_ends(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        run_id = await leave_behind(tmp_path)
        another_reason = replace(CHOICE, reason="named by --model", max_output_tokens=7)
        assert await swarm.runs.adopt(another_reason) == [run_id]
        assert await end(swarm, run_id) == "succeeded"
        assert await swarm.runs.adopt(CHOICE) == []
        assert await swarm.database.read(lambda tx: broken(tx, at_rest=True)) == {}


@pytest.mark.parametrize(
    "other", [replace(CHOICE, name="x"), replace(CHOICE, model="x"), replace(CHOICE, base_url="http://x")]
)
async def test_a_run_of_another_backend_model_or_server_is_left_alone(tmp_path: Path, other: BackendChoice) -> None:
    async with swarmed(tmp_path) as swarm:
        run_id = await leave_behind(tmp_path, other)
        assert await swarm.runs.adopt(CHOICE) == []
        assert (await swarm.runs.show(run_id)).status == "interrupted"


async def test_a_run_of_another_project_is_left_alone(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await leave_behind(tmp_path, project="other")
        assert await swarm.runs.adopt(CHOICE) == []


async def test_a_host_driven_run_is_left_to_its_clients(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        host = replace(CHOICE, name="host", model="host")
        run_id = await leave_behind(tmp_path, host)
        assert await swarm.runs.adopt(host) == []
        assert (await swarm.runs.show(run_id)).status == "waiting_for_host"


async def test_a_paused_run_is_left_paused(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        run_id = await leave_behind(tmp_path)
        await swarm.runs.pause(run_id)
        assert await swarm.runs.adopt(CHOICE) == []
        assert (await swarm.runs.show(run_id)).status == "paused"


async def test_a_run_paused_while_it_is_being_taken_over_stays_paused(tmp_path: Path) -> None:
    """Whichever is first: the pause is never undone by who adopts."""
    async with swarmed(tmp_path) as swarm:
        for _ in range(10):
            run_id = await leave_behind(tmp_path)
            async with anyio.create_task_group() as group:
                group.start_soon(swarm.runs.adopt, CHOICE)
                group.start_soon(swarm.runs.pause, run_id)
            run = await swarm.runs.get(run_id)
            assert run.status in ("paused", "succeeded"), "the pause was undone"
            await swarm.runs.cancel(run_id)


async def test_a_run_that_a_living_process_executes_is_left_alone(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm, swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as other:
        run_id = await other.start(task("a"))
        await other.backend.met.wait()
        assert await swarm.runs.adopt(CHOICE) == []
        (row,) = await swarm.rows("SELECT lease_epoch FROM run")
        assert row["lease_epoch"] == 1
        assert other.scheduler.holds(run_id)


async def test_a_process_does_not_adopt_its_own_run_whose_lease_ran_out_while_the_machine_slept(
    tmp_path: Path,
) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate)) as swarm:
        run_id = await swarm.start(task("a"))
        await swarm.backend.met.wait()
        await swarm.database.write(lambda tx: tx.rows("UPDATE run SET lease_expires_ns = 0"))
        assert await swarm.runs.adopt(CHOICE) == []
        second = await swarm.start(task("b"))  # which frees what the dead have left, but not what lives here
        gate.set()
        assert await end(swarm, run_id) == "succeeded"
        assert await end(swarm, second) == "succeeded"
        (row,) = await swarm.rows(f"SELECT lease_epoch FROM run WHERE run_id = '{run_id}'")
        assert row["lease_epoch"] == 1


async def test_one_of_two_that_adopt_at_once_takes_a_run_and_the_other_none(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as one, swarmed(tmp_path) as two:
        for _ in range(5):
            run_id = await leave_behind(tmp_path)
            taken: list[str] = []

            async def adopt(by: Swarmed, taken: list[str] = taken) -> None:
                taken.extend(await by.runs.adopt(CHOICE))

            async with anyio.create_task_group() as group:
                group.start_soon(adopt, one)
                group.start_soon(adopt, two)
            assert taken == [run_id]
            assert await end(one, run_id) == "succeeded"
            (row,) = await one.rows(f"SELECT lease_epoch FROM run WHERE run_id = '{run_id}'")
            assert row["lease_epoch"] == 3, "started, let go, taken over once"
