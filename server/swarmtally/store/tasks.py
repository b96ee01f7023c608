"""Tasks, their dependencies and attempts: inserting, claiming, finishing, and what follows from finishing.

Everything here runs inside a write transaction and works on sets: one statement for many tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmtally.domain import ids
from swarmtally.domain.task import Claim, NewTask, Outcome, Task, TaskStatus, remaining_paths, waits_for
from swarmtally.store import agents, events
from swarmtally.store.connection import Connection, Row, as_json
from swarmtally.store.events import Event


@dataclass(frozen=True, slots=True)
class RunScope:
    """The run that tasks belong to, as their events name it."""

    run_id: str
    project: str
    swarm_id: str

    def event(self, at_ns: int, kind: str, task_id: str, agent_id: str | None, detail: str | None = None) -> Event:
        return Event(at_ns, kind, self.project, self.swarm_id, self.run_id, task_id, agent_id, detail)


def _given(*names: str) -> str:
    """The FROM clause that reads `:given`, a JSON array of objects with these names, as rows."""
    columns = ", ".join(f"value ->> {name!r} AS {name}" for name in names)
    return f" FROM (SELECT {columns} FROM json_each(:given)) AS given"


async def insert(tx: Connection, scope: RunScope, tasks: Sequence[NewTask], now_ns: int) -> None:
    """Add tasks to a run; their dependencies may be among them or made earlier."""
    earlier = await tx.rows(
        "SELECT key, task_id, ordinal, status FROM task WHERE run_id = :run_id", {"run_id": scope.run_id}
    )
    first = max((row["ordinal"] for row in earlier), default=-1) + 1
    known = {row["key"]: row["task_id"] for row in earlier}
    known |= {task.key: ids.task_id(scope.run_id, first + offset) for offset, task in enumerate(tasks)}
    finished = {row["key"] for row in earlier if TaskStatus(row["status"]).final}
    paths = remaining_paths(tasks)
    rows = []
    for offset, task in enumerate(tasks):
        pending = sum(key not in finished for key in waits_for(task))
        rows.append(
            {
                "task_id": known[task.key],
                "run_id": scope.run_id,
                "ordinal": first + offset,
                "key": task.key,
                "phase": task.phase,
                "mode": task.mode,
                "role": task.role,
                "text": task.text,
                "priority": task.priority,
                "remaining_path": paths[task.key],
                "place": task.place,
                "expected_ns": task.expected_ns,
                "tolerates_failure": task.tolerates_failure,
                "expands": task.expands,
                "hub": task.hub,
                "status": TaskStatus.BLOCKED if pending else TaskStatus.READY,
                "pending": pending,
                "created_ns": now_ns,
                "ready_ns": None if pending else now_ns,
            }
        )
    await tx.many(
        "INSERT INTO task (task_id, run_id, ordinal, key, phase, mode, role, text, priority, remaining_path, place,"
        "                  expected_ns, tolerates_failure, expands, hub, status, pending, created_ns, ready_ns)"
        " VALUES (:task_id, :run_id, :ordinal, :key, :phase, :mode, :role, :text, :priority, :remaining_path, :place,"
        "         :expected_ns, :tolerates_failure, :expands, :hub, :status, :pending, :created_ns, :ready_ns)",
        rows,
    )
    await tx.many(
        "INSERT INTO dependency (task_id, depends_on, sees) VALUES (:task_id, :depends_on, :sees)",
        [
            {"task_id": known[task.key], "depends_on": known[key], "sees": sees}
            for task in tasks
            for key, sees in waits_for(task).items()
        ],
    )
    await events.record(tx, [scope.event(now_ns, f"task.{row['status']}", row["task_id"], None) for row in rows])


async def start_attempts(
    tx: Connection, scope: RunScope, epoch: int, pairs: Sequence[tuple[Task, str]], now_ns: int
) -> list[Claim]:
    """Set each (task, agent_id) running under the lease's epoch and number its attempt."""
    given = as_json([(task.task_id, agent_id) for task, agent_id in pairs])
    await tx.rows(
        "UPDATE task SET status = 'running', attempts = attempts + 1, agent_id = given.agent_id"
        " FROM (SELECT json_extract(value, '$[0]') AS task_id, json_extract(value, '$[1]') AS agent_id"
        "       FROM json_each(:given)) AS given"
        " WHERE task.task_id = given.task_id",
        {"given": given},
    )
    rows = await tx.rows(
        "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, ready_ns)"
        " SELECT json_extract(given.value, '$[0]'),"
        "        1 + COALESCE((SELECT MAX(number) FROM attempt"
        "                      WHERE attempt.task_id = json_extract(given.value, '$[0]')), 0),"
        "        :epoch, json_extract(given.value, '$[1]'), 'running', :now, task.ready_ns"
        " FROM json_each(:given) AS given JOIN task ON task.task_id = json_extract(given.value, '$[0]')"
        " WHERE true RETURNING task_id, number",
        {"given": given, "epoch": epoch, "now": now_ns},
    )
    numbers = {row["task_id"]: row["number"] for row in rows}
    await events.record(
        tx,
        [
            scope.event(now_ns, "task.running", task.task_id, agent_id, f"attempt {numbers[task.task_id]}")
            for task, agent_id in pairs
        ],
    )
    return [Claim(task, agent_id, numbers[task.task_id], epoch) for task, agent_id in pairs]


