"""What every HTTP request passes before the protocol sees it.

In this order, all before a byte of the body is read: the Host header (421), the Origin header (403), the token (401).
Then the body has to arrive in time (408). The SDK has checks of Host and Origin too, but reads the body first; how
large a body may be is the SDK's own check (413).

When the server ends, requests under way are given their time and then answered 503, or their stream is closed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

import anyio
import structlog
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swarmtally.mcp.access import Access
from swarmtally.mcp.bounds import Bounds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    reason: str
    line: str
    headers: dict[str, str] = field(default_factory=dict)


_FOREIGN_HOST = _Refusal(
    421, "host", "This server does not answer to the name in the Host header; start it with --allowed-host NAME."
)
_FOREIGN_ORIGIN = _Refusal(
    403, "origin", "Pages of that origin may not use this server; start it with --allowed-host NAME if they should."
)
_NO_TOKEN = _Refusal(
    401,
    "token",
    "The token is missing or wrong; send the server's SWARMTALLY_TOKEN as Authorization: Bearer TOKEN.",
    {"WWW-Authenticate": "Bearer"},
)
_TOO_SLOW = _Refusal(408, "slow", "The request's body did not arrive in time.", {"Connection": "close"})
_ENDING = _Refusal(503, "ending", "The server is ending; try again when it is back.", {"Connection": "close"})


class UnderWay:
    """What is under way of one kind, and the moment nothing is."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()

    @contextmanager
    def one(self, deadline: float = inf) -> Iterator[anyio.CancelScope]:
        """One is under way while this is open, until it is cancelled by `end` or its deadline."""
        with anyio.CancelScope(deadline=deadline) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)
                self._changed.set()

    @property
    def some(self) -> bool:
        """Whether anything is."""
        return bool(self._scopes)

    async def none(self) -> None:
        """Wait until nothing is."""
        while self._scopes:
            self._changed = anyio.Event()
            await self._changed.wait()

    def end(self) -> None:
        """Cancel all."""
        for scope in self._scopes:
            scope.cancel()


class Guard:
    """The ASGI application around the protocol's."""

    def __init__(self, app: ASGIApp, access: Access, bounds: Bounds) -> None:
        self._app = app
        self._access = access
        self._body_s = bounds.request_s
        self._ending = False
        self.calls = UnderWay()
        """Requests that are to be answered and done with."""
        self.streams = UnderWay()
        """Requests whose answer is a stream that stays open (GET)."""
        self._waits = UnderWay()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _ENDING if self._ending else self._refusal(scope)
        if refusal is not None:
            await self._refuse(refusal, scope, receive, send)
            return
        await self._pass(self.streams if scope["method"] == "GET" else self.calls, scope, receive, send)

    def end_streams(self) -> None:
        """Close the streams that stay open, as if their clients had; refuse what comes from now on."""
        self._ending = True
        self._waits.end()

    def end_all(self) -> None:
        """Answer what is still under way with 503, or close its stream."""
        self._ending = True
        self.calls.end()
        self.streams.end()

    def _refusal(self, scope: Scope) -> _Refusal | None:
        headers = Headers(scope=scope)
        arrived_at = scope["server"][0] if scope.get("server") else None
        if not self._access.names_us(headers.get("host", ""), arrived_at):
            return _FOREIGN_HOST
        if not all(self._access.trusts(origin, arrived_at) for origin in headers.getlist("origin")):
            return _FOREIGN_ORIGIN
        given = headers.getlist("authorization")
        if not self._access.admits(given[0].encode("latin-1") if len(given) == 1 else None):
            return _NO_TOKEN
        return None

    async def _refuse(self, refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        # Nothing of the request is logged: a header may hold a secret, or a line that looks like another event.
        log.info("http.refused", status=refusal.status, reason=refusal.reason)
        await PlainTextResponse(refusal.line + "\n", refusal.status, refusal.headers)(scope, receive, send)

    async def _pass(self, kind: UnderWay, scope: Scope, receive: Receive, send: Send) -> None:
        started = done = False

        async def heard() -> Message:
            message = await (self._heard_until_end(receive) if kind is self.streams else receive())
            if not message.get("more_body", False):
                limit.deadline = inf
            return message

        async def sent(message: Message) -> None:
            nonlocal started, done
            started = True
            done = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        with kind.one(anyio.current_time() + self._body_s) as limit:
            await self._app(scope, heard, sent)
        if started and not done:
            # A stream: this is its regular end.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif limit.cancelled_caught and not started:
            await self._refuse(_ENDING if self._ending else _TOO_SLOW, scope, receive, send)

    async def _heard_until_end(self, receive: Receive) -> Message:
        """The next message of a stream's client. At the end it hangs up: then all that belongs to it is tidied away."""
        if not self._ending:
            with self._waits.one():
                return await receive()
        return {"type": "http.disconnect"}
