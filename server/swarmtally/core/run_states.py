"""A run as its callers see it."""

from dataclasses import dataclass

from swarmtally.domain.budget import Account
from swarmtally.domain.run import INTERRUPTED, Run, RunStatus
from swarmtally.domain.task import Artefact, Task, TaskStatus
from swarmtally.domain.usage import UsageTotals
from swarmtally.store.connection import Row

Counts = dict[TaskStatus, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: ended tasks of those known so far (a pipeline learns of more when its architecture is done)."""

    run: Run
    status: str
    ended: int
    known: int
    running: tuple[Task, ...]
    claimable: int
    """Packets a client could claim now."""
    abandoned: bool
    """No process executes it."""

    @property
    def settled(self) -> bool:
        """Whether it goes no further unless somebody does something."""
        if self.run.status is RunStatus.PAUSED:
            return not self.running or self.abandoned
        return self.run.status.final or self.status == INTERRUPTED or self.claimable > 0


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task with its last attempt's times and what its calls used."""

    task: Task
    started_ns: int | None
    ended_ns: int | None
    exec_ns: int | None
    usage: UsageTotals | None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as it stands now; `tasks` and `artefacts` are cut at the limit asked for."""

    run: Run
    status: str
    counts: Counts
    tasks: tuple[TaskState, ...]
    artefacts: tuple[Artefact, ...]
    usage: UsageTotals
    messages: int
    abandoned: bool
    """No process executes it: nobody waits for the answers of its open calls, unless clients do its work."""
    as_of_ns: int
    account: Account | None = None
    """None: it has no budget."""


def task_state(task: Task, attempt: Row | None, used: UsageTotals | None) -> TaskState:
    if attempt is None:
        return TaskState(task, None, None, None, used)
    return TaskState(
        task, attempt["started_ns"] or attempt["claimed_ns"], attempt["ended_ns"], attempt["exec_ns"], used
    )
