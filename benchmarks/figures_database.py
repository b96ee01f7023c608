"""A database with as many tasks as wanted: a few runs are written and measured as always, then copied by SQL with other
ids and times. A copy lasts as long as what it was copied from, so the measures of the copies are true too."""

import random
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import NS_PER_S, Clock, SystemClock
from swarmtally.domain.retention import Retention
from swarmtally.store import location
from swarmtally.store.connection import as_json
from swarmtally.store.database import open_database

PROJECT = "p"

AGENTS = 8

SPAN_NS = 70 * 86_400 * NS_PER_S
"""The runs begin within so long before now, so that every trend has its share."""

_BACKEND = '{"name":"model","model":"bench","base_url":null,"reason":"benchmark","max_output_tokens":null}'

_COPIED = {
    "run": "run_id",
    "task": "task_id run_id agent_id",
    "dependency": "task_id depends_on",
    "attempt": "task_id agent_id",
    "usage": "run_id task_id agent_id",
    "message": "run_id task_id about sender receiver",
    "event": "run_id task_id agent_id",
    "run_measure": "run_id",
}
"""Table → the columns that hold ids. Columns that end in _ns and hold no length are moments."""

_LENGTHS = {"exec_ns", "busy_ns", "work_ns", "critical_path_ns", "makespan_ns", "not_before_ns", "lease_expires_ns"}

_NUMBERED = {"usage_id", "message_id", "event_id"}


@dataclass(frozen=True, slots=True)
class Template:
    """What is copied: so many runs of so many tasks."""

    runs: int
    tasks: int


