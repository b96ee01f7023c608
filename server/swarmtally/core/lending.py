"""Whether the client behind a call lends its model, and how a run's tasks get to it.

Only the front knows its client; only a tool knows which run it begins or follows. Over MCP a call is made with a
lender, where its client takes sampling requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Lender(Protocol):
    """Brings a run's tasks to a client's model and records what it answers."""

    async def work(self, run_id: str, wait_s: float, notes: str = "") -> None:
        """Have what is ready of the run done, and what follows from that, for about `wait_s` seconds.

        Args:
            notes: what the call's answer says before its next step, should that answer be given later.
        """
        ...


_lender: ContextVar[Lender | None] = ContextVar("swarmtally_lender", default=None)


@contextmanager
def lent_by(lender: Lender) -> Iterator[None]:
    """Have what is called inside find `lender`."""
    token = _lender.set(lender)
    try:
        yield
    finally:
        _lender.reset(token)


def lender() -> Lender | None:
    """Who brings tasks to the calling client's model; None where the client takes no sampling requests."""
    return _lender.get()
