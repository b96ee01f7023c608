"""Serving on standard input and output.

The protocol has stdout to itself. Before anything else is imported or opened, descriptor 1 is pointed at stderr for
the rest of the process, and a private duplicate, which no child inherits, carries the protocol. Whatever a library, a
C extension or a child process prints, at any time, lands on stderr. Descriptor 0 is the null device for the same
reason.
"""

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import anyio
import structlog

from swarmtally.logs import configure_logging
from swarmtally.mcp.pipes import LineReader, LineWriter, LogStream, WireStream
from swarmtally.settings import Settings

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

log = structlog.get_logger(__name__)

EXIT_S = 1.5
"""How long leaving may take once the client has gone; then the process ends as it is.

The embedded model may need longer to notice that its request was dropped. By then its run has been let go.
"""

_DRAIN_S = 0.5
"""How long a client that has closed its sending end may take to read what is answered already."""

_LAST_LINES_S = 0.2
"""How long the last lines of log may take."""

_STDERR = 2


async def serve(settings: Settings, log_level: str = "info") -> None:
    """Serve one client until it closes stdin or goes away, or the process is told to end (SIGTERM, SIGINT, SIGHUP).

    Both protocol eras are served; the client's first message decides. Returns within about two seconds of its going;
    runs under way are let go and show as interrupted. While the database cannot be opened, each call says so.

    Args:
        log_level: what is logged on stderr; `info` is one line per call.

    Raises:
        InvalidInput: the log level is none.
    """
    wire_in, wire_out = _claim_streams()
    logs = LineWriter(_STDERR)
    configure_logging(log_level, LogStream(logs))
    wire = LineWriter(wire_out)
    try:
        await _serve(settings, wire_in, wire)
    finally:
        wire.close(_DRAIN_S)
        logs.close(_LAST_LINES_S)


def _claim_streams() -> tuple[int, int]:
    """Private duplicates of descriptors 0 and 1, which from now on are the null device and stderr."""
    wire_in, wire_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(_STDERR, 1)
    os.close(null)
    return wire_in, wire_out


def _arm_watchdog() -> None:
    """End the process with status 1 in `EXIT_S` if it is still there then, whatever it is waiting for.

    By faulthandler's watchdog, which needs no interpreter lock: asking the embedded model whether it is idle can hold
    that lock for seconds, and a thread of Python would wait with everybody else.
    """
    log.info("serve.ending", at_most_s=EXIT_S)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    faulthandler.dump_traceback_later(EXIT_S, exit=True, file=nowhere)


async def _serve(settings: Settings, wire_in: int, wire: LineWriter) -> None:
    # Imported only now: what they may print goes to stderr.
    from swarmtally.mcp.opening import Opening
    from swarmtally.mcp.server import make_server

    opening = Opening(settings)
    connection = anyio.CancelScope()
    loop = asyncio.get_running_loop()

    ending = False

    def end_soon() -> None:
        # Once: arming the watchdog again would give its time again, and clients send SIGTERM after they closed stdin.
        nonlocal ending
        if not ending:
            ending = True
            _arm_watchdog()

    def client_gone() -> None:
        # In the thread that saw it: a tool that blocks the event loop must not keep the process.
        end_soon()
        loop.call_soon_threadsafe(stop_sending)

    def stop_sending() -> None:
        connection.deadline = loop.time() + _DRAIN_S

    def told_to_end() -> None:
        end_soon()
        connection.cancel()

    async with anyio.create_task_group() as listening:
        listening.start_soon(_heed_signals, told_to_end)
        async with anyio.create_task_group() as holding:
            holding.start_soon(opening.run)
            # Seen by the writing thread, which may find out after the last answer was handed over.
            wire.when_broken(client_gone)
            try:
                with connection:
                    await _converse(make_server(opening.app), LineReader(wire_in, client_gone), WireStream(wire))
            finally:
                opening.close()
        listening.cancel_scope.cancel()


async def _heed_signals(told_to_end: Callable[[], None]) -> None:
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            log.info("serve.signal", signal=number.name)
            told_to_end()


async def _converse(server: "Server[object]", lines: LineReader, wire: WireStream) -> None:
    from mcp.server.stdio import stdio_server

    # The transport only iterates the one and writes and flushes the other.
    stdin, stdout = cast("anyio.AsyncFile[str]", lines), cast("anyio.AsyncFile[str]", wire)
    async with stdio_server(stdin, stdout) as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
