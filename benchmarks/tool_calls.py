"""Tool calls over stdio: a tool that does nothing behind our server, beside the same on the SDK's own MCPServer and
stdio transport; limits: half the latency, 2.5 times the rate with 64 calls in flight."""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

LATENCY_LIMIT = 0.5
RATE_LIMIT = 2.5
IN_FLIGHT = 64

ERAS = {"2025-06-18": "the handshake of 2025", "2026-07-28": "the envelope of 2026"}

OURS = """
import sys
from types import ModuleType

from swarmtally.app import App
from swarmtally.cli import main
from swarmtally_tools import registry, toolsets
from swarmtally_tools.definition import View, tool

class Nothing(View):
    done: bool
    \"\"\"Always.\"\"\"

@tool(title="Do nothing")
async def noop(app: App) -> Nothing:
    \"\"\"Do nothing.\"\"\"
    return Nothing(done=True)

module = ModuleType("swarmtally_tools.noop")
module.TOOLS = (noop,)
sys.modules[module.__name__] = module
registry.MODULES["noop"] = "noop"
toolsets.TOOLSETS = {**toolsets.TOOLSETS, "noop": ("noop",)}
sys.exit(main.run(sys.argv[1:]))
"""

_SDK = """
from mcp.server import MCPServer
from pydantic import BaseModel

class Nothing(BaseModel):
    done: bool

server = MCPServer("noop")

@server.tool()
async def noop() -> Nothing:
    return Nothing(done=True)

server.run("stdio")
"""


_ARGUMENTS: dict[str, dict[str, Any]] = {"noop": {}, "memory_usage": {"action": "retrieve", "key": "k"}}


class Client:
    """Raw JSON-RPC with a server process: prepared bytes out, lines counted in."""

    def __init__(self, process: "subprocess.Popen[bytes]", era: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin.fileno(), process.stdout.fileno()
        self._ids = itertools.count(1)
        self._meta: dict[str, Any] = {}
        self._processor = psutil.Process(process.pid)
        client = {"name": "benchmark", "version": "1"}
        if era == "2025-06-18":
            asked = {"protocolVersion": era, "capabilities": {}, "clientInfo": client}
            self._ask("initialize", asked)
            os.write(self._in, b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        else:
            prefix = "io.modelcontextprotocol/"
            self._meta = {
                "_meta": {f"{prefix}protocolVersion": era, f"{prefix}clientInfo": client}
                | {f"{prefix}clientCapabilities": {}}
            }

    def _request(self, method: str, params: dict[str, Any]) -> bytes:
        message = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params | self._meta}
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        os.write(self._in, self._request(method, params))
        return _result(self._line())

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self._out, 1 << 16)
            if not part:
                raise EOFError("the server closed its output")
            line += part
        return line

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return self._ask("tools/call", {"name": tool, "arguments": arguments})

    def latencies(self, tool: str, calls: int) -> list[float]:
        """Seconds of each of `calls`, one at a time."""
        requests = [self._request("tools/call", {"name": tool, "arguments": _ARGUMENTS[tool]}) for _ in range(calls)]
        seconds, answers = [], []
        for request in requests:
            started = time.perf_counter()
            os.write(self._in, request)
            answers.append(self._line())
            seconds.append(time.perf_counter() - started)
        _check(answers, calls)
        return seconds

    def pipelined(self, tool: str, calls: int) -> tuple[float, float]:
        """Calls a second with `IN_FLIGHT` sent ahead of their answers, and the server's processor time a call, in s."""
        requests = [self._request("tools/call", {"name": tool, "arguments": _ARGUMENTS[tool]}) for _ in range(calls)]
        before = self._processor.cpu_times()
        started = time.perf_counter()
        os.write(self._in, b"".join(requests[:IN_FLIGHT]))
        sent, answered, parts = IN_FLIGHT, 0, []
        while answered < calls:
            part = os.read(self._out, 1 << 16)
            if not part:
                raise EOFError("the server closed its output")
            parts.append(part)
            answered += part.count(b"\n")
            if sent < min(calls, answered + IN_FLIGHT):
                os.write(self._in, b"".join(requests[sent : answered + IN_FLIGHT]))
                sent = min(calls, answered + IN_FLIGHT)
        elapsed = time.perf_counter() - started
        after = self._processor.cpu_times()
        _check(b"".join(parts).splitlines(), calls)
        return calls / elapsed, (after.user + after.system - before.user - before.system) / calls


