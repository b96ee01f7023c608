"""Work that nobody goes on with: real runs of a real scheduler and real packets, seen by a clock that is set ahead."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.app import open_app
from swarmtally.domain.health import Finding, Status
from swarmtally.domain.run import LEASE_NS, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.insight.health import Component, Report
from swarmtally.insight.stuck import NAMED
from swarmtally.requests import SparcRequest
from swarmtally.settings import Settings
from swarmtally.store.database import Database
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task
from tests.insight.health import ShiftedClock, found, health_of

LEASE_S = LEASE_NS / 1_000_000_000


async def work(database: Database, ahead_s: float = 0.0, project: str = "test") -> Report:
    return await health_of(database, clock=ShiftedClock(ahead_s), project=project).check({Component.WORK})


async def under_way(swarm: Swarmed, *keys: str) -> str:
    """A run whose calls all wait for the backend's gate; returns its id."""
    await swarm.init()
    run_id = await swarm.start(*(task(key) for key in keys))
    with anyio.fail_after(20):
        await swarm.backend.met.wait()
    return run_id


async def mend(finding: Finding) -> None:
    """Run the remedy as a shell would, with this Python's swarmtally."""
    program, *arguments = shlex.split(str(finding.remedy))
    assert program == "swarmtally"
    command = [sys.executable, "-m", "swarmtally", *arguments]
    await anyio.to_thread.run_sync(lambda: subprocess.run(command, check=True, capture_output=True, timeout=60))


async def test_work_whose_lease_is_alive_is_well(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event(), together=2)) as swarm:
        await under_way(swarm, "a", "b")
        report = await work(swarm.database, LEASE_S - 5)
    assert report.status is Status.OK
    assert found(report, "runs").detail == "1 unfinished runs, none is interrupted (limit 0)"
    assert found(report, "tasks").detail == "2 tasks are running, none with a dead lease (limit 0)"


async def test_an_expired_lease_is_found_with_its_run_and_tasks(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event(), together=2)) as swarm:
        run_id = await under_way(swarm, "a", "b")
        report = await work(swarm.database, LEASE_S + 60)
    runs, tasks = found(report, "runs"), found(report, "tasks")
    assert (runs.status, tasks.status) == (Status.DEGRADED, Status.DEGRADED)
    assert f"1 of 1 unfinished runs are interrupted (limit 0): {run_id} (lease ended 60 s ago)" in runs.detail
    assert f"2 of 2 running tasks have a dead lease (limit 0): t_{run_id[2:]}_0, t_{run_id[2:]}_1" in tasks.detail
    assert runs.remedy == tasks.remedy
    assert runs.remedy == f"swarmtally runs resume {run_id} --project test --db {tmp_path / 'swarm.db'}"


async def test_a_run_whose_process_is_gone_is_found_before_its_lease_ends(tmp_path: Path) -> None:
    gone = await anyio.run_process([sys.executable, "-c", "import os; print(os.getpid())"])
    owner = f"{platform.node()}:{int(gone.stdout)}:1"
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await under_way(swarm, "a")
        await swarm.database.write(lambda tx: tx.rows("UPDATE run SET lease_owner = :owner", {"owner": owner}))
        report = await work(swarm.database)
    assert f"{run_id} (its process is gone)" in found(report, "runs").detail
    assert "1 of 1 running tasks have a dead lease" in found(report, "tasks").detail


