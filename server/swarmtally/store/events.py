"""One row for each change of state: what the timelines and, later, the figures are made of."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter

from swarmtally.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Event:
    """A change of state of a run, task, agent or swarm; `kind` is `{what}.{new state}`."""

    at_ns: int
    kind: str
    project: str
    swarm_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    agent_id: str | None = None
    detail: str | None = None


_COLUMNS = tuple(field.name for field in fields(Event))
_INTO = f"event ({', '.join(_COLUMNS)})"
_values = attrgetter(*_COLUMNS)


async def record(tx: Connection, events: Iterable[Event]) -> None:
    """Write `events` in the given order."""
    await tx.insert(_INTO, [_values(event) for event in events])
