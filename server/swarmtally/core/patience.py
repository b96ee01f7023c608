"""How long a call waits for what goes on without it, where that is not for its front to say."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FRONT = -1.0
_asked: ContextVar[float | None] = ContextVar("swarmtally_patience", default=_FRONT)


@contextmanager
def of(seconds: float | None) -> Iterator[None]:
    """Have what is called inside wait for so long at most; None: without limit."""
    token = _asked.set(seconds)
    try:
        yield
    finally:
        _asked.reset(token)


def otherwise(seconds: float | None) -> float | None:
    """What was asked for with `of`, else `seconds`."""
    asked = _asked.get()
    return seconds if asked == _FRONT else asked
