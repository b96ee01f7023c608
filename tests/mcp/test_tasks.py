"""Calls that may take long, to clients of the Tasks extension: a handle first, the same result in the end."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, CallToolResult
from mcp_types.jsonrpc import HEADER_MISMATCH, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY
from structlog.typing import EventDict

from mcp import Client, MCPError
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.handle import KEPT_NS, LONGEST_NS
from swarmtally.mcp import tasks
from swarmtally.mcp.tasks import EXTENSION
from swarmtally_tools.toolsets import Offer
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import answered, in_memory, text_of, told
from tests.mcp.tasks_client import WAIT_S, TakesTasks, ask, begin, begun, ended, get, seen

TAKES = {"extensions": [TakesTasks()]}

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")

HOUR_NS = 3600 * NS_PER_S

FOR_EVER = {"interval": 60, "duration": 3600}


def on(wire: OpenAIWire) -> dict[str, Any]:
    return {"model": "openai:test", "base_url": wire.base_url, **TAKES}


async def status_of(client: Client, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = answered(await client.call_tool("run_status", {"run_id": run_id}))["run"]
    return run


def result_of(state: dict[str, Any]) -> CallToolResult:
    return CallToolResult.model_validate(state["result"], by_name=False)


def told_of(state: dict[str, Any]) -> str:
    return str(state["statusMessage"])


async def refused(client: Client, method: str, **params: Any) -> tuple[int, Any]:
    with pytest.raises(MCPError) as caught:
        await ask(client, method, **params)
    return caught.value.error.code, caught.value.error.data


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is quick enough to be answered with its result."""
    monkeypatch.setattr(tasks, "PROMPT_S", 0)


async def test_a_run_is_followed_to_its_end(tmp_path: Path, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold))
    async with in_memory(tmp_path, **on(wire)) as client:
        made = await begun(client, "sparc_concurrent", mode="coder", tasks=["a", "b"])
        assert made["resultType"] == "task"
        assert (made["status"], made["ttlMs"], made["pollIntervalMs"]) == ("working", 24 * 3600 * 1000, 1000)
        working = await seen(client, made["taskId"], lambda state: "1 of 2 tasks, running coder_" in told_of(state))
        assert (working["resultType"], working["status"]) == ("complete", "working")
        assert working["createdAt"] == made["createdAt"] <= working["lastUpdatedAt"]
        assert not {"result", "error", "inputRequests"} & set(working)
        hold.release()
        over = await ended(client, made["taskId"])
        assert (over["status"], result_of(over).is_error) == ("completed", False)
        view = answered(result_of(over))
        shown = await status_of(client, view["run_id"])
        await client.call_tool("run_control", {"run_id": view["run_id"], "action": "retry"})
        assert await get(client, made["taskId"]) == over
    assert over["statusMessage"] == f"{view['run_id']}: 2 of 2 tasks, succeeded"
    assert "pollIntervalMs" not in over
    assert json.loads(text_of(result_of(over))) == view
    made_swarm = "There was no current swarm: `default` (star, 8 agents) was made. "
    assert view["next_step"] == made_swarm + shown["next_step"]
    changing = {"as_of": "", "next_step": ""}
    assert view | changing == shown | changing
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    assert [set(example) for example in examples[1:]] == [set(state) for state in (made, working, over)]
    assert set(examples[-1]["result"]) == set(over["result"])


def test_the_page_names_what_the_code_does() -> None:
    for name in (*tasks.RUNS, *tasks.LONG, EXTENSION):
        assert f"`{name}`" in PAGE
    for limit in (f"{KEPT_NS // HOUR_NS} h", f"{LONGEST_NS // (24 * HOUR_NS)} days", f"{tasks.AT_ONCE} calls"):
        assert limit in PAGE
    for code in (INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY, HEADER_MISMATCH, METHOD_NOT_FOUND, INTERNAL_ERROR):
        assert f"| {code} |" in PAGE


async def test_who_declares_nothing_gets_results_and_may_not_ask(tmp_path: Path, wire: OpenAIWire) -> None:
    chosen = {**on(wire), "extensions": ()}
    async with in_memory(tmp_path, **chosen) as client:
        run = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "x"}))
        assert run["status"] == "succeeded"
        assert client.session.discover_result is not None
        assert client.session.discover_result.capabilities.extensions == {EXTENSION: {}}
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            code, data = await refused(client, method, taskId="x", inputResponses={})
            assert code == MISSING_REQUIRED_CLIENT_CAPABILITY
            assert data == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_the_protocol_of_2025_has_no_such_extension(tmp_path: Path, wire: OpenAIWire) -> None:
    async with in_memory(tmp_path, mode="legacy", **on(wire)) as client:
        run = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "x"}))
        assert run["status"] == "succeeded"
        assert client.session.initialize_result is not None
        assert client.session.initialize_result.capabilities.extensions is None
        for method in ("tasks/get", "tasks/cancel", "tasks/update", "tasks/result", "tasks/list"):
            assert (await refused(client, method, taskId="x", inputResponses={}))[0] == METHOD_NOT_FOUND