def _result(line: bytes) -> dict[str, Any]:
    message = json.loads(line)
    if "result" not in message or message["result"].get("isError"):
        raise ValueError(f"no result: {line[:500]!r}")
    result: dict[str, Any] = message["result"]
    return result


def _check(answers: list[bytes], calls: int) -> None:
    """Each call was answered once, with a result."""
    ids = set()
    for answer in answers:
        _result(answer)
        ids.add(json.loads(answer)["id"])
    if len(ids) != calls:
        raise ValueError(f"{len(ids)} of {calls} calls were answered")


@contextmanager
def _server(command: list[str], era: str, folder: str) -> Iterator[Client]:
    with Path(folder, "stderr.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, cwd=folder
        )
    try:
        yield Client(process, era)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)


def run(smoke: bool) -> list[str]:
    lines = []
    for era, name in ERAS.items():
        lines.append(f"{era}, {name}")
        lines += [f"  {line}" for line in _compare(era, smoke)]
    return lines


def _compare(era: str, smoke: bool) -> list[str]:
    rounds, calls, many = (3, 50, 300) if smoke else (9, 200, 2_000)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        database = str(Path(folder, "swarm.db"))
        serve = [sys.executable, "-c", OURS, "serve", "--db", database, "--project", "p"]
        ours = stack.enter_context(_server(serve, era, folder))
        sdk = stack.enter_context(_server([sys.executable, "-c", _SDK], era, folder))
        sides = {"ours": (ours, "noop"), "SDK": (sdk, "noop"), "memory_usage": (ours, "memory_usage")}
        ours.call("memory_usage", action="store", key="k", value="v")
        for client, tool in sides.values():
            client.call(tool, **_ARGUMENTS[tool])
            client.pipelined(tool, 100)
        latencies: dict[str, list[float]] = {name: [] for name in sides}
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (client, tool) in sides.items():
                latencies[name] += client.latencies(tool, calls if client is sdk or tool == "noop" else calls // 5)
            for name in ("ours", "SDK"):
                rates[name].append(sides[name][0].pipelined("noop", many))
        rates["memory_usage"].append(ours.pipelined("memory_usage", many // 10))
    lines = []
    for name, seconds in latencies.items():
        rate, processor = (statistics.median(column) for column in zip(*rates[name], strict=True))
        label = {"ours": "no-op, ours", "SDK": "no-op, MCPServer"}.get(name, "retrieve an entry, ours")
        lines.append(
            f"{label:22} p50 {_quantile(seconds, 50) * 1e6:6.0f} µs, p99 {_quantile(seconds, 99) * 1e6:6.0f} µs;"
            f" {IN_FLIGHT} in flight {rate:6.0f}/s, processor time {processor * 1e6:5.0f} µs a call"
        )
    for percent in (50, 99):
        ratio = _quantile(latencies["ours"], percent) / _quantile(latencies["SDK"], percent)
        held = "within" if ratio <= LATENCY_LIMIT else "ABOVE"
        lines.append(f"latency p{percent}, ratio   {ratio:5.2f}   limit {LATENCY_LIMIT} {held}")
    ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in zip(rates["ours"], rates["SDK"], strict=True))
    lines.append(
        f"rate, ratio          {ratio:5.2f}   limit {RATE_LIMIT} {'within' if ratio >= RATE_LIMIT else 'BELOW'}"
    )
    return lines


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]
