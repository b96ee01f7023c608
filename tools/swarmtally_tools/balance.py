"""Planning tasks over a swarm's agents."""

from statistics import median_low
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from swarmtally.app import App
from swarmtally.core import progress
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.swarm import NAME_LIMIT
from swarmtally.domain.task import MAX_TASKS, TASK_TEXT_LIMIT
from swarmtally.insight.balancing import HISTORY, Balance, Load, Wanted
from swarmtally.insight.swapping import Placement
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.queue import QueuedTask, mode_of_role
from swarmtally_tools.definition import Tool, View, that_fit, tool
from swarmtally_tools.runs import tell

LONGEST_S = 31_536_000
"""The longest duration of one task, in seconds: a year."""

ID_LIMIT = 100
"""The longest id of a task, in characters."""

PAGE_BYTES = 28_000
"""The most that the assignments of one answer take."""

LOADS_BYTES = 14_000
"""The most that the loads of one answer take."""

ESTIMATES_BYTES = 3_000
"""The most that the estimates of one answer take."""

TaskId = Annotated[str, Field(min_length=1, max_length=ID_LIMIT)]


class QueuedItem(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    id: TaskId
    role: Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]
    estimated_s: Annotated[float | None, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)] = None
    """Omitted: from history"""
    priority: Annotated[int, Field(ge=-1_000, le=1_000)] = 0
    """Higher goes first"""
    depends_on: Annotated[list[TaskId], Field(max_length=MAX_TASKS)] = []
    """Ids"""
    task: Annotated[str | None, Field(max_length=TASK_TEXT_LIMIT)] = None
    """What to do, for dispatch"""
    mode: Annotated[str | None, Field(max_length=64)] = None
    """For dispatch; omitted: the role's"""


class AssignmentView(View):
    id: str
    """The task."""
    agent_id: str
    """Who takes it."""
    start_s: float
    """Seconds from as_of."""
    end_s: float
    """Seconds from as_of."""
    estimated: bool
    """Whether its duration is estimated from history."""
    basis: str | None
    """What that rests on: role, all roles (see estimates) or model; null when it was given."""


class LoadView(View):
    agent_id: str
    """The agent."""
    role: str
    """Its role."""
    busy_s: float | None
    """What its present task still takes, from history; null when that does not tell (planned as free now)."""
    tasks: int
    """How many of these tasks it takes."""
    load_s: float
    """How long they take it."""


class EstimateView(View):
    role: str
    """The role."""
    duration_s: float
    """Median of finished tasks, taken for each task without estimated_s; of model the median of what it says of
    each."""
    n: int
    """Finished tasks it rests on."""
    basis: str
    """Whose: of that role, or of all roles; or model: as neural_train learned from them, by mode and text."""
    tasks: int
    """How many of these tasks take it."""


class BalanceView(View):
    swarm_id: str
    """Whose agents."""
    assignments: list[AssignmentView]
    """By start; as many as fit."""
    next_offset: int | None
    """Give it as offset for the assignments after these; null when there are no more."""
    makespan_s: float
    """When the last task ends, from as_of."""
    lower_bound_s: float
    """max(work / p, critical path): p agents can take any of the work."""
    ratio: float | None
    """makespan_s / lower_bound_s; 1 is the best there can be."""
    role_bound_s: float
    """The same with each role's own agents and present loads counted: no plan for these agents is shorter."""
    loads: list[LoadView]
    """By agent, the most loaded first; as many as fit."""
    estimates: list[EstimateView]
    """The durations that were not given, by role; as many as fit."""
    n: dict[str, int]
    """How many rows a figure rests on, by its name."""
    basis: dict[str, str]
    """What decides a figure, by its name."""
    reasons: dict[str, str]
    """Why a figure is null or what was assumed for it, by its name."""
    run_id: str | None
    """The run that does the tasks; null unless dispatched."""
    status: str | None
    """How that run stands; null unless dispatched."""
    as_of: str
    """When the swarm was read (UTC)."""
    next_step: str
    """What to do now."""


@tool(title="Balance tasks over agents", open_world=True)
async def load_balance(
    app: App,
    tasks: Annotated[
        list[QueuedItem],
        Field(description="Tasks that may depend on each other", min_length=1, max_length=MAX_TASKS),
        FailFast(),  # one fault is told; to remember those of 10,000 tasks takes half a gigabyte
    ],
    swarm_id: Annotated[str | None, Field(description="The swarm; omitted: the current one", max_length=100)] = None,
    dispatch: Annotated[bool, Field(description="Start them as a run")] = False,
    offset: Annotated[int, Field(description="Assignments to skip", ge=0)] = 0,
) -> BalanceView:
    """Plan which agent takes which task when, so that the last ends early: roles, dependencies, priorities and present
    loads respected. Returns makespan, lower bound, their ratio, load per agent. Durations not given are estimated from
    finished tasks. With dispatch the tasks become a run, whose scheduler hands them out as agents become free."""
    if dispatch and offset:
        raise InvalidInput("offset pages a plan, and dispatch would start the tasks again; leave one of them out")
    queue = await app.plan_queue([_queued(item) for item in tasks]) if dispatch else ()
    catalog = await app.catalog()
    balance = await app.balance(swarm_id, [_wanted(catalog, item) for item in tasks])
    run_id = status = None
    if dispatch:
        started = await app.dispatch(balance.swarm, queue)
        run_id = started.run_id
        await progress.report(0, None, f"{run_id}: started in swarm {started.swarm.swarm_id}")
        # In the shell this process executes it, to its end; a server goes on with it.
        status = (await (await app.runs()).wait(run_id, app.patience(0), tell)).status
    return _view(balance, offset, run_id, status)


