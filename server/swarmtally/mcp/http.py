"""Serving many clients over HTTP: streamable HTTP at /mcp, or SSE at /sse and /messages/ for older clients.

The SDK speaks the protocol (for streamable HTTP both eras: sessions of 2025, the envelope of 2026), uvicorn speaks
HTTP, `guard` and `connections` keep strangers and floods out. All clients share one server and one app.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from os import close
from socket import socket
from typing import Any, cast

import anyio
import structlog
import uvicorn
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from swarmtally import telemetry
from swarmtally.logs import configure_logging
from swarmtally.mcp.bounds import GRACE_S, Bounds
from swarmtally.mcp.calling import OpenApp
from swarmtally.mcp.connections import Connection, Connections
from swarmtally.mcp.guard import Guard, UnderWay
from swarmtally.mcp.healthz import Healthz
from swarmtally.mcp.listening import AT_ONCE, MESSAGES, PATHS, QUEUE, Listening
from swarmtally.mcp.opening import Opening
from swarmtally.mcp.pipes import LOG_LINGER_S, LineWriter, LogStream
from swarmtally.mcp.process import EXIT_S, STDERR, Watchdog, claim_streams, heed_signals, leave
from swarmtally.mcp.remedies import Remedies
from swarmtally.mcp.server import make_server
from swarmtally.settings import Settings
from swarmtally_tools import registry
from swarmtally_tools.toolsets import Offer

log = structlog.get_logger(__name__)

_DRAIN_S = 0.05
"""How long an answer may take from the tool that gave it to the client's connection, at the end."""


_OVER = "the server is ending; ask again when it is back"


async def serve(
    settings: Settings,
    listening: Listening,
    log_level: str = "info",
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    offer: Offer = Offer(),  # noqa: B008 - frozen
) -> None:
    """Serve clients until the process is told to end (SIGTERM, SIGINT, SIGHUP). Then calls under way get
    `Bounds.grace_s`, and it returns a second or so after that at the latest.

    Runs under way are let go and show as interrupted. While the database cannot be opened, each call says so.

    Args:
        log_level: what is logged on stderr; `info` is one line per call, and one with the URL when clients can come.
        offer: which tools there are.

    Raises:
        InvalidInput: the log level is none.
    """
    for wire in claim_streams():
        close(wire)
    logs = LineWriter(STDERR, linger_s=LOG_LINGER_S)
    configure_logging(log_level, LogStream(logs))
    try:
        with telemetry.exported(settings.environ):
            await _serve(settings, listening, _affordable(bounds), offer)
    finally:
        leave(logs)


async def _serve(settings: Settings, listening: Listening, bounds: Bounds, offer: Offer) -> None:
    opening = Opening(settings)
    told = anyio.Event()
    async with anyio.create_task_group() as heeding:
        heeding.start_soon(heed_signals, Watchdog(EXIT_S - GRACE_S + bounds.grace_s), told.set)
        async with anyio.create_task_group() as holding:
            holding.start_soon(opening.run)
            try:
                async with serving(opening.app, listening, bounds, offer):
                    log.info("serve.listening", url=listening.url)
                    await told.wait()
            finally:
                opening.close()
        heeding.cancel_scope.cancel()


def _affordable(bounds: Bounds) -> Bounds:
    """`bounds` with as many connections as the process may have file descriptors for, which it may have more of first.

    Beside the connections there are those that were only just taken, in three turns of the event loop, and as many as
    in one for the database and the models.
    """
    if sys.platform == "win32":
        return bounds
    import resource

    others = 4 * AT_ONCE
    most, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = bounds.connections + others
    if 0 <= most < wanted:
        most = wanted if limit < 0 else min(wanted, limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, limit))
    return bounds if most < 0 else replace(bounds, connections=max(min(bounds.connections, most - others), 16))


@asynccontextmanager
async def serving(
    open_app: OpenApp,
    listening: Listening,
    bounds: Bounds,
    offer: Offer = Offer(),  # noqa: B008 - frozen
) -> AsyncIterator[None]:
    """Clients are served while this is open. Leaving it gives calls under way their time, then ends every connection.

    Args:
        open_app: gives the app; asked with each call.
        offer: which tools there are.
    """
    server = make_server(open_app, offer)
    calls = UnderWay()
    server.middleware.append(partial(_ended_with, calls))
    app, sessions = _streamable(server, bounds, offer) if listening.transport == "http" else _sse(server, bounds)
    told = Remedies(app, bounds, PATHS[listening.transport])
    guard = Guard(told, listening.access, bounds, Healthz(open_app))
    connections = Connections(bounds)
    web = _Web(guard, connections)
    async with anyio.create_task_group() as running:
        running.start_soon(web.serve, [listening.socket])
        await web.ready.wait()
        async with sessions:
            yield
            # They are told, so that they need not find out; and what they wait for is no work.
            server.end_streams()
            calls.close()
            guard.drain()
            await _finish(web, guard, calls, bounds)
        connections.abort()
        running.cancel_scope.cancel()


