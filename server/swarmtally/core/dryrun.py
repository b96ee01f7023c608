"""What a run would send: its known tasks packed and estimated, nothing stored and nothing called."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio.lowlevel

from swarmtally.core import asking, budgets, progress
from swarmtally.core.attempt import ERROR_LIMIT, pack
from swarmtally.core.counting import Counter, Estimate
from swarmtally.core.ports import BackendInfo, Inputs, Packer, Prompt
from swarmtally.domain.budget import Reservation
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.run import NewRun, Run, RunStatus
from swarmtally.domain.task import NewTask, Task, TaskStatus
from swarmtally.domain.text import one_line
from swarmtally.domain.usage import TokenUsage
from swarmtally.store.database import Database

LATER = "its prompt depends on results that are not there yet"


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task as it would be sent now; `reason` says why there is no estimate."""

    task: NewTask
    prompt_bytes: int | None = None
    estimate: Estimate | None = None
    input_nanousd: int | None = None
    """What its estimated input would cost, none of it cached; None: no price is known, or no estimate."""
    held: Reservation | None = None
    """What a budget would hold for it; None: clients do the work, or no estimate."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    """A run that was planned and not started."""

    new: NewRun
    project: str
    swarm_id: str | None
    """The swarm it would take; None: there is none yet."""
    info: BackendInfo | None
    """Of what would do the work; None: clients would."""
    tasks: tuple[PlannedTask, ...]
    """Those known now, in order."""
    note: str | None


async def estimated(
    database: Database, packer: Packer, new: NewRun, plan: Sequence[NewTask], info: BackendInfo | None, room_bytes: int
) -> tuple[PlannedTask, ...]:
    """Each task of the plan with its estimate, where what it sees is known now."""
    counter = Counter()
    run = _unstored(new, database.clock.now_ns())
    found = []
    pace = progress.Pace()
    for ordinal, task in enumerate(plan):
        await pace.report(ordinal, len(plan), f"{ordinal} of {len(plan)} prompts packed")
        # Small prompts are packed on the event loop, which others use too.
        await anyio.lowlevel.checkpoint()
        if task.depends_on or task.sees:
            found.append(PlannedTask(task, reason=LATER))
            continue
        try:
            prompt = await _packed(packer, run, _unstored_task(run, task, ordinal), info, room_bytes)
        except SwarmError as error:
            found.append(PlannedTask(task, reason=one_line(str(error), ERROR_LIMIT)))
            continue
        estimate = await counter.estimate(database, info, prompt)
        found.append(_priced(PlannedTask(task, len(prompt.text.encode()), estimate), info))
    return tuple(found)


async def _packed(packer: Packer, run: Run, task: Task, info: BackendInfo | None, room_bytes: int) -> Prompt:
    """The prompt as an attempt or a packet would begin with it."""
    packing = partial(pack, packer, run, task, Inputs())
    return await packing(room_bytes) if info is None else await asking.packed(packing, room_bytes, info)


def _priced(planned: PlannedTask, info: BackendInfo | None) -> PlannedTask:
    assert planned.estimate is not None
    if info is None:
        return planned
    cost = None
    if info.pricing is not None:
        cost = info.pricing.cost_nanousd(TokenUsage(input_tokens=planned.estimate.tokens, output_tokens=0))
    return replace(planned, input_nanousd=cost, held=budgets.reservation(info, planned.estimate.tokens))


def _unstored(new: NewRun, now_ns: int) -> Run:
    """The run as a packer takes it."""
    return Run(
        run_id="r_none",
        project="",
        swarm_id="",
        kind=new.kind,
        task=new.task,
        context=new.context,
        out_dir=new.out_dir,
        backend=new.backend,
        status=RunStatus.QUEUED,
        reason=None,
        shape=new.shape,
        shape_reason=new.shape_reason,
        created_ns=now_ns,
        started_ns=None,
        finished_ns=None,
        lease_owner=None,
        lease_epoch=0,
        lease_expires_ns=0,
    )


def _unstored_task(run: Run, task: NewTask, ordinal: int) -> Task:
    return Task(
        task_id=f"{run.run_id}_{ordinal}",
        run_id=run.run_id,
        ordinal=ordinal,
        key=task.key,
        phase=task.phase,
        mode=task.mode,
        role=task.role,
        text=task.text,
        priority=task.priority,
        remaining_path=0,
        tolerates_failure=task.tolerates_failure,
        expands=task.expands,
        hub=task.hub,
        status=TaskStatus.READY,
        pending=0,
        attempts=0,
        not_before_ns=0,
        agent_id=None,
        created_ns=run.created_ns,
        ready_ns=run.created_ns,
        finished_ns=None,
        error=None,
    )
