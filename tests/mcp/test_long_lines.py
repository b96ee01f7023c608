"""Lines longer than the bound: what is kept of them, whose request they were, and that it is told so."""

import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp import MCPError
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.lines import Lines, LineTooLong
from swarmtally.mcp.sizes import VALUES_LIMIT
from tests.mcp.conftest import Mode, RawServer, answered, connected, serve_command

MIB = 1 << 20
BOUND = Bounds().body_bytes
LONG = "x" * BOUND


def long(text: str, kept: int = 4_096) -> LineTooLong:
    line = text.encode()
    return LineTooLong(len(line), 10, line[:kept], line[-kept:])


def request(**members: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": "tools/call"} | members)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([',"id":7}', '\\","id":7', '{"id":7,']),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "method", "jsonrpc", 'a"b']), inner)
    ),
    max_leaves=8,
)
ids = st.integers() | st.text()
kept = st.integers(1, 400)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])


@given(st.permutations(["jsonrpc", "id", "method", "params"]), ids, values, kept, separators, st.booleans())
def test_the_id_is_the_requests_own_or_none(
    order: list[str], own: int | str, params: Any, kept: int, separators: tuple[str, str], ascii_only: bool
) -> None:
    members = {"jsonrpc": "2.0", "id": own, "method": "m", "params": {"x": params, "y": [params]}}
    text = json.dumps({name: members[name] for name in order}, separators=separators, ensure_ascii=ascii_only)
    assert long(text, kept).request_id in (own, None)


@given(st.permutations(["jsonrpc", "id", "result"]), ids, values, kept, separators, st.booleans())
def test_the_id_of_an_answer_is_its_own_or_none_and_no_requests(
    order: list[str], own: int | str, result: Any, kept: int, separators: tuple[str, str], ascii_only: bool
) -> None:
    members = {"jsonrpc": "2.0", "id": own, "result": {"x": result, "y": [result]}}
    line = long(
        json.dumps({name: members[name] for name in order}, separators=separators, ensure_ascii=ascii_only), kept
    )
    assert line.answered_id in (own, None)
    assert line.request_id is None
    assert long(request(id=own, params={"result": result, "x": [result]}), kept).answered_id is None


@given(ids, values)
def test_the_id_of_an_answer_is_found_where_the_sdks_write_it(own: int | str, result: Any) -> None:
    middle = {"result": {"first": result, "value": "x" * 20_000, "last": result}}
    named = {"jsonrpc": "2.0", "id": own}
    for members in (named | middle, middle | named, named | {"result": None}):
        assert long(json.dumps(members, separators=(",", ":"))).answered_id == own


@given(ids, values)
def test_the_id_is_found_where_the_sdks_write_it(own: int | str, params: Any) -> None:
    middle = {"params": {"first": params, "value": "x" * 20_000, "last": params}}
    named = {"jsonrpc": "2.0", "id": own}
    for members in (named | {"method": "m"} | middle, {"method": "m"} | middle | named):
        assert long(json.dumps(members, separators=(",", ":"))).request_id == own


@given(st.permutations(["jsonrpc", "id", "result"]), ids, values, kept)
def test_an_answer_of_the_client_is_no_request(order: list[str], own: int | str, result: Any, kept: int) -> None:
    members = {"jsonrpc": "2.0", "id": own, "result": {"x": result}}
    assert long(json.dumps({name: members[name] for name in order}), kept).request_id is None


@given(st.permutations(["jsonrpc", "method", "params"]), values, kept)
def test_a_notification_has_no_id(order: list[str], params: Any, kept: int) -> None:
    members = {"jsonrpc": "2.0", "method": "m", "params": {"id": 7, "x": params, "jsonrpc": "2.0"}}
    assert long(json.dumps({name: members[name] for name in order}), kept).request_id is None


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100,
        " " * 10_000,
        request(),
        "[" + request(id=1) + "]",
        request(params={"id": 1}),
        request(id=None),
        request(id=True),
        request(id=1.0),
        request(id=[1]),
        request(id={"id": 1}),
        '{"jsonrpc":"2.0","id":1,"method":"m","params":"' + "x" * 10_000 + '","id":2}',
        '{"id":1,"id":2,"jsonrpc":"2.0","method":"m"}',
        '{"id":1,"\\u0069d":2,"jsonrpc":"2.0","method":"m"}',
        '{"jsonrpc":"1.0","id":1,"method":"m"}',
        '{"jsonrpc":"2.0","id":01,"method":"m"}',
        '{"jsonrpc":"2.0","id":' + "1" * 4_400 + ',"method":"m"}',
        '{"jsonrpc":"2.0","id":"\t","method":"m"}',
        '{"jsonrpc":"2.0","method":"m","params":{"x":"' + "x" * 10_000 + '","id":1}}',
        "",
    ],
)
def test_what_is_not_sure_to_be_a_requests_id_is_none(text: str) -> None:
    assert long(text).request_id is None


def test_half_of_an_id_is_none() -> None:
    text = '{"jsonrpc":"2.0","method":"m","id":12345,"params":{"value":"' + "x" * 100 + '"}}'
    found = {long(text, kept).request_id for kept in range(1, len(text))}
    assert found == {None, 12345}