async def _finish(web: "_Web", guard: Guard, calls: UnderWay, bounds: Bounds) -> None:
    with anyio.move_on_after(bounds.grace_s) as grace:
        await _quiet(guard, calls)
    if grace.cancelled_caught:
        # Before the sessions end, which still carry the answer: without them the SDK tries for a second to send one.
        calls.end()
        with anyio.move_on_after(2 * _DRAIN_S):
            await _quiet(guard, calls)
    # Only now: until then who asks is told that the server is ending, by /healthz too.
    web.close()
    guard.end_streams()
    with anyio.move_on_after(_DRAIN_S):
        await guard.calls.none()
        await guard.streams.none()
    guard.end_all()
    with anyio.move_on_after(_DRAIN_S):
        await guard.calls.none()
        await guard.streams.none()


async def _quiet(guard: Guard, calls: UnderWay) -> None:
    """Wait until all calls are answered, and close the streams that stay open."""
    while calls.some:
        await calls.none()
        # Over SSE the answer travels on such a stream, and another call may have come by now.
        await anyio.sleep(_DRAIN_S)
    guard.end_streams()
    await guard.calls.none()


async def _ended_with(calls: UnderWay, context: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """A middleware of the SDK's server: requests under way are known to `calls`, and answered when it ends them."""
    if calls.closed and context.request_id is not None:
        raise MCPError(INTERNAL_ERROR, _OVER)
    with calls.one():
        return await call_next(context)
    raise MCPError(INTERNAL_ERROR, _OVER)


def _streamable(server: Server[Any], bounds: Bounds, offer: Offer) -> tuple[ASGIApp, AbstractAsyncContextManager[None]]:
    schemas = {tool.name: tool.input_schema for tool in registry.load_all(offer)}
    # Else the SDK lists all tools with each call, to find one's schema.
    server.get_tool_input_schema = schemas.get
    app = server.streamable_http_app(
        streamable_http_path=PATHS["http"],
        max_request_body_size=bounds.body_bytes,
        session_idle_timeout=bounds.session_idle_s,
        max_sessions=bounds.sessions,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the guard's matter
    )
    return app, server.session_manager.run()


def _sse(server: Server[Any], bounds: Bounds) -> tuple[ASGIApp, AbstractAsyncContextManager[None]]:
    transport = SseServerTransport(MESSAGES, max_request_body_size=bounds.body_bytes)
    routes = [
        Route(PATHS["sse"], endpoint=_SseStream(server, transport)),
        Mount(MESSAGES, app=transport.handle_post_message),
    ]
    return Starlette(routes=routes), nullcontext()


class _SseStream:
    """One client's stream, and its conversation while the stream is open."""

    def __init__(self, server: Server[Any], transport: SseServerTransport) -> None:
        self._server = server
        self._transport = transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            refusal = PlainTextResponse("Open the stream with GET.\n", 405, {"Allow": "GET"})
            await refusal(scope, receive, send)
            return
        async with self._transport.connect_sse(scope, receive, send) as (received, sent):
            await self._server.run(received, sent, self._server.create_initialization_options())


class _Web(uvicorn.Server):
    """uvicorn without what the process does itself: signals, logging, the order in which things end."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        config = uvicorn.Config(
            cast("Any", app),  # uvicorn has its own names for the types of ASGI
            interface="asgi3",
            http=cast("type[asyncio.Protocol]", partial(Connection, connections)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=AT_ONCE,
            timeout_keep_alive=connections.bounds.idle_s,
        )
        super().__init__(config)
        self.ready = anyio.Event()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override] # uvicorn names a generator
        return nullcontext()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio takes its number for the system's queue as well.
            listener.listen(QUEUE)
        self.ready.set()

    def close(self) -> None:
        """Take no more connections."""
        for listener in self.servers:
            listener.close()
