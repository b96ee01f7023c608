"""Deleting what is kept no longer: each function takes one small step and returns how many rows it took."""

from swarmtally.store.connection import Connection, as_json

STEP = 500
"""The most rows one step takes: a few milliseconds."""


async def delete_messages(tx: Connection, before_ns: int) -> int:
    """Delete messages sent before `before_ns`."""
    return len(
        await tx.rows(
            "DELETE FROM message WHERE message_id IN"
            " (SELECT message_id FROM message WHERE sent_ns < :before ORDER BY sent_ns LIMIT :step)"
            " RETURNING message_id",
            {"before": before_ns, "step": STEP},
        )
    )


async def delete_samples(tx: Connection, before_ns: int) -> int:
    """Delete resource samples taken before `before_ns`."""
    return len(
        await tx.rows(
            "DELETE FROM resource_sample WHERE sample_id IN"
            " (SELECT sample_id FROM resource_sample WHERE project IN (SELECT project FROM project)"
            "  AND at_ns < :before LIMIT :step) RETURNING sample_id",
            {"before": before_ns, "step": STEP},
        )
    )


async def forget_message_latencies(tx: Connection, before_ns: int) -> int:
    """Take the latencies of messages, which are kept no longer, out of the measures of runs."""
    return len(
        await tx.rows(
            "UPDATE run_measure SET transfers = NULL, coordinations = NULL WHERE (run_id, ended_ns) IN"
            " (SELECT run_id, ended_ns FROM run_measure WHERE project IN (SELECT project FROM project)"
            "  AND ended_ns < :before AND (transfers IS NOT NULL OR coordinations IS NOT NULL) LIMIT :step)"
            " RETURNING run_id",
            {"before": before_ns, "step": STEP},
        )
    )


async def delete_run_parts(tx: Connection, before_ns: int) -> int:
    """Delete from the run that ended first, before `before_ns`: some of its tasks with all that hangs on them, and
    itself once it has none."""
    run = await tx.row(
        "SELECT run_id FROM run WHERE project IN (SELECT project FROM project) AND finished_ns < :before"
        " ORDER BY finished_ns LIMIT 1",
        {"before": before_ns},
    )
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
        await tx.rows(f"DELETE FROM {table} WHERE run_id = :run_id", {"run_id": run["run_id"]})
    await tx.rows("DELETE FROM run WHERE run_id = :run_id", {"run_id": run["run_id"]})
    return 1
