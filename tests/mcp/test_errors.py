"""What a caller gets that asked for something that cannot be: one line, marked as an error."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from mcp_types import INVALID_PARAMS
from structlog.typing import EventDict

from mcp import Client, MCPError
from swarmtally.app import App
from swarmtally.domain.errors import SwarmError
from swarmtally_tools import registry, swarm
from swarmtally_tools.definition import View
from tests.mcp.conftest import Mode, answered, connected, in_memory, told

WRONG = [
    ("swarm_init", {"max_agentz": 3}, "has no argument 'max_agentz'; did you mean 'max_agents'?"),
    ("swarm_init", {"max_agents": 3, "maxAgents": 3}, "twice"),
    ("swarm_init", {"max_agents": "many"}, "max_agents must be a whole number, got 'many'"),
    ("swarm_init", {"max_agents": 20_000}, "max_agents must be at most 10000, got 20000"),
    ("swarm_init", {"topology": "tree"}, "topology must be one of"),
    ("agent_spawn", {"type": "coder"}, "has no current swarm; make one with swarm_init"),
    ("agent_spawn", {}, "type is missing"),
    ("agent_spawn", {"type": "coder", "swarm_id": "s_1"}, "s_1"),
    ("memory_usage", {"action": "retrieve", "key": "nothing"}, "no entry 'nothing'"),
    ("memory_usage", {"action": "store", "key": "k", "value": "x" * 1_100_000}, "the limit is 1048576"),
    ("memory_search", {"pattern": "*", "limit": 1_001}, "limit must be at most 1000"),
    ("memory_search", {"pattern": "*", "cursor": "made up"}, "cursor"),
    ("sparc_run", {"mode": "codr", "task": "x"}, "coder"),
    ("sparc_run", {"mode": "coder", "task": "x", "wait_s": 46}, "wait_s must be at most 45"),
    ("sparc_run", {"mode": "coder", "task": "x", "model": "openai:m", "out_dir": "/etc"}, "allowed roots"),
    ("run_status", {"run_id": "r_1"}, "no run 'r_1'"),
]


async def refusals(client: Client) -> list[tuple[str, str]]:
    return [(told(await client.call_tool(tool, dict(arguments))), part) for tool, arguments, part in WRONG]


async def test_what_is_wrong_is_one_line_with_the_remedy(tmp_path: Path, mode: Mode) -> None:
    async with connected(tmp_path, mode) as client:
        for line, part in await refusals(client):
            assert part in line
        status = answered(await client.call_tool("run_status", {}))
    assert status["swarms"] == status["runs"] == []


async def test_a_tool_there_is_none_of_is_an_error_of_the_protocol(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        for name, part in (("swarm_int", "did you mean 'swarm_init'?"), ("zzz", "it takes swarm_init, ")):
            with pytest.raises(MCPError, match=f"no tool '{name}'; {re.escape(part)}") as caught:
                await client.call_tool(name, {})
            assert caught.value.error.code == INVALID_PARAMS


async def test_camel_case_is_understood(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        made = answered(await client.call_tool("swarm_init", {"maxAgents": 3}))
        spawned = await client.call_tool("agent_spawn", {"type": "coder", "swarmId": made["swarm_id"]})
        assert answered(spawned)["max_agents"] == 3


async def test_each_call_is_one_line_of_log_without_what_it_said(tmp_path: Path, logged: list[EventDict]) -> None:
    async with in_memory(tmp_path) as client:
        await client.call_tool("memory_usage", {"action": "store", "key": "secret-key", "value": "secret-value"})
        with pytest.raises(MCPError):
            await client.call_tool("secret-tool", {"secret": 1})
        await client.call_tool("run_status", {"run_id": "secret-run"})
    calls = [(line["tool"], line["outcome"]) for line in logged if line["event"] == "tool.call"]
    assert calls == [("memory_usage", "ok"), ("unknown", "refused"), ("run_status", "NotFound")]
    assert "secret" not in str(logged)


async def test_the_unexpected_is_logged_with_its_trace_and_told_by_its_id(
    tmp_path: Path, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(app: App, **arguments: Any) -> View:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(swarm, "TOOLS", (dataclasses.replace(swarm.swarm_init, function=broken),))
    monkeypatch.setattr(registry, "MODULES", {"swarm_init": "swarm"})
    async with in_memory(tmp_path) as client:
        line = told(await client.call_tool("swarm_init", {}))
    (entry,) = (entry for entry in logged if entry["event"] == "tool.failed")
    assert entry["exc_info"] is True
    assert line == f"internal error, id {entry['id']}; see the server's log"
    assert "secret" not in line


async def test_what_no_wire_can_carry_is_told_and_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(View):
        text: str

    async def odd(app: App, **arguments: Any) -> View:
        return Odd(text=os.fsdecode(b"caf\xe9"))

    async def odd_error(app: App, **arguments: Any) -> View:
        raise SwarmError(f"no file {os.fsdecode(b'caf' + bytes([0xE9]))}")

    monkeypatch.setattr(registry, "MODULES", {"swarm_init": "swarm", "agent_spawn": "swarm"})
    tools = (
        dataclasses.replace(swarm.swarm_init, function=odd),
        dataclasses.replace(swarm.agent_spawn, function=odd_error),
    )
    monkeypatch.setattr(swarm, "TOOLS", tools)
    async with in_memory(tmp_path) as client:
        assert "internal error" in told(await client.call_tool("swarm_init", {}))
        assert told(await client.call_tool("agent_spawn", {"type": "x"})) == "no file caf?"


async def test_a_damaged_database_is_told_with_each_call_until_it_is_gone(tmp_path: Path, mode: Mode) -> None:
    database = tmp_path / "swarm.db"
    database.write_bytes(b"no database at all " * 100)
    async with connected(tmp_path, mode) as client:
        assert (await client.list_tools()).tools
        for _ in range(2):
            assert "is damaged or no database" in told(await client.call_tool("run_status", {}))
        database.unlink()
        assert answered(await client.call_tool("run_status", {}))["runs"] == []
