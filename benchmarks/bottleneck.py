"""What bottleneck_analyze predicts, and what then happens: a limit is planted in a run of the shell on a model server
with fixed answering times, the suggested command is applied as it stands, and the same run is made again."""

import asyncio
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 0.15
"""How far the prediction may be off, as a share of what was measured."""


@dataclass(frozen=True)
class Scenario:
    """A swarm, a run in it, and the cause that limits it."""

    cause: str
    swarm: tuple[str, ...]
    parallel: int
    mode: str = "coder"
    server_takes: int = 1_000
    """Calls at once beyond which the server refuses."""


SCENARIOS = (
    Scenario("backend_saturation", ("--max-agents", "16"), 2),
    Scenario("agent_starvation", ("--max-agents", "2"), 16),
    Scenario("agents_and_backend", ("--max-agents", "3"), 3),
    Scenario("role_shortage", ("--max-agents", "1", "--strategy", "specialized"), 16, mode="tester"),
    Scenario("rate_limit", ("--max-agents", "16"), 12, server_takes=4),
)


def run(smoke: bool) -> list[str]:
    tasks, took_s = (6, 0.3) if smoke else (16, 1.0)
    lines = []
    for scenario in SCENARIOS[:2] if smoke else SCENARIOS:
        with tempfile.TemporaryDirectory() as folder, _server(took_s, scenario.server_takes) as url:
            lines.append(_Shell(Path(folder), url).line(scenario, tasks))
    return lines


@dataclass(frozen=True)
class _Shell:
    """Commands on a database of their own."""

    folder: Path
    url: str

    def line(self, scenario: Scenario, tasks: int) -> str:
        swarm_id = self._call("mcp", "swarm_init", *scenario.swarm)["swarm_id"]
        before_s, parallel = self._run(scenario, tasks, scenario.parallel), scenario.parallel
        found = self._call("mcp", "bottleneck_analyze", "--swarm-id", swarm_id)
        cause = found["causes"][0]
        what_if = cause["what_if"]
        right = "ranked first" if cause["cause"] == scenario.cause else f"WRONG: {cause['cause']} ranked first"
        for command in what_if["command"].split(" && "):
            words = shlex.split(command)
            if words[0] == "export":
                parallel = int(words[1].removeprefix("SWARMTALLY_MAX_PARALLEL="))
            else:
                self._call(*words[1:])
        after_s = self._run(scenario, tasks, parallel)
        off = abs(what_if["predicted_makespan_s"] - after_s) / after_s
        return (
            f"{scenario.cause:19} {right}; {before_s:5.2f} s, replay off {found['replay_error']:.1%}; predicted"
            f" {what_if['predicted_makespan_s']:5.2f} s, measured {after_s:5.2f} s: off {off:5.1%}"
            f" (limit {LIMIT:.0%}{'' if off <= LIMIT else ', MISSED'})"
        )

    def _run(self, scenario: Scenario, tasks: int, parallel: int) -> float:
        """Run the tasks; returns the makespan in seconds, first claim to last commit."""
        texts = ",".join(f"Task {number}" for number in range(tasks))
        model = ("--model", "openai:stub", "--base-url", self.url)
        done = self._call("sparc", "concurrent", scenario.mode, texts, *model, parallel=parallel)
        connection = sqlite3.connect(self.folder / "swarm.db")
        (makespan_ns,) = connection.execute(
            "SELECT MAX(committed_ns) - MIN(claimed_ns) FROM attempt JOIN task USING (task_id) WHERE run_id = ?",
            (done["run_id"],),
        ).fetchone()
        connection.close()
        return float(makespan_ns) / 1e9

    def _call(self, *words: str, parallel: int | None = None) -> Mapping[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SWARMTALLY_")}
        environment |= {"SWARMTALLY_DB": str(self.folder / "swarm.db"), "SWARMTALLY_PROJECT": "p"}
        if parallel is not None:
            environment["SWARMTALLY_MAX_PARALLEL"] = str(parallel)
        command = [sys.executable, "-m", "swarmtally", *words]
        out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=300).stdout
        document: Mapping[str, Any] = json.loads(out)
        return document


@contextmanager
def _server(took_s: float, takes: int) -> Iterator[str]:
    """A model server on loopback that answers each call after `took_s`, and refuses more than `takes` at once."""
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []
    began = threading.Event()

    async def serve() -> None:
        stub, stop = _Stub(took_s, takes), asyncio.Event()
        server = await asyncio.start_server(stub.talk, "127.0.0.1", 0)
        ready.append((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
        began.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    began.wait()
    loop, stop, port = ready[0]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@dataclass
class _Stub:
    took_s: float
    takes: int
    under_way: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length))
                status, body = await self._answer()
                again = "Retry-After: 2\r\n" if status == 429 else ""
                kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{kind}{again}\r\n".encode() + body)
                await writer.drain()
        writer.close()

    async def _answer(self) -> tuple[int, bytes]:
        if self.under_way >= self.takes:
            return 429, json.dumps({"error": {"message": "slow down", "type": "requests"}}).encode()
        self.under_way += 1
        await asyncio.sleep(self.took_s)
        self.under_way -= 1
        choice = {"index": 0, "message": {"role": "assistant", "content": "Done."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
        reply = {"id": "c", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice]}
        return 200, json.dumps({**reply, "usage": usage}).encode()
