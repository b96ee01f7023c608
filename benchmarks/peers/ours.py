"""What the peers stand beside: our whole path, and raw sqlite3 writing the rows it left. One JSON line each."""

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import anyio

from benchmarks.durable_tasks import through

_OF_TASKS = ("task", "dependency", "attempt", "usage", "artefact", "event", "message")
"""Tables whose rows are written with the tasks they are of."""


def raw(source: Path, target: Path, tasks: int, at_once: int) -> float:
    """Seconds a task to write the rows of `source` into the same tables, with their indices, from one thread: each
    table's in one statement, `at_once` tasks a commit, synchronous=FULL."""
    batches = _batches(source, at_once)
    old, new = sqlite3.connect(source), sqlite3.connect(target, isolation_level=None)
    new.execute("PRAGMA journal_mode = WAL")
    new.execute("PRAGMA synchronous = FULL")
    for name, sql in old.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall():
        if "memory_text" not in name and not name.startswith("sqlite"):
            new.execute(sql)
    old.close()
    new.execute("PRAGMA foreign_keys = ON")
    started = time.perf_counter()
    for batch in batches:
        new.execute("BEGIN IMMEDIATE")
        for sql, rows in batch:
            new.executemany(sql, rows)
        new.execute("COMMIT")
    elapsed = time.perf_counter() - started
    new.close()
    return elapsed / tasks


Batch = list[tuple[str, list[tuple[object, ...]]]]


def _batches(source: Path, at_once: int) -> list[Batch]:
    """The rows by commit, read before anything is timed: first those of no task, then `at_once` tasks' at a time."""
    connection = sqlite3.connect(source)
    ids = [task_id for (task_id,) in connection.execute("SELECT task_id FROM task ORDER BY run_id, ordinal")]
    group = {task_id: 1 + number // at_once for number, task_id in enumerate(ids)}
    batches: list[Batch] = [[] for _ in range(2 + len(ids) // at_once)]
    # In this order what a row refers to is there before it.
    for table in ("project", "swarm", "agent", "run", *_OF_TASKS):
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        at = names.index("task_id") if table in _OF_TASKS else None
        split: dict[int, list[tuple[object, ...]]] = {}
        for row in cursor:
            split.setdefault(0 if at is None else group.get(row[at], 0), []).append(row)
        for number, rows in split.items():
            batches[number].append((sql, rows))
    connection.close()
    return [batch for batch in batches if batch]


def main(tasks: int, agents: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ours.db")
        ours = anyio.run(through, path, tasks, agents)
        print(json.dumps({"name": "ours, durable", "s": ours}), flush=True)
        again = raw(path, Path(folder, "raw.db"), tasks, agents)
        print(json.dumps({"name": "raw sqlite3, the same rows, durable", "s": again}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
