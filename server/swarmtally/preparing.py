"""What a request for a run comes to before it is started: its tasks, what does them, and what does not fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread

from swarmtally.core import budgets
from swarmtally.core.attempt import room_of
from swarmtally.core.ports import BackendInfo, Room
from swarmtally.core.telling import ROOM
from swarmtally.domain.run import BackendChoice, NewRun, RunKind
from swarmtally.domain.task import NewTask
from swarmtally.requests import SparcRequest, check_context
from swarmtally.sparc import fitting, plan
from swarmtally.sparc.modes import Mode, ModeCatalog


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
