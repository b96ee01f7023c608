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


class Connection(H11Protocol):
    """A connection that is closed when its client takes too long. Between calls uvicorn's own time for that counts."""

    def __init__(self, connections: Connections, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._connections = connections
        self._request: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's is so too
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
