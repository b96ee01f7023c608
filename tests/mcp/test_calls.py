"""Every tool, called through a real server process by the real client, in both protocol eras."""

import json
from pathlib import Path
from typing import Any

from swarmtally.core.memory import DEPTH_LIMIT
from swarmtally_tools import registry
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import Mode, answered, connected, in_memory, on_wire, text_of

CALLS: dict[str, dict[str, Any]] = {
    "swarm_init": {"topology": "mesh", "maxAgents": 12, "strategy": "adaptive"},
    "agent_spawn": {"type": "coder", "count": 2},
    "swarm_monitor": {"interval": 0.5},
    "memory_usage": {"action": "store", "key": "project_context", "value": {"a": [1, None, "é"]}},
    "memory_search": {"pattern": "project_*"},
    "sparc_run": {"mode": "coder", "task": "Login"},
    "sparc_batch": {"modes": ["coder", "tester"], "tasks": ["A", "B"]},
    "sparc_concurrent": {"mode": "coder", "tasks": ["A", "B"]},
    "sparc_pipeline": {"task": "Shop with cart, checkout, and search"},
    "run_status": {},
    "bottleneck_analyze": {"timeframe": "15m", "metrics": ["cpu", "network"]},
    "performance_report": {},
    "token_usage": {"operation": "batch", "groupBy": "mode"},
    "health_check": {"components": ["store", "clock"]},
    "error_analysis": {"logs": ["2026-11-23T03:10:00Z ERROR a connection was refused"], "lines": True},
    "quality_assess": {"criteria": ["documentation"]},
    "load_balance": {"tasks": [{"id": "t1", "role": "coder", "estimated_s": 5}]},
    "neural_train": {"patternType": "coordination"},
    "neural_patterns": {"operation": "parallel_execution"},
    "neural_predict": {"input": "project_complexity: high, team_size: 5", "modelId": "performance-predictor"},
}

STEPS = ("swarm_scale", "work_claim", "work_report", "run_control")
"""Tools that need what others returned; called below."""


def files_below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def test_no_tool_is_left_out_here() -> None:
    assert {*CALLS, *STEPS} == registry.MODULES.keys()


async def test_the_tools_that_need_another_s_answer_do_their_work(tmp_path: Path, mode: Mode) -> None:
    async with connected(tmp_path, mode) as client:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(tool, arguments)
            assert json.loads(text_of(result)) == answered(result)
            return answered(result)

        await call("swarm_init", max_agents=2)
        assert (await call("swarm_scale", targetSize=3))["max_agents"] == 3
        idle = await call("swarm_scale", targetSize=3, strategy="adaptive")
        assert (idle["size"], idle["needed"], list(idle["reasons"])) == (3, None, ["needed", "size", "at_once", "best"])
        run = await call("sparc_batch", modes=["coder"], tasks=["A", "B", "C", "D"])
        assert (run["status"], len(run["packets"]), run["backend"]["name"]) == ("waiting_for_host", 3, "host")
        packet = run["packets"][0]
        assert (await call("work_claim"))["packets"] == [], "three agents have three packets"
        told = await call("work_report", task_id=packet["task_id"], lease=packet["lease"], output="done", claim=1)
        assert (told["task_status"], [item["key"] for item in told["packets"]]) == ("succeeded", ["coder_4"])
        ended = await call("run_control", run_id=run["run_id"], action="cancel")
        assert (ended["status"], ended["changed"], ended["tasks"]["succeeded"]) == ("cancelled", 3, 1)


