"""Tasks, their dependencies and attempts: inserting, claiming, finishing, and what follows from finishing.

Everything here runs inside a write transaction and works on sets: one statement for many tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from swarmtally.domain import ids
from swarmtally.domain.task import Claim, NewTask, Outcome, Task, TaskStatus, remaining_paths, waits_for
from swarmtally.store import agents, events
from swarmtally.store.connection import Connection, Row, as_json
from swarmtally.store.events import Event

INSERTED = 500
"""The most tasks whose rows are held at once while they are added: a plan may hold 10,000."""


@dataclass(frozen=True, slots=True)
class RunScope:
    """The run that tasks belong to, as their events name it."""

    run_id: str
    project: str
    swarm_id: str

    def event(self, at_ns: int, kind: str, task_id: str, agent_id: str | None, detail: str | None = None) -> Event:
        return Event(at_ns, kind, self.project, self.swarm_id, self.run_id, task_id, agent_id, detail)


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
    for begun in range(0, len(tasks), INSERTED):
        rows: list[tuple[Any, ...]] = []
        made: list[Event] = []
        for ordinal, task in enumerate(tasks[begun : begun + INSERTED], start=first + begun):
            task_id = known[task.key]
            pending = sum(key not in finished for key in waits_for(task))
            status = TaskStatus.BLOCKED if pending else TaskStatus.READY
            rows.append(
                (
                    *(task_id, scope.run_id, ordinal, paths[task.key], status, pending),
                    *(now_ns, None if pending else now_ns, *_planned(task)),
                )
            )
            made.append(scope.event(now_ns, f"task.{status}", task_id, None))
        await tx.insert(_INTO, rows)
        await events.record(tx, made)
    await tx.insert(
        "dependency (task_id, depends_on, sees)",
        [(known[task.key], known[key], sees) for task in tasks for key, sees in waits_for(task).items()],
    )


_PLANNED = (
    *("key", "phase", "mode", "role", "text", "priority", "tolerates_failure", "expands", "hub"),
    *("place", "expected_ns"),
)
_planned = attrgetter(*_PLANNED)
_INTO = f"task (task_id, run_id, ordinal, remaining_path, status, pending, created_ns, ready_ns, {', '.join(_PLANNED)})"


async def start_attempts(
    tx: Connection, scope: RunScope, epoch: int, pairs: Sequence[tuple[Task, str]], now_ns: int
) -> list[Claim]:
    """Set each (task, agent_id) running under the lease's epoch and number its attempt."""
    await tx.over(
        "given (task_id, agent_id)",
        [(task.task_id, agent_id) for task, agent_id in pairs],
        "UPDATE task SET status = 'running', attempts = attempts + 1, agent_id = given.agent_id FROM given"
        " WHERE task.task_id = given.task_id",
    )
    rows = await tx.over(
        "given (task_id, epoch, agent_id, ready_ns, now_ns)",
        [(task.task_id, epoch, agent_id, task.ready_ns, now_ns) for task, agent_id in pairs],
        "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, ready_ns)"
        " SELECT task_id, 1 + COALESCE((SELECT MAX(number) FROM attempt WHERE attempt.task_id = given.task_id), 0),"
        "        epoch, agent_id, 'running', now_ns, ready_ns FROM given"
        " WHERE true RETURNING task_id, number,"
        "   EXISTS (SELECT 1 FROM dependency WHERE dependency.task_id = attempt.task_id) AS waited",
    )
    begun = {row["task_id"]: (row["number"], bool(row["waited"])) for row in rows}
    await events.record(
        tx,
        [
            scope.event(now_ns, "task.running", task.task_id, agent_id, f"attempt {begun[task.task_id][0]}")
            for task, agent_id in pairs
        ],
    )
    return [Claim(task, agent_id, begun[task.task_id][0], epoch, begun[task.task_id][1]) for task, agent_id in pairs]


