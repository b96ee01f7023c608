"""Completions among 100,000 runs, agents, namespaces and keys, as a client asks for them while somebody types, beside
SQLite looking for the typed text in every such name."""

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import anyio

from benchmarks import memory_entries
from benchmarks.figures_database import PROJECT, Template, build
from swarmtally.core.suggesting import Recorded, suggested
from swarmtally.domain.clock import SystemClock
from swarmtally.store.database import open_database

LIMIT_MS = 50.0
"""Half of what people take for at once; the other half is the transport's and the client's."""

_TABLES: dict[Recorded, tuple[str, str]] = {
    "run": ("run", "run_id"),
    "agent": ("agent", "agent_id"),
    "namespace": ("memory", "namespace"),
    "key": ("memory", "key"),
}

_TYPED: tuple[tuple[Recorded, str, str], ...] = (
    ("run", "nothing", ""),
    ("run", "a beginning", "r_1"),
    ("run", "in the middle", "77"),
    ("run", "in none", "zz%"),
    ("agent", "nothing", ""),
    ("agent", "in the middle", "77"),
    ("agent", "in none", "zz%"),
    ("namespace", "nothing", ""),
    ("namespace", "in the middle", "77"),
    ("key", "nothing", ""),
    ("key", "a beginning", "folder-1"),
    ("key", "in the middle", "task-0007"),
    ("key", "in none", "zz%"),
)


def run(smoke: bool) -> list[str]:
    count = 5_000 if smoke else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "swarm.db")
        build(path, count, Template(min(count, 250), 1))
        _many(path, count)
        return anyio.run(_lines, path, count, 3 if smoke else 15)


def _many(path: Path, count: int) -> None:
    """Agents in swarms of a hundred, and entries of memory of which every fifth has a namespace of its own."""
    connection = sqlite3.connect(path)
    numbers = "WITH RECURSIVE number (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM number LIMIT ?)"
    columns = "project, name, topology, strategy, max_agents, agents, model"
    connection.execute(
        f"{numbers} INSERT INTO swarm (swarm_id, created_ns, {columns})"
        f" SELECT 's_' || (n - 990), created_ns + n, {columns} FROM number, swarm WHERE swarm_id = 's_1'",
        (count // 100,),
    )
    columns = "role, name, capabilities, status, idle_since_ns, created_ns"
    connection.execute(
        f"{numbers} INSERT INTO agent (agent_id, swarm_id, joined, {columns})"
        f" SELECT 'a_' || n, 's_' || (n / 100), n % 100, {columns} FROM number, agent WHERE agent_id = 'a_0'",
        (count,),
    )
    connection.commit()
    connection.close()
    memory_entries.fill(path, count)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE memory SET namespace = 'namespace-' || memory_id WHERE memory_id % 5 = 0")
    connection.execute("ANALYZE")
    connection.commit()
    connection.close()


async def _lines(path: Path, count: int, rounds: int) -> list[str]:
    lines = []
    clock = SystemClock()
    async with open_database(path, clock) as database:
        for kind, where, typed in _TYPED:
            times_ms = []
            for _ in range(rounds):
                started = time.perf_counter()
                found = await suggested(database, clock, PROJECT, kind, typed, None)
                times_ms.append((time.perf_counter() - started) * 1e3)
            middle_ms = statistics.median(times_ms)
            all_ms = await anyio.to_thread.run_sync(_every, path, kind, typed)
            total = "over 1,000" if found.total is None else found.total
            lines.append(
                f"{count} {kind + 's,':11} {where:14} {middle_ms:6.2f} ms, {total} found; looking through all"
                f" {all_ms:6.2f} ms, ratio {middle_ms / all_ms:5.2f};"
                f" limit {LIMIT_MS:.0f} ms {'kept' if middle_ms <= LIMIT_MS else 'NOT KEPT'}"
            )
    return lines


def _every(path: Path, kind: Recorded, typed: str) -> float:
    """How long SQLite takes to look into each name, in milliseconds."""
    table, column = _TABLES[kind]
    connection = sqlite3.connect(path)
    times_ms = []
    for _ in range(3):
        started = time.perf_counter()
        connection.execute(
            f"SELECT COUNT(DISTINCT {column}) FROM {table} WHERE instr(lower({column}), lower(?))", (typed,)
        ).fetchone()
        times_ms.append((time.perf_counter() - started) * 1e3)
    connection.close()
    return statistics.median(times_ms)
