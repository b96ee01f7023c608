"""The health of everything a process depends on: a check that fails is a result, never an error.

Checks run one after the other, so that none counts against another's latency; each has its time, and all together
have theirs.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import anyio
import structlog

from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.health import Finding, Status
from swarmtally.insight import storage, surroundings
from swarmtally.insight.health_limits import Limits
from swarmtally.insight.stuck import Work
from swarmtally.insight.surroundings import Beginning
from swarmtally.store.database import Database

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[Finding]]


class Component(StrEnum):
    STORE = "store"
    LOOP = "loop"
    WORK = "work"
    BACKEND = "backend"
    CLOCK = "clock"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and how long that took."""

    component: Component
    name: str
    finding: Finding
    latency_ns: int


@dataclass(frozen=True, slots=True)
class Report:
    """Every check that was asked for, in a fixed order."""

    checks: tuple[Check, ...]
    as_of_ns: int

    @property
    def status(self) -> Status:
        return worst(self.checks)

    def components(self) -> dict[Component, tuple[Check, ...]]:
        """The checks of each component that was asked for."""
        named = dict.fromkeys(check.component for check in self.checks)
        return {name: tuple(check for check in self.checks if check.component is name) for name in named}


def worst(checks: Sequence[Check]) -> Status:
    return max((check.finding.status for check in checks), key=lambda status: status.rank)


class Health:
    """The checks of one process over one database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        project: str,
        began: Beginning,
        reach_backend: Probe,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._clock = clock
        self._limits = limits
        work = Work(database, clock, project)
        path = database.path
        self._probes: Mapping[Component, Mapping[str, Probe]] = {
            Component.STORE: {
                "integrity": partial(storage.integrity, path, limits),
                "schema": partial(storage.schema, database),
                "write": partial(storage.write, path, limits),
                "wal": partial(storage.wal, path, limits),
                "space": partial(storage.space, path, limits),
                "mode": partial(storage.mode, path),
            },
            Component.LOOP: {"lag": partial(surroundings.loop, clock, limits)},
            Component.WORK: {
                "runs": work.runs,
                "tasks": work.tasks,
                "packets": work.packets,
                "agents": work.agents,
            },
            Component.BACKEND: {"reach": reach_backend},
            Component.CLOCK: {
                "recorded": partial(surroundings.recorded_times, database, clock, limits),
                "steady": partial(surroundings.steadiness, began, clock, limits),
            },
            Component.MEMORY: {
                "machine": partial(surroundings.machine_memory, limits),
                "process": partial(surroundings.process_memory, limits),
            },
        }

    async def check(self, components: Collection[Component] = frozenset(Component)) -> Report:
        """Look at `components`. A check that fails, errs or takes too long is a finding; none raises."""
        end = anyio.current_time() + self._limits.total_s
        found = []
        for component in Component:
            if component in components:
                for name, probe in self._probes[component].items():
                    began = self._clock.monotonic_ns()
                    within_s = max(0.0, min(self._limits.check_s, end - anyio.current_time()))
                    finding = await _look(component, name, probe, within_s)
                    found.append(Check(component, name, finding, self._clock.monotonic_ns() - began))
        return Report(tuple(found), self._clock.now_ns())


async def _look(component: Component, name: str, probe: Probe, within_s: float) -> Finding:
    with anyio.move_on_after(within_s):
        try:
            return await probe()
        except SwarmError as error:
            return Finding.of(error)
        except OSError as error:
            return Finding(Status.FAILED, f"the system refused: {error}")
        except Exception as error:
            error_id = secrets.token_hex(4)
            log.exception("health.check_failed", id=error_id, component=component, check=name)
            return Finding(Status.FAILED, f"{type(error).__name__}, an internal error, id {error_id}; see the log")
    if within_s == 0:
        return Finding(Status.FAILED, "not looked at: the checks before it took all the time there was")
    return Finding(Status.FAILED, f"no answer within {within_s:.1f} s")
