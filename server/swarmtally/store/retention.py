"""Deleting what is kept no longer: each function takes one small step and returns how many rows it took.

What is gone is noted in the same transaction (`forgotten`), so that no report takes the rest for the whole.
"""

from collections.abc import Sequence

from swarmtally.domain.run import RunKind
from swarmtally.store.connection import Connection, Row, as_json

STEP = 500
"""The most rows one step takes: a few milliseconds."""

GONE = ""
"""The project of runs that are being deleted, which takes many steps. No user's has this name."""


async def delete_messages(tx: Connection, before_ns: int) -> int:
    """Delete messages sent before `before_ns`."""
    rows = await tx.rows(
        "DELETE FROM message WHERE message_id IN"
        " (SELECT message_id FROM message WHERE sent_ns < :before ORDER BY sent_ns LIMIT :step)"
        " RETURNING project, swarm_id, received_ns AS at_ns",
        {"before": before_ns, "step": STEP},
    )
    await _note(tx, "messages", rows)
    return len(rows)


async def delete_samples(tx: Connection, before_ns: int) -> int:
    """Delete resource samples taken before `before_ns`."""
    rows = await tx.rows(
        "DELETE FROM resource_sample WHERE sample_id IN"
        " (SELECT sample_id FROM resource_sample WHERE project IN (SELECT project FROM project)"
        "  AND at_ns < :before LIMIT :step) RETURNING project, '' AS swarm_id, at_ns",
        {"before": before_ns, "step": STEP},
    )
    await _note(tx, "samples", rows)
    return len(rows)


async def forget_message_latencies(tx: Connection, before_ns: int) -> int:
    """Take the latencies of messages, which are kept no longer, out of the measures of runs."""
    rows = await tx.rows(
        "UPDATE run_measure SET transfers = NULL, coordinations = NULL WHERE (run_id, ended_ns) IN"
        " (SELECT run_id, ended_ns FROM run_measure WHERE project IN (SELECT project FROM project)"
        "  AND ended_ns < :before AND (transfers IS NOT NULL OR coordinations IS NOT NULL) LIMIT :step)"
        " RETURNING project, swarm_id, ended_ns AS at_ns",
        {"before": before_ns, "step": STEP},
    )
    await _note(tx, "messages", rows)
    return len(rows)


async def delete_run_parts(tx: Connection, before_ns: int) -> int:
    """Delete from the run that ended first, before `before_ns`, or that is being deleted already: some of its tasks
    with all that hangs on them, and itself once it has none."""
    run = await tx.row("SELECT run_id FROM run WHERE project = :gone LIMIT 1", {"gone": GONE})
    run = run or await _take_away(tx, before_ns)
    if run is None:
        return 0
    tasks = await tx.rows(
        "SELECT task_id FROM task WHERE run_id = :run_id LIMIT :step", {"run_id": run["run_id"], "step": STEP // 10}
    )
    if tasks:
        await tx.rows(
            "DELETE FROM task WHERE task_id IN (SELECT value FROM json_each(:ids))",
            {"ids": as_json([row["task_id"] for row in tasks])},
        )
        return len(tasks)
    for table in ("event", "usage", "message"):
        gone = await tx.rows(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE run_id = :run_id LIMIT :step)"
            " RETURNING 1",
            {"run_id": run["run_id"], "step": STEP},
        )
        if gone:
            return len(gone)
    await tx.rows("DELETE FROM run WHERE run_id = :run_id", {"run_id": run["run_id"]})
    return 1


async def _take_away(tx: Connection, before_ns: int) -> Row | None:
    """Take the run that ended first, before `before_ns`, from its project: nobody is to see, or retry, a part of it."""
    run = await tx.row(
        "SELECT run_id, project, swarm_id, kind, finished_ns AS at_ns FROM run"
        " WHERE project IN (SELECT project FROM project) AND finished_ns < :before ORDER BY finished_ns LIMIT 1",
        {"before": before_ns},
    )
    if run is None:
        return None
    if run["kind"] != RunKind.CALIBRATION:
        await _note(tx, "runs", [run])
    await tx.rows(
        "INSERT INTO project (project, created_ns) VALUES (:gone, :at) ON CONFLICT DO NOTHING",
        {"gone": GONE, "at": run["at_ns"]},
    )
    await tx.rows("UPDATE run SET project = :gone WHERE run_id = :run_id", {"gone": GONE, "run_id": run["run_id"]})
    return run


async def delete_events(tx: Connection, before_ns: int) -> int:
    """Delete what happened to swarms and agents, outside of any run, before `before_ns`. No figure counts it."""
    rows = await tx.rows(
        # The oldest are looked at, not all: how young the others are can only be told row by row.
        "DELETE FROM event WHERE event_id IN"
        " (SELECT event_id FROM event WHERE run_id IS NULL ORDER BY event_id LIMIT :step)"
        " AND at_ns < :before RETURNING 1",
        {"before": before_ns, "step": STEP},
    )
    return len(rows)


async def _note(tx: Connection, what: str, rows: Sequence[Row]) -> None:
    """Note that rows about these moments (`at_ns`; None: about none that a figure counts) are gone."""
    latest: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["at_ns"] is not None:
            key = (row["project"], row["swarm_id"])
            latest[key] = max(row["at_ns"], latest.get(key, 0))
    await tx.many(
        "INSERT INTO forgotten (project, swarm_id, what, until_ns) VALUES (:project, :swarm_id, :what, :at)"
        " ON CONFLICT DO UPDATE SET until_ns = MAX(until_ns, excluded.until_ns)",
        [
            {"project": project, "swarm_id": swarm_id, "what": what, "at": at_ns}
            for (project, swarm_id), at_ns in latest.items()
        ],
    )
