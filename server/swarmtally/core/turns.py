"""What one turn of the scheduler does to the database: one write transaction."""

from dataclasses import dataclass, replace

from swarmtally.core import claims, results
from swarmtally.core.attempt import inputs_at_once
from swarmtally.core.claims import Demand, HeldRun
from swarmtally.core.ports import Inputs
from swarmtally.domain.clock import Clock
from swarmtally.domain.ids import NewId
from swarmtally.domain.run import Lease, RunStatus
from swarmtally.domain.task import Claim, Outcome
from swarmtally.store import packets, ready, runs
from swarmtally.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Given:
    """What one transaction works on."""

    outcomes: list[Outcome]
    held: dict[str, HeldRun]
    touched: set[str]
    """Runs that may be finished."""
    unshelved: dict[str, str]
    demands: list[Demand]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one transaction did."""

    claims: list[Claim]
    inputs: dict[str, Inputs]
    """By task_id, what the claimed tasks get, where that is not much; those not named read it themselves."""
    finished: list[tuple[Lease, RunStatus]]
    waiting: list[str]
    """Runs with artefacts that do not lie in their out_dir yet."""
    lost: list[Lease]
    """Those of runs that are not ours any more: cancelled, or taken over."""
    due_ns: int | None


async def take(tx: Connection, given: Given, new_id: NewId, clock: Clock) -> Turn:
    """Record what came in, finish what is finished, and claim tasks for every free slot."""
    now_ns = clock.now_ns()
    held = given.held
    await results.record(tx, held, given.outcomes, now_ns)
    checked = [held[run_id] for run_id in held if run_id in given.touched]
    finished, waiting = await results.finish_runs(tx, checked, given.unshelved, now_ns)
    # Agents of packets that nobody reported in time are ours to use again.
    await packets.expire(tx, now_ns)
    started: list[Claim] = []
    # Later than what was recorded: what is handed over now was not sent before.
    now_ns = max(now_ns, clock.now_ns())
    for demand in given.demands:
        left = tuple(item for item in demand.held if item.run.run_id not in finished)
        started += await claims.claim(tx, replace(demand, held=left), new_id, now_ns)
    due_ns = await ready.next_retry_ns(tx, list(held), now_ns)
    ours = await runs.still_held(tx, [item.lease for item in held.values()])
    lost = [item.lease for run_id, item in held.items() if run_id not in ours and run_id not in finished]
    inputs = await inputs_at_once(tx, started)
    return Turn(started, inputs, [(held[run_id].lease, finished[run_id]) for run_id in finished], waiting, lost, due_ns)
