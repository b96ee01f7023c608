import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
import pytest
from mcp.client.extension import ClientExtension
from mcp.client.session import MessageHandlerFnT
from mcp.client.stdio import stdio_client
from mcp_types import CallToolResult, TextContent

from mcp import Client, StdioServerParameters
from swarmtally.mcp.opening import Opening
from swarmtally.mcp.server import make_server
from swarmtally.settings import Settings
from swarmtally_tools.toolsets import Offer
from tests.backends.wire import OpenAIWire

Mode = Literal["legacy", "auto"]

EXIT_S = 2
"""How long a server may take to end once its client has gone."""


@pytest.fixture(params=["legacy", "auto"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Both protocol eras: the handshake of 2025 and the envelope of 2026."""
    mode: Mode = request.param
    return mode


@pytest.fixture
def wire() -> Iterator[OpenAIWire]:
    with OpenAIWire() as wire:
        yield wire


def serve_command(place: Path, *options: str) -> list[str]:
    database = str(place / "swarm.db")
    return [sys.executable, "-m", "swarmtally", "serve", "--db", database, "--project", "test", *options]


def on_wire(wire: OpenAIWire) -> tuple[str, ...]:
    return ("--model", "openai:test", "--base-url", wire.base_url)


@asynccontextmanager
async def connected(
    place: Path, mode: Mode, *options: str, hear: MessageHandlerFnT | None = None
) -> AsyncIterator[Client]:
    """A client of a real server process, over stdio; `hear` is given what the server sends by itself."""
    command = serve_command(place, *options)
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ), cwd=str(place))
    with (place / "server.log").open("a") as log:
        transport = stdio_client(parameters, errlog=log)
        async with Client(transport, mode=mode, read_timeout_seconds=60, message_handler=hear) as client:
            yield client


@asynccontextmanager
async def in_memory(
    place: Path,
    mode: Mode = "auto",
    offer: Offer = Offer(),  # noqa: B008 - frozen
    *,
    extensions: Sequence[ClientExtension] = (),
    hear: MessageHandlerFnT | None = None,
    **settings: Any,
) -> AsyncIterator[Client]:
    """A client of the server in this process; `hear` is given what the server sends by itself."""
    database = str(place / "swarm.db")
    gather = partial(Settings.gather, "mcp", **{"db": database, "project": "test", "cwd": place, **settings})
    opening = Opening(await anyio.to_thread.run_sync(gather))
    # In a thread, because it imports the tools, and blockbuster watches the loop.
    server = await anyio.to_thread.run_sync(make_server, opening.app, offer)
    async with anyio.create_task_group() as group:
        group.start_soon(opening.run)
        async with Client(server, mode=mode, extensions=extensions, message_handler=hear) as client:
            yield client
        opening.close()


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def told(result: CallToolResult) -> str:
    """The one line of a result that is an error."""
    assert result.is_error
    assert result.structured_content is None
    assert "\n" not in text_of(result)
    return text_of(result)


def answered(result: CallToolResult) -> dict[str, Any]:
    """The structured content of a result that is none."""
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    return result.structured_content


class RawServer:
    """A server process and the bytes it writes: no client library between."""

    def __init__(self, command: list[str], place: Path, *, stderr: int | None = None) -> None:
        self._log = (place / "stderr.log").open("ab")
        self.process = subprocess.Popen(
            command,
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log if stderr is None else stderr,
            start_new_session=True,
        )
        self.lines: list[bytes] = []
        self._next_id = 0

    def send(self, method: str, params: Mapping[str, Any] | None = None, *, notice: bool = False) -> int:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": dict(params or {})}
        if not notice:
            self._next_id += 1
            message["id"] = self._next_id
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        return self._next_id

    def receive(self, request: int) -> dict[str, Any]:
        """The answer to a request; what comes before it is kept in `lines` too."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.append(line)
            message: dict[str, Any] = json.loads(line)
            if message.get("id") == request and "method" not in message:
                return message
        raise EOFError("the server closed stdout")

    def shake_hands(self, **capabilities: Any) -> dict[str, Any]:
        client = {"name": "test", "version": "1"}
        asked = {"protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": client}
        answer = self.receive(self.send("initialize", asked))
        self.send("notifications/initialized", notice=True)
        return answer

    def call_soon(self, tool: str, **arguments: Any) -> int:
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.receive(self.call_soon(tool, **arguments))["result"]
        return result

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ends(self) -> int:
        """The exit status, within the time a server may take."""
        return self.process.wait(timeout=EXIT_S)

    def left_alone(self) -> bool:
        """Whether no process of the server's session is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def rest(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def clean_up(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr, self._log):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
