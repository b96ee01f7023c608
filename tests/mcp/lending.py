"""Clients that lend their model, and the server they lend it to."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.context import ClientRequestContext
from mcp.client.session import ClientSession
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ErrorData,
    InputRequiredResult,
    TextContent,
)

from mcp import Client
from swarmtally.mcp.opening import Opening
from swarmtally.mcp.server import make_server
from swarmtally.settings import Settings
from tests.mcp.conftest import Mode, answered

ARCHITECTURE = "# Architecture\n\n## Components\n\n- cart\n- search\n"

Answer = CreateMessageResult | ErrorData


def said(text: str, **more: Any) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(text=text), model="acme-7", **more)


def by_task(params: CreateMessageRequestParams) -> Answer:
    """What a model would make of it, in short."""
    (message,) = params.messages
    assert isinstance(message.content, TextContent)
    return said(ARCHITECTURE if message.content.text.endswith("Deliverable: architecture") else "# done\n")


class Person:
    """A client's model, with whoever watches over it."""

    def __init__(self, answer: Callable[[CreateMessageRequestParams], Answer] = by_task) -> None:
        self.answer = answer
        self.asked: list[CreateMessageRequestParams] = []
        self.at_once = 0
        self.most = 0
        self.gate: anyio.Event | None = None
        self.changed = anyio.Event()

    async def __call__(self, _: ClientRequestContext, params: CreateMessageRequestParams) -> Answer:
        self.asked.append(params)
        self._now(self.at_once + 1)
        self.most = max(self.most, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await anyio.lowlevel.checkpoint()
            return self.answer(params)
        finally:
            self._now(self.at_once - 1)

    def _now(self, at_once: int) -> None:
        self.at_once = at_once
        self.changed.set()
        self.changed = anyio.Event()

    async def asked_at_once(self, number: int) -> None:
        """Wait until so many requests are under way."""
        while self.at_once != number:
            await self.changed.wait()


@asynccontextmanager
async def serving(place: Path, **settings: Any) -> AsyncIterator[Any]:
    """The server in this process, for several clients."""
    settings = {"model": "sampling", **settings}
    gather = partial(Settings.gather, "mcp", db=str(place / "swarm.db"), project="test", cwd=place, **settings)
    opening = Opening(await anyio.to_thread.run_sync(gather))
    server = await anyio.to_thread.run_sync(make_server, opening.app)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(opening.run)
            yield server
            opening.close()


def lending(server: Any, mode: Mode, person: Person) -> Client:
    return Client(server, mode=mode, sampling_callback=person)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answered(await client.call_tool(tool, arguments))


async def first_round(client: Client, tool: str, **arguments: Any) -> InputRequiredResult:
    result = await client.session.call_tool(tool, arguments, allow_input_required=True)
    assert isinstance(result, InputRequiredResult), result
    return result


async def next_round(
    client: Client, last: InputRequiredResult, answers: dict[str, Answer], tool: str, **arguments: Any
) -> Any:
    given = {key: value for key, value in answers.items() if isinstance(value, CreateMessageResult)}
    return await client.session.call_tool(
        tool, arguments, input_responses=given, request_state=last.request_state, allow_input_required=True
    )


def all_said(asked: InputRequiredResult) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for key, request in (asked.input_requests or {}).items():
        assert isinstance(request, CreateMessageRequest)
        found[key] = by_task(request.params)
    return found


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(place / "swarm.db")) as database, database:
        return database.execute(sql).fetchall()


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's client lists the tools and checks the schema of a tool's results anew on each connection, which takes
    most of such a test's time. Others have them checked."""

    async def take(*_: object) -> None:
        return None

    monkeypatch.setattr(ClientSession, "validate_tool_result", take)