async def test_what_needs_no_waiting_is_a_result(tmp_path: Path, wire: OpenAIWire) -> None:
    async with in_memory(tmp_path, **on(wire)) as client:
        estimate = await begin(client, "sparc_run", mode="coder", task="x", dry_run=True)
        assert isinstance(estimate, CallToolResult)
        assert answered(estimate)["dry_run"]
        fault = await begin(client, "sparc_run", mode="coder")
        assert isinstance(fault, CallToolResult)
        assert "task" in told(fault)
        run = await begin(client, "sparc_run", mode="coder", task="x", wait_s=0)
        assert isinstance(run, CallToolResult)
        assert answered(run)["status"] in ("queued", "running")


async def test_work_for_the_client_is_a_result(tmp_path: Path) -> None:
    async with in_memory(tmp_path, **TAKES) as client:
        result = await begin(client, "sparc_pipeline", task="x")
        assert isinstance(result, CallToolResult)
        assert len(answered(result)["packets"]) == 1
        look = await begin(client, "swarm_monitor")
        assert isinstance(look, CallToolResult)
        assert answered(look)["samples_taken"] == 1


async def test_a_long_call_of_a_tool_that_is_not_offered_is_refused_and_the_server_goes_on(tmp_path: Path) -> None:
    async with in_memory(tmp_path, offer=Offer(("memory",)), **TAKES) as client:
        with pytest.raises(MCPError) as error:
            await begin(client, "neural_train")
        assert error.value.code == INVALID_PARAMS
        assert answered(await client.call_tool("memory_search", {"pattern": "*"}))["total"] == 0


async def test_a_cancelled_run_stays_cancelled(tmp_path: Path, wire: OpenAIWire) -> None:
    wire.script(held(Hold()))
    async with in_memory(tmp_path, **on(wire)) as client:
        made = await begun(client, "sparc_run", mode="coder", task="x")
        run_id = made["statusMessage"].partition(":")[0]
        await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
        assert await ask(client, "tasks/update", taskId=made["taskId"], inputResponses={"nobody": {}}) == {
            "resultType": "complete"
        }
        for _ in range(2):
            assert await ask(client, "tasks/cancel", taskId=made["taskId"]) == {"resultType": "complete"}
        over = await get(client, made["taskId"])
        assert (over["status"], "result" in over, "error" in over) == ("cancelled", False, False)
        assert run_id in over["statusMessage"]
        await anyio.to_thread.run_sync(wire.wait_for_disconnects, 1)
        assert (await status_of(client, run_id))["status"] == "cancelled"
        answered(await client.call_tool("run_control", {"run_id": run_id, "action": "retry"}))
        answered(await client.call_tool("run_status", {"run_id": run_id, "wait_s": 10}))
        assert (await status_of(client, run_id))["status"] == "succeeded"
        assert await get(client, made["taskId"]) == over


async def test_a_paused_run_is_over_for_who_waits(tmp_path: Path, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold))
    async with in_memory(tmp_path, **on(wire)) as client:
        made = await begun(client, "sparc_pipeline", task="x")
        run_id = made["statusMessage"].partition(":")[0]
        await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
        answered(await client.call_tool("run_control", {"run_id": run_id, "action": "pause"}))
        assert (await get(client, made["taskId"]))["status"] == "working"
        hold.release()
        over = await ended(client, made["taskId"])
    assert (over["status"], answered(result_of(over))["status"]) == ("completed", "paused")
    assert "run_control" in over["statusMessage"]


async def test_only_the_project_that_was_asked_knows_of_a_call(tmp_path: Path, wire: OpenAIWire) -> None:
    async with in_memory(tmp_path, **on(wire)) as client:
        made = await begun(client, "sparc_run", mode="coder", task="x")
        await ended(client, made["taskId"])
        with closing(sqlite3.connect(tmp_path / "swarm.db")) as file, file:
            file.execute("UPDATE handle SET project = ''")
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            for name in (made["taskId"], "guessed", ""):
                assert (await refused(client, method, taskId=name, inputResponses={}))[0] == INVALID_PARAMS
        assert (await refused(client, "tasks/update", taskId=made["taskId"]))[0] == INVALID_PARAMS
        with closing(sqlite3.connect(tmp_path / "swarm.db")) as file, file:
            file.execute("UPDATE handle SET project = 'test'")
        assert (await get(client, made["taskId"]))["status"] == "completed"
        with closing(sqlite3.connect(tmp_path / "swarm.db")) as file, file:
            file.execute("UPDATE handle SET expires_ns = 1")
        assert (await refused(client, "tasks/get", taskId=made["taskId"]))[0] == INVALID_PARAMS


