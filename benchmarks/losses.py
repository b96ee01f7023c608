"""The causes that no larger size ends, each planted in a real run; see `benchmarks.bottleneck`."""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import anyio
from mcp.client.stdio import stdio_client

from benchmarks.model_server import Answers, Fault, model_server
from benchmarks.planted import Document, Planted, Shell
from benchmarks.squeezed import Squeezed
from mcp import Client, StdioServerParameters
from swarmtally import RunKind, SparcRequest
from swarmtally.app import open_app
from swarmtally.core.resources import ResourceProbe
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.settings import Settings

PARALLEL = 8
"""Calls at once, agents, and tasks of a run: nothing waits for a place."""

WIDE = {"SWARMTALLY_MAX_PARALLEL": str(PARALLEL)}

DESIGN = "You design the system so that several people"
"""What the prompt of a pipeline's second task holds, ..."""

CODE = "You write code that runs as it is"
"""... and what those that write code hold."""

HELD_S, FREE_S = 0.9, 0.1
"""How long the other process holds the write lock, and how long it does not, in turns."""

ROUNDS = 7
"""How often what changes with the machine's load is tried."""

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
while True:
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(float(sys.argv[2]))
    connection.execute("COMMIT")
    time.sleep(float(sys.argv[3]))
"""


NextPackets = Callable[[Client, Document], Awaitable[Document]]
"""What a client does after a report, of which it got the answer; returns what holds the packets it does next."""


def critical_path(folder: Path, took_s: float) -> str:
    """A pipeline whose second task takes longer than all others; then it takes half as long."""
    return _chain(folder, took_s, DESIGN, "A clock")


def branches(folder: Path, took_s: float) -> str:
    """A pipeline of four components whose code takes longest, all four alike; then it takes half as long."""
    return _chain(folder, took_s, CODE, "A shop with cart, search, login, checkout")


def _chain(folder: Path, took_s: float, slow: str, task: str) -> str:
    shell = Shell(folder, WIDE)
    swarm_id = shell.swarm("--max-agents", str(PARALLEL), "--topology", "mesh")

    def pipeline(slow_s: float) -> float:
        with model_server(Answers(took_s / 4, longer={slow: slow_s})) as url:
            shell.use(url)
            return shell.pipeline(task)

    planted = Planted("critical_path", pipeline(6 * took_s), shell.analysis(swarm_id))
    return planted.line(pipeline(3 * took_s))


def network(folder: Path, took_s: float) -> str:
    """A server that closes the connection of each task's first call; then one that does not."""
    return _failing("network", folder, took_s, Fault.DROPPED)


def failures(folder: Path, took_s: float) -> str:
    """A server whose first answer to each task cannot be read; then one whose answers can."""
    return _failing("failures", folder, took_s, Fault.UNREADABLE)


def _failing(cause: str, folder: Path, took_s: float, fault: Fault) -> str:
    took_s *= 3
    shell = Shell(folder, WIDE)
    swarm_id = shell.swarm("--max-agents", str(PARALLEL))
    with model_server(Answers(took_s, fault=fault)) as url:
        shell.use(url)
        planted = Planted(cause, shell.tasks(PARALLEL), shell.analysis(swarm_id))
    with model_server(Answers(took_s)) as url:
        shell.use(url)
        return planted.line(shell.tasks(PARALLEL))


def paused(folder: Path, took_s: float) -> str:
    """A run that is paused with half of its tasks to do, and goes on later; then one that is not."""

    def pause(shell: Shell, run_id: str, process: subprocess.Popen[bytes]) -> None:
        shell.call("runs", "pause", run_id)
        process.wait()

    return _interrupted(folder, took_s, pause)


def killed(folder: Path, took_s: float) -> str:
    """A run whose process dies with half of its tasks to do, and goes on later; then one whose process does not."""

    def kill(shell: Shell, run_id: str, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    return _interrupted(folder, took_s, kill)


def _interrupted(folder: Path, took_s: float, stop: Callable[[Shell, str, subprocess.Popen[bytes]], None]) -> str:
    # Long enough that the command to stop it arrives in the first half.
    with model_server(Answers(3 * took_s)) as url:
        shell = Shell(folder, WIDE)
        shell.use(url)
        swarm_id = shell.swarm("--max-agents", str(PARALLEL))
        tasks = ",".join(f"Task {each}" for each in range(2 * PARALLEL))
        process = shell.start("sparc", "concurrent", "coder", tasks)
        while not (under_way := shell.row("SELECT MIN(run_id), COUNT(*) FROM attempt JOIN task USING (task_id)"))[1]:
            time.sleep(took_s / 10)
        stop(shell, under_way[0], process)
        time.sleep(6 * took_s)
        shell.call("runs", "resume", under_way[0])
        planted = Planted("interruption", shell.makespan_s(under_way[0]), shell.analysis(swarm_id))
        return planted.line(shell.tasks(2 * PARALLEL))


def lock_wait(folder: Path, took_s: float) -> str:
    """Another process holds the write lock for most of the time; then the work has a database of its own."""
    with model_server(Answers(took_s / 2)) as url:
        shell = Shell(folder, WIDE)
        shell.use(url)
        swarm_id = shell.swarm("--max-agents", str(PARALLEL))
        with _held(shell.database):
            planted = Planted("lock_wait", shell.pipeline("A clock"), shell.analysis(swarm_id))
            shell.apply(planted.command)
            return planted.line(shell.pipeline("A clock"))


@contextmanager
def _held(database: Path) -> Iterator[None]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(database), str(HELD_S), str(FREE_S)])
    try:
        yield
    finally:
        holder.kill()
        holder.wait()


