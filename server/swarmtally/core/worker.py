"""Long arithmetic in a worker thread, which nothing can stop from outside: between its parts it looks whether its call
still waits, and tells how far it is."""

import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

import anyio.from_thread
import anyio.to_thread

from swarmtally.core import progress

T = TypeVar("T")

Step = Callable[[float, float | None, str], None]
"""Takes what is done, the total where known, and one line of text. Raises when the call has been cancelled."""


async def in_thread(work: Callable[[Step], T]) -> T:
    """What `work` returns. It runs in a thread and calls the `Step` that it is given between its parts: once this is
    cancelled, the next such call ends it."""
    pace = progress.Pace()

    def step(done: float, total: float | None, message: str) -> None:
        anyio.from_thread.check_cancelled()
        if pace.due():
            try:
                anyio.from_thread.run(progress.report, done, total, message)
            except concurrent.futures.CancelledError:
                # Cancelled while it was told, which anyio puts into an error like any other.
                anyio.from_thread.check_cancelled()
                raise

    return await anyio.to_thread.run_sync(work, step)
