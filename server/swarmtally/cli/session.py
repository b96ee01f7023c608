"""One operation of a command: the app opened around it, its progress shown, Ctrl-C made a sentence."""

import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TypeVar

import anyio

from swarmtally.app import App, open_app
from swarmtally.cli import options
from swarmtally.cli.failures import Interrupted
from swarmtally.cli.live import LiveLine
from swarmtally.core.progress import listening

T = TypeVar("T")

_RUN = re.compile(r"(r_[0-9a-z]+): ")


class _Watch:
    """Hears the progress of the operation: shows it, and knows the run to name when the user interrupts."""

    def __init__(self, line: LiveLine) -> None:
        self._line = line
        self.run_id: str | None = None

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
                return await operation(app)

    try:
        with stdout_kept(), line:
            return anyio.run(inside)
    except KeyboardInterrupt:
        raise Interrupted(_farewell(watch.run_id, given)) from None


def _farewell(run_id: str | None, given: options.Options) -> str:
    if run_id is None:
        return ""
    return f"run {run_id} is interrupted; continue it with: swarmtally runs resume {run_id}{given.repeated()}"


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
