"""Puts the parts together; the only place that knows all of them.

`open_app` gives an `App` for as long as its `async with` lasts. Layers that only some calls need (SPARC, backends,
their libraries) are imported with the first such call, so that a memory command in the shell stays fast.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from swarmtally.analysis import Analysis
from swarmtally.backing import Backing
from swarmtally.core import patience
from swarmtally.core.memory import Memory
from swarmtally.core.swarms import Swarms
from swarmtally.domain.clock import Clock, SystemClock
from swarmtally.domain.errors import InvalidInput, SwarmError
from swarmtally.domain.ids import NewId, id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import HOST, NewRun, RunKind
from swarmtally.domain.swarm import Swarm
from swarmtally.domain.topology import Shape
from swarmtally.requests import SparcRequest, Started
from swarmtally.settings import Settings
from swarmtally.store.database import Database, open_database

if TYPE_CHECKING:
    from swarmtally.assessing import Assessing
    from swarmtally.core.bookkeeping import Bookkeeper
    from swarmtally.core.dryrun import DryRun
    from swarmtally.core.handles import Handles
    from swarmtally.core.packets import Packets
    from swarmtally.core.published import Published
    from swarmtally.core.runs import Runs
    from swarmtally.core.sizing import Experience
    from swarmtally.domain.task import NewTask
    from swarmtally.expectations import Expectations
    from swarmtally.insight.balancing import Balance, Wanted
    from swarmtally.predicting import Predicting
    from swarmtally.preparing import Prepared
    from swarmtally.reading import LogReading
    from swarmtally.sparc.modes import ModeCatalog
    from swarmtally.sparc.queue import QueuedTask
    from swarmtally.training import Training


class App:
    """The operations that tools call, over one database, for one project."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, new_id: NewId, retry: RetryPolicy, group: TaskGroup
    ) -> None:
        self.settings = settings
        self.database = database
        self.clock = clock
        self.swarms = Swarms(database, clock, new_id, settings.project)
        self.memory = Memory(database, clock)
        self.backing = Backing(settings)
        self.analysis = Analysis(database, clock, settings.project, self.books, self.backing.reach)
        self._new_id = new_id
        self._retry = retry
        self._group = group
        self._runs: Runs | None = None
        self._packets: Packets | None = None
        self._published: Published | None = None
        self._catalog: ModeCatalog | None = None
        self._books: Bookkeeper | None = None
        self._keeping_books = False
        self._assessing: Assessing | None = None
        self._predicting: Predicting | None = None
        self._handles: Handles | None = None

    def beside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have `work`, which raises nothing, done while the app is open."""
        self._group.start_soon(work)

    async def catalog(self) -> "ModeCatalog":
        """The SPARC modes: built in, the user's, the project's."""
        if self._catalog is None:
            from swarmtally.sparc.modes import ModeCatalog

            self._catalog = await anyio.to_thread.run_sync(ModeCatalog.load, self.settings.project_root)
        return self._catalog

    async def runs(self) -> "Runs":
        """The project's runs; with the first use the scheduler starts in the background."""
        if self._runs is None:
            from swarmtally.core import owner
            from swarmtally.core.attempt import Workshop
            from swarmtally.core.resources import ResourceProbe
            from swarmtally.core.runs import Runs
            from swarmtally.core.sampling import Sampler
            from swarmtally.core.scheduler import Scheduler
            from swarmtally.expectations import ForesightedPlanner
            from swarmtally.sparc.packing import ContextPacker
            from swarmtally.sparc.plan import SparcPlanner
            from swarmtally.sparc.shelf import FolderShelf
            from swarmtally.telemetry import tracing

            catalog = await self.catalog()
            shop = Workshop(
                self.database,
                self.clock,
                ContextPacker(catalog),
                ForesightedPlanner(SparcPlanner(catalog), self._expectations()),
                self._retry,
                SystemRandom().random,
                tracing=tracing(),
            )
            scheduler = Scheduler(shop, FolderShelf(), self._new_id)
            with shop.tracing.apart():
                self._group.start_soon(scheduler.run)
                self._keep_books()
            this_process, probe = await anyio.to_thread.run_sync(lambda: (owner.this_process(), ResourceProbe()))
            sampler = Sampler(self.database, self.clock, scheduler, self.settings.project, this_process, probe)
            with shop.tracing.apart():
                self._group.start_soon(sampler.run)
            self._runs = Runs(
                self.database,
                self.clock,
                self._new_id,
                self.settings.project,
                this_process,
                scheduler,
                self.backing.open,
            )
        return self._runs

    async def packets(self) -> "Packets":
        """The packets of the project's host-driven runs."""
        if self._packets is None:
            from swarmtally.core.packets import Packets
            from swarmtally.expectations import ForesightedPlanner
            from swarmtally.sparc.packing import ContextPacker
            from swarmtally.sparc.plan import SparcPlanner
            from swarmtally.sparc.shelf import FolderShelf

            catalog = await self.catalog()
            self._keep_books()
            self._packets = Packets(
                self.database,
                self.clock,
                self._new_id,
                self.settings.project,
                ContextPacker(catalog),
                ForesightedPlanner(SparcPlanner(catalog), self._expectations()),
                FolderShelf(),
            )
        return self._packets

    def published(self) -> "Published":
        """What the project holds, by address."""
        if self._published is None:
            from swarmtally.core.published import Published

            self._published = Published(self.database, self.clock, self.settings.project)
        return self._published

    def training(self) -> "Training":
        """Who trains the project's models."""
        from swarmtally.training import Training

        return Training(self.database, self.clock, self.settings.project, self.books().close)

    def predicting(self) -> "Predicting":
        """Who asks them; one, which keeps what it has read."""
        if self._predicting is None:
            from swarmtally.predicting import Predicting

            self._predicting = Predicting(self.database, self.clock, self.settings.project, self.books().close)
        return self._predicting

    async def experience(self) -> "Experience":
        """What the project's history says of how many agents pay."""
        from swarmtally.experience import experience

        return await experience(self.predicting())

    def _expectations(self) -> "Expectations":
        """Who says how long tasks are expected to take."""
        from swarmtally.expectations import Expectations

        return Expectations(self.database, self.clock, self.settings.project, self.predicting())

    def assessing(self) -> "Assessing":
        """Who measures the quality of code."""
        if self._assessing is None:
            from swarmtally.assessing import Assessing

            self._assessing = Assessing(self.database, self.clock, self.settings)
        return self._assessing

    async def log_reading(self) -> "LogReading":
        """Who reads logs: in a shell any file its user names, else those inside the allowed roots."""
        from swarmtally.reading import LogReading
        from swarmtally.sparc.roots import allowed_roots

        settings = self.settings
        if settings.front == "shell":
            return LogReading(self.database, self.clock, settings.project, Path(), None)
        roots = await anyio.to_thread.run_sync(allowed_roots, settings.project_root, settings.allow)
        folder = settings.project_root or Path()
        return LogReading(self.database, self.clock, settings.project, folder, roots)

    def books(self) -> "Bookkeeper":
        """Who measures runs that ended."""
        if self._books is None:
            from swarmtally.core.bookkeeping import Bookkeeper

            self._books = Bookkeeper(self.database, self.clock, self.settings.retention)
        return self._books

    def _keep_books(self) -> None:
        """Measure what ends, and delete what is kept no longer, in the background: where work is executed or handed
        out, and not where somebody only reads a report."""
        if not self._keeping_books:
            self._keeping_books = True
            self._group.start_soon(self.books().run)

    async def calibrate(self, calls: int) -> Started:
        """Begin a run of that many calls, one after another, on the model in use.

        Raises:
            InvalidInput: clients do the work, or it is the swarm's strategy that no agent can.
        """
        from swarmtally.sparc.calibration import MODE, plan_calibration

        catalog = await self.catalog()
        swarm, made = await self.swarms.find_or_make(None)
        choice = await anyio.to_thread.run_sync(self.backing.choose, self.settings.model or swarm.model)
        if choice.name == HOST:
            raise InvalidInput("the client does the work, whose calls are not ours to time; name a model with --model")
        new = NewRun(
            RunKind.CALIBRATION, f"{calls} calls, one after another", (), None, choice, Shape.SOLO, "timed alone"
        )
        runs = await self.runs()
        run_id = await runs.start(new, plan_calibration(catalog, calls), swarm, [catalog.get(MODE).role])
        return Started(run_id, swarm, made, host_driven=False)

    async def adopt(self) -> None:
        """Take over the project's interrupted runs of this process's own model, now and whenever there is one.

        Raises:
            SwarmError: this process has no model to execute runs with.
        """
        choice = await anyio.to_thread.run_sync(self.backing.choose, None)
        await (await self.runs()).keep_adopting(choice)

    async def pause_held(self, why: str) -> list[str]:
        """Pause the runs that this process executes; returns their ids."""
        return [] if self._runs is None else await self._runs.pause_held(why)

    async def start(self, request: SparcRequest) -> Started:
        """Plan a run, write it and begin to execute it.

        Raises:
            SwarmError: something about the request is wrong, or nothing can do the work; nothing is started.
        """
        from swarmtally.sparc.plan import initial_shape

        found = await self.swarms.find_current(request.swarm_id)
        ready = await self._prepared(request, found)
        runs = await self.runs()
        swarm, made = await self.swarms.find_or_make(found.swarm_id if found else None)
        shape, why = initial_shape(swarm.topology, request.kind, len(request.modes) * len(request.tasks))
        new = replace(ready.new, shape=shape, shape_reason=why)
        plan = await self._expectations().of_run(ready.plan, new, swarm, ready.info)
        run_id = await runs.start(new, plan, swarm, ready.roles)
        self._group.start_soon(self.predicting().foresee, run_id)
        return Started(run_id, swarm, made, ready.info is None, ready.note)

    async def dry_run(self, request: SparcRequest) -> "DryRun":
        """Plan a run, pack and estimate what is known of it; nothing is stored, started or called.

        Raises:
            SwarmError: as `start`.
        """
        from swarmtally.core.dryrun import DryRun, estimated
        from swarmtally.sparc.packing import ContextPacker

        found = await self.swarms.find_current(request.swarm_id)
        ready = await self._prepared(request, found)
        packer = ContextPacker(await self.catalog())
        tasks = await estimated(self.database, packer, ready.new, ready.plan, ready.info, ready.room.size_bytes)
        swarm_id = found.swarm_id if found else None
        return DryRun(ready.new, self.settings.project, swarm_id, ready.info, tasks, ready.note)

    async def _prepared(self, request: SparcRequest, swarm: Swarm | None) -> "Prepared":
        """What a request for the swarm, or for one yet to be made, comes to; nothing is changed."""
        from swarmtally.preparing import planned, prepare
        from swarmtally.sparc.roots import allowed_roots
        from swarmtally.sparc.shelf import resolve_out_dir

        settings = self.settings
        modes, tasks = planned(await self.catalog(), request)
        out_dir = request.out_dir
        if out_dir is not None:
            roots = await anyio.to_thread.run_sync(allowed_roots, settings.project_root, settings.allow)
            out_dir = str(await anyio.to_thread.run_sync(resolve_out_dir, out_dir, roots))
        choice = await anyio.to_thread.run_sync(self.backing.choose, request.model or (swarm.model if swarm else None))
        info = None if choice.name == HOST else (await self.backing.open(choice)).info
        return await prepare(request, modes, tasks, choice, info, out_dir)

    async def plan_queue(self, queue: Sequence["QueuedTask"]) -> "tuple[NewTask, ...]":
        """The tasks of a queue, ready to be dispatched.

        Raises:
            SwarmError: a task says not what to do, or no mode fits its role.
        """
        from swarmtally.sparc.queue import plan_queue

        return plan_queue(await self.catalog(), queue)

    async def balance(self, swarm_id: str | None, wanted: Sequence["Wanted"]) -> "Balance":
        """Which agent of the named or current swarm takes which task when; nothing is changed.

        Raises:
            SwarmError: something about the tasks is wrong, or there is no swarm or agent for them.
        """
        swarm = await self.swarms.find(swarm_id)
        try:
            choice = await anyio.to_thread.run_sync(self.backing.choose, swarm.model)
        except SwarmError:
            choice = None  # a plan needs nobody who does the work
        expected = await self._expectations().of_queue(wanted, swarm, choice)
        return await self.analysis.balance(swarm, wanted, expected)

    async def dispatch(self, swarm: Swarm, queue: Sequence["NewTask"]) -> Started:
        """Start a run of `queue` in `swarm`.

        Raises:
            SwarmError: nothing can do the work; nothing is started.
        """
        from swarmtally.sparc.plan import initial_shape
        from swarmtally.sparc.queue import queue_title

        runs = await self.runs()
        choice = await anyio.to_thread.run_sync(self.backing.choose, swarm.model)
        shape, why = initial_shape(swarm.topology, RunKind.QUEUE, len(queue))
        new = NewRun(RunKind.QUEUE, queue_title(queue), (), None, choice, shape, why)
        info = None if choice.name == HOST else (await self.backing.open(choice)).info
        plan = await self._expectations().of_run(queue, new, swarm, info)
        run_id = await runs.start(new, plan, swarm, [task.role for task in queue])
        self._group.start_soon(self.predicting().foresee, run_id)
        return Started(run_id, swarm, made_swarm=False, host_driven=choice.name == HOST)

    def patience(self, wait_s: float) -> float | None:
        """How long a call waits for a run: as asked over MCP, where the server goes on with it; to its end in the
        shell, whose process is the one that executes it."""
        return patience.otherwise(None if self.settings.front == "shell" else wait_s)

    async def handles(self) -> "Handles":
        """The handles of calls that go on while their client asks how far they are."""
        if self._handles is None:
            from swarmtally.core import owner
            from swarmtally.core.handles import Handles

            this_process = await anyio.to_thread.run_sync(owner.this_process)
            self._keep_books()
            self._handles = Handles(self.database, self.clock, self.settings.project, this_process)
        return self._handles

    def in_background(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        """Run `function`, which never raises, until it returns or the app is let go."""
        self._group.start_soon(function, *arguments)


@asynccontextmanager
async def open_app(
    settings: Settings,
    clock: Clock | None = None,
    new_id: NewId | None = None,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
) -> AsyncIterator[App]:
    """An `App` over `settings.database`. When it closes, runs under way are let go and show as interrupted.

    Raises:
        StoreError: the database cannot be opened.
    """
    clock = clock or SystemClock()
    async with open_database(settings.database, clock) as database:
        failure: Exception | None = None
        app: App | None = None
        try:
            async with anyio.create_task_group() as group:
                app = App(settings, database, clock, new_id or id_factory(), retry, group)
                if settings.adopt:
                    group.start_soon(app.adopt)
                try:
                    yield app
                except Exception as error:  # noqa: BLE001 - raised below, outside the task group that would wrap it
                    failure = error
                group.cancel_scope.cancel()
        finally:
            # Only now: the calls under way have been cancelled, which the embedded model needs to end in order.
            if app is not None:
                with anyio.CancelScope(shield=True):
                    await app.backing.close()
        if failure is not None:
            raise failure
