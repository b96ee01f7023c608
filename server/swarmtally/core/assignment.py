"""Which idle agent takes which ready task."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmtally.domain.swarm import Agent, Strategy
from swarmtally.domain.task import Task


@dataclass(frozen=True, slots=True)
class Assignment:
    """`agent` takes `task`; with None a new agent of the task's role is spawned for it."""

    task: Task
    agent: Agent | None


def assign(tasks: Sequence[Task], idle: Sequence[Agent], room: int, strategy: Strategy) -> list[Assignment]:
    """Match tasks (in the order they should start) with idle agents (idle longest first).

    A task goes to an idle agent of its role; else, while the swarm has `room`, to a new one of its role; else, unless
    the strategy is specialized, to any idle agent. Roles are served first, so that no task takes an agent that
    another task of this batch has a better claim to.
    """
    free = list(idle)
    chosen: dict[str, Assignment] = {}
    for task in tasks:
        exact = next((agent for agent in free if agent.role == task.role), None)
        if exact is not None:
            free.remove(exact)
            chosen[task.task_id] = Assignment(task, exact)
    for task in tasks:
        if task.task_id in chosen:
            continue
        if room > 0:
            room -= 1
            chosen[task.task_id] = Assignment(task, None)
        elif free and strategy is not Strategy.SPECIALIZED:
            chosen[task.task_id] = Assignment(task, free.pop(0))
    return [chosen[task.task_id] for task in tasks if task.task_id in chosen]
