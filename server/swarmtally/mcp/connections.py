"""Bounds on connections, which uvicorn does not have: how many, how long silent, how long unread.

Its own limits look at requests: a connection that never sends one, sends half of one, or does not read its answer stays
open for ever there.
"""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from swarmtally.mcp.bounds import Bounds


class Connections:
    """The open connections of one server."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._open: set[Connection] = set()
        # In the order in which they began to wait.
        self._waiting: dict[Connection, None] = {}

    def admit(self, connection: "Connection") -> bool:
        """Whether there is room. When there is none, the connection that has waited longest makes it."""
        if len(self._open) >= self.bounds.connections:
            if not self._waiting:
                return False
            oldest = next(iter(self._waiting))
            self.forget(oldest)
            oldest.transport.abort()
        self._open.add(connection)
        self._waiting[connection] = None
        return True

    def busy(self, connection: "Connection") -> None:
        """A call is under way on it: it makes room for nobody."""
        self._waiting.pop(connection, None)

    def waits(self, connection: "Connection") -> None:
        """Its call is done."""
        if connection in self._open:
            self._waiting[connection] = None

    def forget(self, connection: "Connection") -> None:
        """It is closed."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def abort(self) -> None:
        """Close all, whatever is unsent."""
        for connection in list(self._open):
            connection.transport.abort()


_GATHERED_BYTES = 32_768
"""The most that waits for the end of a turn of the event loop."""


class _Gathering(asyncio.Transport):
    """Sends what is written in one turn of the event loop at once: an answer's head, body and end come separately, and
    handing each to the system takes as long as making it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._written: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)
        self._size += len(data)
        if self._size > _GATHERED_BYTES:
            # Now, so that who goes on writing is told when the client does not read.
            self._send()

    def _send(self) -> None:
        if self._written:
            data, self._written, self._size = b"".join(self._written), [], 0
            self._transport.write(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def abort(self) -> None:
        # The end of an answer may have been written in this very turn.
        self._send()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()


class Connection(H11Protocol):
    """A connection that is closed when its client takes too long. Between calls uvicorn's own time for that counts."""

    def __init__(self, connections: Connections, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._connections = connections
        self._request: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's is so too
        transport = _Gathering(transport, self.loop)
        super().connection_made(transport)
        if not self._connections.admit(self):
            transport.abort()
            return
        # Head and body of an answer are written one after the other; Nagle would hold the second back for 40 ms.
        # asyncio switches it off only for sockets that were made with the protocol's number.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.forget(self)
        self._got_request()
        self._is_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._under_way():
            self._connections.busy(self)
            self._got_request()
        else:
            self._expect_request()

    def on_response_complete(self) -> None:
        # What was pipelined behind the request begins in here.
        super().on_response_complete()
        if not self._under_way():
            self._connections.waits(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._connections.bounds.stalled_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_read()

    def _under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_request(self) -> None:
        """From its first byte, so that trickling the rest gives no further time."""
        if self._request is None:
            self._request = self.loop.call_later(self._connections.bounds.request_s, self.transport.abort)

    def _got_request(self) -> None:
        if self._request is not None:
            self._request.cancel()
            self._request = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