def test_an_id_in_halves_of_surrogate_pairs_can_be_answered() -> None:
    assert long('{"jsonrpc":"2.0","id":"\\ud83d","method":"m"}').request_id == "�"


@given(st.lists(st.binary(max_size=12) | st.just(b"\n") | st.just(b"ab\ncd"), max_size=40), st.integers(1, 20))
def test_lines_are_the_same_however_they_arrive(pieces: list[bytes], most: int) -> None:
    lines = Lines(most)
    found = [line for piece in pieces if piece for line in lines.add(piece)] + lines.end()
    expected = re.findall(rb"[^\n]*\n|[^\n]+", b"".join(pieces))
    assert len(found) == len(expected)
    for line, whole in zip(found, expected, strict=True):
        length = len(whole.rstrip(b"\n"))
        if length <= most:
            assert line == whole
        else:
            assert isinstance(line, LineTooLong)
            assert (line.length, line.most) == (length, most)
            assert whole.startswith(line.head)
            assert whole.rstrip(b"\n").endswith(line.tail)


def test_a_line_may_have_as_many_bytes_as_the_bound_says() -> None:
    lines = Lines(3)
    found = lines.add(b"abc\nabc\nabcd\nabcd") + lines.add(b"\nabc") + lines.add(b"\nab")
    assert [line.length if isinstance(line, LineTooLong) else bytes(line) for line in [*found, *lines.end()]] == [
        *[b"abc\n"] * 2,
        *[4] * 2,
        b"abc\n",
        b"ab",
    ]


def test_of_a_long_line_only_its_ends_are_kept() -> None:
    lines = Lines(100_000)
    for number in range(1_000):
        assert lines.add(b"%05d" % number * 1_000) == []
        assert lines.held <= 105_000
    (line,) = lines.add(b"\n")
    assert isinstance(line, LineTooLong)
    assert line.length == 5_000_000
    assert line.head.startswith(b"00000")
    assert line.tail.endswith(b"00999")
    assert len(line.head) == len(line.tail) == 4_096
    assert lines.held == 0


async def test_a_request_that_is_too_long_is_refused_and_the_next_is_answered(tmp_path: Path, mode: Mode) -> None:
    async with connected(tmp_path, mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("memory_usage", {"action": "store", "key": "long", "value": LONG})
        told = refused.value.error.message
        assert re.fullmatch(
            r"The request has [\d,]+ bytes and was not read; send at most 8,388,608 bytes in a line\.", told
        )
        answered(await client.call_tool("memory_usage", {"action": "store", "key": "short", "value": "x"}))
        listed = answered(await client.call_tool("memory_usage", {"action": "list"}))
    assert [entry["key"] for entry in listed["entries"]] == ["short"]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ('{"role":"assistant","model":"m","content":{"type":"text","text":"' + LONG + '"}}', "has 8,388,"),
        ("null", "is no message of JSON-RPC 2.0"),
        ('{"role":"assistant","model":"m","content":[' + "{}," * VALUES_LIMIT + "{}]}", "has more than 5,000 values"),
    ],
    ids=["too long", "unreadable", "too many values"],
)
def test_an_answer_that_cannot_be_read_fails_the_task_that_waits_for_it(
    result: str, reason: str, tmp_path: Path
) -> None:
    server = RawServer(serve_command(tmp_path, "--model", "sampling"), tmp_path)
    try:
        server.shake_hands(sampling={})
        call = server.call_soon("sparc_run", mode="coder", task="Login", wait_s=45)
        assert server.process.stdin is not None
        assert server.process.stdout is not None
        asked = json.loads(server.process.stdout.readline())
        assert asked["method"] == "sampling/createMessage"
        server.process.stdin.write(f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":{result}}}\n'.encode())
        server.process.stdin.flush()
        (task,) = server.receive(call)["result"]["structuredContent"]["timeline"]
    finally:
        server.clean_up()
    assert task["status"] == "failed"
    assert task["error"].startswith(f"the client's answer {reason}")


def test_a_line_of_100_mb_costs_the_server_no_more_than_the_bound(tmp_path: Path) -> None:
    server = RawServer(serve_command(tmp_path), tmp_path)
    try:
        server.shake_hands()
        assert not server.call("swarm_init")["isError"]
        before = peak(server)
        size = 100_000_000
        refused = server.receive(server.call_soon("memory_usage", action="store", key="long", value="x" * size))
        assert refused["error"]["code"] == -32600
        assert server.process.stdin is not None
        server.process.stdin.write(b"x" * size + b"\n")
        assert not server.call("swarm_init")["isError"]
        assert peak(server) - before < 64 * MIB
        server.hang_up()
        assert server.process.wait(timeout=20) == 0
    finally:
        server.clean_up()
    # Only the line that could not be answered.
    (warned,) = [line for line in (tmp_path / "stderr.log").read_text().splitlines() if "warning" in line]
    assert "100000000" in warned


def peak(server: RawServer) -> int:
    """The most memory the server has had, in bytes; where the system does not tell, what it has now."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return psutil.Process(server.process.pid).memory_info().rss
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(kib) * 1024
