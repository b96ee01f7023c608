"""Memory holding 1,000,000 entries, through the store's own code: writing beside the empty database, each kind of
search beside its limit, and plain bm25 over all of the same entries."""

import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from swarmtally.core.memory import Memory
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.memory import MemoryPage
from swarmtally.store import location, swarms
from swarmtally.store.database import Database, open_database

PROJECT, NAMESPACE = "p", "default"

SPREADS = {"rare": 100, "some": 10_000, "each": None}
"""The planted words, and in how many entries each is; None: in all."""

_FOLDERS = 1_000
_WORDS = 20_000
_SAMPLE = 50


def run(smoke: bool) -> list[str]:
    count = 20_000 if smoke else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = location.prepare(Path(folder, "full.db"))
        anyio.run(_create, path)
        started = time.perf_counter()
        fill(path, count)
        filled = time.perf_counter() - started
        lines = [f"{count} entries, {path.stat().st_size / 2**20:.0f} MB, filled in {filled:.0f} s"]
        lines += anyio.run(_verified, path, count, location.prepare(Path(folder, "sample.db")))
        lines += anyio.run(_writing, location.prepare(Path(folder, "empty.db")), path, 30 if smoke else 300)
        lines += anyio.run(_searching, path, count, 5 if smoke else 41)
    return lines


