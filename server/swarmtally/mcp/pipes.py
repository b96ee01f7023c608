"""A process's standard streams, read and written so that whoever is at the other end cannot stop the event loop.

A client that never reads its pipe blocks the thread that writes to it, for ever; one that never closes its end blocks
the thread that reads. All threads here are daemons on plain descriptors, so the interpreter exits past them. (anyio's
worker threads are no daemons: one that waits for stdin would keep the process alive after SIGTERM.)

Handing each message from thread to thread costs more than all the rest of a small call. So the event loop itself reads
what has arrived and writes what there is room for, wherever the system tells both beforehand, and threads do the rest.
No descriptor is made non-blocking: that would hold for every process that shares the pipe or terminal.
"""

import asyncio
import os
import select
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Self

from swarmtally.mcp.lines import Line, Lines, LineTooLong, text_of

_READ_AHEAD = 64
"""Lines read and not taken yet, before reading stops."""

_READ_BYTES = 1 << 16
"""The most bytes of one read."""

BACKLOG_BYTES = 1 << 20
"""Bytes accepted and not written yet, before a sender waits or a log line is dropped."""

LOG_LINGER_S = 0.005
"""How long lines of log gather: a thread that woke for each would keep the event loop from its work."""

_LAST_READ_S = 0.1
"""How long the event loop may read nothing of what a client left, before that counts as its end all the same."""

_HANG_UP = getattr(select, "POLLRDHUP", 0)
"""Told when the other end is closed, even before all it sent was read: Linux."""


class LineReader(ABC):
    """The lines that arrive on a descriptor, as text, and what is left of those that are too long. Iterate once.

    Args:
        fd: read until its end.
        most: the bytes that a line may have; of a longer one no more is held.
        on_end: called once, as soon as the end is seen, perhaps in a thread, even when nobody takes lines just then.
    """

    def __init__(self, fd: int, most: int, on_end: Callable[[], None]) -> None:
        self._fd = fd
        self._arriving = Lines(most)
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._lines: deque[Line | None] = deque()
        self._arrived = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | LineTooLong:
        while not self._lines:
            self._arrived.clear()
            await self._arrived.wait()
        line = self._lines.popleft()
        if line is None:
            self._lines.append(None)
            raise StopAsyncIteration
        self._taken()
        return line if isinstance(line, LineTooLong) else text_of(line)

    @abstractmethod
    def _taken(self) -> None:
        """A line was taken: there is room for another."""


def read_lines(fd: int, most: int, on_end: Callable[[], None]) -> LineReader:
    """The best reader there is for `fd`; see `LineReader`."""
    if _HANG_UP:
        # A file, which is never waited for, is refused.
        with suppress(PermissionError, NotImplementedError):
            return ReadyReader(fd, most, on_end)
    return ThreadReader(fd, most, on_end)


class ThreadReader(LineReader):
    """Reads in a thread."""

    def __init__(self, fd: int, most: int, on_end: Callable[[], None]) -> None:
        super().__init__(fd, most, on_end)
        self._room = threading.Semaphore(_READ_AHEAD)
        threading.Thread(target=self._read, name=f"reads {fd}", daemon=True).start()

    def _taken(self) -> None:
        self._room.release()

    def _read(self) -> None:
        # A closed loop raises RuntimeError: then nobody takes lines any more.
        with suppress(RuntimeError):
            # A client that broke off in the middle of a line has gone all the same.
            with suppress(OSError), open(self._fd, "rb", buffering=0, closefd=False) as stream:
                while data := stream.read(_READ_BYTES):
                    self._hand_over(self._arriving.add(data))
            self._hand_over(self._arriving.end())
            self._on_end()
            self._loop.call_soon_threadsafe(self._take, None)

    def _hand_over(self, lines: list[Line]) -> None:
        for line in lines:
            self._room.acquire()
            self._loop.call_soon_threadsafe(self._take, line)

    def _take(self, line: Line | None) -> None:
        self._lines.append(line)
        self._arrived.set()


