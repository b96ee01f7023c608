"""Which idle agent takes which ready task."""

from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from swarmtally.domain.swarm import IdleAgent, Strategy
from swarmtally.domain.task import Task


@dataclass(frozen=True, slots=True)
class Assignment:
    """`agent` takes `task`; with None a new agent of the task's role is spawned for it."""

    task: Task
    agent: IdleAgent | None


@dataclass(frozen=True, slots=True)
class Bound:
    """Tasks that only one agent may take. A swarm without agents binds none."""

    hub: str | None = None
    """Who takes tasks with `hub`."""
    solo: Mapping[str, str] = field(default_factory=dict)
    """By run: who does all of it."""

    def agent_of(self, task: Task) -> str | None:
        return self.hub if task.hub else self.solo.get(task.run_id)


def precedence(task: Task, run_created_ns: int) -> tuple[int, int, int, int, int]:
    """What ready tasks are sorted by: priority, then longest remaining path, then age, then place. `store.ready.first`
    sorts by the same in SQL."""
    return (-task.priority, -task.remaining_path, run_created_ns, task.place, task.ordinal)


def out_of_reach(task: Task, bound: Bound, idle: Container[str]) -> bool:
    """Whether the one agent that may take the task is not idle. Such a task must not hide one that need not wait."""
    agent_id = bound.agent_of(task)
    return agent_id is not None and agent_id not in idle


def assign(
    tasks: Sequence[Task], idle: Sequence[IdleAgent], room: int, strategy: Strategy, bound: Bound = Bound()
) -> list[Assignment]:
    """Match tasks (in the order they should start) with idle agents (idle longest first).

    A bound task goes to its agent or waits. Another goes to an idle agent of its role; else, while the swarm has
    `room`, to a new one of its role; else, unless the strategy is specialized, to any idle agent. Bound tasks and roles
    are served first, so that no task takes an agent that another task of this batch has a better claim to.
    """
    free = {agent.agent_id: agent for agent in idle}
    chosen: dict[str, Assignment] = {}
    unbound = []
    for task in tasks:
        agent_id = bound.agent_of(task)
        if agent_id is None:
            unbound.append(task)
        elif agent_id in free:
            chosen[task.task_id] = Assignment(task, free.pop(agent_id))
    by_role: dict[str, deque[IdleAgent]] = {}
    for agent in free.values():
        by_role.setdefault(agent.role, deque()).append(agent)
    over = []
    for task in unbound:
        if exact := by_role.get(task.role):
            chosen[task.task_id] = Assignment(task, free.pop(exact.popleft().agent_id))
        else:
            over.append(task)
    rest = iter(free.values() if strategy is not Strategy.SPECIALIZED else ())
    for task in over:
        if room > 0:
            room -= 1
            chosen[task.task_id] = Assignment(task, None)
        elif (other := next(rest, None)) is not None:
            chosen[task.task_id] = Assignment(task, other)
    return [chosen[task.task_id] for task in tasks if task.task_id in chosen]
