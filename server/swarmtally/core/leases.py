"""Taking, renewing and giving up the hold on runs.

A run is scheduled by the one process that holds its lease. Each change of hands raises the lease's epoch, makes what
was running ready again, frees its agents and closes its open calls as unknown, in one transaction; results that name
an older epoch are refused from then on.
"""

from collections.abc import Set as AbstractSet

import anyio.to_thread

from swarmtally.core import owner
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import NotFound, RunFinished, RunHeld
from swarmtally.domain.run import LEASE_NS, Lease, Run, RunStatus
from swarmtally.store import events, runs, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.tasks import RunScope


def scope(run: Run) -> RunScope:
    return RunScope(run.run_id, run.project, run.swarm_id)


async def dead_owners(database: Database) -> frozenset[str]:
    """The holders of unfinished runs whose process is gone. Looked up before a transaction, not inside it."""
    held = await database.read(runs.leased_unfinished)
    return await anyio.to_thread.run_sync(owner.dead_among, {run.lease_owner for run in held if run.lease_owner})


def is_free(run: Run, dead: AbstractSet[str], now_ns: int) -> bool:
    """Whether nobody holds the run any more: its lease ended, or its holder's process is gone."""
    return run.lease_expires_ns <= now_ns or run.lease_owner is None or run.lease_owner in dead


async def take_over(
    tx: Connection, project: str, run_id: str, new_owner: str, dead: AbstractSet[str], now_ns: int
) -> Lease:
    """Give an interrupted run to `new_owner`.

    Raises:
        NotFound: the project has no such run.
        RunFinished: nothing is left to do.
        RunHeld: another living process runs it.
    """
    run = await runs.get(tx, project, run_id)
    if run is None:
        raise NotFound(f"project {project} has no run {run_id!r}; list them with run_status")
    if run.status.final:
        raise RunFinished(run_id, run.status, "resume")
    if not is_free(run, dead, now_ns):
        raise RunHeld(run_id, run.lease_owner or "", (run.lease_expires_ns - now_ns) / NS_PER_S)
    lease = await _change_hands(tx, run, new_owner, now_ns + LEASE_NS, "run.resumed", now_ns)
    assert lease is not None, "the lease moved inside our own write transaction"
    return lease


async def give_up(tx: Connection, held: Run, lease: Lease, now_ns: int) -> None:
    """Let go of a run of ours, so that it shows as interrupted at once; nothing when it is no longer ours."""
    run = await runs.get(tx, held.project, held.run_id)
    if run is not None and run.lease_epoch == lease.epoch:
        await _change_hands(tx, run, None, 0, _let_go(run), now_ns)


async def free_abandoned(tx: Connection, dead: AbstractSet[str], executed: AbstractSet[str], now_ns: int) -> list[str]:
    """Let go of the runs whose process is gone, in any project: their agents must not stay busy for ever.

    `executed` are the runs of this process: their leases may have ended while the machine slept, and they go on.
    """
    freed = []
    for run in await runs.leased_unfinished(tx):
        if run.run_id not in executed and is_free(run, dead, now_ns):
            await _change_hands(tx, run, None, 0, _let_go(run), now_ns)
            freed.append(run.run_id)
    return freed


def _let_go(run: Run) -> str:
    """The event of a run that nobody holds any more; a paused one stays paused."""
    return "run.let_go" if run.status is RunStatus.PAUSED else "run.interrupted"


async def _change_hands(
    tx: Connection, run: Run, new_owner: str | None, expires_ns: int, event: str, now_ns: int
) -> Lease | None:
    lease = await runs.take_lease(tx, run.run_id, run.lease_epoch, new_owner, expires_ns)
    if lease is not None:
        await tasks.recover_lost(tx, scope(run), now_ns)
        await usage.lose_open(tx, run.run_id, now_ns)
        await events.record(
            tx,
            [events.Event(now_ns, event, run.project, run.swarm_id, run.run_id, detail=f"epoch {lease.epoch}")],
        )
    return lease
