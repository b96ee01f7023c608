"""Resource samples while this process executes runs: what it used, where its time went, how late its event loop was.

A row each second and one for the shorter interval at the end, written like everything else. While nothing is executed
nothing is sampled; a gap of up to `GAP_S` between two runs is part of the work. Taking a sample never takes more than
`SHARE` of the time: on a machine where reading the process table is slow, rows come less often and cover more.
"""

import time
from dataclasses import dataclass

import anyio
import anyio.to_thread
import structlog

from swarmtally.core.resources import ResourceProbe, Totals
from swarmtally.core.scheduler import Scheduler
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import StoreError
from swarmtally.domain.resources import ResourceSample
from swarmtally.domain.timekeeping import Part, TimeSpent
from swarmtally.store import runs, samples
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database

log = structlog.get_logger(__name__)

EVERY_S = 1.0
"""How long an interval is."""

SHARE = 0.02
"""The most of an interval that reading the totals may take, in processor time."""

GAP_S = 0.02
"""How soon the next run must begin for the interval to go on: a row for each of many short runs would cost too much."""

LAG_EVERY_S = 0.05
"""How often a timer is set to see how late it fires."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """When an interval ends or begins: where the time went until then, and how many calls are under way."""

    spent: TimeSpent
    calls: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """The state at one moment; two of them make a sample."""

    moment: _Moment
    totals: Totals


class Sampler:
    """Samples one process, for the project whose runs it executes."""

    def __init__(
        self, database: Database, clock: Clock, scheduler: Scheduler, project: str, owner: str, probe: ResourceProbe
    ) -> None:
        self._database = database
        self._clock = clock
        self._scheduler = scheduler
        self._project = project
        self._owner = owner
        self._probe = probe
        self._lag_ns = 0
        self._every_s = EVERY_S

    async def run(self) -> None:
        """Sample whenever runs are executed, until cancelled."""
        while True:
            await self._begun()
            await self._cover()

    async def _begun(self) -> None:
        """Return at once when a run is taken, and when one that was found paused goes on."""
        while self._scheduler.held():
            change = self._scheduler.next_change()
            if await self._works():
                return
            await change.wait()
        while not self._scheduler.held():
            await self._scheduler.next_change().wait()

    async def _works(self) -> bool:
        """Whether runs are executed here: not when all that are held are paused and no call is under way."""
        held = self._scheduler.held()
        if not held or self._database.timekeeper.under_way(Part.BACKENDS):
            return bool(held)
        try:
            return bool(await self._database.read(lambda tx: runs.taking_tasks(tx, held)))
        except StoreError as error:
            log.warning("sample.failed", error=str(error))
            return False

    async def _cover(self) -> None:
        """Sample from now until nothing is executed any more."""
        self._lag_ns = 0
        before = await self._read(self._moment())
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_lag)
            try:
                while True:
                    before = await self._keep(before, await self._interval())
                    if not await self._works():
                        break
            except anyio.get_cancelled_exc_class():
                # The program ends; so does the last interval. What is kept is kept whole, so `before` is right.
                await self._keep(before, self._moment())
                raise
            group.cancel_scope.cancel()

    async def _interval(self) -> _Moment:
        """Wait for the end of the interval: when it is over, or nothing is executed any more; returns that moment."""
        due_ns = self._clock.monotonic_ns() + round(self._every_s * NS_PER_S)
        while True:
            rest = self._scheduler.next_rest()
            if self._scheduler.held():
                with anyio.move_on_after((due_ns - self._clock.monotonic_ns()) / NS_PER_S) as timer:
                    await rest.wait()
                if timer.cancelled_caught:
                    self._note_lag(due_ns)
                    return self._moment()
            ended = self._moment()
            if not await self._goes_on():
                return ended

    async def _goes_on(self) -> bool:
        """Whether the next run begins within `GAP_S`."""
        with anyio.move_on_after(GAP_S):
            while not self._scheduler.held():
                await self._scheduler.next_change().wait()
        return bool(self._scheduler.held())

    async def _keep(self, before: _Reading, until: _Moment) -> _Reading:
        """Write the row from `before` to `until`; returns what the next one begins with: `before` again when this could
        not be written, so that the next covers its time too."""
        with anyio.CancelScope(shield=True):
            now = await self._read(until)
            use, spent = now.totals.since(before.totals), until.spent.since(before.moment.spent)

            async def unit(tx: Connection) -> None:
                # A time read while the write lock is held: who asks with an earlier one never sees the row, who asks
                # with a later one always does.
                at_ns = self._clock.now_ns()
                await samples.insert(
                    tx, ResourceSample(at_ns, self._project, self._owner, use, spent, self._lag_ns, until.calls)
                )

            try:
                await self._database.write(unit)
                self._lag_ns, before = 0, now
            except StoreError as error:
                log.warning("sample.failed", error=str(error))
        return before

    def _moment(self) -> _Moment:
        keeper = self._database.timekeeper
        return _Moment(keeper.read(), keeper.under_way(Part.BACKENDS))

    async def _read(self, moment: _Moment) -> _Reading:
        """The totals too: they are those of some milliseconds after the moment."""
        totals, took_s = await anyio.to_thread.run_sync(_timed, self._probe)
        self._every_s = max(EVERY_S, took_s / SHARE)
        return _Reading(moment, totals)

    async def _watch_lag(self) -> None:
        while True:
            due_ns = self._clock.monotonic_ns() + round(LAG_EVERY_S * NS_PER_S)
            await anyio.sleep(LAG_EVERY_S)
            self._note_lag(due_ns)

    def _note_lag(self, due_ns: int) -> None:
        self._lag_ns = max(self._lag_ns, self._clock.monotonic_ns() - due_ns)


def _timed(probe: ResourceProbe) -> tuple[Totals, float]:
    """The totals, and the processor time that reading them took, in seconds."""
    started = time.thread_time()
    return probe.read(), time.thread_time() - started
