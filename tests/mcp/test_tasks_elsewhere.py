"""Handles of calls across processes and over HTTP: a killed server's are answered by the next; requests are routed by
what they are about."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from mcp_types.jsonrpc import HEADER_MISMATCH, INTERNAL_ERROR

from mcp import Client
from swarmtally.mcp.tasks import EXTENSION
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import RawServer, answered, in_memory, on_wire, serve_command
from tests.mcp.http_harness import post, served
from tests.mcp.tasks_client import WAIT_S, TakesTasks, begun, ended, get

VERSION = "2026-07-28"

DECLARED = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}},
}


@pytest.fixture
def killed(tmp_path: Path, wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A database whose server was killed amid a run and a look at it: the names of both calls' handles, by tool."""
    # A process that is killed tells nothing of what it covered, and tracing it takes as long again.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    wire.script(held(Hold()))
    server = RawServer(serve_command(tmp_path, *on_wire(wire)), tmp_path)
    try:
        names = {}
        for tool, arguments in (
            ("sparc_run", {"mode": "coder", "task": "x"}),
            ("swarm_monitor", {"interval": 60, "duration": 600}),
        ):
            params = {"name": tool, "arguments": arguments, "_meta": DECLARED}
            created = server.receive(server.send("tools/call", params))["result"]
            assert (created["resultType"], created["status"]) == ("task", "working")
            names[tool] = created["taskId"]
        wire.wait_for_requests(1)
    finally:
        server.clean_up()
    return names


def copied(place: Path) -> Path:
    """A folder with a copy of the database."""
    copy = place / "copy"
    copy.mkdir()
    for file in place.glob("swarm.db*"):
        shutil.copy(file, copy)
    return copy


def result_of(state: Mapping[str, Any]) -> dict[str, Any]:
    return answered(CallToolResult.model_validate(state["result"], by_name=False))


async def test_a_killed_servers_calls_are_answered_by_the_next(
    tmp_path: Path, wire: OpenAIWire, killed: dict[str, str]
) -> None:
    adopting = await anyio.to_thread.run_sync(copied, tmp_path)
    chosen: dict[str, Any] = {"model": "openai:test", "base_url": wire.base_url, "extensions": [TakesTasks()]}
    async with in_memory(tmp_path, **chosen) as client:
        over = await get(client, killed["sparc_run"])
        assert over["status"] == "completed"
        run = result_of(over)
        assert run["status"] == "interrupted"
        assert "Its process is gone: continue it with run_control" in over["statusMessage"]
        lost = await get(client, killed["swarm_monitor"])
        assert (lost["status"], lost["error"]["code"]) == ("failed", INTERNAL_ERROR)
        answered(await client.call_tool("run_control", {"run_id": run["run_id"], "action": "resume"}))
        asked = {"run_id": run["run_id"], "wait_s": 20}
        assert answered(await client.call_tool("run_status", asked))["run"]["status"] == "succeeded"
        assert await get(client, killed["sparc_run"]) == over
    # As another server would see it that has not got to adopting yet; this one never does, being of another model.
    with closing(sqlite3.connect(adopting / "swarm.db")) as file, file:
        file.execute("UPDATE run SET lease_expires_ns = lease_expires_ns + 3600000000000")
    async with in_memory(adopting, adopt=True, **(chosen | {"model": "openai:other"})) as client:
        left = await get(client, killed["sparc_run"])
        assert (left["status"], left["statusMessage"].rpartition(", ")[2]) == ("working", "interrupted")
    async with in_memory(adopting, adopt=True, **chosen) as client:
        over = await ended(client, killed["sparc_run"])
        assert result_of(over)["status"] == "succeeded"


async def test_over_http_a_request_names_its_call_in_the_header_it_is_routed_by(
    tmp_path: Path, wire: OpenAIWire
) -> None:
    chosen = {"model": "openai:test", "base_url": wire.base_url}
    async with served(tmp_path, settings=chosen) as listening:
        async with httpx2.AsyncClient(timeout=WAIT_S) as http:
            transport = streamable_http_client(listening.url, http_client=http)
            async with Client(transport, extensions=[TakesTasks()]) as client:
                made = await begun(client, "sparc_run", mode="coder", task="x")
                over = await ended(client, made["taskId"])
        assert result_of(over)["status"] == "succeeded"
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            for named, status in (({"Mcp-Name": made["taskId"]}, 200), ({"Mcp-Name": "another"}, 400), ({}, 400)):
                body = {"taskId": made["taskId"], "inputResponses": {}, "_meta": DECLARED}
                message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": body}
                headers = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method, **named}
                answer = await post(listening.url, headers, json.dumps(message))
                assert answer.status_code == status
                assert status == 200 or answer.json()["error"]["code"] == HEADER_MISMATCH
