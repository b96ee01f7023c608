"""Calls that their client cancels end, over each transport and in both eras; runs they began go on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from structlog.typing import EventDict

from mcp import Client
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import Mode, answered, in_memory
from tests.mcp.http_harness import client_of, served

WAIT_S = 20


@asynccontextmanager
async def client_over(transport: str, place: Path, mode: Mode, wire: OpenAIWire) -> AsyncIterator[Client]:
    model = {"model": "openai:test", "base_url": wire.base_url}
    if transport == "memory":
        async with in_memory(place, mode, **model) as client:
            yield client
    else:
        async with served(place, settings=model) as listening, client_of(listening.url, mode) as client:
            yield client


async def heard_end(logged: list[EventDict], tool: str) -> None:
    with anyio.fail_after(WAIT_S):
        while True:
            if any((line.get("tool"), line.get("outcome")) == (tool, "cancelled") for line in logged):
                return
            await anyio.sleep(0.02)


@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_cancelled_call_ends_and_the_run_it_waited_for_goes_on(
    tmp_path: Path, mode: Mode, transport: str, wire: OpenAIWire, logged: list[EventDict]
) -> None:
    hold = Hold()
    wire.script(held(hold))
    async with client_over(transport, tmp_path, mode, wire) as client:
        for tool, arguments in (
            ("sparc_run", {"mode": "coder", "task": "Login", "wait_s": 45}),
            ("swarm_monitor", {"interval": 60, "duration": 600}),
        ):
            await cancelled_at_work(client, tool, arguments)
            await heard_end(logged, tool)
        await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
        hold.release()
        (run,) = answered(await client.call_tool("run_status", {}))["runs"]
        ended = answered(await client.call_tool("run_status", {"run_id": run["run_id"], "wait_s": 20}))
        assert ended["run"]["status"] == "succeeded"


async def cancelled_at_work(client: Client, tool: str, arguments: dict[str, Any]) -> None:
    """Cancel a call when the server has told of its progress."""
    heard = anyio.Event()

    async def hear(_done: float, _total: float | None, _message: str | None) -> None:
        heard.set()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(client.call_tool, tool, arguments, progress_callback=hear))
        with anyio.fail_after(WAIT_S):
            await heard.wait()
        group.cancel_scope.cancel()
