"""Serving on standard input and output.

The protocol has stdout to itself. Before anything else is imported or opened, descriptor 1 is pointed at stderr for
the rest of the process, and a private duplicate, which no child inherits, carries the protocol. Whatever a library, a
C extension or a child process prints, at any time, lands on stderr. Descriptor 0 is the null device for the same
reason.
"""

import asyncio
from typing import TYPE_CHECKING

import anyio
import structlog

from swarmtally import telemetry
from swarmtally.logs import configure_logging
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.pipes import LOG_LINGER_S, LineReader, LineWriter, LogStream, read_lines
from swarmtally.mcp.process import EXIT_S, STDERR, Watchdog, claim_streams, heed_signals, keep_what_was_imported, leave
from swarmtally.settings import Settings
from swarmtally_tools.toolsets import Offer

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

log = structlog.get_logger(__name__)

_DRAIN_S = 0.5
"""How long a client that has closed its sending end may take to read what is answered already."""


async def serve(settings: Settings, log_level: str = "info", offer: Offer = Offer()) -> None:  # noqa: B008 - frozen
    """Serve one client until it closes stdin or goes away, or the process is told to end (SIGTERM, SIGINT, SIGHUP).

    Both protocol eras are served; the client's first message decides. Returns within about two seconds of its going;
    runs under way are let go and show as interrupted. While the database cannot be opened, each call says so.

    Args:
        log_level: what is logged on stderr; `info` is one line per call.
        offer: which tools there are.

    Raises:
        InvalidInput: the log level is none.
    """
    wire_in, wire_out = claim_streams()
    logs = LineWriter(STDERR, linger_s=LOG_LINGER_S)
    configure_logging(log_level, LogStream(logs))
    wire = LineWriter(wire_out, eager=True)
    try:
        with telemetry.exported(settings.environ):
            await _serve(settings, wire_in, wire, offer)
    finally:
        wire.close(_DRAIN_S)
        leave(logs)


async def _serve(settings: Settings, wire_in: int, wire: LineWriter, offer: Offer) -> None:
    # Imported only now: what they may print goes to stderr.
    from swarmtally.mcp.opening import Opening
    from swarmtally.mcp.server import make_server

    opening = Opening(settings)
    connection = anyio.CancelScope()
    watchdog = Watchdog()
    loop = asyncio.get_running_loop()

    def client_gone() -> None:
        # In the thread that saw it: a tool that blocks the event loop must not keep the process.
        watchdog.arm()
        loop.call_soon_threadsafe(stop_sending)

    def stop_sending() -> None:
        log.info("serve.client_gone", at_most_s=EXIT_S)
        connection.deadline = loop.time() + _DRAIN_S

    async with anyio.create_task_group() as listening:
        listening.start_soon(heed_signals, watchdog, connection.cancel)
        async with anyio.create_task_group() as holding:
            holding.start_soon(opening.run)
            # Seen by the writing thread, which may find out after the last answer was handed over.
            wire.when_broken(client_gone)
            try:
                with connection:
                    server = make_server(opening.app, offer)
                    keep_what_was_imported()
                    await _converse(server, read_lines(wire_in, Bounds().body_bytes, client_gone), wire)
            finally:
                opening.close()
        listening.cancel_scope.cancel()


async def _converse(server: "Server[object]", lines: LineReader, writer: LineWriter) -> None:
    from swarmtally.mcp.wire import Incoming, Outgoing

    outgoing = Outgoing(writer)
    async with anyio.create_task_group() as running:
        running.start_soon(outgoing.stop_when_cancelled)
        await server.run(Incoming(lines, outgoing), outgoing, server.create_initialization_options())
        running.cancel_scope.cancel()
