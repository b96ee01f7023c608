"""The process around a transport: its standard streams, the signals that tell it to end, and its end."""

import asyncio
import faulthandler
import gc
import os
import signal
from collections.abc import Callable

import anyio
import structlog

from swarmtally.mcp.pipes import LineWriter

log = structlog.get_logger(__name__)

EXIT_S = 1.5
"""How long leaving may take once the client has gone or a signal came; then the process ends as it is.

The embedded model may need longer to notice that its request was dropped. By then its run has been let go.
"""

STDERR = 2

_LAST_LINES_S = 0.2
"""How long the last lines of log may take."""


def claim_streams() -> tuple[int, int]:
    """Private duplicates of descriptors 0 and 1, which from now on are the null device and stderr."""
    wire_in, wire_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(STDERR, 1)
    os.close(null)
    return wire_in, wire_out


YOUNG_OBJECTS = 20_000
"""How many new objects are looked through for garbage at once; a few MB."""


def keep_what_was_imported() -> None:
    """Spare the garbage collector the modules, which stay: looking through them takes tens of milliseconds, in the
    middle of a call. And what a thousand agents make is young, and soon gone by itself: it is looked through less often
    than by default, each 700 objects, which takes some 5 % of the time."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def leave(logs: LineWriter) -> None:
    """The last thing a server does: write the last lines of log, and make the interpreter's own end short."""
    logs.close(_LAST_LINES_S)
    # It would look for garbage among all that the SDK brought: 0.15 s on an idle machine, of the little time there is.
    gc.freeze()


class Watchdog:
    """Ends the process with status 1 when it is still there `exit_s` after `arm`, whatever it is waiting for.

    It is faulthandler's, which needs no interpreter lock: asking the embedded model whether it is idle can hold that
    lock for seconds, and a thread of Python would wait with everybody else.
    """

    def __init__(self, exit_s: float = EXIT_S) -> None:
        self.exit_s = exit_s
        self._armed = False

    def arm(self) -> None:
        """Start the clock. Once: clients send SIGTERM after they closed stdin, and that gives no further time."""
        if self._armed:
            return
        self._armed = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        faulthandler.dump_traceback_later(self.exit_s, exit=True, file=nowhere)


async def heed_signals(watchdog: Watchdog, told_to_end: Callable[[], None]) -> None:
    """With SIGTERM, SIGINT or SIGHUP arm `watchdog` and call `told_to_end` from the event loop; until cancelled.

    The watchdog is armed in the middle of whatever runs: a tool that blocks the event loop must not keep the process.
    """
    loop = asyncio.get_running_loop()

    def tell(number: int) -> None:
        log.info("serve.signal", signal=signal.Signals(number).name, at_most_s=watchdog.exit_s)
        told_to_end()

    def heard(number: int, _frame: object) -> None:
        # Nothing is logged here: what was interrupted may hold the log's lock.
        watchdog.arm()
        loop.call_soon_threadsafe(tell, number)

    names = [name for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), heard) for name in names}
    try:
        await anyio.sleep_forever()
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
