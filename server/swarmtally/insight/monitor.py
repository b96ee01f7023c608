"""Looks at a swarm again and again: each sample is one consistent state, and what came in since the sample before."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from swarmtally.core import leases
from swarmtally.core.resources import ResourceProbe, Totals
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.resources import ResourceSample, ResourceUse
from swarmtally.domain.run import Run
from swarmtally.domain.swarm import Swarm
from swarmtally.domain.task import TaskStatus
from swarmtally.domain.timekeeping import TimeSpent
from swarmtally.store import monitoring, tasks
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.monitoring import Marks

RUNS_LISTED = 10
"""The most unfinished runs one sample names."""

EXECUTORS_LISTED = 5
"""The most processes one sample tells of."""


@dataclass(frozen=True, slots=True)
class Agents:
    """Agents by state. Those that leave work on their last task and are not among the busy ones."""

    idle: int
    busy: int
    leaving: int


@dataclass(frozen=True, slots=True)
class Queue:
    """Tasks of the swarm's unfinished runs by what they wait for."""

    ready: int
    oldest_ns: int | None
    """How long the oldest ready task has been so; None: there is none."""
    retrying: int
    held: int
    """Ready, of a paused run."""
    blocked: int
    running: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one kind of message; the percentiles are values of rows (nearest rank)."""

    n: int
    p50_ns: int
    p95_ns: int


@dataclass(frozen=True, slots=True)
class Executor:
    """What a process that executed runs recorded of itself since the sample before, its rows added up."""

    owner: str
    covers_ns: int
    cpu_ns: int | None
    rss_bytes: int | None
    calls: int
    lag_ns: int
    spent: TimeSpent


@dataclass(frozen=True, slots=True)
class RunProgress:
    run: Run
    status: str
    ended: int
    known: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A swarm at one moment, and since the sample before it."""

    as_of_ns: int
    elapsed_ns: int | None
    """Since the sample before, monotonic; None: this is the first."""
    agents: Agents
    queue: Queue
    succeeded: int | None
    """Tasks that ended so since the sample before; None: this is the first."""
    failed: int | None
    latencies: dict[str, Latency]
    """By kind, of attempts that ended since the sample before; for a first sample, in the interval before it."""
    process: ResourceUse
    """This process since the sample before; of a first one only what is now."""
    executors: tuple[Executor, ...]
    runs: tuple[RunProgress, ...]
    unfinished_runs: int


@dataclass(frozen=True, slots=True)
class _Before:
    """What the next sample is compared with."""

    monotonic_ns: int
    marks: Marks
    totals: Totals


class Monitor:
    """Samples one project's swarms."""

    def __init__(self, database: Database, clock: Clock, project: str, probe: ResourceProbe) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._probe = probe

    async def watch(self, swarm: Swarm, interval_s: float, seconds: float) -> AsyncGenerator[Sample, None]:
        """A sample now, one each `interval_s`, and one when `seconds` are over. What comes late is skipped."""
        began_ns = self._clock.monotonic_ns()
        end_ns = began_ns + seconds * NS_PER_S
        interval_ns = round(interval_s * NS_PER_S)
        due_ns: float = began_ns
        before: _Before | None = None
        while True:
            sample, before = await self._sample(swarm, before, interval_ns)
            yield sample
            if due_ns >= end_ns:
                return
            missed = max(0, self._clock.monotonic_ns() - due_ns) // interval_ns
            due_ns = min(end_ns, due_ns + max(1, missed) * interval_ns)
            await anyio.sleep(max(0.0, (due_ns - self._clock.monotonic_ns()) / NS_PER_S))

    async def _sample(self, swarm: Swarm, before: _Before | None, interval_ns: int) -> tuple[Sample, _Before]:
        dead = await leases.dead_owners(self._database)
        totals = await anyio.to_thread.run_sync(self._probe.read)
        now_ns = self._clock.monotonic_ns()

        async def unit(tx: Connection) -> tuple[Sample, Marks]:
            as_of_ns = self._clock.now_ns()
            marks = await monitoring.newest_marks(tx)
            after = before.marks if before else await monitoring.marks_at(tx, as_of_ns - interval_ns)
            ended = await monitoring.ended(tx, swarm.swarm_id, after)
            found, unfinished = await monitoring.unfinished(tx, swarm.swarm_id, RUNS_LISTED)
            counts = await tasks.counts(tx, [run.run_id for run in found])
            agents = await monitoring.agents(tx, swarm.swarm_id)
            return Sample(
                as_of_ns=as_of_ns,
                elapsed_ns=now_ns - before.monotonic_ns if before else None,
                agents=Agents(agents["idle"], agents["busy"], agents["leaving"]),
                queue=await _queue(tx, swarm.swarm_id, as_of_ns),
                succeeded=ended["succeeded"] if before else None,
                failed=ended["failed"] if before else None,
                latencies={
                    row["kind"]: Latency(row["n"], row["p50_ns"], row["p95_ns"])
                    for row in await monitoring.latencies(tx, swarm.swarm_id, after)
                },
                process=totals.since(before.totals) if before else totals.now(),
                executors=executors(await monitoring.samples(tx, self._project, after)),
                runs=tuple(_progress(run, run.shown_status(as_of_ns, dead), counts[run.run_id]) for run in found),
                unfinished_runs=unfinished,
            ), marks

        sample, marks = await self._database.read(unit)
        return sample, _Before(now_ns, marks, totals)


def executors(rows: Sequence[ResourceSample]) -> tuple[Executor, ...]:
    """The rows of each process added up, the busiest first; levels are those of its newest row."""
    by_owner: dict[str, list[ResourceSample]] = {}
    for row in rows:
        by_owner.setdefault(row.owner, []).append(row)
    found = [_executor(owner, mine) for owner, mine in by_owner.items()]
    return tuple(sorted(found, key=lambda item: (-item.calls, item.owner))[:EXECUTORS_LISTED])


def _executor(owner: str, rows: Sequence[ResourceSample]) -> Executor:
    cpu = [row.use.cpu_ns for row in rows]
    known = [figure for figure in cpu if figure is not None]
    spent = [row.spent for row in rows]
    return Executor(
        owner=owner,
        covers_ns=sum(row.interval_ns for row in rows),
        cpu_ns=sum(known) if len(known) == len(cpu) else None,
        rss_bytes=rows[-1].use.rss_bytes,
        calls=rows[-1].calls,
        lag_ns=max(row.lag_ns for row in rows),
        spent=TimeSpent(*(sum(getattr(item, name) for item in spent) for name in TimeSpent.__slots__)),
    )


async def _queue(tx: Connection, swarm_id: str, now_ns: int) -> Queue:
    row = await monitoring.queue(tx, swarm_id, now_ns)
    return Queue(
        ready=row["ready"],
        oldest_ns=None if row["since_ns"] is None else max(0, now_ns - row["since_ns"]),
        retrying=row["retrying"],
        held=row["held"],
        blocked=row["blocked"],
        running=row["running"],
    )


def _progress(run: Run, status: str, counts: dict[TaskStatus, int]) -> RunProgress:
    ended = sum(number for state, number in counts.items() if state.final)
    return RunProgress(run, status, ended, sum(counts.values()))
