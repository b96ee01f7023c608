"""Clients on stdio that stop reading, send garbage, half messages, or lines without end; others must not notice."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.faults.place import Place, opened_place
from tests.faults.processes import Server
from tests.faults.tally import Tally

MIB = 1 << 20

Fault = Callable[[Place, Server, Tally], None]


def client_rounds(fault: str, folder: Path, draw: Random, rounds: int, *bring_about: Fault) -> Iterator[Tally]:
    """Each round has a server of its own for the client, beside one whose client behaves and must be served."""
    tally = Tally(fault)
    with opened_place(folder, draw, tally) as place:
        neighbour = place.server()
        for _ in range(rounds):
            server = place.ready_server()
            neighbour.shake_hands()
            place.noted_run(server.call("sparc_concurrent", mode="coder", tasks=["A", "B", "C"], wait_s=0))
            for one in bring_about:
                one(place, server, tally)
                _store(place, neighbour, tally)
            place.finish(neighbour, tally)
            server.hang_up()
            place.reap(server, tally)
            place.inspect(tally, at_rest=True)
            tally.rounds += 1
            yield tally


def _store(place: Place, server: Server, tally: Tally) -> None:
    """Whoever asks for what is right gets it."""
    key = place.key()
    begun = time.monotonic()
    view = server.call("memory_usage", action="store", key=key, value=key)
    if view["version"] != 1:
        tally.twice.append(f"{key} has version {view['version']}")
    if time.monotonic() - begun > 20:
        tally.stuck.append(f"storing {key} took more than 20 s")
    place.book.entries[key] = key


def stops_reading(place: Place, server: Server, tally: Tally, calls: int = 300) -> None:
    """Ask for more than a pipe holds and do not read it: runs go on and end, and the server's memory stays bounded.
    When it is read at last every answer is there; each second client goes away instead."""
    server.call("memory_usage", action="store", key="large", value="x" * (MIB - 100))
    before = server.peak
    for _ in range(calls):
        server.ask("memory_usage", action="retrieve", key="large")
    _ended_unread(place, tally)
    grown = (server.peak - before) / MIB
    tally.remarks = [f"the server's peak of memory grew by {grown:.0f} MiB for {calls} answers of 1 MiB each"]
    if tally.rounds % 2 == 0:
        server.hear_all()
        tally.lost += server.refused


def _ended_unread(place: Place, tally: Tally) -> None:
    end = time.monotonic() + 30
    while place.rows("SELECT 1 FROM run WHERE finished_ns IS NULL"):
        if time.monotonic() > end:
            tally.stuck.append("a run waits for its client to read")
            return
        time.sleep(0.02)


GARBAGE = (
    b"\n",
    b"garbage\n",
    b"\x00\xff\xfe\x80\n",
    b"{\n",
    b"[]\n",
    b"null\n",
    b'"text"\n',
    b"1e999\n",
    b"[" * 50_000 + b"\n",
    b'{"a":' * 50_000 + b"\n",
    b'{"jsonrpc": "2.0"}\n',
    b'{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}\n',
    b'{"jsonrpc": "2.0", "id": null, "method": "tools/list"}\n',
    b'{"jsonrpc": "2.0", "id": {}, "method": "tools/list"}\n',
    b'{"jsonrpc": "2.0", "id": 1e400, "method": "tools/list"}\n',
    b'{"jsonrpc": "2.0", "id": "x", "method": 5}\n',
    b'{"jsonrpc": "2.0", "id": "x", "method": "no/such"}\n',
    b'{"jsonrpc": "2.0", "id": "x", "method": "tools/call"}\n',
    b'{"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": []}\n',
    b'{"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "memory_usage", "arguments": 5}}\n',
    b'{"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "\\ud800", "arguments": {}}}\n',
    b'{"jsonrpc": "2.0", "id": "x", "result": {}}\n',
    b'{"jsonrpc": "2.0", "id": 99999, "error": {"code": 1, "message": "x"}}\n',
    b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": {}}}\n',
    b'{"jsonrpc": "2.0", "method": "notifications/no-such"}\n',
    b'[{"jsonrpc": "2.0", "id": "x", "method": "tools/list"}]\n',
)
"""Lines that are no message, or a wrong one."""


def random_line(draw: Random) -> bytes:
    """Any bytes, or a good message of which one byte is another, or that was cut."""
    params = {"name": "memory_usage", "arguments": {"action": "list"}}
    good = json.dumps({"jsonrpc": "2.0", "id": "garbage", "method": "tools/call", "params": params}).encode()
    match draw.randrange(3):
        case 0:
            made = draw.randbytes(draw.randrange(1, 2_000))
        case 1:
            at = draw.randrange(len(good))
            made = good[:at] + draw.randbytes(1) + good[at + 1 :]
        case _:
            made = good[: draw.randrange(1, len(good))]
    return made.replace(b"\n", b" ") + b"\n"


def sends_garbage(place: Place, server: Server, tally: Tally, lines: int = 200) -> None:
    """Garbage, and then what is right, which is answered."""
    for line in (*GARBAGE, *(random_line(place.draw) for _ in range(lines))):
        server.raw(line)
    _store(place, server, tally)


def sends_half(place: Place, server: Server, tally: Tally) -> None:
    """A message of which half comes, then nothing for a while, and then the rest."""
    key = place.key()
    params = {"name": "memory_usage", "arguments": {"action": "store", "key": key, "value": "half"}}
    message = json.dumps({"jsonrpc": "2.0", "id": 10_000, "method": "tools/call", "params": params}).encode()
    at = place.draw.randrange(1, len(message))
    server.raw(message[:at])
    time.sleep(place.draw.random() * 0.2)
    server.raw(message[at:] + b"\n")
    while server.hear().get("id") != 10_000:
        pass
    place.book.entries[key] = "half"


def ends_in_half(place: Place, server: Server, tally: Tally) -> None:
    """A message of which no more than half ever comes: it is not done."""
    message = b'{"jsonrpc": "2.0", "id": 10001, "method": "tools/call", "params": {"name": "swarm_init", "argum'
    server.raw(message[: place.draw.randrange(1, len(message))])


def sends_huge(place: Place, server: Server, tally: Tally, size: int = 100_000_000) -> None:
    """A long line that is no message, then one that asks to store as much, which is refused."""
    before = server.peak
    server.raw(b"x" * size + b"\n")
    _store(place, server, tally)
    server.refused.clear()
    server.ask("memory_usage", action="store", key="huge", value="x" * size)
    server.hear_all()
    told = server.refused.pop() if server.refused else "accepted"
    if "bytes" not in told and "MiB" not in told:
        tally.damaged.append(f"a value of {size} bytes: {told[:200]}")
    _store(place, server, tally)
    grown = (server.peak - before) / MIB
    tally.remarks = [f"the server's peak of memory grew by {grown:.0f} MiB for lines of {size / 1e6:.0f} MB"]
