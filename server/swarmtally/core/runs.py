"""Runs as callers see them: started, resumed, watched, shown."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import structlog

from swarmtally.core import control, leases
from swarmtally.core.foresight import in_order
from swarmtally.core.leases import scope
from swarmtally.core.ports import Backend
from swarmtally.core.run_states import Counts, Progress, RunState, task_state
from swarmtally.core.scheduler import WATCH_S, Scheduler
from swarmtally.core.spawning import serve_roles
from swarmtally.domain.budget import UNLIMITED, Budget
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import InvalidInput, NotFound, StoreError, SwarmError
from swarmtally.domain.ids import NewId
from swarmtally.domain.run import HEARTBEAT_S, HOST, LEASE_NS, BackendChoice, Lease, NewRun, Run, RunStatus
from swarmtally.domain.swarm import Strategy, Swarm
from swarmtally.domain.task import NewTask
from swarmtally.store import artefacts, budgets, events, messages, packets, runs, swarms, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.events import Event

log = structlog.get_logger(__name__)

LISTED = 100
"""The most tasks or artefacts one answer names."""

OnProgress = Callable[[Progress], Awaitable[None]]
OpenBackend = Callable[[BackendChoice], Awaitable[Backend]]


class Runs:
    """The runs of one project. Those started or resumed here are executed by this process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        new_id: NewId,
        project: str,
        owner: str,
        scheduler: Scheduler,
        open_backend: OpenBackend,
    ) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._project = project
        self._owner = owner
        self._scheduler = scheduler
        self._open_backend = open_backend

    async def start(self, new: NewRun, plan: Sequence[NewTask], swarm: Swarm, roles: Sequence[str]) -> str:
        """Write the run with its known tasks in one transaction and begin to execute it; returns its id.

        `roles` are those the run will want, later tasks included: a specialized swarm gets or refuses them now.

        Raises:
            RoleMissing: a specialized swarm cannot serve a role; nothing is started.
            SwarmError: the backend cannot be opened; nothing is started.
        """
        backend = None if new.backend.name == HOST else await self._open_backend(new.backend)
        plan = await in_order(plan, min(swarm.max_agents, backend.info.max_parallel) if backend else swarm.max_agents)
        now_ns = self._clock.now_ns()
        run = Run(
            run_id=self._new_id("r"),
            project=self._project,
            swarm_id=swarm.swarm_id,
            kind=new.kind,
            task=new.task,
            context=new.context,
            out_dir=new.out_dir,
            backend=new.backend,
            status=RunStatus.QUEUED if backend else RunStatus.WAITING_FOR_HOST,
            reason=None,
            shape=new.shape,
            shape_reason=new.shape_reason,
            created_ns=now_ns,
            started_ns=None,
            finished_ns=None,
            lease_owner=self._owner if backend else None,
            lease_epoch=1,
            lease_expires_ns=now_ns + LEASE_NS if backend else 0,
            budget=new.budget,
        )
        dead = await leases.dead_owners(self._database)
        executed = self._executed()

        async def unit(tx: Connection) -> None:
            await leases.free_abandoned(tx, dead, executed, now_ns)
            if swarm.strategy is Strategy.SPECIALIZED:
                await serve_roles(tx, swarm, roles, self._new_id, now_ns)
            await runs.insert(tx, run)
            await events.record(
                tx, [Event(now_ns, f"run.{run.status}", run.project, run.swarm_id, run.run_id, detail=run.kind)]
            )
            await tasks.insert(tx, scope(run), plan, now_ns)

        try:
            await self._database.write(unit)
        except anyio.get_cancelled_exc_class():
            # It may have been committed, and then somebody has to have it; else the scheduler's next turn drops it.
            self._execute(run, backend)
            raise
        self._execute(run, backend)
        return run.run_id

    def _execute(self, run: Run, backend: Backend | None) -> None:
        if backend is not None:
            self._scheduler.hold(run, Lease(run.run_id, run.lease_epoch, self._owner), backend)

    def _executed(self) -> set[str]:
        return {lease.run_id for lease in self._scheduler.held()}

    async def cancel(self, run_id: str) -> int:
        """Cancel what has not ended of a run, whoever executes it; see `control.cancel`."""
        now_ns = self._clock.now_ns
        cancelled = await self._database.write(lambda tx: control.cancel(tx, self._project, run_id, now_ns()))
        self._scheduler.look()
        return cancelled

    async def pause(self, run_id: str) -> bool:
        """Have no further task of a run start, whoever executes it; see `control.pause`."""
        return await self._database.write(
            lambda tx: control.pause(tx, self._project, run_id, control.BY_REQUEST, self._clock.now_ns())
        )

    async def pause_held(self, reason: str) -> list[str]:
        """Pause the unfinished runs that this process executes; returns their ids."""
        held = self._scheduler.held()

        async def unit(tx: Connection) -> list[str]:
            paused = []
            for lease in held:
                if await runs.still_held(tx, [lease]):
                    await control.pause(tx, self._project, lease.run_id, reason, self._clock.now_ns())
                    paused.append(lease.run_id)
            return paused

        return await self._database.write(unit)

    async def resume(self, run_id: str, budget: Budget = UNLIMITED) -> None:
        """Go on with a paused or interrupted run; in this process, with the backend it began with, unless a living
        process holds it or clients do its work. See `control.resume`."""
        await self._go_on(run_id, partial(control.resume, budget=budget))

    async def retry(self, run_id: str) -> int:
        """Have a run's failed and cancelled tasks done again, where `resume` would go on with it; returns how many.
        See `control.retry`."""
        return (await self._go_on(run_id, control.retry)).again

    async def _go_on(self, run_id: str, how: control.Resuming) -> control.Resumed:
        dead = await leases.dead_owners(self._database)
        # Where we let go of it because the database could not be written, the file still names this process.
        gone = dead | {self._owner} if self._scheduler.lost(run_id) else dead
        found = await self.get(run_id)
        backend = None
        if found.backend.name != HOST and leases.is_free(found, gone, self._clock.now_ns()):
            # Opened before anything is changed: where that fails, nothing is.
            backend = await self._open_backend(found.backend)

        executed = self._executed() | {run_id}
        done: list[tuple[control.Resumed, Run]] = []

        async def unit(tx: Connection) -> tuple[control.Resumed, Run]:
            now_ns = self._clock.now_ns()
            resumed = await how(tx, self._project, run_id, self._owner, gone, now_ns)
            run = await self._get(tx, run_id)
            if resumed.again:
                await self._serve_again(tx, run, now_ns)
            await leases.free_abandoned(tx, dead, executed, now_ns)
            done.append((resumed, run))
            return resumed, run

        try:
            resumed, run = await self._database.write(unit)
        except anyio.get_cancelled_exc_class():
            # As in `start`: it may have been committed.
            for resumed, run in done:
                if resumed.lease is not None and backend is not None:
                    self._scheduler.hold(run, resumed.lease, backend)
            raise
        if resumed.lease is not None:
            await self._hold(run, resumed.lease, backend)
        self._scheduler.look()
        return resumed

    async def _serve_again(self, tx: Connection, run: Run, now_ns: int) -> None:
        """Give a run that is retried what it was given at its start: its swarm may have changed since."""
        swarm = await swarms.get(tx, self._project, run.swarm_id)
        if swarm is None:
            raise InvalidInput(f"swarm {run.swarm_id} of run {run.run_id} was deleted; start a new run")
        if swarm.strategy is Strategy.SPECIALIZED:
            await serve_roles(tx, swarm, await tasks.roles_wanted(tx, run.run_id), self._new_id, now_ns)

    async def _hold(self, run: Run, lease: Lease, backend: Backend | None) -> None:
        """Execute a run whose lease is ours; when its backend cannot be opened, let go of it again."""
        try:
            self._scheduler.hold(run, lease, backend or await self._open_backend(run.backend))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._database.write(lambda tx: leases.give_up(tx, run, lease, self._clock.now_ns()))
            raise

    async def keep_adopting(self, choice: BackendChoice) -> None:
        """`adopt` now and every `HEARTBEAT_S`, until cancelled."""
        while True:
            try:
                await self.adopt(choice)
            except SwarmError as error:
                # A run that cannot be taken over now, or a locked database: the next time may do better.
                log.warning("adopt.failed", error=str(error))
            await anyio.sleep(HEARTBEAT_S)

    async def adopt(self, choice: BackendChoice) -> list[str]:
        """Take over the project's interrupted runs that `choice` executed before; returns their ids."""
        dead = await leases.dead_owners(self._database)
        found = await self._database.read(lambda tx: runs.to_execute(tx, self._project))
        taken = []
        for run in found:
            ours = self._scheduler.holds(run.run_id)
            if run.backend.same_model(choice) and not ours and leases.is_free(run, dead, self._clock.now_ns()):
                try:
                    await self._go_on(run.run_id, control.adopt)
                except StoreError:
                    raise
                except SwarmError as error:
                    # Another process or a user was faster, or its model cannot be had now.
                    log.warning("run.not_adopted", run_id=run.run_id, error=str(error))
                    continue
                log.info("run.adopted", run_id=run.run_id)
                taken.append(run.run_id)
        return taken

    async def get(self, run_id: str) -> Run:
        """The run.

        Raises:
            NotFound: the project has none of that id.
        """

        async def unit(tx: Connection) -> Run:
            return await self._get(tx, run_id)

        return await self._database.read(unit)

    async def _get(self, tx: Connection, run_id: str) -> Run:
        run = await runs.get(tx, self._project, run_id)
        if run is None:
            raise NotFound(f"project {self._project} has no run {run_id!r}; list them with run_status")
        return run

    async def newest(self, limit: int) -> list[tuple[Run, str, Counts]]:
        """The project's newest runs, each with its shown status and task counts."""
        dead = await leases.dead_owners(self._database)

        async def unit(tx: Connection) -> list[tuple[Run, str, Counts]]:
            found = await runs.newest(tx, self._project, limit)
            counts = await tasks.counts(tx, [run.run_id for run in found])
            return [(run, self._shown(run, dead), counts[run.run_id]) for run in found]

        return await self._database.read(unit)

    async def show(self, run_id: str, limit: int = LISTED) -> RunState:
        """Everything about a run, read from one consistent state."""
        dead = await leases.dead_owners(self._database)

        async def unit(tx: Connection) -> RunState:
            run = await self._get(tx, run_id)
            found = await tasks.of_run(tx, run_id, limit)
            task_ids = [task.task_id for task in found]
            last = await tasks.final_attempts(tx, task_ids)
            used = await usage.totals_of_tasks(tx, task_ids)
            return RunState(
                run=run,
                status=self._shown(run, dead),
                counts=(await tasks.counts(tx, [run_id]))[run_id],
                tasks=tuple(task_state(task, last.get(task.task_id), used.get(task.task_id)) for task in found),
                artefacts=tuple(await artefacts.of_run(tx, run_id, limit)),
                usage=await usage.totals(tx, run_id),
                messages=await messages.count(tx, run_id),
                abandoned=self._abandoned(run, dead),
                as_of_ns=self._clock.now_ns(),
                account=await budgets.account(tx, run_id) if run.budget else None,
            )

        return await self._database.read(unit)

    def _shown(self, run: Run, dead: frozenset[str]) -> str:
        # Ours goes on even where its lease ran out while the machine slept: the next heartbeat renews it.
        held = self._scheduler.holds(run.run_id)
        return str(run.status) if held else run.shown_status(self._clock.now_ns(), dead)

    def _abandoned(self, run: Run, dead: frozenset[str]) -> bool:
        return not self._scheduler.holds(run.run_id) and leases.is_free(run, dead, self._clock.now_ns())

    async def wait(self, run_id: str, timeout_s: float | None, on_progress: OnProgress | None = None) -> Progress:
        """Return when nothing more is to be waited for, at the latest after `timeout_s` (None: without limit).

        That is when the run has ended, was interrupted, is paused with nothing under way, or waits for a client.

        Raises:
            StoreError: this process executed the run and can no longer write the database.
        """
        shown: tuple[int, int, tuple[str, ...]] | None = None
        deadline = anyio.current_time() + (float("inf") if timeout_s is None else timeout_s)
        while True:
            ours, change, looked = self._scheduler.holds(run_id), self._scheduler.next_change(), anyio.current_time()
            progress = await self._progress(run_id, frozenset() if ours else await leases.dead_owners(self._database))
            state = (progress.ended, progress.known, tuple(task.task_id for task in progress.running))
            if on_progress is not None and state != shown:
                await on_progress(progress)
                shown = state
            fault = None if ours else self._scheduler.take_fault(run_id)
            if fault is not None and not progress.run.status.final:
                raise fault
            if progress.settled or anyio.current_time() >= deadline:
                return progress
            # Our scheduler tells of changes; a run of another process is looked at.
            with anyio.move_on_after(min(deadline - anyio.current_time(), HEARTBEAT_S if ours else WATCH_S)):
                await change.wait()
            await self._gather_changes(run_id, looked + WATCH_S)

    async def _gather_changes(self, run_id: str, until: float) -> None:
        """Wait until then, or until we let go of the run: thousands of changes a second are looked at together."""
        with anyio.move_on_at(until):
            while self._scheduler.holds(run_id):
                await self._scheduler.next_change().wait()

    async def _progress(self, run_id: str, dead: frozenset[str]) -> Progress:
        async def unit(tx: Connection) -> Progress:
            run = await self._get(tx, run_id)
            counts = (await tasks.counts(tx, [run_id]))[run_id]
            claimable = 0
            if run.status is RunStatus.WAITING_FOR_HOST:
                claimable = (await packets.outstanding(tx, [run_id], self._clock.now_ns())).ready
            return Progress(
                run=run,
                status=self._shown(run, dead),
                ended=sum(number for status, number in counts.items() if status.final),
                known=sum(counts.values()),
                running=tuple(await tasks.running(tx, run_id, LISTED)),
                claimable=claimable,
                abandoned=self._abandoned(run, dead),
            )

        return await self._database.read(unit)
