"""The scheduler: one loop a process, woken by events, that records results and starts tasks.

Each turn is one write transaction: it records what came in since the last, finishes what is finished, and claims new
tasks for every free slot. Between turns nothing is polled, except that a process which holds runs looks every 100 ms
whether the database has changed, because agents are shared: with other processes, and with its own tools.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio
import structlog
from anyio.abc import TaskGroup

from swarmtally.core import leases, results, turns
from swarmtally.core.attempt import Workshop, attempt
from swarmtally.core.calls import Calls
from swarmtally.core.claims import Demand, HeldRun
from swarmtally.core.ports import Backend, Inputs, Shelf
from swarmtally.core.tracing import LET_GO, RunTrace
from swarmtally.core.turns import Given, Turn
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import StoreError, SwarmError
from swarmtally.domain.ids import NewId
from swarmtally.domain.run import HEARTBEAT_S, LEASE_NS, Lease, Run
from swarmtally.domain.task import Claim, Outcome
from swarmtally.domain.timekeeping import Part
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import artefacts, runs
from swarmtally.store.connection import Connection

log = structlog.get_logger(__name__)


AT_ONCE = 250
"""The most results one turn records, and the most tasks it starts for one backend: while the next turn is written,
those started already are worked on."""

WATCH_S = 0.1
"""How often others' writes are looked for while runs are held."""


@dataclass(slots=True)
class _Held:
    """A run this process holds, with what is under way for it."""

    held: HeldRun
    backend: Backend
    trace: RunTrace
    calls: dict[tuple[str, int], anyio.CancelScope] = field(default_factory=dict)
    """By task_id and number of the attempt."""
    shelving: bool = False


