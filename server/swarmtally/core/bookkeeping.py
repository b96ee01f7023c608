"""Work in the background that figures rest on: measuring runs that ended, and deleting what is kept no longer.

Both go in small steps, a transaction each, so that work under way is never kept waiting; both can be done by any
process at any time, and what one did not get to is done by the next. Under load deleting takes up to half of the
writer's time: it has to keep up with what is written, or the file would grow without end.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import structlog

from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import StoreError
from swarmtally.domain.measures import RunSums
from swarmtally.domain.retention import Retention
from swarmtally.store import handles, measures, retention, templates
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.run_sums import EndedRun, run_sums

log = structlog.get_logger(__name__)

EVERY_S = 2.0
"""How often ended runs are looked for."""

RETENTION_EVERY_S = 600.0
"""How often rows too old to be kept are looked for."""

BATCH = 50
"""The most runs looked up at once."""

HELD_ATTEMPTS = 5_000
"""From so many attempts on, the measures at hand are written: they hold several durations of each."""

SPELL_NS = 5_000_000
"""How long one transaction of deleting goes on where nobody else writes, monotonic; one begun step is finished."""

LONGEST_SPELL_NS = 500_000_000
"""The same where others do: as long as it waited for them, but no longer than this."""

DAY_NS = 86_400 * NS_PER_S

Step = Callable[[Connection, int], Awaitable[int]]
"""Deletes a few rows of before a moment; returns how many."""


async def measure_end(tx: Connection, run_id: str) -> None:
    """Measure the run's end if nobody has yet: once it goes on again, that can no longer be told from what follows."""
    for ended in await measures.unmeasured(tx, 1, run_id):
        await measures.insert(tx, ended, await run_sums(tx, ended))


class Bookkeeper:
    """Keeps the books of one database."""

    def __init__(self, database: Database, clock: Clock, kept: Retention) -> None:
        self._database = database
        self._clock = clock
        self._kept = kept

    async def run(self) -> None:
        """Keep the books until cancelled. Never raises: what failed is tried again later."""
        next_deletion = anyio.current_time()
        while True:
            try:
                await self.measure_ended()
                if anyio.current_time() >= next_deletion:
                    await self.delete_old()
                    next_deletion = anyio.current_time() + RETENTION_EVERY_S
            except StoreError as error:
                log.warning("bookkeeping.failed", error=str(error))
            await anyio.sleep(EVERY_S)

    async def close(self) -> None:
        """Have all that happened until now written and measured: what comes later bears later times.

        Times are read while the write lock is held, so whoever gets it next sees all that bears an earlier one.
        """

        async def nothing(tx: Connection) -> None:
            """Whoever writes has ended when this begins."""

        await self._database.write(nothing)
        await self.measure_ended()

    async def measure_ended(self) -> int:
        """Measure all runs that ended and were not measured yet; returns how many."""
        measured = 0
        while found := await self._database.read(lambda tx: measures.unmeasured(tx, BATCH)):
            await self._measure(found)
            measured += len(found)
        return measured

    async def _measure(self, found: Sequence[EndedRun]) -> None:
        """Measure these; as many as memory allows are written at once: under load each commit is waited for."""
        held: list[tuple[EndedRun, RunSums]] = []
        attempts = 0
        for ended in found:
            sums = await self._sums(ended)
            held.append((ended, sums))
            # Those that took no time are no attempts in the sums, and have durations all the same.
            attempts += max(sums.attempts, sums.results)
            if attempts >= HELD_ATTEMPTS:
                await self._keep(held)
                held, attempts = [], 0
        if held:
            await self._keep(held)

    async def _sums(self, ended: EndedRun) -> RunSums:
        async def unit(tx: Connection) -> RunSums:
            return await run_sums(tx, ended)

        return await self._database.read(unit)

    async def _keep(self, held: Sequence[tuple[EndedRun, RunSums]]) -> None:
        async def unit(tx: Connection) -> None:
            for ended, sums in held:
                await measures.insert(tx, ended, sums)

        await self._database.write(unit)

    async def delete_old(self) -> int:
        """Delete what is kept no longer, step by step; returns how many rows of messages, samples, runs,
        events, log templates and handles."""
        now_ns = self._clock.now_ns()
        left: list[tuple[Step, int]] = [
            (step, now_ns - days * DAY_NS)
            for step, days in (
                (retention.delete_messages, self._kept.details_days),
                (retention.delete_samples, self._kept.details_days),
                (retention.forget_message_latencies, self._kept.details_days),
                (retention.delete_run_parts, self._kept.runs_days),
                (retention.delete_events, self._kept.runs_days),
                (templates.delete_templates, self._kept.runs_days),
                (handles.delete_expired, 0),
            )
        ]
        deleted = 0
        while left:
            deleted += await self._delete_some(left)
        return deleted

    async def _delete_some(self, left: list[tuple[Step, int]]) -> int:
        """Take steps, each kind until nothing is left for it and it goes from `left`, for a spell, in one transaction;
        then let others write for as long as that kept them waiting."""
        monotonic_ns = self._clock.monotonic_ns
        asked_ns = monotonic_ns()
        begun_ns = asked_ns

        async def unit(tx: Connection) -> int:
            nonlocal begun_ns
            begun_ns = monotonic_ns()
            # A full queue of writers lets each in once a round: steps of a fixed size would fall behind them.
            until_ns = begun_ns + max(SPELL_NS, min(begun_ns - asked_ns, LONGEST_SPELL_NS))
            deleted = 0
            while left:
                step, before_ns = left[0]
                gone = await step(tx, before_ns)
                deleted += gone
                if not gone:
                    del left[0]
                elif monotonic_ns() >= until_ns:
                    break
            return deleted

        deleted = await self._database.write(unit)
        await anyio.sleep((monotonic_ns() - begun_ns) / NS_PER_S)
        return deleted