async def end_attempts(tx: Connection, outcomes: Sequence[Outcome], now_ns: int) -> set[tuple[str, int]]:
    """Record the outcomes whose fence still holds; returns (task_id, number) of those. The others change nothing."""
    given = [
        {
            "task_id": outcome.claim.task.task_id,
            "number": outcome.claim.number,
            "epoch": outcome.claim.epoch,
            "status": "failed" if outcome.text is None else "succeeded",
            "begun_ns": outcome.begun_ns,
            "started_ns": outcome.started_ns,
            "ended_ns": outcome.ended_ns,
            "exec_ns": outcome.exec_ns,
            "error": outcome.error,
            "cause": outcome.cause,
            "final": outcome.retry_at_ns is None,
        }
        for outcome in outcomes
    ]
    rows = await tx.rows(
        "UPDATE attempt SET status = given.status, started_ns = given.started_ns, ended_ns = given.ended_ns,"
        " exec_ns = given.exec_ns, error = given.error, begun_ns = given.begun_ns, cause = given.cause,"
        # Also where the clock was set back meanwhile: nothing ends before it begins.
        " final = given.final, committed_ns = MAX(:now, claimed_ns)"
        + _given(*given[0])
        + " WHERE attempt.task_id = given.task_id AND attempt.number = given.number"
        " AND attempt.epoch = given.epoch AND attempt.status = 'running'"
        " AND given.epoch = (SELECT run.lease_epoch FROM run JOIN task ON task.run_id = run.run_id"
        "                    WHERE task.task_id = given.task_id)"
        " RETURNING task_id, number",
        {"given": as_json(given), "now": now_ns},
    )
    return {(row["task_id"], row["number"]) for row in rows}


