"""The protocol's messages over a process's standard streams, as the two streams that the SDK's server asks for.

The SDK's own transport puts a task and a stream without room between each pipe and the server: a message then waits for
four turns of the event loop that do nothing else.
"""

import asyncio
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from swarmtally.mcp.pipes import BACKLOG_BYTES, LineReader, LineWriter


class _Stream:
    """What both streams have of a context manager."""

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        await self.aclose()
        return None


class Incoming(_Stream):
    """Messages read from `lines`. What is none comes as the error that says why; the server drops it."""

    def __init__(self, lines: LineReader) -> None:
        self._lines = lines

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        line = await anext(self._lines)
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            return error

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            EndOfStream: there is none.
        """
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise anyio.EndOfStream from None


class Outgoing(_Stream):
    """Messages handed to `writer`, each at once."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def send(self, item: SessionMessage) -> None:
        """Send a message; wait while the client is far behind.

        Raises:
            ClosedResourceError: it has gone.
        """
        if self._closed or self._writer.broken:
            raise anyio.ClosedResourceError
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        self._writer.put(line.encode() + b"\n")
        if self._writer.backlog > BACKLOG_BYTES:
            await self._room()

    async def aclose(self) -> None:
        """Send nothing more."""
        self._closed = True

    async def _room(self) -> None:
        while self._writer.backlog > BACKLOG_BYTES and not self._writer.broken:
            shrunk = asyncio.Event()
            self._writer.when_written(partial(self._tell, shrunk))
            await shrunk.wait()
        if self._writer.broken:
            raise anyio.ClosedResourceError

    def _tell(self, shrunk: asyncio.Event) -> None:
        # A closed loop raises RuntimeError: then nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(shrunk.set)
