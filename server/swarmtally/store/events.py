"""One row for each change of state: what the timelines and, later, the figures are made of."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

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


async def record(tx: Connection, events: Iterable[Event]) -> None:
    """Write `events` in the given order."""
    rows = [asdict(event) for event in events]
    if rows:
        await tx.many(
            "INSERT INTO event (at_ns, kind, project, swarm_id, run_id, task_id, agent_id, detail)"
            " VALUES (:at_ns, :kind, :project, :swarm_id, :run_id, :task_id, :agent_id, :detail)",
            rows,
        )
