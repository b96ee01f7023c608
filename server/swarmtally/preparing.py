"""What a request for a run comes to before it is started: its tasks, what does them, and what does not fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio.from_thread
import anyio.to_thread

from swarmtally.core import budgets
from swarmtally.core.attempt import room_of
from swarmtally.core.packets import ROOM
from swarmtally.core.ports import BackendInfo, Planner, Room
from swarmtally.domain.clock import Clock
from swarmtally.domain.ordering import ordered
from swarmtally.domain.run import BackendChoice, NewRun, Run, RunKind
from swarmtally.domain.task import Expansion, NewTask, Task
from swarmtally.insight.durations import ROLE, History
from swarmtally.requests import SparcRequest, check_context
from swarmtally.sparc import fitting, plan
from swarmtally.sparc.modes import Mode, ModeCatalog
from swarmtally.store import durations, runs
from swarmtally.store.database import Database

HISTORY = 1_000
"""The newest finished tasks of the project that expectations rest on: read with every start, so not more."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that could be started; its shape is decided with its swarm."""

    new: NewRun
    plan: Sequence[NewTask]
    roles: Sequence[str]
    """Those it will want, later tasks included."""
    info: BackendInfo | None
    """Of what does its work; None: clients do."""
    room: Room
    note: str | None
    """What of the request does not go into its prompts whole."""


def planned(catalog: ModeCatalog, request: SparcRequest) -> tuple[list[Mode], Sequence[NewTask]]:
    """The modes and the first tasks of a request.

    Raises:
        SwarmError: a mode is unknown, or something is too long or too much.
    """
    modes = [catalog.get(name) for name in request.modes]
    check_context(request.context)
    if request.kind is RunKind.PIPELINE:
        return [catalog.get(name) for name in plan.PIPELINE_MODES], plan.plan_pipeline(catalog, request.tasks[0])
    return modes, plan.plan_batch(modes, request.tasks)


async def prepare(
    request: SparcRequest,
    modes: Sequence[Mode],
    tasks: Sequence[NewTask],
    choice: BackendChoice,
    info: BackendInfo | None,
    out_dir: str | None,
) -> Prepared:
    """
    Args:
        info: of the backend of `choice`; None: clients do the work.

    Raises:
        InvalidInput: a task does not fit a packet, or nobody could keep the budget.
    """
    budgets.check_start(request.budget, info)
    room = ROOM if info is None else room_of(info)
    if info is None:
        await anyio.to_thread.run_sync(fitting.check_tasks, request.kind, modes, request.tasks, room)
    note = await anyio.to_thread.run_sync(
        fitting.context_note, request.kind, modes, request.tasks, request.context, room
    )
    new = NewRun(request.kind, "; ".join(request.tasks), request.context, out_dir, choice, budget=request.budget)
    return Prepared(new, tasks, [mode.role for mode in modes], info, room, note)


async def expecting(database: Database, clock: Clock, project: str, plan: Sequence[NewTask]) -> Sequence[NewTask]:
    """The plan with how long its tasks are expected to take, where that is not given: the median of the project's
    finished tasks of the same mode, at least `insight.durations.MIN_ROWS` of them; else nothing is expected."""
    if len(plan) < 2:
        return plan  # nothing to put in order
    rows = await database.read(lambda tx: durations.of_modes(tx, project, clock.now_ns(), HISTORY))
    history = History.of(rows)
    found = {mode: history.duration(mode) for mode in {task.mode for task in plan}}
    # What other modes took says nothing of which task should go first.
    known = {mode: estimate.duration_ns for mode, estimate in found.items() if estimate and estimate.basis == ROLE}
    return tuple(replace(task, expected_ns=known.get(task.mode)) if task.expected_ns is None else task for task in plan)


@dataclass(frozen=True, slots=True)
class ForesightedPlanner:
    """A planner whose tasks have the order in which they should start (`swarmtally.core.ports.Planner`)."""

    planner: Planner
    database: Database
    clock: Clock

    def expand(self, run: Run, task: Task, output: str) -> Expansion:
        """What the planner says, in order. In a worker thread: the database is asked on the event loop."""
        made = self.planner.expand(run, task, output)
        if len(made.tasks) < 2:
            return made
        plan = anyio.from_thread.run(expecting, self.database, self.clock, run.project, made.tasks)
        places = anyio.from_thread.run(self.database.read, lambda tx: runs.places(tx, run.run_id))
        return replace(made, tasks=ordered(plan, places)) if places else made