class ReadyReader(LineReader):
    """Reads in the event loop, whenever something has arrived. A thread only waits for the other end to be closed, so
    that this is seen while the loop is kept from reading.

    Raises:
        PermissionError: the descriptor is no pipe, socket or terminal.
    """

    def __init__(self, fd: int, most: int, on_end: Callable[[], None]) -> None:
        super().__init__(fd, most, on_end)
        self._read_bytes = 0
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._told = False
        self._reading = True
        self._loop.add_reader(fd, self._read)
        threading.Thread(target=self._watch, name=f"watches {fd}", daemon=True).start()

    def _taken(self) -> None:
        if not self._reading and len(self._lines) < _READ_AHEAD // 2 and not self._ended.is_set():
            self._reading = True
            self._loop.add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # A client that broke off has gone.
            data = b""
        if data:
            self._read_bytes += len(data)
            self._lines.extend(self._arriving.add(data))
        else:
            self._end()
        if self._reading and len(self._lines) >= _READ_AHEAD:
            self._pause()
        self._arrived.set()

    def _end(self) -> None:
        self._pause()
        self._ended.set()
        self._lines.extend(self._arriving.end())
        self._lines.append(None)
        self._tell_end()

    def _pause(self) -> None:
        self._reading = False
        self._loop.remove_reader(self._fd)

    def _watch(self) -> None:
        hung_up = select.poll()
        hung_up.register(self._fd, _HANG_UP)
        hung_up.poll()
        # What was sent before is read first, unless the loop does not come to it.
        read_bytes = -1
        while read_bytes != self._read_bytes:
            read_bytes = self._read_bytes
            if self._ended.wait(_LAST_READ_S):
                return
        # A closed loop raises RuntimeError: then nobody wants to know any more.
        with suppress(RuntimeError):
            self._tell_end()

    def _tell_end(self) -> None:
        with self._telling:
            told, self._told = self._told, True
        if not told:
            self._on_end()


class LineWriter:
    """Bytes written to a descriptor, in order; whoever hands them over does not wait for it. A thread writes, except
    what an `eager` writer has room for at once.

    Args:
        eager: nobody but this writes to the pipe: what the system says there is room for stays free until written.
        linger_s: how long the thread lets bytes gather after each write.
    """

    def __init__(self, fd: int, *, eager: bool = False, linger_s: float = 0.0) -> None:
        self._fd = fd
        self._linger_s = linger_s
        self._room = _room(fd) if eager else None
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
        told: list[Callable[[], None]] = []
        with self._lock:
            # While there is a backlog, the thread is writing what comes before this.
            if self._room is not None and not self.backlog and not self.broken:
                try:
                    data = self._write_ready(data, self._room)
                except OSError:
                    data, told = b"", self._break()
            self.backlog += len(data)
            # Within the lock: two that hand over at the same time are queued in the order in which they were counted.
            if data:
                self._queue.put(data)
        for tell in told:
            tell()

    def when_written(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once, from the writing thread, when the backlog has shrunk; at once when there is none."""
        with self._lock:
            if self.backlog:
                self._waiters.append(tell)
                return
        tell()

    def when_broken(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once, by whoever writes, when the other end is found gone; at once when it has."""
        with self._lock:
            if not self.broken:
                self._told_when_broken.append(tell)
                return
        tell()

    def close(self, timeout_s: float) -> None:
        """Write what is left, for at most `timeout_s`."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _write_ready(self, data: bytes, room: "select.poll") -> bytes:
        """Write as much as there is room for; the rest."""
        rest = memoryview(data)
        # So many bytes at least can be written when it is said that any can.
        while rest and room.poll(0):
            rest = rest[os.write(self._fd, rest[: select.PIPE_BUF]) :]
        return bytes(rest)

    def _write(self) -> None:
        ended = False
        while not ended:
            parts = [self._queue.get()]
            with suppress(Empty):
                while parts[-1] is not None:
                    parts.append(self._queue.get_nowait())
            ended = parts[-1] is None
            data = b"".join(part for part in parts if part is not None)
            if not self.broken:
                self._write_all(data)
            with self._lock:
                self.backlog -= len(data)
                waiters, self._waiters = self._waiters, []
            for tell in waiters:
                tell()
            if not ended:
                time.sleep(self._linger_s)

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            with self._lock:
                told = self._break()
            for tell in told:
                tell()

    def _break(self) -> list[Callable[[], None]]:
        """Note, under the lock, that the other end has gone; whom to tell."""
        self.broken = True
        told, self._told_when_broken = self._told_when_broken, []
        return told


def _room(fd: int) -> "select.poll | None":
    """What tells whether there is room in a pipe, where the system says how much that is: not on Windows."""
    if not hasattr(select, "poll") or not hasattr(select, "PIPE_BUF"):
        return None
    room = select.poll()
    room.register(fd, select.POLLOUT)
    return room


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
