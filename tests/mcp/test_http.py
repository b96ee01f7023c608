"""The protocol over HTTP, by the SDK's clients: both eras over streamable HTTP and over SSE."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from mcp import MCPError
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.listening import Transport
from swarmtally_tools import registry
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import Mode, answered, text_of, told
from tests.mcp.http_harness import HELLO, JSON, WAIT_S, client_of, post, served

LIST = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})


@pytest.fixture(params=["http", "sse"])
def transport(request: pytest.FixtureRequest) -> Transport:
    transport: Transport = request.param
    return transport


async def test_the_tools_are_listed_and_do_their_work(tmp_path: Path, transport: Transport, mode: Mode) -> None:
    async with served(tmp_path, transport) as listening, client_of(listening.url, mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == registry.MODULES.keys()
        assert answered(await client.call_tool("swarm_init", {"max_agents": 12}))["max_agents"] == 12
        result = await client.call_tool("memory_usage", {"action": "store", "key": "k", "value": {"a": [1, None, "é"]}})
        assert json.loads(text_of(result)) == answered(result)
        value = answered(await client.call_tool("memory_usage", {"action": "retrieve", "key": "k"}))["value"]
        assert value == {"a": [1, None, "é"]}


async def test_an_error_is_a_result_with_one_line(tmp_path: Path, transport: Transport, mode: Mode) -> None:
    async with served(tmp_path, transport) as listening, client_of(listening.url, mode) as client:
        assert "did you mean 'max_agents'" in told(await client.call_tool("swarm_init", {"max_agentz": 3}))
        with pytest.raises(MCPError, match="no tool 'swarm_int'"):
            await client.call_tool("swarm_int", {})


async def test_the_era_is_the_one_the_client_asked_for(tmp_path: Path, transport: Transport) -> None:
    async with served(tmp_path, transport) as listening:
        async with client_of(listening.url, "legacy") as client:
            assert client.protocol_version < "2026"
        async with client_of(listening.url, "auto") as client:
            assert client.protocol_version == "2026-07-28"


async def test_clients_share_one_database(tmp_path: Path, transport: Transport) -> None:
    async with served(tmp_path, transport) as listening, AsyncExitStack() as stack:
        modes: tuple[Mode, ...] = ("legacy", "auto", "legacy", "auto")
        clients = [await stack.enter_async_context(client_of(listening.url, mode)) for mode in modes]

        async def store(number: int) -> None:
            arguments = {"action": "store", "key": f"k{number}", "value": number}
            answered(await clients[number].call_tool("memory_usage", arguments))

        async with anyio.create_task_group() as group:
            for number in range(len(clients)):
                group.start_soon(store, number)
        for client in clients:
            found = answered(await client.call_tool("memory_search", {"pattern": "k*"}))
            assert found["total"] == len(clients)


async def test_a_call_that_waits_holds_up_nobody(
    tmp_path: Path, transport: Transport, mode: Mode, wire: OpenAIWire
) -> None:
    hold = Hold()
    wire.script(held(hold))
    named = {"model": "openai:test", "base_url": wire.base_url}
    heard: list[float] = []
    views: list[dict[str, Any]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with served(tmp_path, transport, settings=named) as listening, AsyncExitStack() as stack:
        waiting, other = [await stack.enter_async_context(client_of(listening.url, mode)) for _ in range(2)]

        async def run() -> None:
            call = waiting.call_tool("sparc_run", {"mode": "coder", "task": "Login"}, progress_callback=hear)
            views.append(answered(await call))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
            for client in (waiting, other):
                answered(await client.call_tool("memory_usage", {"action": "store", "key": "k", "value": 1}))
            assert views == []
            hold.release()
    assert views[0]["status"] == "succeeded"
    assert heard == sorted(set(heard))
    assert heard[-1] == 1


async def test_a_session_ends_with_delete(tmp_path: Path) -> None:
    async with served(tmp_path) as listening:
        named = {"Mcp-Session-Id": (await post(listening.url)).headers["mcp-session-id"]}
        assert (await post(listening.url, named, LIST)).status_code == 200
        async with httpx2.AsyncClient(headers={**JSON, **named}) as http:
            assert (await http.delete(listening.url)).status_code == 200
        assert (await post(listening.url, named, LIST)).status_code == 404


async def test_a_session_nobody_uses_ends_after_its_time(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(session_idle_s=0.001)) as listening:
        named = {"Mcp-Session-Id": (await post(listening.url)).headers["mcp-session-id"]}
        with anyio.fail_after(WAIT_S):
            while (await post(listening.url, named, LIST)).status_code != 404:
                await anyio.lowlevel.checkpoint()


async def test_one_session_too_many_is_refused_until_another_ends(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(sessions=1)) as listening:
        named = {"Mcp-Session-Id": (await post(listening.url)).headers["mcp-session-id"]}
        assert (await post(listening.url)).status_code == 503
        async with httpx2.AsyncClient(headers={**JSON, **named}) as http:
            await http.delete(listening.url)
        assert (await post(listening.url)).status_code == 200


async def test_a_value_as_large_as_memory_takes_passes(tmp_path: Path, transport: Transport, mode: Mode) -> None:
    value = "é" * 500_000
    async with served(tmp_path, transport) as listening, client_of(listening.url, mode) as client:
        answered(await client.call_tool("memory_usage", {"action": "store", "key": "large", "value": value}))
        result = await client.call_tool("memory_usage", {"action": "retrieve", "key": "large"})
    assert answered(result)["value"] == value


async def test_what_is_no_endpoint_is_not_found(tmp_path: Path, transport: Transport) -> None:
    async with served(tmp_path, transport) as listening:
        root = listening.url.rpartition("/")[0]
        assert (await post(f"{root}/nothing")).status_code == 404
        assert (await post(f"{root}/sse", content=HELLO)).status_code == (404 if transport == "http" else 405)


async def test_a_client_without_a_key_does_a_whole_pipeline(tmp_path: Path, transport: Transport, mode: Mode) -> None:
    async with served(tmp_path, transport) as listening, client_of(listening.url, mode) as client:
        view = answered(await client.call_tool("sparc_pipeline", {"task": "Shop with cart, checkout, and search"}))
        packets, reported = list(view["packets"]), 0
        while packets:
            packet = packets.pop()
            made = {"output": f"# {packet['key']}", "claim": 1}
            named = {"task_id": packet["task_id"], "lease": packet["lease"]}
            view = answered(await client.call_tool("work_report", {**named, **made}))
            packets += view["packets"]
            reported += 1
    assert (view["run_status"], view["tasks"]["succeeded"]) == ("succeeded", reported)
    assert reported > 15
