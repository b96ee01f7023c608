"""A unit of work that stands still until a test lets it go on."""

import threading

import anyio.to_thread

LIMIT_S = 30.0


class Gate:
    """Units run in a thread of their connection's, so what they wait for is not the event loop's."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    async def unit(self, _tx: object) -> None:
        """Hold the transaction until the gate is opened."""
        self._reached.set()
        assert self._open.wait(LIMIT_S), "nobody opened the gate"

    async def reached(self) -> None:
        """Wait until the unit stands at the gate."""
        assert await anyio.to_thread.run_sync(self._reached.wait, LIMIT_S), "nobody came to the gate"

    def open(self) -> None:
        self._open.set()
