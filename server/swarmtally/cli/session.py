"""One operation of a command: the app opened around it, its progress shown, Ctrl-C made a sentence."""

import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import NoReturn, TypeVar

import anyio

from swarmtally import telemetry
from swarmtally.app import App, open_app
from swarmtally.cli import options
from swarmtally.cli.failures import INTERRUPTED, Interrupted
from swarmtally.cli.live import LiveLine
from swarmtally.core.progress import listening
from swarmtally_tools.definition import View

T = TypeVar("T")

_RUN = re.compile(r"(r_[0-9a-z]+): ")


class _Watch:
    """Hears the progress of the operation: shows it, and knows the run to name when the user interrupts."""

    def __init__(self, line: LiveLine) -> None:
        self._line = line
        self.run_id: str | None = None
        self.paused: list[str] = []

    async def hear(self, done: float, total: float | None, message: str) -> None:
        named = _RUN.match(message)
        if named is not None:
            self.run_id = named[1]
        self._line.show(done, total, message)


def execute(operation: Callable[[App], Awaitable[T]], *, logs: bool = True) -> T:
    """Run `operation` on the app of the current command's options, and return its result.

    Args:
        logs: whether it can log; setting that up takes as long as a whole memory command.

    Raises:
        Interrupted: the user pressed Ctrl-C; a run under way was let go and is named.
        SwarmError: what the operation meets.
    """
    given = options.current()
    settings = given.settings()
    if logs:
        from swarmtally.logs import configure_logging

        configure_logging(given.level("warning"))
    line = LiveLine()
    watch = _Watch(line)

    async def inside() -> T:
        async with open_app(settings) as app:
            with listening(watch.hear):
                try:
                    return await operation(app)
                except anyio.get_cancelled_exc_class():
                    signal.signal(signal.SIGINT, _leave)
                    # Ctrl-C. What this process executes is paused, so that its end is one the user has chosen.
                    with anyio.CancelScope(shield=True):
                        watch.paused = await app.pause_held("by Ctrl-C")
                    raise

    try:
        with stdout_kept(), telemetry.exported(settings.environ), line:
            return anyio.run(inside)
    except KeyboardInterrupt:
        raise Interrupted(_farewell(watch, given)) from None


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """A second Ctrl-C: the user will not wait, for instance for a database that another program has locked.

    The pause may have been recorded by then or not.
    """
    os.write(2, b"swarmtally: left at once; what was under way shows as paused or interrupted\n")
    os._exit(INTERRUPTED)


def status(view: View) -> int:
    """The exit status for a run's view: 0 when it succeeded or waits for a client, or no run was started; else 1."""
    return int(getattr(view, "status", None) not in ("succeeded", "waiting_for_host", "planned", None))


def _farewell(watch: _Watch, given: options.Options) -> str:
    lines = [
        f"run {run_id} is paused; continue it with: swarmtally runs resume {run_id}{given.repeated()}"
        for run_id in watch.paused
    ]
    if watch.run_id is not None and watch.run_id not in watch.paused:
        see = f"swarmtally runs show {watch.run_id}{given.repeated()}"
        lines.append(f"run {watch.run_id} goes on in another process; see it with: {see}")
    return "; ".join(lines)


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Have whatever a library or a child process prints go to stderr: stdout is for the command's one document."""
    if sys.stdout is None or sys.stderr is None:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
