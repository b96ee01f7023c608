"""bottleneck_analyze as a client meets it."""

from pathlib import Path
from typing import Any

from swarmtally.domain.clock import iso
from tests.backends.wire import OpenAIWire
from tests.mcp.conftest import answered, in_memory, told

TASKS = {"mode": "coder", "tasks": ["A", "B", "C", "D"]}


async def test_an_answer_names_the_runs_it_is_about_and_its_error(tmp_path: Path, wire: OpenAIWire) -> None:
    async with in_memory(tmp_path, model="openai:test", base_url=wire.base_url) as client:

        async def analysed(**arguments: Any) -> dict[str, Any]:
            return answered(await client.call_tool("bottleneck_analyze", arguments))

        swarm_id = answered(await client.call_tool("swarm_init", {"max_agents": 2}))["swarm_id"]
        run = answered(await client.call_tool("sparc_concurrent", TASKS))
        assert run["status"] == "succeeded"
        found = await analysed(swarmId=swarm_id, metrics=["cpu"])
        assert (found["runs"], found["runs_total"], found["tasks"]) == ([run["run_id"]], 1, 4)
        assert found["makespan_s"] > 0
        assert found["replay_error"] < 0.15
        assert found["metrics"]["cpu"]["unit"] == "cores"
        lost = [cause["seconds_lost"] for cause in found["causes"]]
        assert lost == sorted(lost, reverse=True)
        # The same moment, the same figures; before the run began, nothing.
        assert await analysed(swarm_id=swarm_id, metrics=["cpu"], as_of=found["as_of"]) == found
        before = await analysed(timeframe="1h", as_of=iso(0)[:10])
        assert (before["causes"], before["runs"], before["makespan_s"], before["replay_error"]) == ([], [], None, None)
        assert before["reasons"]["causes"] == "no run of the timeframe had begun"
        other = answered(await client.call_tool("swarm_init", {}))["swarm_id"]
        assert (await analysed(swarm_id=other))["runs"] == []
        assert await analysed(swarm_id=swarm_id, metrics=["cpu"], as_of=found["as_of"]) == found


async def test_what_it_cannot_be_about_is_refused(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        for arguments, line in (
            ({"timeframe": "soon"}, "timeframe 'soon' is none; give 90s"),
            ({"as_of": "2199-01-01"}, "as_of 2199-01-01 lies in the future; leave it out for now"),
            ({"swarm_id": "s_none"}, "has no swarm 's_none'"),
            ({"component": "disk"}, "component must be one of"),
            ({"metrics": ["disk"]}, "metrics.0 must be one of"),
        ):
            assert line in told(await client.call_tool("bottleneck_analyze", arguments))
