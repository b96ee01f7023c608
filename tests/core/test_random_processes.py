"""Several real processes, steered and killed at random, on one database; after each step the laws hold."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from swarmtally.domain.clock import SystemClock
from swarmtally.store import location
from swarmtally.store.database import open_database
from tests.core.invariants import broken

COMMANDS = [
    "start",
    "start",
    "start",
    "cancel",
    "pause",
    "resume",
    "retry",
    "scale",
    "spawn",
    "adopt",
    "kill",
    "freeze",
]

STEPS = 20


class Steered:
    """A process that does what it is told."""

    def __init__(self, folder: Path, seed: int) -> None:
        command = [sys.executable, "-m", "tests.core.steered_child", str(folder), str(seed)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def tell(self, command: str, given: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([command, given]) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process ended by itself"
        return line.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def frozen(one: Steered, path: Path) -> Iterator[None]:
    """Stop a process and end every lease, so that its runs may be taken; it goes on believing that it holds them."""
    one.process.send_signal(signal.SIGSTOP)
    file = sqlite3.connect(path, timeout=0.1, isolation_level=None)
    try:
        file.execute("UPDATE run SET lease_expires_ns = 0 WHERE finished_ns IS NULL")
    except sqlite3.OperationalError:
        one.process.send_signal(signal.SIGCONT)  # it was stopped in the middle of a commit: nobody could write
    try:
        yield
    finally:
        file.close()
        one.process.send_signal(signal.SIGCONT)


class Crowd:
    """Three of them; one that is killed is replaced."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.living: list[Steered] = []
        self.refused: list[str] = []

    def fill(self) -> None:
        fresh = [Steered(self.folder, self.random.randrange(1000)) for _ in range(3 - len(self.living))]
        for one in fresh:
            assert one.hear() == "ready"
        self.living += fresh

    def step(self) -> None:
        """Two of them at once, each with its own command; one may be killed, or stopped until the other is done."""
        (one, first), (two, second) = [
            (one, self.random.choice(COMMANDS)) for one in self.random.sample(self.living, 2)
        ]
        if first == "freeze":
            with frozen(one, self.folder / "swarm.db"):
                self.command([(two, "adopt" if second in ("freeze", "kill") else second)])
        else:
            self.command([(one, first), (two, "retry" if second == "freeze" else second)])
        self.fill()

    def command(self, given: list[tuple[Steered, str]]) -> None:
        for one, command in given:
            one.tell("start" if command == "kill" else command, self.random.randrange(7))
            if command == "kill":
                self.living.remove(one)
                one.kill()
        for one, command in given:
            if command != "kill" and (said := one.hear()) != "done":
                self.refused.append(said)

    def settle(self) -> None:
        for one in self.living:
            one.tell("settle", None)
        said = {one.hear() for one in self.living}
        assert said == {"done"}, said

    def end(self) -> None:
        for one in self.living:
            one.kill()


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_several_processes_are_told_no_agent_does_two_things(tmp_path: Path, seed: int) -> None:
    crowd = Crowd(tmp_path, seed)
    path = await anyio.to_thread.run_sync(location.prepare, tmp_path / "swarm.db")
    with ExitStack() as stack:
        stack.callback(crowd.end)
        first = Steered(tmp_path, seed)
        crowd.living.append(first)
        assert await anyio.to_thread.run_sync(first.hear) == "ready"
        first.tell("start", seed)
        assert await anyio.to_thread.run_sync(first.hear) == "done"
        await anyio.to_thread.run_sync(crowd.fill)
        async with open_database(path, SystemClock()) as database:
            for _ in range(STEPS):
                await anyio.to_thread.run_sync(crowd.step)
                assert await database.read(broken) == {}
            await anyio.to_thread.run_sync(crowd.settle)
            assert await database.read(lambda tx: broken(tx, at_rest=True)) == {}
            runs = await database.read(lambda tx: tx.rows("SELECT status, COUNT(*) AS n FROM run GROUP BY status"))
    assert sum(row["n"] for row in runs) > 2, "the commands did something"
    assert all("internal" not in said for said in crowd.refused)