async def test_every_tool_does_its_work(tmp_path: Path, mode: Mode, wire: OpenAIWire) -> None:
    answers = {}
    out = str(tmp_path / "out")
    where = {"sparc_pipeline": {"out_dir": out}, "quality_assess": {"target": out}}
    async with connected(tmp_path, mode, *on_wire(wire), "--allow", out) as client:
        for tool, arguments in CALLS.items():
            result = await client.call_tool(tool, arguments | where.get(tool, {}))
            answers[tool] = answered(result)
            assert json.loads(text_of(result)) == answers[tool]
    assert answers["swarm_init"]["max_agents"] == 12
    assert answers["agent_spawn"]["spawned"] == 2
    assert answers["memory_search"]["total"] == 1
    for tool, tasks in (("sparc_run", 1), ("sparc_batch", 4), ("sparc_concurrent", 2)):
        assert (answers[tool]["status"], answers[tool]["tasks"]["succeeded"]) == ("succeeded", tasks)
        assert answers[tool]["usage"]["raw_tokens"] > 0
    pipeline = answers["sparc_pipeline"]
    assert pipeline["status"] == "succeeded"
    assert sorted(item["path"] for item in pipeline["artefacts"]) == files_below(tmp_path / "out")
    assert len(answers["run_status"]["runs"]) == 4
    tokens = answers["token_usage"]
    assert tokens["raw_tokens"] == answers["sparc_batch"]["usage"]["raw_tokens"]
    assert {group["key"] for group in tokens["groups"]} == {"coder", "tester"}


async def test_the_deepest_value_there_can_be_reaches_a_client(tmp_path: Path) -> None:
    deepest: Any = "core"
    for _ in range(DEPTH_LIMIT):
        deepest = [deepest]
    async with connected(tmp_path, "auto") as client:
        answered(await client.call_tool("memory_usage", {"action": "store", "key": "deep", "value": deepest}))
        found = await client.call_tool("memory_usage", {"action": "retrieve", "key": "deep"})
        assert answered(found)["value"] == deepest


async def test_progress_arrives_and_always_grows(tmp_path: Path, mode: Mode, wire: OpenAIWire) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with connected(tmp_path, mode, *on_wire(wire)) as client:
        arguments = {"mode": "coder", "tasks": ["A", "B", "C"]}
        view = answered(await client.call_tool("sparc_concurrent", arguments, progress_callback=hear))
    figures = [done for done, _, _ in heard]
    assert figures == sorted(set(figures))
    assert heard[-1][:2] == (3, 3)
    assert view["run_id"] in (heard[0][2] or "")


async def test_a_progress_listener_that_fails_does_not_stop_the_run(tmp_path: Path, wire: OpenAIWire) -> None:
    async def hear(progress: float, total: float | None, message: str | None) -> None:
        raise RuntimeError("no ears")

    async with in_memory(tmp_path, model="openai:test", base_url=wire.base_url) as client:
        call = client.call_tool("sparc_run", {"mode": "coder", "task": "Login"}, progress_callback=hear)
        assert answered(await call)["status"] == "succeeded"


async def test_two_calls_go_on_at_once(tmp_path: Path, mode: Mode, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold))
    async with connected(tmp_path, mode, *on_wire(wire)) as client:
        run = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "Login", "wait_s": 0}))
        assert run["status"] in ("queued", "running")
        stored = await client.call_tool("memory_usage", {"action": "store", "key": "k", "value": 1})
        assert answered(stored)["version"] == 1
        hold.release()
        status = answered(await client.call_tool("run_status", {"run_id": run["run_id"], "wait_s": 20}))
        assert status["run"]["status"] == "succeeded"


async def test_a_result_too_large_for_a_model_is_whole_in_its_structure_and_announced_in_its_text(
    tmp_path: Path, mode: Mode
) -> None:
    value = "é" * 500_000
    async with connected(tmp_path, mode) as client:
        answered(await client.call_tool("memory_usage", {"action": "store", "key": "large", "value": value}))
        result = await client.call_tool("memory_usage", {"action": "retrieve", "key": "large"})
    assert answered(result)["value"] == value
    text = json.loads(text_of(result))
    assert text.keys() == {"note", "beginning"}
    assert "structuredContent" in text["note"]
    assert len(text_of(result)) < 20_000