@pytest.mark.usefixtures("at_once")
async def test_an_error_of_a_tool_is_a_result_too(tmp_path: Path) -> None:
    async with in_memory(tmp_path, **TAKES) as client:
        over = await ended(client, (await begun(client, "swarm_monitor", swarm_id="s_none"))["taskId"])
        plain = await client.session.call_tool("run_status", {"run_id": "r_none"})
    assert over["status"] == "completed"
    assert told(result_of(over)).startswith("project test has no swarm 's_none'")
    assert set(over["result"]) == set(plain.model_dump(by_alias=True, exclude_none=True)) - {"_meta"}


@pytest.mark.usefixtures("at_once")
async def test_a_look_goes_on_for_as_long_as_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]
) -> None:
    monkeypatch.setattr("swarmtally_tools.monitor.CALL_LIMIT_S", 0)
    monkeypatch.setattr(tasks, "AT_ONCE", 1)
    async with in_memory(tmp_path, **TAKES) as client:
        await client.call_tool("swarm_init", {})
        made = await begun(client, "swarm_monitor", **FOR_EVER)
        await seen(client, made["taskId"], lambda state: "0 idle; 0 tasks running" in told_of(state))
        further = await begin(client, "swarm_monitor", **FOR_EVER)
        assert isinstance(further, CallToolResult)
        assert answered(further)["remaining_s"] == 3600
        await ask(client, "tasks/cancel", taskId=made["taskId"])
        over = await get(client, made["taskId"])
        assert over["status"] == "cancelled"
        await heard_end(logged)
        monkeypatch.setattr(tasks, "AT_ONCE", 2)
        short = await begun(client, "swarm_monitor", interval=0.5, duration=0.5)
        view = answered(result_of(await ended(client, short["taskId"])))
        assert (view["samples_taken"], view["remaining_s"]) == (2, 0)
        assert await get(client, made["taskId"]) == over


@pytest.mark.usefixtures("at_once")
async def test_calls_that_come_together_count_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmtally_tools.monitor.CALL_LIMIT_S", 0)
    monkeypatch.setattr(tasks, "AT_ONCE", 2)
    async with in_memory(tmp_path, **TAKES) as client:
        await client.call_tool("swarm_init", {})
        answers: list[Any] = []

        async def look() -> None:
            answers.append(await begin(client, "swarm_monitor", **FOR_EVER))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(look)
    assert sorted(isinstance(answer, CallToolResult) for answer in answers) == [False, False, True, True, True]


async def heard_end(logged: list[EventDict]) -> None:
    """Wait until a call was cancelled."""
    with anyio.fail_after(WAIT_S):
        while True:
            if any(entry.get("outcome") == "cancelled" for entry in logged):
                return
            await anyio.sleep(0.02)


@pytest.mark.usefixtures("at_once")
async def test_another_server_answers_and_cancels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]
) -> None:
    monkeypatch.setattr(tasks, "HEARTBEAT_S", 0.05)
    async with in_memory(tmp_path, **TAKES) as client, in_memory(tmp_path, **TAKES) as other:
        await client.call_tool("swarm_init", {})
        made = await begun(client, "swarm_monitor", **FOR_EVER)
        assert (await get(other, made["taskId"]))["status"] == "working"
        await ask(other, "tasks/cancel", taskId=made["taskId"])
        assert (await get(client, made["taskId"]))["status"] == "cancelled"
        await heard_end(logged)


@pytest.mark.usefixtures("at_once")
async def test_where_no_handle_can_be_written_the_result_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmtally.store.connection.LOCK_DEADLINE_S", 0.05)
    async with in_memory(tmp_path, **TAKES) as client:
        await client.call_tool("swarm_init", {})
        with closing(sqlite3.connect(tmp_path / "swarm.db")) as file:
            file.execute("BEGIN IMMEDIATE")
            result = await begin(client, "swarm_monitor", interval=0.5, duration=0.5)
    assert isinstance(result, CallToolResult)
    assert answered(result)["samples_taken"] == 2
