"""A process's standard streams, read and written so that whoever is at the other end cannot stop the event loop.

A client that never reads its pipe blocks the thread that writes to it, for ever; one that never closes its end blocks
the thread that reads. Both threads here are daemons on plain descriptors, so the interpreter exits past them. (anyio's
worker threads are no daemons: one that waits for stdin would keep the process alive after SIGTERM.)
"""

import asyncio
import os
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

import anyio

_READ_AHEAD = 64
"""Lines read and not taken yet, before the reader waits."""

BACKLOG_BYTES = 1 << 20
"""Bytes accepted and not written yet, before a sender waits or a log line is dropped."""


_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escaped backslashes, escaped pairs, and halves of pairs."""


class LineReader:
    """The lines of JSON that arrive on a descriptor, as text; bytes that are no UTF-8, and halves of surrogate pairs,
    become U+FFFD: JavaScript sends such halves, and no answer can be given to what cannot be parsed. Iterate once.

    Args:
        fd: read until its end.
        on_end: called as soon as the end is seen, in the reading thread, even when nobody takes lines just then.
    """

    def __init__(self, fd: int, on_end: Callable[[], None]) -> None:
        self._fd = fd
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(_READ_AHEAD)
        self._lines: deque[bytes | None] = deque()
        self._arrived = anyio.Event()
        threading.Thread(target=self._read, name=f"reads {fd}", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            while not self._lines:
                self._arrived = anyio.Event()
                await self._arrived.wait()
            line = self._lines.popleft()
            if line is None:
                return
            self._room.release()
            yield _whole(line.decode(errors="replace"))

    def _read(self) -> None:
        # A closed loop raises RuntimeError: then nobody takes lines any more.
        with suppress(RuntimeError):
            # A client that broke off in the middle of a line has gone all the same.
            with suppress(OSError), open(self._fd, "rb", closefd=False) as stream:
                for line in stream:
                    self._room.acquire()
                    self._loop.call_soon_threadsafe(self._take, line)
            self._on_end()
            self._loop.call_soon_threadsafe(self._take, None)

    def _take(self, line: bytes | None) -> None:
        self._lines.append(line)
        self._arrived.set()


def _whole(line: str) -> str:
    if "\\ud" not in line and "\\uD" not in line:
        return line
    return _SURROGATES.sub(lambda found: "\\ufffd" if found["half"] else found[0], line)


class LineWriter:
    """Bytes written to a descriptor by a thread, in order; whoever hands them over does not wait for it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiters: list[Callable[[], None]] = []
        self._told_when_broken: list[Callable[[], None]] = []
        self.backlog = 0
        """Bytes handed over and not written yet."""
        self.broken = False
        """Whether the other end has gone; what is handed over from then on is thrown away."""
        self._thread = threading.Thread(target=self._write, name=f"writes {fd}", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Hand over `data`."""
        with self._lock:
            self.backlog += len(data)
        self._queue.put(data)

    def when_written(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once, from the writing thread, when the backlog has shrunk; at once when there is none."""
        with self._lock:
            if self.backlog:
                self._waiters.append(tell)
                return
        tell()

    def when_broken(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once, from the writing thread, when the other end is found gone; at once when it has."""
        with self._lock:
            if not self.broken:
                self._told_when_broken.append(tell)
                return
        tell()

    def close(self, timeout_s: float) -> None:
        """Write what is left, for at most `timeout_s`."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (data := self._queue.get()) is not None:
            if not self.broken:
                self._write_all(data)
            with self._lock:
                self.backlog -= len(data)
                waiters, self._waiters = self._waiters, []
            for tell in waiters:
                tell()

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            with self._lock:
                self.broken = True
                told, self._told_when_broken = self._told_when_broken, []
            for tell in told:
                tell()


class WireStream:
    """The sending side of the protocol over a `LineWriter`: what the SDK's transport asks of a file."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()

    async def write(self, text: str) -> int:
        self._writer.put(text.encode())
        return len(text)

    async def flush(self) -> None:
        """Wait while the client is far behind.

        Raises:
            ClosedResourceError: it has gone.
        """
        while self._writer.backlog > BACKLOG_BYTES and not self._writer.broken:
            shrunk = asyncio.Event()
            self._writer.when_written(partial(self._tell, shrunk))
            await shrunk.wait()
        if self._writer.broken:
            raise anyio.ClosedResourceError

    def _tell(self, shrunk: asyncio.Event) -> None:
        # A closed loop raises RuntimeError: then nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(shrunk.set)


class LogStream:
    """Log lines over a `LineWriter`. Where nobody reads them they are dropped; work never waits for a log."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def write(self, text: str) -> int:
        if self._writer.backlog < BACKLOG_BYTES:
            self._writer.put(text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread writes as soon as it can."""