def _queued(item: QueuedItem) -> QueuedTask:
    return QueuedTask(item.id, item.role, item.task, item.mode, item.priority, tuple(item.depends_on), _given_ns(item))


def _wanted(catalog: ModeCatalog, item: QueuedItem) -> Wanted:
    mode = item.mode or mode_of_role(catalog, item.role)
    return Wanted(item.id, item.role, _given_ns(item), item.priority, tuple(item.depends_on), mode, item.task)


def _given_ns(item: QueuedItem) -> int | None:
    return None if item.estimated_s is None else round(item.estimated_s * NS_PER_S)


def _view(balance: Balance, offset: int, run_id: str | None, status: str | None) -> BalanceView:
    plan = balance.plan
    bounds = plan.bounds
    placed = plan.placements[offset:]
    # No answer holds more than this many, however short they are.
    shown = that_fit([_assignment(one, balance) for one in placed[:1_000]], PAGE_BYTES)
    after = offset + len(shown)
    most_loaded = sorted(balance.loads, key=lambda load: -load.work_ns)
    return BalanceView(
        swarm_id=balance.swarm.swarm_id,
        assignments=shown,
        next_offset=after if after < len(plan.placements) else None,
        makespan_s=_seconds(plan.makespan_ns),
        lower_bound_s=_seconds(bounds.lower_ns),
        ratio=round(plan.makespan_ns / bounds.lower_ns, 4) if bounds.lower_ns else None,
        role_bound_s=_seconds(bounds.floor_ns),
        loads=that_fit([_load(load) for load in most_loaded[:1_000]], LOADS_BYTES),
        estimates=that_fit(_estimates(balance), ESTIMATES_BYTES),
        n={"assignments": len(plan.placements), "loads": len(balance.loads), "estimates": balance.history},
        basis={"lower_bound_s": _decisive(balance), "estimates": f"the project's newest {HISTORY:,} finished tasks"},
        reasons=_reasons(balance),
        run_id=run_id,
        status=status,
        as_of=iso(balance.as_of_ns),
        next_step=_next_step(balance, run_id, after),
    )


def _assignment(placed: Placement, balance: Balance) -> AssignmentView:
    return AssignmentView(
        id=placed.id,
        agent_id=placed.agent_id,
        start_s=_seconds(placed.start_ns),
        end_s=_seconds(placed.end_ns),
        estimated=placed.id in balance.estimated,
        basis=balance.estimated[placed.id].basis if placed.id in balance.estimated else None,
    )


def _load(load: Load) -> LoadView:
    return LoadView(
        agent_id=load.agent.agent_id,
        role=load.agent.role,
        busy_s=None if load.busy_ns is None else _seconds(load.busy_ns),
        tasks=load.tasks,
        load_s=_seconds(load.work_ns),
    )


def _estimates(balance: Balance) -> list[EstimateView]:
    found: dict[tuple[str, str, int], list[int]] = {}
    for task_id, one in balance.estimated.items():
        found.setdefault((balance.roles[task_id], one.basis, one.n), []).append(one.duration_ns)
    return [
        EstimateView(role=role, duration_s=_seconds(median_low(taken)), n=n, basis=basis, tasks=len(taken))
        for (role, basis, n), taken in sorted(found.items())
    ]


def _decisive(balance: Balance) -> str:
    """Which of the two the lower bound is."""
    bounds = balance.plan.bounds
    if bounds.work_ns > bounds.chain_ns:
        return f"work / p, p = {bounds.agents}"
    ids = bounds.chain if len(bounds.chain) <= 10 else (*bounds.chain[:9], "…", bounds.chain[-1])
    return f"critical path {' → '.join(ids)}"


def _reasons(balance: Balance) -> dict[str, str]:
    reasons = {}
    if not balance.plan.bounds.lower_ns:
        reasons["ratio"] = "every task takes 0 s"
    elif balance.plan.makespan_ns == balance.plan.bounds.floor_ns:
        reasons["ratio"] = "makespan_s equals role_bound_s: no plan for these agents is shorter"
    unknown = sum(load.busy_ns is None for load in balance.loads)
    if unknown:
        reasons["busy_s"] = (
            f"of {unknown} busy agents too few finished tasks took longer than theirs has by now; "
            "they are planned as free now"
        )
    if balance.unserved:
        named = ", ".join(balance.unserved[:10]) + (" …" if len(balance.unserved) > 10 else "")
        reasons["assignments"] = (
            f"no agent has role {named}: any agent takes those tasks; add one with agent_spawn --type ROLE"
        )
    return reasons


def _next_step(balance: Balance, run_id: str | None, after: int) -> str:
    if run_id is not None:
        return f"Follow the run with run_status, run_id {run_id}; where clients do its work, call work_claim."
    if after < len(balance.plan.placements):
        return f"Call again with offset {after} for further assignments, or with dispatch to start the tasks."
    return "Nothing was started: call again with dispatch, each task with what to do as `task`, to start them."


def _seconds(ns: int) -> float:
    return round(ns / NS_PER_S, 3)


TOOLS: tuple[Tool, ...] = (load_balance,)
