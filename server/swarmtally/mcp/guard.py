"""What every HTTP request passes before the protocol sees it.

In this order, all before a byte of the body is read: the Host header (421), the Origin header (403), the token (401),
how often its client asks (429). Then the body has to arrive in time (408). The SDK has checks of Host and Origin too,
but reads the body first; how large a body may be is the SDK's own check (413).

When the server ends, new work is answered 503. Requests under way are given their time and then answered so too, or
their stream is closed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

import anyio
import structlog
from mcp_types import INTERNAL_ERROR
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swarmtally.domain.clock import NS_PER_S
from swarmtally.mcp import healthz
from swarmtally.mcp.access import Access
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.healthz import Healthz
from swarmtally.mcp.listening import MESSAGES
from swarmtally.mcp.rates import Rates, name_of

log = structlog.get_logger(__name__)


RATE_EXCEEDED = -32_005
"""The JSON-RPC error of a client that asks too often: "limit exceeded" elsewhere too (EIP-1474)."""

AGAIN_S = 5
"""When a client that was turned away by the end of the server may find another in its place."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    reason: str
    line: str
    headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    """Of the JSON-RPC error that carries the line, for clients that show their users nothing else; None: the line alone
    is the answer."""

    def response(self) -> Response:
        if self.code is None:
            return PlainTextResponse(self.line + "\n", self.status, self.headers)
        # What was asked is not known: its body was not read.
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": self.code, "message": self.line}}
        return JSONResponse(error, self.status, self.headers)


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
_ENDING = _Refusal(
    503,
    "ending",
    "The server is ending; try again when it is back.",
    {"Connection": "close", "Retry-After": str(AGAIN_S)},
    INTERNAL_ERROR,
)


def _too_often(per_s: float, wait_ns: int) -> _Refusal:
    wait_s = -(-wait_ns // NS_PER_S)
    line = f"More than {per_s:g} requests a second came from your address; try again in {wait_s} s."
    return _Refusal(429, "rate", line, {"Retry-After": str(wait_s)}, RATE_EXCEEDED)


class UnderWay:
    """What is under way of one kind, and the moment nothing is."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()
        self.closed = False

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

    def close(self) -> None:
        """Say that no more may begin."""
        self.closed = True

    def end(self) -> None:
        """Cancel all."""
        for scope in self._scopes:
            scope.cancel()


class Guard:
    """The ASGI application around the protocol's."""

    def __init__(self, app: ASGIApp, access: Access, bounds: Bounds, health: Healthz) -> None:
        self._app = app
        self._access = access
        self._bounds = bounds
        self._health = health
        rate = bounds.requests_per_s
        self._rates = Rates(rate, max(1, round(rate * bounds.burst_s)), bounds.clients) if rate else None
        self._draining = False
        self._ending = False
        self.calls = UnderWay()
        """Requests that are to be answered and done with."""
        self.streams = UnderWay()
        """Requests whose answer is a stream that stays open (GET)."""
        self._waits = UnderWay()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._stranger(scope)
        if refusal is None and scope["path"] == healthz.PATH:
            await (await self._healthz(scope["method"]))(scope, receive, send)
            return
        refusal = refusal or self._turned_away(scope)
        if refusal is not None:
            await self._refuse(refusal, scope, receive, send)
            return
        await self._pass(self.streams if scope["method"] == "GET" else self.calls, scope, receive, send)

    def drain(self) -> None:
        """Refuse new work from now on. What belongs to a session passes: it may be the answer to what a call under way
        has asked its client."""
        self._draining = True

    def end_streams(self) -> None:
        """Close the streams that stay open, as if their clients had; refuse what comes from now on."""
        self._ending = True
        self._waits.end()

    def end_all(self) -> None:
        """Answer what is still under way with 503, or close its stream."""
        self._ending = True
        self.calls.end()
        self.streams.end()

    def _stranger(self, scope: Scope) -> _Refusal | None:
        headers = Headers(scope=scope)
        arrived_at = scope["server"][0] if scope.get("server") else None
        if not self._access.names_us(headers.get("host", ""), arrived_at):
            return _FOREIGN_HOST
        if not all(self._access.trusts(origin, arrived_at) for origin in headers.getlist("origin")):
            return _FOREIGN_ORIGIN
        return None

    def _turned_away(self, scope: Scope) -> _Refusal | None:
        if self._ending or (self._draining and not _in_session(scope)):
            return _ENDING
        headers = Headers(scope=scope)
        given = headers.getlist("authorization")
        if not self._access.admits(given[0].encode("latin-1") if len(given) == 1 else None):
            return _NO_TOKEN
        client = name_of(scope["client"][0], loopback=self._bounds.counts_loopback) if scope.get("client") else None
        wait_ns = self._rates.wait_ns(client) if self._rates is not None and client is not None else 0
        return _too_often(self._bounds.requests_per_s, wait_ns) if wait_ns else None

    async def _healthz(self, method: str) -> Response:
        if method not in ("GET", "HEAD"):
            return PlainTextResponse("Ask with GET.\n", 405, {"Allow": "GET, HEAD"})
        fresh = {"Cache-Control": "no-store"}
        if self._draining or self._ending:
            return JSONResponse({"status": "draining", "reason": "the server is ending"}, 503, fresh)
        trouble = await self._health.trouble()
        if trouble is not None:
            return JSONResponse({"status": "failed", "reason": trouble}, 503, fresh)
        return JSONResponse({"status": "ok"}, 200, fresh)

    async def _refuse(self, refusal: _Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        # Nothing of the request is logged: a header may hold a secret, or a line that looks like another event.
        log.info("http.refused", status=refusal.status, reason=refusal.reason)
        await refusal.response()(scope, receive, send)

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

        with kind.one(anyio.current_time() + self._bounds.request_s) as limit:
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


def _in_session(scope: Scope) -> bool:
    return scope["method"] != "GET" and ("mcp-session-id" in Headers(scope=scope) or scope["path"].startswith(MESSAGES))