async def end_attempts(tx: Connection, outcomes: Sequence[Outcome], now_ns: int) -> set[tuple[str, int]]:
    """Record the outcomes whose fence still holds; returns (task_id, number) of those. The others change nothing."""
    rows = await tx.over(
        "given (run_id, task_id, number, epoch, status, begun_ns, started_ns, ended_ns, exec_ns, error, cause, final,"
        " now_ns)",
        [
            (
                *(each.claim.task.run_id, each.claim.task.task_id, each.claim.number, each.claim.epoch),
                "failed" if each.text is None else "succeeded",
                *(each.begun_ns, each.started_ns, each.ended_ns, each.exec_ns, each.error, each.cause),
                each.retry_at_ns is None,
                now_ns,
            )
            for each in outcomes
        ],
        "UPDATE attempt SET status = given.status, started_ns = given.started_ns, ended_ns = given.ended_ns,"
        " exec_ns = given.exec_ns, error = given.error, begun_ns = given.begun_ns, cause = given.cause,"
        # Also where the clock was set back meanwhile: nothing ends before it begins.
        " final = given.final, committed_ns = MAX(given.now_ns, claimed_ns) FROM given"
        " WHERE attempt.task_id = given.task_id AND attempt.number = given.number"
        " AND attempt.epoch = given.epoch AND attempt.status = 'running'"
        " AND given.epoch = (SELECT run.lease_epoch FROM run WHERE run.run_id = given.run_id)"
        " RETURNING task_id, number",
    )
    return {(row["task_id"], row["number"]) for row in rows}


async def end_tasks(tx: Connection, scope: RunScope, outcomes: Sequence[Outcome], now_ns: int) -> None:
    """Move the outcomes' tasks on (their attempts were accepted) and settle whatever waits for them."""
    given = []
    ended: list[Event] = []
    succeeded, failed = [], []
    for outcome in outcomes:
        task_id = outcome.claim.task.task_id
        waits = outcome.retry_at_ns is not None
        status = TaskStatus.SUCCEEDED if outcome.text is not None else TaskStatus.READY if waits else TaskStatus.FAILED
        if status is TaskStatus.SUCCEEDED:
            succeeded.append(task_id)
        elif status is TaskStatus.FAILED:
            failed.append(task_id)
        given.append((task_id, status, outcome.error, outcome.retry_at_ns or 0, None if waits else now_ns))
        ended.append(scope.event(now_ns, f"task.{status}", task_id, outcome.claim.agent_id, outcome.error))
    await tx.over(
        "given (task_id, status, error, not_before_ns, finished_ns)",
        given,
        "UPDATE task SET status = given.status, error = given.error, not_before_ns = given.not_before_ns,"
        " finished_ns = given.finished_ns,"
        " ready_ns = CASE given.status WHEN 'ready' THEN given.not_before_ns ELSE ready_ns END"
        " FROM given WHERE task.task_id = given.task_id",
    )
    await events.record(tx, ended)
    await _settle(tx, scope, succeeded, failed, now_ns)


async def _settle(tx: Connection, scope: RunScope, done: list[str], lost: list[str], now_ns: int) -> None:
    """Free or cancel the dependents of tasks that succeeded (`done`) or never will (`lost`), as far as it reaches."""
    while done or lost:
        cancelled = await _cancel_dependents(tx, scope, lost, now_ns) if lost else []
        rows = await tx.rows(
            "UPDATE task SET pending = pending - ended.n"
            " FROM (SELECT task_id, COUNT(*) AS n FROM dependency"
            "       WHERE depends_on IN (SELECT value FROM json_each(:ended)) GROUP BY task_id) AS ended"
            " WHERE task.task_id = ended.task_id AND task.status = 'blocked'"
            " RETURNING task.task_id, task.pending",
            {"ended": as_json(done + lost)},
        )
        free = [row["task_id"] for row in rows if row["pending"] == 0]
        if free:
            hopeless = await _without_success(tx, free)
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


async def ended_runs(tx: Connection, run_ids: Sequence[str]) -> list[str]:
    """Those of `run_ids` whose tasks have all ended."""
    rows = await tx.rows(
        "SELECT value AS run_id FROM json_each(:ids) AS given WHERE NOT EXISTS (SELECT 1 FROM task"
        " WHERE task.run_id = given.value AND task.status IN ('blocked', 'ready', 'running'))",
        {"ids": as_json(run_ids)},
    )
    return [row["run_id"] for row in rows]


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
