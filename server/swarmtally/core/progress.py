"""How a long call tells its front how far it is: progress notifications over MCP, a live line in a terminal."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TOLD_EVERY_S = 0.25
"""How long lies between two reports of what goes on in many small parts, and before the first."""

Listener = Callable[[float, float | None, str], Awaitable[None]]
"""Takes what is done, the total where known, and one line of text."""

_listener: ContextVar[Listener | None] = ContextVar("swarmtally_progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told of the progress of what is called inside."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


async def report(done: float, total: float | None, message: str) -> None:
    """Tell whoever listens; nobody may."""
    listener = _listener.get()
    if listener is not None:
        await listener(done, total, message)


class Pace:
    """When it is time to tell again, for work whose parts are too many to tell of each."""

    def __init__(self) -> None:
        self._due_s = time.monotonic() + TOLD_EVERY_S

    def due(self) -> bool:
        """Whether to tell now."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + TOLD_EVERY_S
        return True

    async def report(self, done: float, total: float | None, message: str) -> None:
        """`report`, when it is time to."""
        if self.due():
            await report(done, total, message)
