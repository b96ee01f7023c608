"""Cancelling, pausing, resuming and retrying a run, from any process: each is one write transaction.

The process that executes the run sees what became of it within `scheduler.WATCH_S`: it stops the calls of a run that is
no longer its own, and starts no task of a paused one. Results of stopped calls are refused by the fence, because
cancelling moves the lease's epoch on.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from swarmtally.core import budgets, leases
from swarmtally.core.bookkeeping import measure_end
from swarmtally.core.leases import scope
from swarmtally.domain.budget import UNLIMITED, Budget
from swarmtally.domain.errors import InvalidInput, NotFound, RunFinished
from swarmtally.domain.run import HOST, Lease, Run, RunStatus
from swarmtally.domain.text import counted
from swarmtally.store import events, runs, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.events import Event

BY_REQUEST = "by request"


@dataclass(frozen=True, slots=True)
class Resumed:
    """What became of a run that goes on: `again` tasks are done again, and `lease` is the caller's when it has to
    execute the run from now on; None when a living process has it, or clients do its work."""

    again: int
    lease: Lease | None


class Resuming(Protocol):
    """`resume`, `adopt` or `retry`."""

    async def __call__(
        self, tx: Connection, project: str, run_id: str, owner: str, dead: AbstractSet[str], now_ns: int
    ) -> Resumed: ...


async def cancel(tx: Connection, project: str, run_id: str, now_ns: int) -> int:
    """Cancel every task of the run that has not ended; returns how many.

    Raises:
        NotFound: the project has no such run.
        RunFinished: nothing is left to cancel.
    """
    run = await _unfinished(tx, project, run_id, "cancel")
    cancelled = await tasks.cancel_all(tx, scope(run), "cancelled by request", now_ns)
    await usage.lose_open(tx, run_id, now_ns, usage.CANCELLED)
    await runs.take_lease(tx, run_id, run.lease_epoch, None, 0)
    await runs.finish(
        tx, run_id, RunStatus.CANCELLED, f"cancelled {BY_REQUEST}: {counted(cancelled, 'task')} had not ended", now_ns
    )
    await _tell(tx, run, "run.cancelled", BY_REQUEST, now_ns)
    return cancelled


async def pause(tx: Connection, project: str, run_id: str, reason: str, now_ns: int) -> bool:
    """Have no further task of the run start; those under way go on. False when it is paused already.

    Raises:
        NotFound, RunFinished: there is no such run, or nothing is left to pause.
    """
    run = await _unfinished(tx, project, run_id, "pause")
    if run.status is RunStatus.PAUSED:
        return False
    await runs.set_status(tx, run_id, RunStatus.PAUSED, f"paused {reason}")
    await _tell(tx, run, "run.paused", reason, now_ns)
    return True


async def resume(
    tx: Connection,
    project: str,
    run_id: str,
    owner: str,
    dead: AbstractSet[str],
    now_ns: int,
    budget: Budget = UNLIMITED,
) -> Resumed:
    """Go on with a paused or interrupted run, executed by `owner` where nobody else does; with a higher `budget`,
    where one is given.

    Raises:
        NotFound, RunFinished: there is no such run, or nothing is left to do.
        RunHeld: it is not paused, and a living process executes it.
        InvalidInput: it is not paused, and clients do its work; or its budget is to be higher.
    """
    run = await _unfinished(tx, project, run_id, "resume")
    await budgets.go_on(tx, run, budget)
    if run.status is RunStatus.PAUSED:
        await runs.set_status(tx, run_id, _going_on(run), None)
        await _tell(tx, run, "run.unpaused", BY_REQUEST, now_ns)
        if run.backend.name == HOST or not leases.is_free(run, dead, now_ns):
            return Resumed(0, None)
    elif run.backend.name == HOST:
        raise InvalidInput(f"run {run_id} is not paused; its work waits for clients: claim it with work_claim")
    return Resumed(0, await leases.take_over(tx, project, run_id, owner, dead, now_ns))


async def adopt(tx: Connection, project: str, run_id: str, owner: str, dead: AbstractSet[str], now_ns: int) -> Resumed:
    """Go on with a run that was interrupted, not with one that somebody has paused meanwhile.

    Raises:
        RunFinished, RunHeld, InvalidInput: another process or a user was faster.
    """
    run = await _unfinished(tx, project, run_id, "adopt")
    if run.status not in (RunStatus.QUEUED, RunStatus.RUNNING):
        raise InvalidInput(f"run {run_id} is {run.status}: it was not interrupted; go on with run_control resume")
    return Resumed(0, await leases.take_over(tx, project, run_id, owner, dead, now_ns))


async def retry(tx: Connection, project: str, run_id: str, owner: str, dead: AbstractSet[str], now_ns: int) -> Resumed:
    """Have the run's failed and cancelled tasks done again; what succeeded is never redone.

    Raises:
        NotFound: the project has no such run.
        InvalidInput: nothing of it failed or was cancelled.
    """
    run = await _get(tx, project, run_id)
    await measure_end(tx, run_id)
    again = await tasks.reset(tx, scope(run), now_ns)
    if not again:
        raise InvalidInput(f"run {run_id} has no failed or cancelled task; see it with run_status {run_id}")
    await runs.set_status(tx, run_id, _going_on(run), None)
    await _tell(tx, run, "run.retried", counted(again, "task"), now_ns)
    if run.backend.name == HOST or not leases.is_free(run, dead, now_ns):
        return Resumed(again, None)
    return Resumed(again, await leases.take_over(tx, project, run_id, owner, dead, now_ns))


def _going_on(run: Run) -> RunStatus:
    if run.backend.name == HOST:
        return RunStatus.WAITING_FOR_HOST
    return RunStatus.QUEUED if run.started_ns is None else RunStatus.RUNNING


async def _get(tx: Connection, project: str, run_id: str) -> Run:
    run = await runs.get(tx, project, run_id)
    if run is None:
        raise NotFound(f"project {project} has no run {run_id!r}; list them with run_status")
    return run


async def _unfinished(tx: Connection, project: str, run_id: str, verb: str) -> Run:
    run = await _get(tx, project, run_id)
    if run.status.final:
        raise RunFinished(run_id, run.status, verb)
    return run


async def _tell(tx: Connection, run: Run, kind: str, detail: str, now_ns: int) -> None:
    await events.record(tx, [Event(now_ns, kind, run.project, run.swarm_id, run.run_id, detail=detail)])
