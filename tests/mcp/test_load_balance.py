"""load_balance as a client of the protocol calls it."""

from pathlib import Path

from tests.mcp.conftest import in_memory, text_of
from tests.mcp.test_host_work import call

BUILD = {"id": "build", "role": "coder", "estimated_s": 40, "task": "Build it"}
TEST = {"id": "test", "role": "tester", "estimated_s": 20, "depends_on": ["build"], "task": "Test it"}


async def test_a_client_plans_tasks_dispatches_them_and_does_their_packets(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        refused = await client.call_tool("load_balance", {"tasks": [BUILD]})
        assert refused.is_error
        assert text_of(refused).endswith("make one with swarm_init, or name one with swarm_id")
        await call(client, "swarm_init")
        await call(client, "agent_spawn", type="coder")
        await call(client, "agent_spawn", type="tester")
        view = await call(client, "load_balance", tasks=[TEST, BUILD], dispatch=True)
        assert (view["makespan_s"], view["ratio"], view["status"]) == (60, 1, "waiting_for_host")
        for key in ("build", "test"):
            claimed = await call(client, "work_claim")
            (packet,) = claimed["packets"]
            assert packet["key"] == key
            await call(client, "work_report", task_id=packet["task_id"], lease=packet["lease"], output="done")
        ended = await call(client, "run_status", run_id=view["run_id"])
        assert ended["run"]["status"] == "succeeded"


async def test_a_plan_of_a_thousand_tasks_fits_an_answer(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await call(client, "swarm_init", max_agents=100)
        await call(client, "agent_spawn", type="coder", count=100)
        tasks = [{"id": f"task-{number}", "role": "coder", "estimated_s": 1 + number % 7} for number in range(1_000)]
        view = await call(client, "load_balance", tasks=tasks)
        assert view["n"]["assignments"] == 1_000
        assert view["next_offset"] == len(view["assignments"]) > 200
