"""`swarmtally serve` from its start until it has answered initialize, beside a server that is nothing but the SDK's
MCPServer with one tool; limit: 1.3 times as long."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.3

_SDK = """
from mcp.server import MCPServer

server = MCPServer("noop")

@server.tool()
async def noop() -> str:
    return "done"

server.run("stdio")
"""

_ASKED = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}


def run(smoke: bool) -> list[str]:
    rounds = 3 if smoke else 25
    with tempfile.TemporaryDirectory() as folder:
        serve = [str(Path(sys.executable).with_name("swarmtally")), "serve", "--db", str(Path(folder, "swarm.db"))]
        sides = {"ours": serve, "SDK": [sys.executable, "-c", _SDK]}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        # The first round of each compiles modules and makes the database.
        for _ in range(rounds + 1):
            for name, command in sides.items():
                times[name].append(_seconds(command, folder))
    middle = {
        name: [statistics.median(column) for column in zip(*pairs[1:], strict=True)] for name, pairs in times.items()
    }
    lines = [
        f"{label:38} {middle[name][0] * 1e3:6.0f} ms until answered; processor time of its whole life"
        f" {middle[name][1] * 1e3:6.0f} ms"
        for name, label in (("ours", "swarmtally serve"), ("SDK", "MCPServer with one tool"))
    ]
    ratios = [mine[0] / theirs[0] for mine, theirs in zip(times["ours"][1:], times["SDK"][1:], strict=True)]
    ratio = statistics.median(ratios)
    held = "within" if ratio <= LIMIT else "ABOVE"
    processor = middle["ours"][1] / middle["SDK"][1]
    lines.append(f"ratio {ratio:5.2f}   limit {LIMIT} {held}; of processor time {processor:5.2f}")
    return lines


def _seconds(command: list[str], folder: str) -> tuple[float, float]:
    """From the start until initialize is answered, and the processor time of the process up to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        bufsize=0,
        env=os.environ,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(_ASKED).encode() + b"\n")
        answer = json.loads(process.stdout.readline())
        elapsed = time.perf_counter() - started
        if "serverInfo" not in answer["result"]:
            raise ValueError(f"no answer to initialize: {answer}")
        process.stdin.close()
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
