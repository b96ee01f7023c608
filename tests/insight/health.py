"""What the tests of health share: the checks over a real database, and clocks that a test sets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread

from swarmtally.domain.clock import Clock, SystemClock
from swarmtally.domain.health import Finding, ok
from swarmtally.insight.health import Component, Health, Probe, Report
from swarmtally.insight.health_limits import Limits
from swarmtally.insight.surroundings import Beginning
from swarmtally.store import location
from swarmtally.store.database import Database, open_database

CALM = Limits(loop_s=0.02, lag_s=60, lag_worst_s=60, write_slow_s=60, free_low_bytes=0, free_least_bytes=0)
"""Nothing that another program on the machine does makes a check fail."""


class ShiftedClock(SystemClock):
    """The machine's clocks, with the wall clock moved by so many seconds."""

    def __init__(self, shift_s: float = 0.0) -> None:
        self.shift_s = shift_s

    def now_ns(self) -> int:
        return super().now_ns() + round(self.shift_s * 1_000_000_000)


async def reached() -> Finding:
    return ok("reached")


def health_of(
    database: Database, limits: Limits = CALM, clock: Clock | None = None, reach: Probe = reached, project: str = "test"
) -> Health:
    clock = clock or database.clock
    return Health(database, clock, project, Beginning.now(clock), reach, limits)


@asynccontextmanager
async def opened(folder: Path, clock: Clock | None = None) -> AsyncIterator[Database]:
    path = await anyio.to_thread.run_sync(location.prepare, folder / "swarm.db")
    async with open_database(path, clock or SystemClock()) as database:
        yield database


async def look(database: Database, component: Component, name: str, limits: Limits = CALM) -> Finding:
    """What one check finds."""
    return found(await health_of(database, limits).check({component}), name)


def found(report: Report, name: str) -> Finding:
    (finding,) = (check.finding for check in report.checks if check.name == name)
    return finding
