"""The standard streams: what comes in as lines, what goes out, and ends that nobody reads."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import anyio
import pytest

from swarmtally.mcp.pipes import BACKLOG_BYTES, LineReader, LineWriter, LogStream, WireStream

Pipe = tuple[int, int]
PATIENCE_S = 10


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def nothing() -> None: ...


async def lines_of(reader: LineReader) -> list[str]:
    with anyio.fail_after(PATIENCE_S):
        return [line async for line in reader]


async def test_lines_arrive_whole_and_in_order(pipe: Pipe) -> None:
    ends = []
    reader = LineReader(pipe[0], lambda: ends.append("end"))
    os.write(pipe[1], b"one\ntw")
    os.write(pipe[1], "o\ncafé\n".encode() + b"bad \xff\nlast")
    os.close(pipe[1])
    assert await lines_of(reader) == ["one\n", "two\n", "café\n", "bad �\n", "last"]
    assert ends == ["end"]


async def test_a_reader_does_not_run_ahead_of_its_taker(pipe: Pipe) -> None:
    writer = LineWriter(pipe[1])
    count = 500
    writer.put((b"x" * 2_000 + b"\n") * count)
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.when_written(lambda: loop.call_soon_threadsafe(written.set))
    lines = aiter(LineReader(pipe[0], nothing))
    await anext(lines)
    with anyio.move_on_after(0.5) as waited:
        await written.wait()
    assert waited.cancelled_caught, "a million bytes were read for a taker of one line"
    with anyio.fail_after(60):
        for _ in range(count - 1):
            await anext(lines)
        await written.wait()


async def test_the_end_is_told_even_when_nobody_takes_lines(pipe: Pipe) -> None:
    ended = threading.Event()
    reader = LineReader(pipe[0], ended.set)
    os.write(pipe[1], b"one\n")
    os.close(pipe[1])
    # On the event loop itself: the end is told even while that is blocked.
    assert ended.wait(PATIENCE_S)
    assert await lines_of(reader) == ["one\n"]


async def test_a_descriptor_that_cannot_be_read_is_an_end(pipe: Pipe) -> None:
    assert await lines_of(LineReader(pipe[1], nothing)) == []


async def test_what_is_written_goes_out_in_order(pipe: Pipe) -> None:
    writer = LineWriter(pipe[1])
    stream = WireStream(writer)
    for text in ("one\n", "zwei é\n"):
        await stream.write(text)
        await stream.flush()
    await anyio.to_thread.run_sync(writer.close, PATIENCE_S)
    assert os.read(pipe[0], 100).decode() == "one\nzwei é\n"


async def test_a_sender_waits_while_the_client_is_far_behind(pipe: Pipe) -> None:
    writer = LineWriter(pipe[1])
    stream = WireStream(writer)
    size = BACKLOG_BYTES + 100_000
    await stream.write("x" * size)
    sending = asyncio.create_task(stream.flush())
    with anyio.move_on_after(0.05):
        await asyncio.shield(sending)
    assert not sending.done()
    with anyio.fail_after(PATIENCE_S):
        while size:
            size -= len(await anyio.to_thread.run_sync(os.read, pipe[0], 65_536))
        await sending


async def test_a_client_that_is_gone_is_told_to_the_sender(pipe: Pipe) -> None:
    writer = LineWriter(pipe[1])
    stream = WireStream(writer)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.when_broken(lambda: loop.call_soon_threadsafe(gone.set))
    os.close(pipe[0])
    await stream.write("one\n")
    # Told without another word to send.
    with anyio.fail_after(PATIENCE_S):
        await gone.wait()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.flush()
    told = []
    writer.when_broken(lambda: told.append("at once"))
    assert told == ["at once"]
    await stream.write("two\n")
    await anyio.to_thread.run_sync(writer.close, PATIENCE_S)


def test_log_lines_that_nobody_reads_are_dropped(pipe: Pipe) -> None:
    writer = LineWriter(pipe[1])
    stream = LogStream(writer)
    line = "x" * 10_000
    for _ in range(2 * BACKLOG_BYTES // len(line)):
        stream.write(line)
    stream.flush()
    assert writer.backlog <= BACKLOG_BYTES + len(line)
    # The thread must end before its descriptor's number is given to another file.
    os.close(pipe[0])
    writer.close(PATIENCE_S)


def test_a_log_line_may_hold_what_no_utf_8_can(pipe: Pipe) -> None:
    writer = LineWriter(pipe[1])
    LogStream(writer).write("caf\udce9\n")
    writer.close(PATIENCE_S)
    assert os.read(pipe[0], 100) == b"caf\\udce9\n"