async def end_tasks(tx: Connection, scope: RunScope, outcomes: Sequence[Outcome], now_ns: int) -> None:
    """Move the outcomes' tasks on (their attempts were accepted) and settle whatever waits for them."""
    given: list[dict[str, str | int | None]] = []
    succeeded, failed = [], []
    for outcome in outcomes:
        task_id = outcome.claim.task.task_id
        waits = outcome.retry_at_ns is not None
        status = TaskStatus.SUCCEEDED if outcome.text is not None else TaskStatus.READY if waits else TaskStatus.FAILED
        if status is TaskStatus.SUCCEEDED:
            succeeded.append(task_id)
        elif status is TaskStatus.FAILED:
            failed.append(task_id)
        given.append(
            {
                "task_id": task_id,
                "status": status,
                "error": outcome.error,
                "not_before_ns": outcome.retry_at_ns or 0,
                "finished_ns": None if waits else now_ns,
            }
        )
    await tx.rows(
        "UPDATE task SET status = given.status, error = given.error, not_before_ns = given.not_before_ns,"
        " finished_ns = given.finished_ns,"
        " ready_ns = CASE given.status WHEN 'ready' THEN given.not_before_ns ELSE ready_ns END"
        + _given(*given[0])
        + " WHERE task.task_id = given.task_id",
        {"given": as_json(given)},
    )
    await events.record(
        tx,
        [
            scope.event(
                now_ns, f"task.{row['status']}", outcome.claim.task.task_id, outcome.claim.agent_id, outcome.error
            )
            for row, outcome in zip(given, outcomes, strict=True)
        ],
    )
    await _settle(tx, scope, succeeded, failed, now_ns)


async def _settle(tx: Connection, scope: RunScope, done: list[str], lost: list[str], now_ns: int) -> None:
    """Free or cancel the dependents of tasks that succeeded (`done`) or never will (`lost`), as far as it reaches."""
    while done or lost:
        cancelled = await _cancel_dependents(tx, scope, lost, now_ns)
        rows = await tx.rows(
            "UPDATE task SET pending = pending - ended.n"
            " FROM (SELECT task_id, COUNT(*) AS n FROM dependency"
            "       WHERE depends_on IN (SELECT value FROM json_each(:ended)) GROUP BY task_id) AS ended"
            " WHERE task.task_id = ended.task_id AND task.status = 'blocked'"
            " RETURNING task.task_id, task.pending",
            {"ended": as_json(done + lost)},
        )
        free = [row["task_id"] for row in rows if row["pending"] == 0]
        hopeless = await _without_success(tx, free) if free else []
        await _make_ready(tx, scope, [task_id for task_id in free if task_id not in hopeless], now_ns)
        cancelled += await _cancel(tx, scope, hopeless, "none of its dependencies succeeded", now_ns)
        done, lost = [], cancelled


async def _cancel_dependents(tx: Connection, scope: RunScope, lost: list[str], now_ns: int) -> list[str]:
    """Cancel blocked tasks that cannot do without a task in `lost`."""
    rows = await tx.rows(
        "UPDATE task SET status = 'cancelled', finished_ns = :now,"
        " error = (SELECT 'needs ' || other.key || ', which ' ||"
        "                 CASE other.status WHEN 'failed' THEN 'failed' ELSE 'was cancelled' END"
        "          FROM dependency JOIN task AS other ON other.task_id = dependency.depends_on"
        "          WHERE dependency.task_id = task.task_id AND NOT sees"
        "          AND other.task_id IN (SELECT value FROM json_each(:lost))"
        "          ORDER BY other.ordinal LIMIT 1)"
        " WHERE status = 'blocked' AND NOT tolerates_failure AND task_id IN"
        "   (SELECT task_id FROM dependency"
        "    WHERE depends_on IN (SELECT value FROM json_each(:lost)) AND NOT sees)"
        " RETURNING task_id, error",
        {"lost": as_json(lost), "now": now_ns},
    )
    return await _record_cancelled(tx, scope, rows, now_ns)


async def _cancel(tx: Connection, scope: RunScope, task_ids: list[str], reason: str, now_ns: int) -> list[str]:
    rows = await tx.rows(
        "UPDATE task SET status = 'cancelled', finished_ns = :now, error = :reason"
        " WHERE task_id IN (SELECT value FROM json_each(:ids)) RETURNING task_id, error",
        {"ids": as_json(task_ids), "reason": reason, "now": now_ns},
    )
    return await _record_cancelled(tx, scope, rows, now_ns)


