"""The same over HTTP on loopback: storms of connections, half requests, garbage, bodies that are too large."""

import contextlib
import json
import re
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import Any

import psutil

from tests.faults.place import Place, opened_place
from tests.faults.processes import WAIT_S, Process, View
from tests.faults.tally import Tally

BOTH = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

Fault = Callable[[Place, "Listener", Tally], None]


class Listener:
    """A server over HTTP, and calls to it that each have a connection of their own."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self.port = _port(log)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT_S)

    def call(self, tool: str, **arguments: Any) -> View:
        """What a whole client gets: a session, and in it the tool's result.

        Raises:
            OSError, HTTPException: the connection was not kept.
        """
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as http:
            asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "f", "version": "1"}}
            _, headers = _posted(http, {}, "initialize", asked)
            session = {"Mcp-Session-Id": headers["mcp-session-id"]}
            answer, _ = _posted(http, session, "tools/call", {"name": tool, "arguments": arguments})
            http.request("DELETE", "/mcp", headers={**BOTH, **session})
            http.getresponse().read()
            found: View = answer["result"]["structuredContent"]
            return found

    @property
    def descriptors(self) -> int:
        return psutil.Process(self.process.pid).num_fds()


def _posted(
    http: HTTPConnection, session: Mapping[str, str], method: str, params: Mapping[str, Any]
) -> tuple[View, Mapping[str, str]]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    http.request("POST", "/mcp", json.dumps(message), {**BOTH, **session})
    response = http.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    body = response.read().decode()
    if response.status != 200:
        raise HTTPException(f"{response.status} {body[:200]}")
    found = re.search(r"^data: (\{.*)$", body, re.MULTILINE)
    return json.loads(found[1] if found else body), headers


def _port(log: Path) -> int:
    """Where it says that it listens."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if found := re.search(r"serve\.listening.*url=http://[^:]+:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.02)
    raise TimeoutError("the server does not listen")


def network_rounds(fault: str, folder: Path, draw: Random, rounds: int, *bring_about: Fault) -> Iterator[Tally]:
    """Each round has a server of its own, which must serve a good client after each fault."""
    tally = Tally(fault)
    with opened_place(folder, draw, tally) as place:
        for _ in range(rounds):
            (folder / "stderr.log").write_bytes(b"")  # of the server before
            listener = Listener(place.http_server(), folder / "stderr.log")
            _store(place, listener)
            before = listener.descriptors
            for one in bring_about:
                one(place, listener, tally)
                _store(place, listener)
                tally.stuck += _kept(listener, before)
            listener.process.popen.send_signal(signal.SIGTERM)
            place.reap(listener.process, tally)
            place.inspect(tally, at_rest=True)
            tally.rounds += 1
            yield tally


def _store(place: Place, listener: Listener) -> None:
    key = place.key()
    listener.call("memory_usage", action="store", key=key, value=key)
    place.book.entries[key] = key


def _kept(listener: Listener, before: int) -> list[str]:
    """Whether connections stay open at the server whose clients have gone."""
    end = time.monotonic() + 20
    while listener.descriptors > before + 5:
        if time.monotonic() > end:
            return [f"{listener.descriptors} descriptors, {before} before"]
        time.sleep(0.05)
    return []


def storm(place: Place, listener: Listener, tally: Tally, clients: int = 300) -> None:
    """Many clients at once; a third goes away without a word, a third in the middle of its request, and what the
    others are told is kept."""
    dropped: list[str] = []

    def come(key: str, kind: int) -> None:
        if kind == 2:
            try:
                listener.call("memory_usage", action="store", key=key, value=key)
            except (OSError, HTTPException) as error:
                dropped.append(f"{error!r}")
            else:
                place.book.entries[key] = key
            return
        with contextlib.suppress(OSError), listener.connect() as connection:
            if kind == 1:
                connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
            # A reset in place of an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with ThreadPoolExecutor(64) as pool:
        coming = [pool.submit(come, place.key(), place.draw.randrange(3)) for _ in range(clients)]
        for one in coming:
            one.result()
    tally.stuck += [f"{len(dropped)} whole calls of the storm: {dropped[:2]}"] if dropped else []


def bad_requests(place: Place, listener: Listener, tally: Tally, size: int = 100_000_000, requests: int = 30) -> None:
    """Garbage in place of requests and of messages, half requests, large bodies with and without a length."""
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{listener.port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in BOTH.items())
    for _ in range(requests):
        _sent(listener, place.draw.randbytes(place.draw.randrange(1, 3_000)))
        body = place.draw.randbytes(200)
        _sent(listener, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        _sent(listener, head.encode()[: place.draw.randrange(1, len(head))], patience_s=0.01)
    before = listener.process.peak
    for length in (f"Content-Length: {size}", "Transfer-Encoding: chunked"):
        _flooded(listener, f"{head}{length}\r\n\r\n".encode(), size, chunked="chunked" in length)
    grown = (listener.process.peak - before) / (1 << 20)
    tally.remarks = [f"two bodies of {size / 1e6:.0f} MB raised the server's peak of memory by {grown:.0f} MiB"]


def _sent(listener: Listener, data: bytes, patience_s: float = 0.1) -> None:
    """Send something, look whether there is an answer, and go."""
    with contextlib.suppress(OSError), listener.connect() as connection:
        connection.sendall(data)
        if select.select([connection], [], [], patience_s)[0]:
            connection.recv(65_536)


def _flooded(listener: Listener, head: bytes, size: int, *, chunked: bool) -> None:
    """Send a body for as long as the server takes it."""
    piece = b"x" * 65_536
    framed = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    with contextlib.suppress(OSError), listener.connect() as connection:
        connection.sendall(head)
        for _ in range(size // len(piece)):
            connection.sendall(framed)
