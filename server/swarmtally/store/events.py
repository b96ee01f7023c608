"""One row for each change of state: what the timelines and, later, the figures are made of."""

from collections.abc import Iterable
from typing import NamedTuple

from swarmtally.store.connection import Connection


class Event(NamedTuple):
    """A change of state of a run, task, agent or swarm; `kind` is `{what}.{new state}`."""

    at_ns: int
    kind: str
    project: str
    swarm_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    agent_id: str | None = None
    detail: str | None = None


_INTO = f"event ({', '.join(Event._fields)})"


async def record(tx: Connection, events: Iterable[Event]) -> None:
    """Write `events` in the given order."""
    await tx.insert(_INTO, list(events))