async def test_a_paused_run_is_not_interrupted_but_its_tasks_can_be_stuck(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await under_way(swarm, "a")
        await swarm.runs.pause(run_id)
        report = await work(swarm.database, LEASE_S + 60)
    assert found(report, "runs").status is Status.OK
    assert found(report, "tasks").status is Status.DEGRADED


async def test_resuming_mends_an_interrupted_run(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        run_id = await under_way(swarm, "a", "b")
    async with swarmed(tmp_path) as swarm:
        finding = found(await work(swarm.database), "runs")
        assert f"{run_id} (let go)" in finding.detail
        assert f"runs resume {run_id} " in str(finding.remedy)
        await swarm.runs.resume(run_id)
        with anyio.fail_after(20):
            await swarm.runs.wait(run_id, None)
        report = await work(swarm.database)
    assert report.status is Status.OK


async def test_another_projects_work_is_not_looked_at(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        await under_way(swarm, "a")
        await _plant_busy_agent(swarm)
        report = await work(swarm.database, LEASE_S + 60, project="other")
    assert report.status is Status.OK


async def test_many_ids_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(NAMED + 3)]
    backend = ScriptedBackend(gate=anyio.Event(), max_parallel=len(keys), together=len(keys))
    async with swarmed(tmp_path, backend) as swarm:
        await swarm.init(max_agents=len(keys))
        await swarm.start(*(task(key) for key in keys))
        with anyio.fail_after(20):
            await backend.met.wait()
        detail = found(await work(swarm.database, LEASE_S + 60), "tasks").detail
    assert detail.startswith("13 of 13 running tasks have a dead lease")
    assert detail.endswith(" and 3 more")
    assert detail.count(" t_") == NAMED, "ids may end in a t themselves"


async def _plant_busy_agent(swarm: Swarmed) -> str:
    spawned = await swarm.swarms.spawn("tester", None, (), 1, None)
    agent_id = spawned.agents[0].agent_id
    await swarm.database.write(
        lambda tx: tx.rows(
            "UPDATE agent SET status = 'busy', task_id = 't_gone' WHERE agent_id = :id", {"id": agent_id}
        )
    )
    return agent_id


async def test_an_agent_that_is_busy_with_nothing_is_found_and_replaced(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=1, strategy=Strategy.BALANCED)
        agent_id = await _plant_busy_agent(swarm)
        finding = found(await work(swarm.database), "agents")
        assert finding.status is Status.DEGRADED
        assert f"1 agents are busy with a task that does not run with them (limit 0): {agent_id}" in finding.detail
        await mend(finding)
        idle = await swarm.rows("SELECT role FROM agent WHERE status = 'idle'")
    assert [row["role"] for row in idle] == ["tester"]


async def test_an_agent_whose_task_runs_with_another_is_busy_with_nothing(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        await under_way(swarm, "a")
        agent_id = await _plant_busy_agent(swarm)
        await swarm.database.write(
            lambda tx: tx.rows("UPDATE agent SET task_id = (SELECT task_id FROM task) WHERE task_id = 't_gone'")
        )
        detail = found(await work(swarm.database), "agents").detail
    assert detail.endswith(f": {agent_id}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.gather("mcp", db=str(tmp_path / "swarm.db"), project="test", model="host", environ={}, cwd=tmp_path)


async def test_a_packet_that_nobody_reported_in_time_is_found_and_mended(settings: Settings) -> None:
    # Claimed an hour ago: the command that mends it has the machine's own clock.
    clock = ShiftedClock(-3600)
    async with open_app(settings, clock) as app:
        await app.swarms.init(Topology.STAR, Strategy.BALANCED, 8, None, None)
        started = await app.start(SparcRequest(RunKind.BATCH, ("coder",), ("one", "two")))
        packets = await app.packets()
        await packets.claim(1)
        assert (await work(app.database, -3600)).status is Status.OK
        assert (await work(app.database, -3600 + 14 * 60)).status is Status.OK
        finding = found(await work(app.database), "packets")
        assert finding.status is Status.DEGRADED
        assert found(await work(app.database, project="other"), "packets").status is Status.OK
        assert f"1 packets are expired and unclaimed (limit 0): t_{started.run_id[2:]}_0 (2700 s ago)" in finding.detail
        clock.shift_s = 0
        # Its expiry is recorded, and still nobody has it.
        await packets.claim(1, role="nobody")
        assert found(await work(app.database), "packets").detail == finding.detail
        await mend(finding)
        assert (await work(app.database)).status is Status.OK


async def test_expired_packets_of_a_paused_run_wait_for_nobody(settings: Settings) -> None:
    async with open_app(settings, ShiftedClock(-3600)) as app:
        started = await app.start(SparcRequest(RunKind.RUN, ("coder",), ("one",)))
        await (await app.packets()).claim(1)
        await (await app.runs()).pause(started.run_id)
        assert found(await work(app.database), "packets").status is Status.OK
