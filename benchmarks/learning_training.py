"""A whole neural_train of a project's own tasks, from its database to the kept model: the clock, the processor time of
this process and of the one that trains, how long the event loop stood still, and how much memory this process took; the
last two also where the same rows are read all at once."""

import contextlib
import os
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from benchmarks.figures_database import PROJECT, Template, build
from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.retention import Retention
from swarmtally.domain.timeframe import Timeframe
from swarmtally.learning.given import digest
from swarmtally.learning.predict import Predictor
from swarmtally.store.database import Database, open_database
from swarmtally.training import DEFAULT_MODEL, Training, TrainRequest
from swarmtally.training_rows import training_rows

TASKS = 100_000
LIMIT_S = 20.0
PAUSE_LIMIT_MS = 50.0
TURN_S = 0.001


LOOKS = 20
"""Turns of the event loop from one look at the memory to the next."""


@dataclass
class Pauses:
    """How long the event loop took to come round: by the clock, and in processor time of the whole process, in which
    a busy machine does not count. And how much memory this process took on."""

    clock_ms: float = 0.0
    processor_ms: float = 0.0
    grown_bytes: int = 0

    async def watch(self) -> None:
        this, turns = psutil.Process(), 0
        before = this.memory_info().rss
        while True:
            at, worked = time.perf_counter(), time.process_time()
            await anyio.sleep(TURN_S)
            self.clock_ms = max(self.clock_ms, (time.perf_counter() - at - TURN_S) * 1e3)
            self.processor_ms = max(self.processor_ms, (time.process_time() - worked) * 1e3)
            turns += 1
            if turns % LOOKS == 0:
                self.grown_bytes = max(self.grown_bytes, this.memory_info().rss - before)

    def told(self) -> str:
        return (
            f"the event loop came round after {self.clock_ms:.0f} ms at most ({self.processor_ms:.0f} ms of processor "
            f"time), and this process took on {self.grown_bytes / 1e6:.0f} MB"
        )


def run(smoke: bool) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.db")
        build(path, 2_000 if smoke else TASKS, Template(runs=16 if smoke else 64, tasks=38))
        _vary(path)
        return anyio.run(_trained, path, smoke)


def _vary(path: Path) -> None:
    """Modes, texts, sizes of prompts and failures, so that there is something to learn and all columns are there; what
    durations follow from is the mode and, of one mode only, the prompt."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute(
            'UPDATE task SET mode = json_extract(\'["architect","coder","tester","reviewer"]\','
            " '$[' || (ordinal % 4) || ']'),"
            " text = replace(printf('%.*c', 1 + ordinal * 7 % 40, '-'), '-', 'make x1 = y; ')"
        )
        connection.execute("UPDATE usage SET prompt_bytes = 2000 + usage_id * 7919 % 9000")
        connection.execute("UPDATE attempt SET status = 'failed' WHERE final AND exec_ns % 23 = 0")
        connection.execute(
            "UPDATE attempt SET exec_ns = exec_ns * (1 + ordinal % 4) * CASE ordinal % 4 WHEN 1 THEN prompt ELSE 1 END"
            " FROM (SELECT task.task_id AS of, ordinal, MIN(prompt_bytes) / 2000 AS prompt"
            "       FROM task JOIN usage USING (task_id) GROUP BY task.task_id) WHERE task_id = of"
        )
        connection.execute("COMMIT")


async def _trained(path: Path, smoke: bool) -> list[str]:
    clock, pauses = SystemClock(), Pauses()
    async with open_database(path, clock) as database:
        training = Training(database, clock, PROJECT, Bookkeeper(database, clock, Retention()).close)
        began, used = time.perf_counter(), os.times()
        async with anyio.create_task_group() as group:
            group.start_soon(pauses.watch)
            made = await training.train(TrainRequest(DEFAULT_MODEL, "prediction"))
            group.cancel_scope.cancel()
        took, spent = time.perf_counter() - began, os.times()
        at_once = await _at_once(database)
    rows = sum(section.rows for section in made.sections)
    own = spent.user + spent.system - used.user - used.system
    childs = spent.children_user + spent.children_system - used.children_user - used.children_system
    limit = "" if smoke else f", limit {LIMIT_S:.0f} s"
    kinds = {
        f"{section.targets[target].kind} of {target}"
        for section in made.sections
        for target in section.targets
        if isinstance(section.targets[target], Predictor)
    }
    whole = (
        f"neural_train of {rows:,} own tasks ({', '.join(sorted(kinds))}): {took:.1f} s on the clock{limit}; "
        f"processor: {own:.1f} s of this process, {childs:.1f} s of the one that trains, together "
        f"{own + childs:.1f} s{limit}"
    )
    return [
        whole,
        f"{pauses.told()}; limit {PAUSE_LIMIT_MS:.0f} ms",
        f"reading the same rows all at once, and nothing else: {at_once.told()}",
    ]


async def _at_once(database: Database) -> Pauses:
    """What it is like where all rows are objects of this process, as they are for `neural_patterns`."""
    pauses = Pauses()
    async with anyio.create_task_group() as group:
        group.start_soon(pauses.watch)
        rows = await training_rows(database, PROJECT, Timeframe(0, database.clock.now_ns()))
        await anyio.to_thread.run_sync(digest, rows)
        group.cancel_scope.cancel()
    return pauses