def build(path: Path, tasks: int, template: Template = Template(runs=64, tasks=38)) -> int:
    """Fill a new database with at least `tasks` tasks; returns how many runs it has."""
    clock = SystemClock()
    location.prepare(path)
    anyio.run(_create, path, clock)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous = OFF", "cache_size = -200000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    now_ns = clock.now_ns()
    connection.execute("BEGIN")
    _people(connection, now_ns)
    draw = random.Random(4)
    for number in range(template.runs):
        _run(connection, draw, number, template.tasks, now_ns - SPAN_NS)
    connection.execute("COMMIT")
    anyio.run(_measure, path, clock)
    copies = -(-tasks // (template.runs * template.tasks)) - 1
    _copy(connection, copies)
    connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return template.runs * (copies + 1)


async def _create(path: Path, clock: Clock) -> None:
    async with open_database(path, clock):
        """Opening it makes the tables."""


async def _measure(path: Path, clock: Clock) -> None:
    async with open_database(path, clock) as database:
        await Bookkeeper(database, clock, Retention()).measure_ended()


def _people(connection: sqlite3.Connection, now_ns: int) -> None:
    begun_ns = now_ns - SPAN_NS - NS_PER_S
    connection.execute("INSERT INTO project VALUES (?, 's_1', ?)", (PROJECT, begun_ns))
    connection.execute(
        "INSERT INTO swarm VALUES ('s_1', ?, 'bench', 'star', 'balanced', ?, ?, NULL, ?)",
        (PROJECT, AGENTS, AGENTS, begun_ns),
    )
    connection.executemany(
        "INSERT INTO agent (agent_id, swarm_id, joined, role, name, capabilities, status, idle_since_ns, created_ns)"
        " VALUES (?, 's_1', ?, 'coder', 'a', '[]', 'idle', ?, ?)",
        [(f"a_{number}", number, begun_ns, begun_ns) for number in range(AGENTS)],
    )


def _run(connection: sqlite3.Connection, draw: random.Random, number: int, tasks: int, begin_ns: int) -> None:
    """A run whose tasks each need up to two before them; some attempts fail and are tried again."""
    run_id = f"r_{number}"
    at_ns = begin_ns + number * NS_PER_S
    free = [at_ns] * AGENTS
    ended: list[int] = []
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in _COPIED}
    for ordinal in range(tasks):
        needs = sorted({ordinal - 1 - draw.randrange(8) for _ in range(2)} & set(range(ordinal)))
        ready_ns = max([at_ns, *(ended[need] for need in needs)])
        agent = min(range(AGENTS), key=free.__getitem__)
        task_id, agent_id = f"t_{number}_{ordinal}", f"a_{agent}"
        failures = int(draw.random() < 0.03)
        for attempt in range(1, failures + 2):
            final = attempt == failures + 1
            claimed_ns = max(ready_ns, free[agent])
            exec_ns = round(draw.lognormvariate(1, 0.5) * NS_PER_S)
            begun_ns = claimed_ns + draw.randrange(1_000_000, 9_000_000)
            ended_ns = begun_ns + 2_000_000 + exec_ns
            committed_ns = ended_ns + draw.randrange(1_000_000, 9_000_000)
            status = "succeeded" if final else "failed"
            times = (claimed_ns, begun_ns + 2_000_000, ended_ns, committed_ns, exec_ns, ready_ns, begun_ns)
            rows["attempt"].append((task_id, attempt, agent_id, status, *times, final))
            tokens = (900 + ordinal, 300, 800)
            prefix = as_json([(400, "a" * 12), (4_000 + ordinal, f"{ordinal:012}")])
            alone = int(draw.random() < 0.05)
            rows["usage"].append(
                (run_id, task_id, attempt, agent_id, begun_ns, ended_ns, *tokens, exec_ns, alone, prefix, int(final))
            )
            if final:
                rows["message"] += [
                    (run_id, task_id, f"t_{number}_{need}", agent_id, claimed_ns, begun_ns) for need in needs
                ]
            ready_ns = free[agent] = committed_ns
        ended.append(free[agent])
        rows["task"].append((task_id, run_id, ordinal, f"k{ordinal}", agent_id, at_ns, ready_ns, ended[-1]))
        rows["dependency"] += [(task_id, f"t_{number}_{need}") for need in needs]
        rows["event"] += [(moment, kind, run_id, task_id) for kind, moment in (("task.succeeded", ended[-1]),)]
    connection.execute(
        "INSERT INTO run (run_id, project, swarm_id, kind, task, context, backend, status, shape, created_ns,"
        " started_ns, finished_ns, lease_epoch, lease_expires_ns, max_parallel, bound, places)"
        " VALUES (?, ?, 's_1', 'pipeline', 'the work', '[]', ?, 'succeeded', 'star', ?, ?, ?, 1, 0, 8, 'latency', 8)",
        (run_id, PROJECT, _BACKEND, at_ns, at_ns, max(ended)),
    )
    connection.executemany(
        "INSERT INTO task (task_id, run_id, ordinal, key, phase, mode, role, text, priority, remaining_path,"
        " tolerates_failure, expands, status, pending, attempts, agent_id, created_ns, ready_ns, finished_ns)"
        " VALUES (?, ?, ?, ?, 'work', 'coder', 'coder', 'text', 0, 1, 0, 0, 'succeeded', 0, 1, ?, ?, ?, ?)",
        rows["task"],
    )
    connection.executemany("INSERT INTO dependency (task_id, depends_on) VALUES (?, ?)", rows["dependency"])
    connection.executemany(
        "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, started_ns, ended_ns, committed_ns,"
        " exec_ns, ready_ns, begun_ns, final) VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows["attempt"],
    )
    connection.executemany(
        "INSERT INTO usage (run_id, task_id, number, agent_id, backend, model, opened_ns, closed_ns, status,"
        " prompt_bytes, prompt_sha256, digested, input_tokens, output_tokens, cache_read_tokens, exec_ns, alone,"
        " prefix, delivered, source, baseline_bytes, baseline_shared_bytes, cost_nanousd, output_weight,"
        " cache_read_weight, price_date) VALUES (?, ?, ?, ?, 'model', 'bench', ?, ?, 'reported', 4000, '', 0, ?, ?, ?,"
        " ?, ?, ?, ?, 'reported', 12000, 9000, 1234000, 5.0, 0.1, '2026-11-09')",
        rows["usage"],
    )
    connection.executemany(
        "INSERT INTO message (kind, project, swarm_id, run_id, task_id, about, sender, receiver, hop, hops, sent_ns,"
        " received_ns) VALUES ('data_transfer', 'p', 's_1', ?, ?, ?, 'a_0', ?, 1, 1, ?, ?)",
        rows["message"],
    )
    connection.executemany(
        "INSERT INTO event (at_ns, kind, project, swarm_id, run_id, task_id) VALUES (?, ?, 'p', 's_1', ?, ?)",
        rows["event"],
    )


def _copy(connection: sqlite3.Connection, copies: int) -> None:
    """Copy every run `copies` times, each later by the same step."""
    if copies < 1:
        return
    step_ns = (SPAN_NS - 3_600 * NS_PER_S) // (copies + 1)
    connection.execute("BEGIN")
    for table, ids in _COPIED.items():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in _NUMBERED]
        given = ", ".join(_copied(column, ids.split()) for column in columns)
        connection.execute(
            "WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < :copies)"
            f" INSERT INTO {table} ({', '.join(columns)}) SELECT {given} FROM copy CROSS JOIN"
            f" (SELECT * FROM {table}) AS old",
            {"copies": copies, "step": step_ns},
        )
    connection.execute("COMMIT")


def _copied(column: str, ids: list[str]) -> str:
    if column in ids and column not in ("agent_id", "sender", "receiver"):
        return f"old.{column} || '_' || n"
    if column.endswith("_ns") and column not in _LENGTHS:
        return f"old.{column} + n * :step"
    return f"old.{column}"


def seconds(path: Path, sql: str) -> float:
    """What raw SQLite takes for a query over the project's rows, on a connection of its own."""
    connection = sqlite3.connect(path)
    started = time.perf_counter()
    connection.execute(sql, (PROJECT,)).fetchone()
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed
