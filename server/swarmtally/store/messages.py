"""Messages between agents: one row for each edge travelled."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from swarmtally.store.connection import Connection, Row, as_json


@dataclass(frozen=True, slots=True)
class Message:
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


async def insert(tx: Connection, messages: Sequence[Message]) -> None:
    await tx.many(
        "INSERT INTO message (kind, project, swarm_id, run_id, task_id, about, sender, receiver, hop, hops, sent_ns,"
        "                     received_ns)"
        " VALUES (:kind, :project, :swarm_id, :run_id, :task_id, :about, :sender, :receiver, :hop, :hops, :sent_ns,"
        "         :received_ns)",
        [asdict(message) for message in messages],
    )


async def receive(tx: Connection, task_id: str, number: int, now_ns: int) -> None:
    """Record that the agent of this attempt holds what was sent to it."""
    await tx.rows(
        "UPDATE message SET received_ns = :now WHERE task_id = :task_id AND received_ns IS NULL AND sent_ns ="
        " (SELECT claimed_ns FROM attempt WHERE task_id = :task_id AND number = :number)",
        {"task_id": task_id, "number": number, "now": now_ns},
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