async def _record_cancelled(tx: Connection, scope: RunScope, rows: Sequence[Row], now_ns: int) -> list[str]:
    await events.record(tx, [scope.event(now_ns, "task.cancelled", row["task_id"], None, row["error"]) for row in rows])
    return [row["task_id"] for row in rows]


async def _without_success(tx: Connection, task_ids: list[str]) -> list[str]:
    """Those of `task_ids` that have dependencies of which none succeeded."""
    rows = await tx.rows(
        "SELECT dependency.task_id FROM dependency JOIN task ON task.task_id = dependency.depends_on"
        " WHERE dependency.task_id IN (SELECT value FROM json_each(:ids)) AND NOT sees"
        " GROUP BY dependency.task_id HAVING SUM(task.status = 'succeeded') = 0",
        {"ids": as_json(task_ids)},
    )
    return [row["task_id"] for row in rows]


async def _make_ready(tx: Connection, scope: RunScope, task_ids: list[str], now_ns: int) -> None:
    await tx.rows(
        "UPDATE task SET status = 'ready', ready_ns = :now WHERE task_id IN (SELECT value FROM json_each(:ids))",
        {"ids": as_json(task_ids), "now": now_ns},
    )
    await events.record(tx, [scope.event(now_ns, "task.ready", task_id, None) for task_id in task_ids])


async def recover_lost(
    tx: Connection, scope: RunScope, now_ns: int, reason: str = "lease lost", only: str | None = None
) -> None:
    """Make the run's running tasks ready again (or the one named by `only`): whoever ran them lost the lease, or may
    not call. Not counted as attempts."""
    rows = await tx.rows(
        "UPDATE task SET status = 'ready', attempts = attempts - 1, ready_ns = :now, not_before_ns = 0"
        " WHERE run_id = :run_id AND status = 'running' AND (:only IS NULL OR task_id = :only)"
        " RETURNING task_id, agent_id",
        {"run_id": scope.run_id, "now": now_ns, "only": only},
    )
    lost = [row["task_id"] for row in rows]
    await _close_attempts(tx, lost, "lost", now_ns)
    await agents.release_from(tx, lost, now_ns)
    await events.record(
        tx, [scope.event(now_ns, "task.ready", row["task_id"], row["agent_id"], reason) for row in rows]
    )


async def _close_attempts(tx: Connection, task_ids: Sequence[str], status: str, now_ns: int) -> None:
    """Close what is under way or could still be reported: of a packet that was handed out again, only the newer."""
    await tx.rows(
        "UPDATE attempt SET status = :status, committed_ns = MAX(:now, claimed_ns)"
        " WHERE task_id IN (SELECT value FROM json_each(:ids)) AND status IN ('running', 'expired')"
        " AND number = (SELECT MAX(number) FROM attempt AS newer WHERE newer.task_id = attempt.task_id)",
        {"ids": as_json(task_ids), "status": status, "now": now_ns},
    )


async def cancel_all(tx: Connection, scope: RunScope, reason: str, now_ns: int) -> int:
    """Cancel every task of the run that has not ended, running ones too; returns how many."""
    rows = await tx.rows(
        "UPDATE task SET status = 'cancelled', finished_ns = :now, error = :reason"
        " WHERE run_id = :run_id AND finished_ns IS NULL RETURNING task_id, error",
        {"run_id": scope.run_id, "reason": reason, "now": now_ns},
    )
    cancelled = await _record_cancelled(tx, scope, rows, now_ns)
    await _close_attempts(tx, cancelled, "cancelled", now_ns)
    await agents.release_from(tx, cancelled, now_ns)
    return len(cancelled)


