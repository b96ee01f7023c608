"""Tasks, the graph they form, and what an attempt at one delivers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from swarmtally.domain.errors import FailureCause
from swarmtally.domain.files import File, rendered
from swarmtally.domain.topology import Shape
from swarmtally.domain.usage import TokenUsage

MAX_TASKS = 10_000
"""The most tasks one run may hold."""

TASK_TEXT_LIMIT = 100_000
"""The longest task text, in characters."""


class TaskStatus(StrEnum):
    BLOCKED = "blocked"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be made. `key` names it within its run; `depends_on` holds keys of tasks of the same run."""

    key: str
    phase: str
    mode: str
    role: str
    text: str
    depends_on: tuple[str, ...] = ()
    priority: int = 0
    tolerates_failure: bool = False
    """Runs when at least one dependency succeeded, and names what is missing (review and completion tasks)."""
    expands: bool = False
    """Its result decides which tasks follow; they are inserted with its result, in one transaction."""
    sees: tuple[str, ...] = ()
    """Keys of tasks it waits for and whose digests it sees, but can do without when they deliver nothing."""
    hub: bool = False
    """Only the swarm's hub, its first agent, takes it."""
    expected_ns: int | None = None
    """How long it is expected to take; None: nobody knows."""
    place: int = 0
    """Its place, from 1, in the order in which the tasks of its plan should start; 0: none was made."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a task with `expands` makes possible, and the shape its run takes with that (None: it has one)."""

    tasks: tuple[NewTask, ...]
    shape: Shape | None = None
    shape_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    task_id: str
    run_id: str
    ordinal: int
    key: str
    phase: str
    mode: str
    role: str
    text: str
    priority: int
    remaining_path: int
    tolerates_failure: bool
    expands: bool
    hub: bool
    status: TaskStatus
    pending: int
    attempts: int
    not_before_ns: int
    agent_id: str | None
    created_ns: int
    ready_ns: int | None
    finished_ns: int | None
    error: str | None
    place: int = 0

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Task":
        return cls(
            task_id=row["task_id"],
            run_id=row["run_id"],
            ordinal=row["ordinal"],
            key=row["key"],
            phase=row["phase"],
            mode=row["mode"],
            role=row["role"],
            text=row["text"],
            priority=row["priority"],
            remaining_path=row["remaining_path"],
            tolerates_failure=bool(row["tolerates_failure"]),
            expands=bool(row["expands"]),
            hub=bool(row["hub"]),
            status=TaskStatus(row["status"]),
            pending=row["pending"],
            attempts=row["attempts"],
            not_before_ns=row["not_before_ns"],
            agent_id=row["agent_id"],
            created_ns=row["created_ns"],
            ready_ns=row["ready_ns"],
            finished_ns=row["finished_ns"],
            error=row["error"],
            place=row["place"],
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A task handed to an agent. (task_id, number, epoch) is its fence: a result that names an older one is refused."""

    task: Task
    agent_id: str
    number: int
    epoch: int
    waited: bool = True
    """Whether it waited for other tasks, of which it may get something."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a claim: `text` when it succeeded, else `error`; `retry_at_ns` when the failure was transient."""

    claim: Claim
    started_ns: int | None
    """The first call was sent to the backend; None when none was."""
    ended_ns: int
    """The last call came back, or it was clear that none would be sent."""
    exec_ns: int | None
    """What the calls took, monotonic; None when none was sent."""
    begun_ns: int | None = None
    """The agent took it up; None for a client's packet."""
    cause: FailureCause | None = None
    """Of a failure."""
    text: str | None = None
    error: str | None = None
    retry_at_ns: int | None = None
    usage_id: int | None = None
    usage: TokenUsage | None = None
    call_ns: int | None = None
    """What the last call took, whose usage that is."""
    truncated: bool = False
    files: tuple[File, ...] = ()
    following: Expansion | None = None
    """What a task with `expands` made possible."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A task's deliverable, stored once: a text and, where a client brought them, files. `sha256` and `size_bytes` are
    those of `whole`. In memory it is found as `sparc/{run}/{phase}/{name}`."""

    artefact_id: str
    run_id: str
    task_id: str
    ordinal: int
    phase: str
    name: str
    sha256: str
    size_bytes: int
    path: str | None
    text: str
    created_ns: int
    truncated: bool = False
    """The model was cut off at its output limit: the text is not whole."""
    files: tuple[File, ...] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any], files: tuple[File, ...] = ()) -> "Artefact":
        return cls(
            artefact_id=row["artefact_id"],
            run_id=row["run_id"],
            task_id=row["task_id"],
            ordinal=row["ordinal"],
            phase=row["phase"],
            name=row["name"],
            sha256=row["sha256"],
            size_bytes=row["size_bytes"],
            path=row["path"],
            text=row["text"],
            created_ns=row["created_ns"],
            truncated=bool(row["truncated"]),
            files=files,
        )

    @property
    def whole(self) -> str:
        """Text and files as one text: what later tasks see and memory returns."""
        return rendered(self.text, self.files)

    @property
    def memory_key(self) -> str:
        return f"sparc/{self.run_id}/{self.phase}/{self.name}"


def waits_for(task: NewTask) -> dict[str, bool]:
    """The keys a task waits for, and whether it only sees them; what it needs and sees, it needs."""
    return {**dict.fromkeys(task.sees, True), **dict.fromkeys(task.depends_on, False)} if _waits(task) else {}


def _waits(task: NewTask) -> bool:
    return bool(task.depends_on or task.sees)


def in_dependency_order(tasks: Sequence[NewTask]) -> list[str]:
    """Their keys, each after those it waits for.

    Raises:
        ValueError: a key stands twice, or the dependencies form a circle.
    """
    dependencies = {task.key: waits_for(task) for task in tasks}
    if len(dependencies) != len(tasks):
        raise ValueError("two tasks of one plan share a key")
    if not any(map(_waits, tasks)):
        return list(dependencies)
    try:
        return [key for key in TopologicalSorter(dependencies).static_order() if key in dependencies]
    except CycleError as error:
        raise ValueError(f"the plan's dependencies form a circle: {error.args[1]}") from error


def remaining_paths(tasks: Sequence[NewTask]) -> dict[str, int]:
    """For each key, the number of tasks on the longest chain that starts with it, itself included.

    Where the tasks have places, the same numbers are dealt out in that order, the greatest first: that is what ready
    tasks are sorted by, and so runs are still compared by how long their chains are. Dependencies on keys outside
    `tasks` (tasks made earlier) do not count.

    Raises:
        ValueError: a key stands twice, or the dependencies form a circle.
    """
    longest = {task.key: 1 for task in tasks}
    order = in_dependency_order(tasks)
    needs = {task.key: waits_for(task) for task in tasks if _waits(task)}
    for key in reversed(order) if needs else ():
        for dependency in needs.get(key, ()):
            if dependency in longest:
                longest[dependency] = max(longest[dependency], longest[key] + 1)
    if any(task.place for task in tasks):
        placed = sorted(tasks, key=lambda task: task.place)
        greatest_first = sorted(longest.values(), reverse=True)
        return {task.key: number for task, number in zip(placed, greatest_first, strict=True)}
    return longest