def queue_wait(folder: Path, took_s: float) -> str:
    """A client does a pipeline, and takes its time between a report and the next claim; then it claims with the report,
    by the call that was named."""
    shell = Shell(folder, {"SWARMTALLY_MODEL": "", "SWARMTALLY_LOG_LEVEL": "error"})
    swarm_id = shell.swarm("--max-agents", str(PARALLEL))

    async def late(client: Client, told: Document) -> Document:
        await anyio.sleep(2 * took_s)
        return await _ask(client, "work_claim")

    async def at_once(client: Client, told: Document) -> Document:
        return told

    before_s = anyio.run(_client, shell, took_s / 2, {}, late)
    planted = Planted("queue_wait", before_s, shell.analysis(swarm_id))
    words = shlex.split(planted.command)
    assert words[:3] == ["swarmtally", "mcp", "work_report"], words
    claim = int(words[words.index("--claim") + 1])
    return planted.line(anyio.run(_client, shell, took_s / 2, {"claim": claim}, at_once))


async def _client(shell: Shell, took_s: float, more: Document, next_packets: NextPackets) -> float:
    """Do a pipeline packet by packet; returns the makespan in seconds."""
    async with _served(shell) as client:
        told = await _ask(client, "sparc_pipeline", task="A clock")
        run_id = str(told["run_id"])
        while told["packets"]:
            (packet,) = told["packets"]
            await anyio.sleep(took_s)
            named = {"task_id": packet["task_id"], "lease": packet["lease"]}
            told = await next_packets(client, await _ask(client, "work_report", **named, output="Done.", **more))
    return shell.makespan_s(run_id)


@asynccontextmanager
async def _served(shell: Shell) -> AsyncIterator[Client]:
    """A client of a server process, over stdio."""
    command = shell.line("serve")
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=shell.environment)
    async with Client(stdio_client(parameters), read_timeout_seconds=60) as client:
        yield client


async def _ask(client: Client, tool: str, **arguments: object) -> Document:
    result = await client.call_tool(tool, arguments)
    assert result.structured_content is not None, result.content
    document: Document = result.structured_content
    return document


def memory(folder: Path, took_s: float) -> str:
    """A program whose own work stands still for as long as it goes on, as the pressure file tells; then it does not."""
    shell = Shell(folder, {"SWARMTALLY_MODEL": ""})
    work = Squeezed(20, took_s / 20, folder / "memory", short=True)
    before_s = anyio.run(_alone, shell, work, 8)
    planted = Planted("memory", before_s, shell.call("mcp", "bottleneck_analyze"))
    return planted.line(anyio.run(_alone, shell, replace(work, short=False), 8))


def overhead(folder: Path, took_s: float) -> str:
    """A program whose tasks take next to nothing; then half as many, each twice as long. What our own time is changes
    with the machine's load: the middle one of several goes."""
    tried = [_overhead(Shell(folder / str(number), {"SWARMTALLY_MODEL": ""}), took_s) for number in range(ROUNDS)]
    planted, after_s = sorted(tried, key=lambda each: each[0].predicted_s / each[1])[ROUNDS // 2]
    return f"{planted.line(after_s)}; the middle one of {ROUNDS}"


def _overhead(shell: Shell, took_s: float) -> tuple[Planted, float]:
    shell.folder.mkdir()
    work = Squeezed(2, took_s / 1_000, shell.folder / "memory", short=False)
    before_s = anyio.run(_alone, shell, work, 200)
    planted = Planted("overhead", before_s, shell.call("mcp", "bottleneck_analyze"))
    return planted, anyio.run(_alone, shell, replace(work, pieces=4), 100)


async def _alone(shell: Shell, work: Squeezed, tasks: int) -> float:
    """Let one agent do the tasks; returns the makespan in seconds."""
    given = Settings.gather("shell", db=str(shell.database), project="p")
    with patch("swarmtally.core.resources.ResourceProbe", partial(ResourceProbe, work.pressure)):
        async with open_app(replace(given, backends={"squeezed": work})) as app:
            await app.swarms.init(Topology.STAR, Strategy.BALANCED, 1, None, None)
            texts = tuple(f"Task {number}" for number in range(tasks))
            started = await app.start(SparcRequest(RunKind.CONCURRENT, ("coder",), texts))
            await (await app.runs()).wait(started.run_id, None)
    return shell.makespan_s(started.run_id)


PROOFS: tuple[Callable[[Path, float], str], ...] = (
    critical_path,
    branches,
    network,
    failures,
    paused,
    killed,
    lock_wait,
    queue_wait,
    memory,
    overhead,
)
"""What plants each cause, in a folder and with calls of so many seconds, and returns the line."""
