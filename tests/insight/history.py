"""Databases with a past that a test makes up: rows as the store leaves them, at moments the test chooses."""

import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.retention import Retention
from swarmtally.insight.performance import Report, report
from swarmtally.insight.window import window_of
from swarmtally.store import location, models
from swarmtally.store.connection import as_json
from swarmtally.store.database import Database, open_database
from swarmtally.store.explanations import QUERIES
from tests.core.hosted import HandClock

MINUTE_NS = 60 * NS_PER_S

NOW_NS = 1_700_000_000 * NS_PER_S

Given = dict[str, Any]


@dataclass
class History:
    """Rows by table, in the order they were given."""

    rows: list[tuple[str, Given]] = field(default_factory=list)
    ended: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    """How runs ended and when; None: they go on again."""

    def add(self, table: str, **given: Any) -> None:
        self.rows.append((table, given))

    def project(self, name: str) -> None:
        self.add("project", project=name, created_ns=1)

    def swarm(self, swarm_id: str, project: str, strategy: str = "balanced") -> None:
        self.add(
            "swarm",
            swarm_id=swarm_id,
            project=project,
            name="",
            topology="star",
            strategy=strategy,
            max_agents=100,
            created_ns=1,
        )

    def agent(self, agent_id: str, swarm_id: str, created_ns: int, left_ns: int | None, role: str = "coder") -> None:
        self.add(
            "agent",
            agent_id=agent_id,
            swarm_id=swarm_id,
            joined=len(self.rows),
            role=role,
            name="",
            capabilities="[]",
            status="idle" if left_ns is None else "left",
            idle_since_ns=1,
            created_ns=created_ns,
            left_ns=left_ns,
        )

    def run(
        self, run_id: str, project: str, swarm_id: str, created_ns: int, status: str = "running", **given: Any
    ) -> None:
        self.add(
            "run",
            **{
                "run_id": run_id,
                "project": project,
                "swarm_id": swarm_id,
                "kind": "batch",
                "task": "the work",
                "context": "[]",
                "backend": '{"name":"model","model":"m","base_url":null,"reason":"","max_output_tokens":null}',
                "status": "running",
                "created_ns": created_ns,
                "started_ns": created_ns,
                "lease_epoch": 1,
                "lease_expires_ns": 0,
                "places": 2,
                **given,
            },
        )

    def task(self, task_id: str, run_id: str, status: str, *needs: str, role: str = "coder") -> None:
        self.add(
            "task",
            task_id=task_id,
            run_id=run_id,
            ordinal=len(self.rows),
            key=task_id,
            phase="work",
            mode="coder",
            role=role,
            text="",
            priority=0,
            remaining_path=1,
            tolerates_failure=0,
            expands=0,
            status=status,
            pending=0,
            created_ns=1,
        )
        for need in needs:
            self.add("dependency", task_id=task_id, depends_on=need)

    def attempt(self, task_id: str, number: int, status: str, claimed_ns: int, **given: Any) -> None:
        self.add(
            "attempt",
            task_id=task_id,
            number=number,
            epoch=1,
            agent_id="a",
            status=status,
            claimed_ns=claimed_ns,
            **given,
        )

    def call(self, run_id: str, task_id: str, number: int, closed_ns: int, **given: Any) -> None:
        self.add(
            "usage",
            **{
                "run_id": run_id,
                "task_id": task_id,
                "number": number,
                "agent_id": "a",
                "backend": "model",
                "model": "m",
                "opened_ns": closed_ns,
                "closed_ns": closed_ns,
                "status": "reported",
                "prompt_bytes": 100,
                "prompt_sha256": "",
                "digested": 0,
                "input_tokens": 100,
                "output_tokens": 10,
                "exec_ns": NS_PER_S,
                "alone": 0,
                "prefix": as_json([(100, task_id)]),
                **given,
            },
        )

    def prediction(self, project: str, run_id: str, task_id: str, target: str, **given: Any) -> None:
        self.add(
            "prediction",
            **{
                "project": project,
                "model_id": "m",
                "version": 1,
                "made_ns": 1,
                "run_id": run_id,
                "task_id": task_id,
                "target": target,
                "level": 0.9,
                **given,
            },
        )

    def message(self, kind: str, project: str, swarm_id: str, run_id: str, task_id: str, **given: Any) -> None:
        self.add(
            "message",
            **{
                "kind": kind,
                "project": project,
                "swarm_id": swarm_id,
                "run_id": run_id,
                "task_id": task_id,
                "about": task_id,
                "sender": "a",
                "receiver": "b",
                "hop": 1,
                "hops": 1,
                **given,
            },
        )

    def cancelled(self, project: str, swarm_id: str, run_id: str, task_id: str, at_ns: int) -> None:
        self.add(
            "event",
            at_ns=at_ns,
            kind="task.cancelled",
            project=project,
            swarm_id=swarm_id,
            run_id=run_id,
            task_id=task_id,
        )

    def sample(self, project: str, at_ns: int, **given: Any) -> None:
        self.add(
            "resource_sample",
            **{
                "at_ns": at_ns,
                "project": project,
                "owner": "here:1:1",
                "interval_ns": NS_PER_S,
                "cpu_ns": NS_PER_S // 2,
                "rss_bytes": 2**20,
                "children": 0,
                "store_ns": NS_PER_S // 4,
                "scheduling_ns": NS_PER_S // 4,
                "backends_ns": NS_PER_S // 4,
                "rest_ns": NS_PER_S // 4,
                "lock_wait_ns": 5,
                "lag_ns": 7,
                "calls": 1,
                **given,
            },
        )

    def write(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for table, given in self.rows:
            marks = ", ".join(f":{name}" for name in given)
            connection.execute(f"INSERT INTO {table} ({', '.join(given)}) VALUES ({marks})", given)
        for run_id, (status, finished_ns) in self.ended.items():
            connection.execute(
                "UPDATE run SET status = ?, finished_ns = ? WHERE run_id = ?", (status, finished_ns, run_id)
            )
        connection.execute("COMMIT")
        connection.close()


@asynccontextmanager
async def database_of(history: History, empty: Path, path: Path) -> AsyncIterator[Database]:
    """A database with these rows, made from the `empty` one."""
    shutil.copy(empty, path)
    history.write(path)
    async with open_database(path, HandClock(NOW_NS)) as database:
        yield database


async def make_empty(path: Path) -> Path:
    async with open_database(location.prepare(path), HandClock(NOW_NS)):
        """Opening it makes the tables."""
    return path


async def reported(
    database: Database,
    project: str = "p",
    swarm_id: str | None = None,
    timeframe: str = "all",
    as_of: str | None = None,
    explain: Sequence[str] = tuple(QUERIES),
) -> Report:
    """The report of now, with every figure's query run."""
    await Bookkeeper(database, database.clock, Retention()).close()
    await database.write(lambda tx: models.score(tx, project, database.clock.now_ns()))
    window = window_of(timeframe, as_of, database.clock.now_ns())
    return await report(database, project, swarm_id, window, explain=explain, runs=10, tasks=50)


@dataclass
class _Stretch:
    """A run up to one of its ends."""

    project: str
    swarm_id: str
    run_id: str
    history: History


class MadeUp:
    """A random past: projects, swarms of which some were deleted, runs that ended, go on, were retried or cancelled.

    `before` is what was there before runs were retried, `retried` what came then. Moments are whole multiples of half
    an hour where chance will have it, so that many lie on the edges of windows.
    """

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.before = History()
        self.retried = History()
        for project in ("p", "q"):
            self.before.project(project)
            for number in range(2):
                self._swarm(project, f"{project}{number}")
            for _ in range(draw.choice([0, 3, 9])):
                self._sample(project)
            if draw.random() < 0.5:
                self._calibration(project)

    @asynccontextmanager
    async def database(self, empty: Path, path: Path) -> AsyncIterator[Database]:
        """A database with all of it, in which runs were measured before they were retried."""
        async with database_of(self.before, empty, path) as database:
            await Bookkeeper(database, database.clock, Retention()).measure_ended()
        self.retried.write(path)
        async with open_database(path, HandClock(NOW_NS)) as database:
            yield database

    def _swarm(self, project: str, swarm_id: str) -> None:
        draw = self.draw
        # What happened in a swarm stays when it is deleted; its agents do not.
        if draw.random() < 0.9:
            self.before.swarm(swarm_id, project, draw.choice(["balanced", "specialized"]))
            for agent in range(draw.randint(1, 3)):
                created_ns = 1 if agent == 0 else self._moment()
                left_ns = created_ns + self._while() if agent and draw.random() < 0.3 else None
                self.before.agent(f"a_{swarm_id}_{agent}", swarm_id, created_ns, left_ns)
        for run in range(draw.randint(0, 3)):
            self._run(_Stretch(project, swarm_id, f"r_{swarm_id}_{run}", self.before))

    def _sample(self, project: str) -> None:
        self.before.sample(
            project,
            self._moment(),
            interval_ns=self.draw.randint(1, NS_PER_S),
            read_bytes=self.draw.choice([None, 0, 4_096]),
            owner=self.draw.choice(["here:1:1", "here:2:2"]),
        )

    def _calibration(self, project: str) -> None:
        run_id = f"calibration_{project}"
        self.before.run(run_id, project, "of_no_swarm", 1, kind="calibration")
        for number in range(self.draw.randint(8, 12)):
            tokens = self.draw.randint(0, 1_000)
            self.before.call(run_id, "c", number, number, alone=1, input_tokens=tokens, exec_ns=tokens * 10**6 + 10**9)

    def _moment(self) -> int:
        back = self.draw.choice([2, 48, 48 * 7, 48 * 30, 48 * 70])
        at_ns = NOW_NS - self.draw.randint(0, back) * 30 * MINUTE_NS
        return at_ns if self.draw.random() < 0.7 else at_ns - self.draw.randint(1, 10**12)

    def _while(self) -> int:
        if self.draw.random() < 0.2:
            return self.draw.choice([0, 0, 30, 60, 24 * 60]) * MINUTE_NS
        return self.draw.randint(0, self.draw.choice([10**7, 10**7, 10**10, 10**12, 10**14]))

    def _run(self, stretch: _Stretch) -> None:
        draw = self.draw
        at_ns = created_ns = self._moment()
        stretch.history.run(
            stretch.run_id,
            stretch.project,
            stretch.swarm_id,
            created_ns,
            kind="calibration" if draw.random() < 0.15 else "batch",
            places=draw.choice([None, 1, 2, 3]),
            shape=draw.choice([None, "solo", "star"]),
        )
        numbers = {f"t_{stretch.run_id}_{number}": 0 for number in range(draw.randint(1, 4))}
        for number, task_id in enumerate(numbers):
            stretch.history.task(task_id, stretch.run_id, "ready", *list(numbers)[:number][-1:])
        if draw.random() < 0.8:
            self._predictions(stretch, list(numbers))
        undone = list(numbers)
        for history in (self.before, self.retried):
            at_ns, undone = self._stretch(replace(stretch, history=history), at_ns, numbers, undone)
            if at_ns > NOW_NS or not undone or draw.random() < 0.4:
                return
            at_ns += self._while()

    def _predictions(self, stretch: _Stretch, task_ids: Sequence[str]) -> None:
        """What models said of the run and its tasks: so many that windows have more than are counted, and fewer."""
        draw = self.draw
        for model in range(draw.choice([1, 1, 30])):
            for task_id in ("", *task_ids):
                for target, most in (("duration_s", 10.0 ** draw.randint(-2, 5)), ("tokens", 1_000), ("success", 1)):
                    low, value, high = sorted(draw.random() * most for _ in range(3))
                    given = {"model_id": f"m{model}", "low": low, "value": value, "high": high}
                    stretch.history.prediction(stretch.project, stretch.run_id, task_id, target, **given)

    def _stretch(
        self, stretch: _Stretch, at_ns: int, numbers: dict[str, int], undone: list[str]
    ) -> tuple[int, list[str]]:
        """Do the `undone` tasks from `at_ns` on; returns when the run ended, and which did not succeed."""
        draw = self.draw
        over_ns, left = at_ns, []
        stopped = draw.random() < 0.2
        for task_id in undone:
            status = ""
            ready_ns = at_ns
            while status not in ("succeeded", "failed for good", "cancelled"):
                numbers[task_id] += 1
                ready_ns, status = self._attempt(stretch, task_id, numbers[task_id], ready_ns + self._while())
                over_ns = max(over_ns, ready_ns)
            if status != "succeeded":
                left.append(task_id)
        over_ns += draw.choice([0, 0, 1, self._while()])
        if over_ns <= NOW_NS:
            for task_id in left:
                if draw.random() < 0.3:
                    stretch.history.cancelled(stretch.project, stretch.swarm_id, stretch.run_id, task_id, over_ns)
            status = "cancelled" if stopped else "failed" if left else "succeeded"
            stretch.history.ended[stretch.run_id] = (status, over_ns)
        elif stretch.history is self.retried:
            stretch.history.ended[stretch.run_id] = ("running", None)
        return over_ns, left

    def _attempt(self, stretch: _Stretch, task_id: str, number: int, ready_ns: int) -> tuple[int, str]:
        """Record an attempt as far as it has come by now; returns when it was over and how."""
        draw = self.draw
        claimed_ns = ready_ns + self._while()
        begun_ns = claimed_ns + self._while()
        ended_ns = begun_ns + self._while()
        committed_ns = ended_ns + self._while()
        status = draw.choice(["succeeded", "succeeded", "failed", "failed for good", "lost", "expired", "cancelled"])
        if claimed_ns > NOW_NS:
            return committed_ns, "cancelled"
        packet = status == "expired" or draw.random() < 0.1
        given: Given = {
            "ready_ns": draw.choice([None, ready_ns]),
            "expires_ns": committed_ns + draw.choice([0, -1, 10**9]) if packet else None,
        }
        if committed_ns > NOW_NS:
            # A packet whose time is over while nobody asks is still running.
            stretch.history.attempt(task_id, number, "running", claimed_ns, **given)
        elif status == "expired":
            stretch.history.attempt(task_id, number, status, claimed_ns, **{**given, "expires_ns": committed_ns})
        else:
            given["committed_ns"] = committed_ns
            if status in ("succeeded", "failed", "failed for good"):
                given |= {"ended_ns": ended_ns, "exec_ns": ended_ns - begun_ns, "final": int(status != "failed")}
                given["begun_ns"] = draw.choice([None, begun_ns, begun_ns, begun_ns])
            stretch.history.attempt(task_id, number, status.partition(" ")[0], claimed_ns, **given)
        self._traffic(stretch, task_id, number, (claimed_ns, begun_ns, ended_ns))
        return committed_ns, status

    def _traffic(self, stretch: _Stretch, task_id: str, number: int, moments: tuple[int, int, int]) -> None:
        """The attempt's call and a message to it, as far as they have come."""
        draw = self.draw
        sent_ns, received_ns, closed_ns = moments
        # A prompt that does not fit is sent again.
        for again in range(draw.choice([1, 1, 1, 2]) if closed_ns <= NOW_NS else 0, 0, -1):
            unknown = again > 1 or draw.random() < 0.1
            stretch.history.call(
                stretch.run_id,
                task_id,
                number,
                closed_ns,
                alone=int(draw.random() < 0.8),
                status="unknown" if unknown else "reported",
                input_tokens=None if unknown else draw.randint(0, 1_000),
                exec_ns=draw.randint(1, 10**10),
                delivered=draw.choice([*[0] * 8, *[1] * 11, None]),
                baseline_bytes=draw.choice([None, 100, 250, 1_000]),
                cache_read_tokens=draw.choice([None, 0, 0, draw.randint(0, 90)]),
                prefix=as_json([(50, draw.choice("ab")), (100, task_id)]),
            )
        stretch.history.message(
            draw.choice(["data_transfer", "coordination", "hand_over"]),
            stretch.project,
            stretch.swarm_id,
            stretch.run_id,
            task_id,
            sent_ns=sent_ns,
            received_ns=received_ns if received_ns <= NOW_NS and draw.random() < 0.8 else None,
            hops=draw.choice([1, 1, 2]),
        )
