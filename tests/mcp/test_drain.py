"""The end of an HTTP server: new work is refused and /healthz says so, while calls under way get their time."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.subscriptions import ListenHandler
from mcp_types import CallToolResult, SubscriptionsListenResult

from mcp import Client, MCPError
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.listening import Listening, Transport
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import Mode, answered
from tests.mcp.http_harness import WAIT_S, client_of, post, served
from tests.mcp.lending import Person, call
from tests.mcp.test_healthz import asked

LONG = Bounds(grace_s=WAIT_S)


class Ending:
    """A server that a test ends while it asks on."""

    def __init__(self, listening: Listening) -> None:
        self.listening = listening
        self.end = anyio.Event()
        self.ended = anyio.Event()

    async def draining(self) -> None:
        """Wait until it drains, which it says by itself."""
        self.end.set()
        with anyio.fail_after(WAIT_S):
            while (await asked(self.listening)).status_code == 200:
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def ending(place: Path, transport: Transport, bounds: Bounds, **settings: Any) -> AsyncIterator[Ending]:
    async def serve(task_status: anyio.abc.TaskStatus[Ending]) -> None:
        async with served(place, transport, bounds, settings) as listening:
            server = Ending(listening)
            task_status.started(server)
            await server.end.wait()
        server.ended.set()

    async with anyio.create_task_group() as group:
        server = await group.start(serve)
        yield server
        server.end.set()


@pytest.mark.parametrize(("transport", "mode"), [("http", "legacy"), ("http", "auto"), ("sse", "legacy")])
async def test_while_a_call_is_under_way_new_work_is_refused_and_the_call_is_answered(
    tmp_path: Path, transport: Transport, mode: Mode, wire: OpenAIWire
) -> None:
    hold = Hold()
    wire.script(held(hold))
    results: list[CallToolResult] = []
    named = {"model": "openai:test", "base_url": wire.base_url}
    async with ending(tmp_path, transport, LONG, **named) as server:
        url = server.listening.url
        async with client_of(url, mode) as client, anyio.create_task_group() as group:
            await client.list_tools()

            async def call() -> None:
                results.append(await client.call_tool("sparc_run", {"mode": "coder", "task": "Login"}))

            group.start_soon(call)
            await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
            await server.draining()
            found = await asked(server.listening)
            told = {"status": "draining", "reason": "the server is ending"}
            assert (found.status_code, found.json()) == (503, told)
            refused = await post(server.listening.url)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert "The server is ending" in refused.json()["error"]["message"]
            with pytest.raises(MCPError, match=r"[Tt]he server is ending"):
                await client.call_tool("run_status", {})
            assert not server.ended.is_set()
            hold.release()
        with anyio.fail_after(WAIT_S):
            await server.ended.wait()
    assert answered(results[0])["status"] == "succeeded"


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_what_a_client_s_model_answers_during_the_drain_counts(tmp_path: Path, transport: Transport) -> None:
    person, results = Person(), []
    person.gate = anyio.Event()
    connect = sse_client if transport == "sse" else streamable_http_client
    async with ending(tmp_path, transport, LONG, model="sampling") as server:
        lending = Client(connect(server.listening.url), mode="legacy", sampling_callback=person)
        async with lending as client, anyio.create_task_group() as group:
            # Else it asks for the list once it has the result, to check that, and is refused.
            await client.list_tools()

            async def ask() -> None:
                results.append(await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=0))

            group.start_soon(ask)
            await person.asked_at_once(2)
            await server.draining()
            person.gate.set()
        with anyio.fail_after(WAIT_S):
            await server.ended.wait()
    assert (results[0]["status"], len(person.asked)) == ("succeeded", 2)


async def test_without_a_call_under_way_nobody_waits(tmp_path: Path) -> None:
    async with ending(tmp_path, "http", Bounds(grace_s=3_600)) as server, client_of(server.listening.url, "legacy"):
        server.end.set()
        with anyio.fail_after(WAIT_S):
            await server.ended.wait()


async def test_who_listens_for_changes_is_told_of_the_end_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = anyio.Event()

    class Handler(ListenHandler):
        async def __call__(self, *asked: Any) -> SubscriptionsListenResult:
            listening.set()
            return await super().__call__(*asked)

    monkeypatch.setattr("swarmtally.mcp.subscriptions.ListenHandler", Handler)
    about = {"protocolVersion": "2026-07-28", "clientInfo": {"name": "test", "version": "1"}, "clientCapabilities": {}}
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
    params = {"notifications": {"resourcesListChanged": True}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": "l1", "method": "subscriptions/listen", "params": params})
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"}
    answers: list[str] = []
    async with ending(tmp_path, "http", Bounds(grace_s=3_600)) as server:

        async def listen() -> None:
            answers.append((await post(server.listening.url, headers, body)).text)

        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                await listening.wait()
                server.end.set()
                await server.ended.wait()
    *_, last = [json.loads(line[5:]) for line in answers[0].splitlines() if line.startswith("data: {")]
    assert last["id"] == "l1"
    assert last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l1"
