"""Storing memory entries durably, beside raw sqlite3 committing one row at a time with the same FULL sync."""

import sqlite3
import tempfile
import time
from pathlib import Path

import anyio

from swarmtally.core.memory import Memory
from swarmtally.domain.clock import SystemClock
from swarmtally.store import location, swarms
from swarmtally.store.database import open_database


def run(smoke: bool) -> list[str]:
    entries = 200 if smoke else 3_000
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        raw = _raw(Path(folder, "raw.db"), entries)
        lines.append(f"raw sqlite3, one commit a row          {raw * 1e3:7.3f} ms a row")
        for callers in (1, 50):
            ours = anyio.run(_ours, Path(folder, f"ours{callers}.db"), entries, callers)
            lines.append(
                f"memory store, {callers:3} callers at once      {ours * 1e3:7.3f} ms an entry"
                f"   ratio {ours / raw:5.2f}"
            )
    return lines


def _raw(path: Path, entries: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT)")
    started = time.perf_counter()
    for number in range(entries):
        connection.execute("INSERT INTO entry VALUES (?, ?)", (f"key {number}", "a value of some words"))
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed / entries


async def _ours(path: Path, entries: int, callers: int) -> float:
    clock = SystemClock()
    async with open_database(location.prepare(path), clock) as database:
        await database.write(lambda tx: swarms.ensure_project(tx, "p", clock.now_ns()))
        memory = Memory(database, clock)

        async def caller(first: int) -> None:
            for number in range(first, entries, callers):
                await memory.store("p", "default", f"key {number}", "a value of some words")

        started = time.perf_counter()
        async with anyio.create_task_group() as group:
            for first in range(callers):
                group.start_soon(caller, first)
        return (time.perf_counter() - started) / entries
