"""1,000 clients at once over streamable HTTP, each on a connection of its own: a tool that does nothing behind one
`swarmtally serve --transport http`, beside the same on the SDK's own MCPServer; limit: no error."""

import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import psutil

from benchmarks.tool_calls import ERAS, OURS

_SDK = """
import sys

from mcp.server import MCPServer
from pydantic import BaseModel

class Nothing(BaseModel):
    done: bool

server = MCPServer("noop", log_level="WARNING")

@server.tool()
async def noop() -> Nothing:
    return Nothing(done=True)

server.run("streamable-http", port=int(sys.argv[1]))
"""

_DEADLINE_S = 60.0
"""How long one phase of all clients may take."""

_DESCRIPTORS = 4_096
"""For the clients and for the SDK's server; ours sees to its own."""


class Round(TypedDict):
    """What a thousand clients saw; an error is counted by its text."""

    shaking_s: list[float]
    calling_s: list[float]
    elapsed_s: float
    errors: dict[str, int]


def run(smoke: bool) -> list[str]:
    clients, calls, rounds = (50, 2, 1) if smoke else (1_000, 4, 3)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = _DESCRIPTORS if most < 0 else min(_DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        serve = [sys.executable, "-c", OURS, "serve", "--transport", "http", "--project", "p"]
        serve += ["--db", str(Path(folder, "swarm.db")), "--port"]
        with _server(serve, folder) as ours, _server([sys.executable, "-c", _SDK], folder) as sdk:
            sides = {"ours": ours, "MCPServer": sdk}
            for era, name in ERAS.items():
                seen: dict[str, list[tuple[Round, float]]] = {side: [] for side in sides}
                for side in sides:
                    _clients(sides[side], era, 10, calls)
                for _ in range(rounds):
                    for side, place in sides.items():
                        seen[side].append(_clients(place, era, clients, calls))
                lines.append(f"{era}, {name}: {clients} clients, {calls} calls each")
                lines += [f"  {line}" for line in _report(seen, clients * calls)]
    return lines


def _report(seen: dict[str, list[tuple[Round, float]]], calls: int) -> list[str]:
    lines = []
    rates: dict[str, float] = {}
    tails: dict[str, float] = {}
    errors: dict[str, Counter[str]] = {}
    for side, rounds in seen.items():
        latencies = [second for one, _ in rounds for second in one["calling_s"]]
        shaking = [second for one, _ in rounds for second in one["shaking_s"]]
        rates[side] = statistics.median(len(one["calling_s"]) / one["elapsed_s"] for one, _ in rounds)
        tails[side] = _quantile(latencies, 99)
        errors[side] = sum((Counter(one["errors"]) for one, _ in rounds), Counter())
        shook = f", handshake p99 {_quantile(shaking, 99) * 1e3:.0f} ms" if shaking else ""
        lines.append(
            f"{side:10} {rates[side]:5.0f} calls/s; p50 {_quantile(latencies, 50) * 1e3:5.0f} ms, p99"
            f" {tails[side] * 1e3:5.0f} ms{shook}; processor time of it all"
            f" {statistics.median(cpu for _, cpu in rounds) / calls * 1e6:5.0f} µs a call;"
            f" errors {errors[side].total()}"
        )
    lines.append(
        f"rate {rates['ours'] / rates['MCPServer']:.2f} and p99 {tails['ours'] / tails['MCPServer']:.2f} of"
        f" MCPServer's; errors limit 0 {'ABOVE' if errors['ours'] else 'within'}"
    )
    return lines + [f"{side}, {count} times: {text}" for side in errors for text, count in errors[side].items()]


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


@contextmanager
def _server(command: list[str], folder: str) -> Iterator[tuple[int, psutil.Process]]:
    """A server's port and process; it answers when this yields. `command` ends where the port is to stand."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Path(folder, "stderr.log").open("ab") as log:
        process = subprocess.Popen([*command, str(port)], stdin=subprocess.DEVNULL, stderr=log, cwd=folder)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _clients(place: tuple[int, psutil.Process], era: str, clients: int, calls: int) -> tuple[Round, float]:
    """A round of clients in a process of their own, and the processor time the server took for it, in s."""
    port, server = place
    before = server.cpu_times()
    command = [sys.executable, "-m", "benchmarks.http_clients", str(port), era, str(clients), str(calls)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[1], timeout=4 * _DEADLINE_S
    )
    after = server.cpu_times()
    return json.loads(done.stdout), after.user + after.system - before.user - before.system


# What follows runs in the clients' process.


def main() -> None:
    port, era, clients, calls = sys.argv[1:]
    print(json.dumps(asyncio.run(_round(int(port), era, int(clients), int(calls)))))


async def _round(port: int, era: str, clients: int, calls: int) -> Round:
    seen: Round = {"shaking_s": [], "calling_s": [], "elapsed_s": 0.0, "errors": {}}
    everyone = [_Client(port, era, seen) for _ in range(clients)]
    connected = await _all(everyone, _Client.connect, seen)
    started = time.perf_counter()
    served = await _all(connected, lambda client: client.calls(calls), seen)
    seen["elapsed_s"] = time.perf_counter() - started
    await _all(served, _Client.leave, seen)
    return seen


async def _all(
    everyone: "list[_Client]", phase: "Callable[[_Client], Awaitable[None]]", seen: Round
) -> "list[_Client]":
    """Those that came through `phase`, all at once."""

    async def one(client: _Client) -> bool:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await phase(client)
        except (OSError, EOFError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            seen["errors"][text] = seen["errors"].get(text, 0) + 1
            return False
        return True

    came = await asyncio.gather(*map(one, everyone))
    return [client for client, through in zip(everyone, came, strict=True) if through]


class _Client:
    """One client on one connection that stays open, without any library's cost: prepared bytes, answers counted in."""

    def __init__(self, port: int, era: str, seen: Round) -> None:
        self._port = port
        self._seen = seen
        self._handshakes = era == "2025-06-18"
        self._headers = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json"}
        self._headers["Accept"] = "application/json, text/event-stream"
        self._era = era
        self._number = 0

    async def connect(self) -> None:
        started = time.perf_counter()
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._headers["MCP-Protocol-Version"] = self._era
        if not self._handshakes:
            return
        client = {"name": "benchmark", "version": "1"}
        asked = {"protocolVersion": self._era, "capabilities": {}, "clientInfo": client}
        headers, _ = await self._post("initialize", asked)
        self._headers["Mcp-Session-Id"] = headers["mcp-session-id"]
        await self._exchange("POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}, 202)
        self._seen["shaking_s"].append(time.perf_counter() - started)

    async def calls(self, count: int) -> None:
        params: dict[str, Any] = {"name": "noop", "arguments": {}}
        if not self._handshakes:
            prefix = "io.modelcontextprotocol/"
            params["_meta"] = {
                f"{prefix}protocolVersion": self._era,
                f"{prefix}clientInfo": {"name": "benchmark", "version": "1"},
                f"{prefix}clientCapabilities": {},
            }
            self._headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "noop"}
        for _ in range(count):
            started = time.perf_counter()
            _, message = await self._post("tools/call", params)
            self._seen["calling_s"].append(time.perf_counter() - started)
            if message.get("result", {}).get("structuredContent") != {"done": True}:
                raise ValueError(f"no result: {message}")

    async def leave(self) -> None:
        if self._handshakes:
            await self._exchange("DELETE", None, 200)
        self._writer.close()

    async def _post(self, method: str, params: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        headers, body = await self._exchange("POST", message, 200)
        if headers["content-type"].startswith("text/event-stream"):
            (body,) = (line[5:] for line in body.splitlines() if line.startswith(b"data:") and len(line) > 6)
        answer = json.loads(body)
        if answer.get("id") != self._number:
            raise ValueError(f"an answer to something else: {answer}")
        return headers, answer

    async def _exchange(self, verb: str, message: object, status: int) -> tuple[dict[str, str], bytes]:
        body = b"" if message is None else json.dumps(message, separators=(",", ":")).encode()
        lines = [f"{name}: {value}\r\n" for name, value in self._headers.items()]
        head = f"{verb} /mcp HTTP/1.1\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
        answer = await self._body(headers)
        if int(first.split()[1]) != status:
            raise ValueError(f"{first}: {answer[:200].decode(errors='replace')}")
        return headers, answer

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", 0)))
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readuntil(b"\r\n")
        return b"".join(parts)


if __name__ == "__main__":
    main()
