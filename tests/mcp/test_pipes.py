"""The standard streams: what comes in as lines, what goes out, and ends that nobody reads."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from blockbuster import BlockBuster
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    jsonrpc_message_adapter,
)
from structlog.typing import EventDict

from swarmtally.mcp.lines import LineTooLong
from swarmtally.mcp.pipes import (
    BACKLOG_BYTES,
    LineReader,
    LineWriter,
    LogStream,
    ReadyReader,
    ThreadReader,
    read_lines,
)
from swarmtally.mcp.wire import ANSWER_UNREAD, Incoming, Outgoing

Pipe = tuple[int, int]
MakeReader = Callable[[int, int, Callable[[], None]], LineReader]
PATIENCE_S = 10
MOST = 1 << 20
"""The bytes that a line may have, where nothing else is said."""

readers = pytest.mark.parametrize("make", [ThreadReader, ReadyReader])


@pytest.fixture(autouse=True)
def blocking_on_purpose(blockbuster: BlockBuster) -> None:
    """What is ready does not block, and blockbuster cannot know that it is."""
    blockbuster.functions["os.read"].can_block_in("mcp/pipes.py", "_read")
    blockbuster.functions["os.write"].can_block_in("mcp/pipes.py", "_write_ready")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def nothing() -> None: ...


async def lines_of(reader: LineReader) -> list[str | LineTooLong]:
    with anyio.fail_after(PATIENCE_S):
        return [line async for line in reader]


@readers
async def test_lines_arrive_whole_and_in_order(pipe: Pipe, make: MakeReader) -> None:
    ends = []
    reader = make(pipe[0], MOST, lambda: ends.append("end"))
    os.write(pipe[1], b"one\ntw")
    os.write(pipe[1], "o\ncafé\n".encode() + b"bad \xff\nlast")
    os.close(pipe[1])
    assert await lines_of(reader) == ["one\n", "two\n", "café\n", "bad �\n", "last"]
    assert ends == ["end"]


@readers
async def test_a_reader_does_not_run_ahead_of_its_taker(pipe: Pipe, make: MakeReader) -> None:
    writer = LineWriter(pipe[1])
    count = 500
    writer.put((b"x" * 2_000 + b"\n") * count)
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.when_written(lambda: loop.call_soon_threadsafe(written.set))
    lines = aiter(make(pipe[0], MOST, nothing))
    await anext(lines)
    with anyio.move_on_after(0.5) as waited:
        await written.wait()
    assert waited.cancelled_caught, "a million bytes were read for a taker of one line"
    with anyio.fail_after(60):
        for _ in range(count - 1):
            await anext(lines)
        await written.wait()


@readers
async def test_the_end_is_told_even_when_nobody_takes_lines(pipe: Pipe, make: MakeReader) -> None:
    ended = threading.Event()
    reader = make(pipe[0], MOST, ended.set)
    os.write(pipe[1], b"one\n")
    os.close(pipe[1])
    # On the event loop itself: the end is told even while that is blocked.
    assert ended.wait(PATIENCE_S)
    assert await lines_of(reader) == ["one\n"]


@readers
async def test_a_line_that_is_too_long_is_not_read_and_the_next_one_is(pipe: Pipe, make: MakeReader) -> None:
    most = 100_000
    writer = LineWriter(pipe[1])
    fits, longer = b"y" * most + b"\n", b"x" * (most + 1) + b"\n"
    writer.put(fits + longer + b"one\n" + longer * 3 + b"two\n" + b"z" * 10 * most)
    reader = make(pipe[0], most, nothing)
    with anyio.fail_after(PATIENCE_S):
        read = [await anext(reader) for _ in range(7)]
        await anyio.to_thread.run_sync(writer.close, PATIENCE_S)
    os.close(pipe[1])
    read += await lines_of(reader)
    assert [line.length if isinstance(line, LineTooLong) else line for line in read] == [
        fits.decode(),
        most + 1,
        "one\n",
        *[most + 1] * 3,
        "two\n",
        10 * most,
    ]


async def test_a_descriptor_that_cannot_be_read_is_an_end(pipe: Pipe) -> None:
    assert await lines_of(ThreadReader(pipe[1], MOST, nothing)) == []


@readers
async def test_lines_of_any_length_and_number_arrive(pipe: Pipe, make: MakeReader) -> None:
    sent = [b"x" * length + b"\n" for length in (0, 1, 65_535, 65_536, 300_000, *range(300))]
    writer = LineWriter(pipe[1])
    writer.put(b"".join(sent))
    reader = make(pipe[0], MOST, nothing)
    with anyio.fail_after(PATIENCE_S):
        assert [await anext(reader) for _ in sent] == [line.decode() for line in sent]
    await anyio.to_thread.run_sync(writer.close, PATIENCE_S)


@readers
async def test_a_client_that_only_stops_sending_is_an_end(make: MakeReader) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ends = []
        reader = make(ours.fileno(), MOST, lambda: ends.append("end"))
        theirs.sendall(b"one\n")
        theirs.shutdown(socket.SHUT_WR)
        assert await lines_of(reader) == ["one\n"]
        assert ends == ["end"]


async def test_all_that_a_client_left_is_read_before_its_end_is_told(pipe: Pipe) -> None:
    ends = []
    count = 500
    os.write(pipe[1], b"x" * 100 + b"\n" + b"y\n" * count)
    os.close(pipe[1])
    reader = ReadyReader(pipe[0], MOST, lambda: ends.append("end"))
    assert await anext(reader)
    # The other end is closed, but there are lines that nobody has taken yet.
    assert not ends
    assert len(await lines_of(reader)) == count
    assert ends == ["end"]


async def test_a_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    path.write_text("one\ntwo\n")
    descriptor = os.open(path, os.O_RDONLY)
    assert await lines_of(read_lines(descriptor, MOST, nothing)) == ["one\n", "two\n"]
    os.close(descriptor)


async def test_no_pipe_is_made_non_blocking_for_whoever_shares_it(pipe: Pipe) -> None:
    read_lines(pipe[0], MOST, nothing)
    writer = LineWriter(pipe[1], eager=True)
    writer.put(b"one\n")
    assert os.get_blocking(pipe[0])
    assert os.get_blocking(pipe[1])
    os.close(pipe[1])


async def test_a_message_is_read_and_what_is_none_is_told_as_an_error(pipe: Pipe) -> None:
    os.write(pipe[1], b'{"jsonrpc":"2.0","id":1,"method":"ping"}\nnonsense\n')
    os.close(pipe[1])
    incoming = Incoming(read_lines(pipe[0], MOST, nothing), Outgoing(LineWriter(pipe[1])))
    first = await incoming.receive()
    assert isinstance(first, SessionMessage)
    assert first.message == JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")
    assert isinstance(await incoming.receive(), ValueError)
    with pytest.raises(anyio.EndOfStream):
        await incoming.receive()


async def test_a_request_that_is_too_long_is_refused_and_any_other_line_is_warned_of(
    pipe: Pipe, logged: list[EventDict]
) -> None:
    ours, theirs = os.pipe()
    value = "x" * 10_000
    requests = [
        f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"secret":"{value}"}}}}',
        f'{{"method":"m","params":{{"secret":"{value}","id":4}},"jsonrpc":"2.0","id":"two"}}',
        f'{{"jsonrpc":"2.0","method":"notifications/m","params":{{"secret":"{value}","id":3}}}}',
        '{"jsonrpc":"2.0","id":5,"method":"ping"}',
    ]
    os.write(pipe[1], "".join(line + "\n" for line in requests).encode())
    writer = LineWriter(theirs, eager=True)
    incoming = Incoming(read_lines(pipe[0], 1_000, nothing), Outgoing(writer))
    read = await incoming.receive()
    assert isinstance(read, SessionMessage)
    assert read.message == JSONRPCRequest(jsonrpc="2.0", id=5, method="ping")
    answers = [jsonrpc_message_adapter.validate_json(line) for line in os.read(ours, 65_536).splitlines()]
    assert [answer.id for answer in answers if isinstance(answer, JSONRPCError)] == [1, "two"]
    told = f"The request has {len(requests[0]):,} bytes and was not read; send at most 1,000 bytes in a line."
    assert isinstance(answers[0], JSONRPCError)
    assert answers[0].error == ErrorData(code=INVALID_REQUEST, message=told)
    assert [entry["log_level"] for entry in logged] == ["info", "info", "warning"]
    assert [entry["bytes"] for entry in logged] == [len(line) for line in requests[:3]]
    assert "secret" not in str(logged)
    await anyio.to_thread.run_sync(writer.close, PATIENCE_S)
    for end in (ours, theirs):
        os.close(end)


async def test_a_request_that_cannot_be_read_is_refused_and_any_other_line_is_warned_of(
    pipe: Pipe, logged: list[EventDict]
) -> None:
    ours, theirs = os.pipe()
    deep = "[" * 300 + "]" * 300
    lines = [
        f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"secret":{deep}}}}}',
        f'{{"method":"m","params":{{"secret":{deep},"id":4}},"jsonrpc":"2.0","id":"two"}}',
        '{"jsonrpc":"2.0","id":3,"method":"m","params":["secret"]}',
        '{"jsonrpc":"2.0","id":4,"method":"m","params":{"secret":',
        f'{{"jsonrpc":"2.0","method":"notifications/m","params":{{"secret":{deep},"id":5}}}}',
        f'{{"jsonrpc":"2.0","id":6,"result":{{"secret":{deep}}}}}',
        "secret",
    ]
    os.write(pipe[1], "".join(line + "\n" for line in lines).encode())
    writer = LineWriter(theirs, eager=True)
    incoming = Incoming(read_lines(pipe[0], MOST, nothing), Outgoing(writer))
    read = [await incoming.receive() for _ in lines]
    (unread,) = [message.message for message in read if isinstance(message, SessionMessage)]
    assert unread == JSONRPCError(
        jsonrpc="2.0", id=6, error=ErrorData(code=ANSWER_UNREAD, message="the client's answer is nested too deep")
    )
    assert [type(message) is SessionMessage for message in read] == [False] * 5 + [True, False]
    answers = [jsonrpc_message_adapter.validate_json(line) for line in os.read(ours, 65_536).splitlines()]
    told = {answer.id: answer.error for answer in answers if isinstance(answer, JSONRPCError)}
    deeper = "The request is nested too deep and was not read; send flatter values, or JSON as a text."
    none = "The request was not read: it is no message of JSON-RPC 2.0; send one, in one line."
    assert {own: error.message for own, error in told.items()} == {1: deeper, "two": deeper, 3: none, 4: none}
    assert [entry["log_level"] for entry in logged] == ["info"] * 4 + ["warning"] * 3
    assert "secret" not in str(logged) + str(told)
    await anyio.to_thread.run_sync(writer.close, PATIENCE_S)
    for end in (ours, theirs):
        os.close(end)


async def test_a_client_that_has_gone_is_not_told_that_its_request_was_too_long(pipe: Pipe) -> None:
    outgoing = Outgoing(LineWriter(pipe[1]))
    outgoing.stop()
    os.write(pipe[1], b'{"jsonrpc":"2.0","id":1,"method":"a-long-name"}\n{"jsonrpc":"2.0","method":"m"}\n')
    incoming = Incoming(read_lines(pipe[0], 40, nothing), outgoing)
    assert isinstance(await incoming.receive(), SessionMessage)


def message(text: str) -> SessionMessage:
    return SessionMessage(JSONRPCNotification(jsonrpc="2.0", method=text))


def line(text: str) -> bytes:
    return f'{{"jsonrpc":"2.0","method":"{text}"}}\n'.encode()


writers = pytest.mark.parametrize("eager", [False, True])


@writers
async def test_what_is_written_goes_out_in_order(pipe: Pipe, eager: bool) -> None:
    writer = LineWriter(pipe[1], eager=eager)
    texts = ["one", "zwei é", "x" * 200_000, "four"]
    async with Outgoing(writer) as outgoing:
        for text in texts:
            await outgoing.send(message(text))
    expected = b"".join(map(line, texts))
    read = b""
    with anyio.fail_after(PATIENCE_S):
        while len(read) < len(expected):
            read += await anyio.to_thread.run_sync(os.read, pipe[0], 65_536)
    assert read == expected
    with pytest.raises(anyio.ClosedResourceError):
        await outgoing.send(message("after"))
    await anyio.to_thread.run_sync(writer.close, PATIENCE_S)


async def test_what_there_is_room_for_is_written_at_once(pipe: Pipe) -> None:
    LineWriter(pipe[1], eager=True).put(b"one\n")
    os.set_blocking(pipe[0], False)
    assert os.read(pipe[0], 100) == b"one\n"


@writers
async def test_a_sender_waits_while_the_client_is_far_behind(pipe: Pipe, eager: bool) -> None:
    outgoing = Outgoing(LineWriter(pipe[1], eager=eager))
    text = "x" * (BACKLOG_BYTES + 100_000)
    sending = asyncio.create_task(outgoing.send(message(text)))
    with anyio.move_on_after(0.05):
        await asyncio.shield(sending)
    assert not sending.done()
    size = len(line(text))
    with anyio.fail_after(PATIENCE_S):
        while size:
            size -= len(await anyio.to_thread.run_sync(os.read, pipe[0], 65_536))
        await sending


async def test_who_waits_for_a_client_is_let_go_at_the_end_although_shielded(pipe: Pipe) -> None:
    outgoing = Outgoing(LineWriter(pipe[1], eager=True))

    async def send() -> None:
        with anyio.CancelScope(shield=True):
            await outgoing.send(message("x" * (BACKLOG_BYTES + 100_000)))

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(outgoing.stop_when_cancelled)
            sending = asyncio.create_task(send())
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        with pytest.raises(anyio.ClosedResourceError):
            await sending
    os.close(pipe[0])


@writers
async def test_a_client_that_is_gone_is_told_to_the_sender(pipe: Pipe, eager: bool) -> None:
    writer = LineWriter(pipe[1], eager=eager)
    outgoing = Outgoing(writer)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    writer.when_broken(lambda: loop.call_soon_threadsafe(gone.set))
    os.close(pipe[0])
    await outgoing.send(message("one"))
    # Told without another word to send.
    with anyio.fail_after(PATIENCE_S):
        await gone.wait()
    with pytest.raises(anyio.ClosedResourceError):
        await outgoing.send(message("two"))
    told = []
    writer.when_broken(lambda: told.append("at once"))
    assert told == ["at once"]
    writer.put(b"three")
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