def entry(number: int, count: int) -> tuple[str, str, list[str]]:
    """Key, value and tags of one of `count` entries; the same for the same number, here and everywhere."""
    chance = random.Random(number)
    words = [f"w{min(int(chance.paretovariate(0.7)), _WORDS)}" for _ in range(15)]
    for word, spread in SPREADS.items():
        # Evenly spread over all entries; where there are fewer than it should be in, in each.
        if number % max(1, count // (spread or count)) == 0:
            words.insert(chance.randrange(len(words)), word)
    return f"folder-{number % _FOLDERS:03}/task-{number:07}/note", " ".join(words), [f"tag{number % 50}"]


def fill(path: Path, count: int) -> None:
    """Write the rows that `Memory.store` would, in one transaction."""
    now_ns = time.time_ns()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for first in range(0, count, 10_000):
        made = [(number, *entry(number, count)) for number in range(first, min(first + 10_000, count))]
        dumped = [(n, key, json.dumps(value, ensure_ascii=False), json.dumps(tags)) for n, key, value, tags in made]
        connection.executemany(
            "INSERT INTO memory (memory_id, project, namespace, key, value, size_bytes, tags, version, created_ns,"
            " updated_ns, expires_ns) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, NULL)",
            (
                (n + 1, PROJECT, NAMESPACE, key, value, len(value.encode()), tags, now_ns, now_ns)
                for n, key, value, tags in dumped
            ),
        )
        connection.executemany(
            "INSERT INTO memory_text (rowid, key, body, tags) VALUES (?, ?, ?, ?)",
            ((n + 1, key, value, " ".join(tags)) for n, key, value, tags in made),
        )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _create(path: Path) -> None:
    clock = SystemClock()
    async with open_database(path, clock) as database:
        await database.write(lambda tx: swarms.ensure_project(tx, PROJECT, clock.now_ns()))


async def _verified(path: Path, count: int, sample_path: Path) -> list[str]:
    """Store some of the entries through `Memory`, and compare the rows."""
    clock = SystemClock()
    sample = random.Random(1).sample(range(count), _SAMPLE)
    async with open_database(sample_path, clock) as database:
        memory = Memory(database, clock)
        for number in sample:
            key, value, tags = entry(number, count)
            await memory.store(PROJECT, NAMESPACE, key, value, tags=tags)
    keys = [entry(number, count)[0] for number in sample]
    same = _rows(sample_path, keys) == _rows(path, keys)
    if not same:
        raise ValueError("the rows filled in are not those that the store writes")
    return [f"{_SAMPLE} of them stored through Memory: the same rows"]


def _rows(path: Path, keys: list[str]) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = [
        connection.execute(
            "SELECT memory.project, memory.namespace, memory.key, value, size_bytes, memory.tags, version, expires_ns,"
            " memory_text.key, body, memory_text.tags FROM memory JOIN memory_text ON memory_text.rowid = memory_id"
            " WHERE memory.key = ?",
            (key,),
        ).fetchone()
        for key in keys
    ]
    connection.close()
    return rows


async def _writing(empty: Path, full: Path, stores: int) -> list[str]:
    clock = SystemClock()
    lines = []
    async with open_database(empty, clock) as nothing, open_database(full, clock) as much:
        for callers in (1, 50):
            times: dict[str, list[float]] = {"empty": [], "full": []}
            for turn in range(9):
                for name, database in (("empty", nothing), ("full", much)):
                    times[name].append(await _store(database, clock, f"{callers}/{turn}", stores, callers))
            middle = {name: statistics.median(column) for name, column in times.items()}
            ratio = statistics.median(mine / base for mine, base in zip(times["full"], times["empty"], strict=True))
            lines.append(
                f"store, {callers:2} callers at once: {middle['full'] * 1e3:6.3f} ms an entry, empty database"
                f" {middle['empty'] * 1e3:6.3f} ms; ratio {ratio:5.2f}   limit 2.00 {_held(ratio <= 2)}"
            )
    return lines


async def _store(database: Database, clock: SystemClock, prefix: str, stores: int, callers: int) -> float:
    memory = Memory(database, clock)
    chance = random.Random(prefix)

    async def caller(first: int) -> None:
        for number in range(first, stores, callers):
            key = f"folder-{chance.randrange(_FOLDERS):03}/new/{prefix}/{number}"
            value = " ".join(f"w{chance.randrange(_WORDS)}" for _ in range(15))
            await memory.store(PROJECT, NAMESPACE, key, value, tags=["tag1"])

    started = time.perf_counter()
    async with anyio.create_task_group() as group:
        for first in range(callers):
            group.start_soon(caller, first)
    return (time.perf_counter() - started) / stores


async def _searching(path: Path, count: int, rounds: int) -> list[str]:
    clock = SystemClock()
    lines = []
    async with open_database(path, clock) as database:
        memory = Memory(database, clock)

        def search(pattern: str) -> Callable[[], Awaitable[MemoryPage]]:
            return lambda: memory.search(PROJECT, pattern)

        kinds = [
            ("prefix glob, 10 of a folder", search("folder-123/*"), 1.0),
            (f"words, in {_found(path, 'rare')} entries", search("rare"), 2.0),
            (f"words, in {_found(path, 'some')}", search("some"), 30.0),
            (f"words, in {_found(path, 'each')} (all)", search("each"), 150.0),
            ("words, two that are in many", search("each some"), 150.0),
            ("other glob, found in many", search("*/note"), 200.0),
            ("other glob, found once", search(f"*/task-{count // 2:07}/*"), 200.0),
            ("other glob, found nowhere", search("*[?]nowhere*"), 200.0),
        ]
        for name, find, limit_ms in kinds:
            lines.append(await _timed(name, find, limit_ms, rounds))
        await memory.store("another project", NAMESPACE, "k", "v")
        lines.append("with an entry of another project in the file:")
        for name, find, limit_ms in kinds[1:5]:
            lines.append(await _timed(name, find, limit_ms, rounds))
        await memory.delete("another project", NAMESPACE, "k")
    plain = _plain(path)
    lines.append(f"plain bm25 over every entry with 'each'  {plain * 1e3:8.2f} ms, for the best ten")
    return lines


async def _timed(name: str, find: Callable[[], Awaitable[MemoryPage]], limit_ms: float, rounds: int) -> str:
    page = await find()
    times, processor = [], []
    for _ in range(rounds if limit_ms < 100 else max(3, rounds // 4)):
        started, worked = time.perf_counter(), time.process_time()
        await find()
        times.append((time.perf_counter() - started) * 1e3)
        processor.append((time.process_time() - worked) * 1e3)
    middle = statistics.median(times)
    return (
        f"{name:32} p50 {middle:8.2f} ms, processor time {statistics.median(processor):8.2f} ms"
        f"   limit {limit_ms:5.0f} {_held(middle <= limit_ms)}   {len(page.hits)} shown, total {page.total}"
    )


def _found(path: Path, word: str) -> int:
    connection = sqlite3.connect(path)
    (found,) = connection.execute(
        "SELECT COUNT(*) FROM memory_text WHERE memory_text MATCH ?", (f'"{word}"*',)
    ).fetchone()
    connection.close()
    return int(found)


def _plain(path: Path) -> float:
    connection = sqlite3.connect(path)
    started = time.perf_counter()
    connection.execute("SELECT rowid FROM memory_text WHERE memory_text MATCH 'each' ORDER BY rank LIMIT 10").fetchall()
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed


def _held(held: bool) -> str:
    return "within" if held else "ABOVE"