async def reset(tx: Connection, scope: RunScope, now_ns: int) -> int:
    """Have the run's failed and cancelled tasks done again, with fresh attempts; returns how many.

    What waits for them waits again, unless it has begun; what succeeded stays.
    """
    again = await tx.rows(
        "UPDATE task SET status = 'blocked', attempts = 0, not_before_ns = 0, error = NULL, finished_ns = NULL,"
        " ready_ns = NULL WHERE run_id = :run_id AND status IN ('failed', 'cancelled') RETURNING task_id",
        {"run_id": scope.run_id},
    )
    ready = await tx.rows(
        "SELECT task_id FROM task WHERE run_id = :run_id AND status = 'ready'", {"run_id": scope.run_id}
    )
    rows = await tx.rows(
        "UPDATE task SET pending = waits.n, status = CASE waits.n WHEN 0 THEN 'ready' ELSE 'blocked' END,"
        " ready_ns = CASE waits.n WHEN 0 THEN COALESCE(ready_ns, :now) END"
        " FROM (SELECT waiting.task_id, COUNT(other.task_id) AS n FROM task AS waiting"
        "       LEFT JOIN dependency ON dependency.task_id = waiting.task_id"
        "       LEFT JOIN task AS other ON other.task_id = dependency.depends_on AND other.finished_ns IS NULL"
        "       WHERE waiting.run_id = :run_id AND waiting.status IN ('blocked', 'ready')"
        "       GROUP BY waiting.task_id) AS waits"
        " WHERE task.task_id = waits.task_id RETURNING task.task_id, task.status",
        {"run_id": scope.run_id, "now": now_ns},
    )
    moved = {(row["task_id"], str(TaskStatus.BLOCKED)) for row in ready}
    moved |= {(row["task_id"], str(status)) for row in again for status in (TaskStatus.BLOCKED, TaskStatus.READY)}
    await events.record(
        tx,
        [
            scope.event(now_ns, f"task.{row['status']}", row["task_id"], None, "retried")
            for row in rows
            if (row["task_id"], row["status"]) in moved
        ],
    )
    return len(again)


async def roles_wanted(tx: Connection, run_id: str) -> list[str]:
    """The roles that the run's unfinished tasks want."""
    rows = await tx.rows(
        "SELECT DISTINCT role FROM task WHERE run_id = :run_id AND finished_ns IS NULL ORDER BY role",
        {"run_id": run_id},
    )
    return [row["role"] for row in rows]


async def counts(tx: Connection, run_ids: Sequence[str]) -> dict[str, dict[TaskStatus, int]]:
    """How many tasks of each run are in each state."""
    rows = await tx.rows(
        "SELECT run_id, status, COUNT(*) AS n FROM task"
        " WHERE run_id IN (SELECT value FROM json_each(:ids)) GROUP BY run_id, status",
        {"ids": as_json(run_ids)},
    )
    found: dict[str, dict[TaskStatus, int]] = {run_id: {} for run_id in run_ids}
    for row in rows:
        found[row["run_id"]][TaskStatus(row["status"])] = row["n"]
    return found


async def of_run(tx: Connection, run_id: str, limit: int, after: int = -1) -> list[Task]:
    """The run's tasks in order, those with an ordinal above `after`."""
    rows = await tx.rows(
        "SELECT * FROM task WHERE run_id = :run_id AND ordinal > :after ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "after": after, "limit": limit},
    )
    return [Task.from_row(row) for row in rows]


async def running(tx: Connection, run_id: str, limit: int) -> list[Task]:
    rows = await tx.rows(
        "SELECT * FROM task WHERE run_id = :run_id AND status = 'running' ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "limit": limit},
    )
    return [Task.from_row(row) for row in rows]


async def final_attempts(tx: Connection, task_ids: Sequence[str]) -> dict[str, Row]:
    """The last attempt of each task that has one."""
    rows = await tx.rows(
        "SELECT attempt.*, MAX(number) FROM attempt"
        " WHERE task_id IN (SELECT value FROM json_each(:ids)) GROUP BY task_id",
        {"ids": as_json(task_ids)},
    )
    return {row["task_id"]: row for row in rows}
