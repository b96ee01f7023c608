"""Messages between agents: one row for each edge travelled."""

from collections.abc import Sequence
from typing import NamedTuple

from swarmtally.store.connection import Connection, Row, as_json


class Message(NamedTuple):
    """One hop from agent to agent; `about` is the task that delivered what it carries, `task_id` the one it is for.

    It is sent when that task starts, and received when its agent holds it.
    """

    kind: str
    project: str
    swarm_id: str
    run_id: str
    task_id: str
    about: str
    sender: str
    receiver: str
    hop: int
    hops: int
    sent_ns: int
    received_ns: int | None = None


_INTO = f"message ({', '.join(Message._fields)})"


async def insert(tx: Connection, messages: Sequence[Message]) -> None:
    await tx.insert(_INTO, messages)


async def receive(tx: Connection, arrivals: Sequence[tuple[str, int, int]]) -> None:
    """Record that agents hold what was sent to them: (task_id, number of the attempt, when) of each."""
    if arrivals:
        await tx.rows(
            "UPDATE message SET received_ns = given.value ->> 2"
            " FROM json_each(:arrivals) AS given JOIN attempt"
            "   ON attempt.task_id = given.value ->> 0 AND attempt.number = given.value ->> 1"
            " WHERE message.task_id = given.value ->> 0 AND received_ns IS NULL AND sent_ns = attempt.claimed_ns",
            {"arrivals": as_json(arrivals)},
        )


async def delivered_for(tx: Connection, task_ids: Sequence[str]) -> list[Row]:
    """For each of `task_ids`, the tasks whose deliverables it gets: task_id, about, agent_id, sees."""
    return await tx.rows(
        "SELECT dependency.task_id, other.task_id AS about, other.agent_id, sees FROM dependency"
        " JOIN task AS other ON other.task_id = dependency.depends_on"
        " WHERE dependency.task_id IN (SELECT value FROM json_each(:ids)) AND other.status = 'succeeded'"
        " ORDER BY dependency.task_id, other.ordinal",
        {"ids": as_json(task_ids)},
    )


async def count(tx: Connection, run_id: str) -> int:
    row = await tx.row("SELECT COUNT(*) AS n FROM message WHERE run_id = :run_id", {"run_id": run_id})
    return int(row["n"]) if row else 0
