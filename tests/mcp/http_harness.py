"""Servers over HTTP, as a process and in this process, and the clients that talk to them."""

import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
from anyio.abc import SocketStream
from mcp.client.session import MessageHandlerFnT
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from mcp import Client
from swarmtally.mcp.access import Access
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.http import serving
from swarmtally.mcp.listening import Listening, Transport, listen
from swarmtally.mcp.opening import Opening
from swarmtally.settings import Settings
from swarmtally_tools import registry
from tests.mcp.conftest import EXIT_S, Mode, serve_command

WAIT_S = 20
"""How long a test waits for something that must happen."""

JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HELLO = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
)


class HttpServer:
    """A server process, from the line that says where it listens on."""

    def __init__(self, place: Path, *options: str, command: list[str] | None = None, **environ: str) -> None:
        self.log = place / "http.log"
        self.heard: list[str] = []
        command = command or serve_command(place, "--port", "0", *options)
        self.process = subprocess.Popen(
            command,
            cwd=place,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hear(self, event: str) -> str:
        """The next line of log that holds `event`."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.heard.append(line)
            if event in line:
                return line
        raise EOFError("".join(self.heard))

    @property
    def url(self) -> str:
        found = re.search(r"url=(\S+)", self.hear("serve.listening"))
        assert found
        return found[1]

    def ends(self) -> int:
        """The exit status, within the time a server may take."""
        return self.process.wait(timeout=EXIT_S)

    def rest(self) -> tuple[str, str]:
        """What it wrote to stdout, and all it logged."""
        out, log = self.process.communicate(timeout=EXIT_S)
        return out, "".join(self.heard) + log

    def clean_up(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@asynccontextmanager
async def client_of(
    url: str, mode: Mode, token: str | None = None, hear: MessageHandlerFnT | None = None
) -> AsyncIterator[Client]:
    """The SDK's client, over the transport that `url` names; `hear` is given what the server sends by itself."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if url.endswith("/sse"):
        sse = sse_client(url, headers=headers)
        async with Client(sse, mode=mode, read_timeout_seconds=60, message_handler=hear) as client:
            yield client
        return
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=60, message_handler=hear) as client:
            yield client


@asynccontextmanager
async def served(
    place: Path,
    transport: Transport = "http",
    bounds: Bounds | None = None,
    settings: Mapping[str, Any] | None = None,
    **access: Any,
) -> AsyncIterator[Listening]:
    """A server in this process, on a socket of loopback."""
    database = str(place / "swarm.db")
    gather = partial(Settings.gather, "mcp", db=database, project="test", cwd=place, **(settings or {}))
    opening = Opening(await anyio.to_thread.run_sync(gather))
    found = await anyio.to_thread.run_sync(listen, transport, "127.0.0.1", 0)
    listening = Listening(transport, found.socket, Access("127.0.0.1", found.access.port, **access))
    # In a thread, because it imports the tools, and blockbuster watches the loop.
    await anyio.to_thread.run_sync(registry.load_all)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(opening.run)
            async with serving(opening.app, listening, bounds or Bounds()):
                yield listening
            opening.close()


async def post(url: str, headers: Mapping[str, str] | None = None, content: Any = HELLO) -> httpx2.Response:
    """One request on a connection of its own."""
    async with httpx2.AsyncClient(timeout=WAIT_S) as http:
        return await http.post(url, headers={**JSON, **(headers or {})}, content=content)


@asynccontextmanager
async def socket_to(listening: Listening) -> AsyncIterator[SocketStream]:
    """A connection on which a test sends what it likes."""
    async with await anyio.connect_tcp("127.0.0.1", listening.access.port) as stream:
        yield stream


def head(listening: Listening, *lines: str) -> bytes:
    """The head of a request for the protocol's path, with further `lines`."""
    first = (f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{listening.access.port}", *(f"{k}: {v}" for k, v in JSON.items()))
    return "\r\n".join((*first, *lines, "", "")).encode()


async def heard_until_closed(stream: SocketStream) -> bytes:
    """All the server sends until it closes the connection."""
    heard = b""
    with anyio.fail_after(WAIT_S):
        while True:
            try:
                heard += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return heard


async def sent_until_closed(stream: SocketStream, data: bytes) -> None:
    """Send `data` again and again, reading nothing, until the server closes the connection."""
    with anyio.fail_after(WAIT_S), suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            await stream.send(data)
