"""How a long call tells its front how far it is: progress notifications over MCP, a live line in a terminal."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