class Scheduler:
    """Runs the tasks of the runs this process holds. `run` is its loop; the others are called beside it."""

    def __init__(self, shop: Workshop, shelf: Shelf, new_id: NewId) -> None:
        self._shop = shop
        self._shelf = shelf
        self._new_id = new_id
        self._runs: dict[str, _Held] = {}
        self._outcomes: list[Outcome] = []
        self._busy: Counter[int] = Counter()
        self._touched: set[str] = set()
        self._unshelved: dict[str, str] = {}
        self._timers: set[int] = set()
        self._wake = anyio.Event()
        self._changed = anyio.Event()
        self._rested = anyio.Event()
        self._faults: dict[str, StoreError] = {}
        self._lost: set[str] = set()
        self._calls = Calls(self._call_ended)
        self._broken: BaseException | None = None

    def hold(self, run: Run, lease: Lease, backend: Backend) -> None:
        """Take a run whose lease is ours into the loop."""
        self._faults.pop(run.run_id, None)
        self._lost.discard(run.run_id)
        # It may be held from an earlier epoch that the loop has not seen end yet.
        self._drop(run.run_id)
        self._runs[run.run_id] = _Held(HeldRun(run, lease), backend, self._shop.tracing.run(run))
        self._touch(run.run_id)

    def holds(self, run_id: str) -> bool:
        return run_id in self._runs

    def lost(self, run_id: str) -> bool:
        """Whether we let go of the run without being able to say so in the database."""
        return run_id in self._lost

    def take_fault(self, run_id: str) -> StoreError | None:
        """Why we let go of the run, when the database could not be written any more; told once."""
        return self._faults.pop(run_id, None)

    def held(self) -> list[Lease]:
        """Our hold on each run of this process."""
        return [item.held.lease for item in self._runs.values()]

    def look(self) -> None:
        """Have the next turn see what this process has changed by itself, and whether runs are finished by that."""
        self._touched.update(self._runs)
        self._wake.set()

    def next_change(self) -> anyio.Event:
        """Set when this process has next changed or let go of a run; take it before reading what it may change."""
        return self._changed

    def next_rest(self) -> anyio.Event:
        """Set when this process has next let go of a run and holds no other."""
        return self._rested

    async def run(self) -> None:
        """The loop; ends by cancellation, after letting go of every run."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_leases)
                group.start_soon(self._watch)
                while True:
                    await self._next_turn(group)
        finally:
            with anyio.CancelScope(shield=True):
                await self._calls.aclose()
                await self._let_go()

    def _call_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._broken = error
            self._wake.set()

    async def _next_turn(self, group: TaskGroup) -> None:
        await self._wake.wait()
        self._wake = anyio.Event()
        if self._broken is not None:
            raise self._broken
        if self._runs or self._outcomes:
            with self._shop.database.timekeeper.time(Part.SCHEDULING):
                await self._take_turn(group)

    async def _take_turn(self, group: TaskGroup) -> None:
        outcomes, self._outcomes = self._outcomes[:AT_ONCE], self._outcomes[AT_ONCE:]
        # What the turn works on is what is held now: it runs in another thread.
        given = Given(outcomes, self._held(), self._touched, dict(self._unshelved), self._demands())
        self._touched = {outcome.claim.task.run_id for outcome in self._outcomes}
        if self._outcomes:
            self._wake.set()
        try:
            turn = await self._shop.database.write(lambda tx: turns.take(tx, given, self._new_id, self._shop.clock))
        except anyio.get_cancelled_exc_class():
            # Not recorded, or recorded already and refused the second time: `_let_go` keeps what came in.
            self._outcomes = outcomes + self._outcomes
            raise
        except StoreError as error:
            self._fail(error)
            return
        except Exception:
            # One result that cannot be recorded must fail its own task, not end every run of the process.
            log.exception("turn.failed", outcomes=len(outcomes))
            if not outcomes:
                raise
            await self._record_singly(outcomes)
            return
        self._follow(group, turn)

    def _follow(self, group: TaskGroup, turn: Turn) -> None:
        """Do what the turn decided."""
        self._shop.settled.tell()
        if len(turn.claims) >= AT_ONCE:
            self._wake.set()
        for claim in turn.claims:
            held = self._runs.get(claim.task.run_id)
            if held is not None and held.held.lease.epoch == claim.epoch:
                self._busy[id(held.backend)] += 1
                call = self._calls.start(self._work(held, claim, turn.inputs.get(claim.task.task_id)))
                held.calls[claim.task.task_id, claim.number] = call
        for lease, status in turn.finished:
            self._drop_hold(lease, status)
        for lease in turn.lost:
            self._drop_hold(lease)
        for run_id in turn.waiting:
            self._shelve_soon(group, run_id)
        if turn.due_ns is not None and turn.due_ns not in self._timers:
            self._timers.add(turn.due_ns)
            group.start_soon(self._wake_at, turn.due_ns)
        self._tell()

    async def _record_singly(self, outcomes: list[Outcome]) -> None:
        """Record each outcome on its own; one that cannot be becomes a failure of its task."""
        held = self._held()
        for outcome in outcomes:
            failed = replace(
                outcome,
                text=None,
                error="its result could not be recorded",
                retry_at_ns=None,
                following=None,
            )
            # What was spent is recorded with the failure, unless that is what cannot be.
            unknown = replace(failed, usage=TokenUsage(reason=failed.error))
            for each in (outcome, failed, unknown):
                try:
                    await self._shop.database.write(_recorder(held, each, self._shop.clock))
                    break
                except StoreError as error:
                    self._fail(error)
                    return
                except Exception:
                    log.exception("result.unrecorded", task_id=outcome.claim.task.task_id)
            self._touch(outcome.claim.task.run_id)
        self._shop.settled.tell()

    def _held(self) -> dict[str, HeldRun]:
        return {run_id: item.held for run_id, item in self._runs.items()}

    def _demands(self) -> list[Demand]:
        groups: dict[int, list[_Held]] = {}
        for item in self._runs.values():
            groups.setdefault(id(item.backend), []).append(item)
        return [
            Demand(tuple(item.held for item in group), min(AT_ONCE, info.max_parallel - self._busy[key]), info=info)
            for key, group in groups.items()
            if (info := group[0].backend.info).max_parallel > self._busy[key]
        ]

    async def _work(self, held: _Held, claim: Claim, inputs: Inputs | None) -> None:
        try:
            with self._shop.tracing.attempt(held.trace, claim) as trace:
                outcome = await attempt(self._shop, held.held.run, claim, held.backend, inputs)
                trace.came(outcome)
            # Looked up only now: each turn takes the list away and leaves a new one.
            self._outcomes.append(outcome)
        except StoreError as error:
            self._fail(error)
        finally:
            del held.calls[claim.task.task_id, claim.number]
            self._busy[id(held.backend)] -= 1
            self._touch(claim.task.run_id)

    def _touch(self, run_id: str) -> None:
        """Have the next turn look whether the run is finished."""
        self._touched.add(run_id)
        self._wake.set()

    def _shelve_soon(self, group: TaskGroup, run_id: str) -> None:
        held = self._runs.get(run_id)
        if held is not None and not held.shelving:
            held.shelving = True
            group.start_soon(self._shelve, held)

    async def _shelve(self, held: _Held) -> None:
        """Write the run's new artefacts to its out_dir."""
        run = held.held.run
        try:
            for artefact in await self._shop.database.read(lambda tx: artefacts.unwritten(tx, run.run_id)):
                path = await self._shelf.put(run, artefact)
                await self._shop.database.write(artefacts.path_setter(artefact.artefact_id, path))
        except StoreError as error:
            self._fail(error)
        except (SwarmError, OSError) as error:
            if self._runs.get(run.run_id) is held:
                self._unshelved[run.run_id] = f"files not written: {error}"
        finally:
            held.shelving = False
            self._touch(run.run_id)

    async def _wake_at(self, due_ns: int) -> None:
        await anyio.sleep(max(0, due_ns - self._shop.clock.now_ns()) / NS_PER_S)
        self._timers.discard(due_ns)
        self._wake.set()

    async def _watch(self) -> None:
        """Wake the loop when anybody has written: an agent may be idle again, or there is room for one."""
        seen = None
        while True:
            await anyio.sleep(WATCH_S)
            if not self._runs:
                continue
            try:
                now = await self._shop.database.changes()
            except StoreError as error:
                self._fail(error)
                continue
            if now != seen:
                seen = now
                self._wake.set()

    async def _keep_leases(self) -> None:
        while True:
            await anyio.sleep(HEARTBEAT_S)
            try:
                await self._renew()
            except StoreError as error:
                self._fail(error)

    async def _renew(self) -> None:
        """Renew our leases, stop what is no longer ours, and free what dead processes left behind."""
        held = self.held()
        if not held:
            return

        dead = await leases.dead_owners(self._shop.database)

        async def unit(tx: Connection) -> set[str]:
            now_ns = self._shop.clock.now_ns()
            ours = await runs.renew_leases(tx, held, now_ns + LEASE_NS)
            await leases.free_abandoned(tx, dead, ours, now_ns)
            return ours

        ours = await self._shop.database.write(unit)
        self._wake.set()  # a packet's lease may have ended, which nothing tells of
        for lease in held:
            # Those that ended while we asked are not ours any more, and need no warning.
            if lease.run_id not in ours and self._drop_hold(lease):
                log.warning("lease.lost", run_id=lease.run_id, epoch=lease.epoch)

    def _drop_hold(self, lease: Lease, outcome: str = LET_GO) -> bool:
        """Drop the run unless it has come back to us since, under a later epoch; whether it was dropped."""
        item = self._runs.get(lease.run_id)
        if item is None or item.held.lease.epoch != lease.epoch:
            return False
        self._drop(lease.run_id, outcome)
        return True

    def _drop(self, run_id: str, outcome: str = LET_GO) -> None:
        held = self._runs.pop(run_id, None)
        self._unshelved.pop(run_id, None)
        if held is not None:
            for call in list(held.calls.values()):
                call.cancel()
            held.trace.end(outcome)
        if not self._runs:
            self._rested.set()
            self._rested = anyio.Event()
        self._tell()

    def _fail(self, error: StoreError) -> None:
        """The database cannot be written: stop everything, so that nothing runs unrecorded; resume continues."""
        log.error("store.failed", error=str(error))
        self._faults |= dict.fromkeys(self._runs, error)
        self._lost.update(self._runs)
        self._outcomes.clear()
        for run_id in list(self._runs):
            self._drop(run_id)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _let_go(self) -> None:
        held = self._held()
        outcomes, self._outcomes = self._outcomes, []
        if not held and not outcomes:
            return

        async def unit(tx: Connection) -> None:
            now_ns = self._shop.clock.now_ns()
            # What came in before the end is kept; what was under way is lost and shows so.
            await results.record(tx, held, outcomes, now_ns)
            for item in held.values():
                await leases.give_up(tx, item.run, item.lease, now_ns)

        try:
            await self._shop.database.write(unit)
        except StoreError as error:
            log.error("store.failed", error=str(error))
        for item in self._runs.values():
            item.trace.end(LET_GO)
        self._runs.clear()
        self._tell()


def _recorder(held: dict[str, HeldRun], outcome: Outcome, clock: Clock) -> Callable[[Connection], Awaitable[int]]:
    async def unit(tx: Connection) -> int:
        return await results.record(tx, held, [outcome], clock.now_ns())

    return unit
