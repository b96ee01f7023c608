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
import structlog
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, ErrorData, JSONRPCError, jsonrpc_message_adapter

from swarmtally.mcp.lines import LineTooLong, answered_id, request_id
from swarmtally.mcp.pipes import BACKLOG_BYTES, LineReader, LineWriter

log = structlog.get_logger(__name__)


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


ANSWER_UNREAD = -32098
"""The code of the error that stands for a client's answer which could not be read. It is never sent."""


class Incoming(_Stream):
    """Messages read from `lines`. What is none comes as the error that says why; the server drops it. A request that
    is too long, or none that can be read, is refused through `outgoing`, for its client waits for an answer. An answer
    of that kind comes as an error, for whoever asked waits for it."""

    def __init__(self, lines: LineReader, outgoing: "Outgoing") -> None:
        self._lines = lines
        self._outgoing = outgoing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while isinstance(line := await anext(self._lines), LineTooLong):
            length = f"{line.length:,} bytes"
            if (own := line.answered_id) is not None:
                return _unread_answer(own, f"has {length} and was not read; at most {line.most:,} are")
            told = f"The request has {length} and was not read; send at most {line.most:,} bytes in a line."
            await self._refuse(line.request_id, told, reason="size", bytes=line.length, at_most_bytes=line.most)
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            if (own := answered_id(line, line)) is not None:
                return _unread_answer(own, "is nested too deep" if _deep(error) else "is no message of JSON-RPC 2.0")
            await self._refuse(request_id(line, line), _unread(error), reason="content", characters=len(line))
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

    async def _refuse(self, request: int | str | None, told: str, **about: str | int) -> None:
        # Nothing of the line is logged: it may hold a secret.
        if request is None:
            log.warning("stdio.line_dropped", **about)
            return
        log.info("stdio.refused", **about)
        error = ErrorData(code=INVALID_REQUEST, message=told)
        # A client that has gone is nobody to tell.
        with suppress(anyio.ClosedResourceError):
            await self._outgoing.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=request, error=error)))


def _unread_answer(own: int | str, told: str) -> SessionMessage:
    log.warning("stdio.answer_unread", why=told)
    error = ErrorData(code=ANSWER_UNREAD, message=f"the client's answer {told}")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=own, error=error))


def _unread(error: ValueError) -> str:
    """Why a request could not be read, without anything of it."""
    if _deep(error):
        return "The request is nested too deep and was not read; send flatter values, or JSON as a text."
    return "The request was not read: it is no message of JSON-RPC 2.0; send one, in one line."


def _deep(error: ValueError) -> bool:
    return "recursion limit" in str(error)


class Outgoing(_Stream):
    """Messages handed to `writer`, each at once."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._waiting: set[asyncio.Event] = set()

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
        self.stop()

    def stop(self) -> None:
        """Send nothing more, and let nobody wait for a client that does not read: not even who is shielded from being
        cancelled, as the server is while it tells its client of the end."""
        self._closed = True
        for shrunk in tuple(self._waiting):
            shrunk.set()

    async def stop_when_cancelled(self) -> None:
        """Wait until cancelled, and then stop."""
        try:
            await anyio.sleep_forever()
        finally:
            self.stop()

    async def _room(self) -> None:
        while self._writer.backlog > BACKLOG_BYTES and not (self._writer.broken or self._closed):
            shrunk = asyncio.Event()
            self._waiting.add(shrunk)
            self._writer.when_written(partial(self._tell, shrunk))
            try:
                await shrunk.wait()
            finally:
                self._waiting.discard(shrunk)
        if self._writer.broken or self._closed:
            raise anyio.ClosedResourceError

    def _tell(self, shrunk: asyncio.Event) -> None:
        # A closed loop raises RuntimeError: then nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(shrunk.set)
