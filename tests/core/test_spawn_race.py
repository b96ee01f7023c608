"""Twenty processes spawn at once into a swarm of eight."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.domain.errors import NoSwarm, SwarmFull
from swarmtally.domain.swarm import Strategy, Topology
from tests.core.harness import swarmed

SPAWN = """
import sys
import anyio
from pathlib import Path
from swarmtally.domain.errors import SwarmError
from tests.core.harness import swarmed
import json

async def main():
    async with swarmed(Path(sys.argv[1])) as swarm:
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        try:
            spawned = await swarm.swarms.spawn("coder", None, (), 1, None)
            print(json.dumps({"agent": spawned.agents[0].agent_id}))
        except SwarmError as error:
            print(json.dumps({"error": str(error)}))

anyio.run(main)
"""


def spawn_at_once(folder: Path, processes: int) -> list[dict[str, str]]:
    """Start the processes, let them all go when all are ready, and return what each said."""
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SPAWN, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in started]


async def test_exactly_max_agents_are_spawned_and_the_others_told_what_to_do(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=8)
        said = await anyio.to_thread.run_sync(spawn_at_once, tmp_path, 20)
        agents = [row["agent_id"] for row in await swarm.rows("SELECT agent_id FROM agent")]
        errors = [one["error"] for one in said if "error" in one]
        assert len(agents) == 8
        assert sorted(one["agent"] for one in said if "agent" in one) == sorted(agents)
        assert len(errors) == 12
        assert all("is full (8 of 8 agents" in error and "swarm_scale --target-size 9" in error for error in errors)


async def test_agents_that_do_not_all_fit_are_not_spawned_at_all(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=3)
        with pytest.raises(SwarmFull):
            await swarm.swarms.spawn("coder", None, (), 4, None)
        assert await swarm.rows("SELECT * FROM agent") == []


async def test_neighbours_follow_the_topology(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.swarms.init(Topology.RING, Strategy.BALANCED, 8, None, None)
        spawned = await swarm.swarms.spawn("coder", None, (), 3, None)
        first, second, third = (agent.agent_id for agent in spawned.agents)
        assert spawned.neighbours == {first: (second,), second: (third,), third: (first,)}


async def test_without_a_swarm_the_remedy_is_named(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        with pytest.raises(NoSwarm, match="make one with swarm_init"):
            await swarm.swarms.spawn("coder", None, (), 1, None)


async def test_two_projects_do_not_see_each_others_swarms(tmp_path: Path) -> None:
    async with swarmed(tmp_path, project="one") as one, swarmed(tmp_path, project="two") as two:
        await one.init()
        assert len(await one.swarms.states()) == 1
        assert await two.swarms.states() == []
        with pytest.raises(NoSwarm):
            await two.swarms.find(None)
