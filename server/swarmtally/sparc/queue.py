"""The task graph of a queue: tasks with roles, priorities and dependencies of their own, each in a mode of its role."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.task import MAX_TASKS, TASK_TEXT_LIMIT, NewTask
from swarmtally.domain.text import one_line
from swarmtally.sparc.modes import Mode, ModeCatalog
from swarmtally.sparc.plan import checked_text

_TITLED = 20
"""How many tasks of a queue its run's text holds."""

_TITLE_LIMIT = 10_000
"""How long that text may be, in characters."""


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A task of a queue. `key` names it, also where others depend on it; without a mode it is done in its role's."""

    key: str
    role: str
    text: str | None
    mode: str | None = None
    priority: int = 0
    depends_on: tuple[str, ...] = ()
    expected_ns: int | None = None
    """How long it is said to take; None: nobody said."""


def plan_queue(catalog: ModeCatalog, queue: Sequence[QueuedTask]) -> tuple[NewTask, ...]:
    """Tasks with roles, priorities and dependencies of their own; the dependencies are a graph among them.

    Raises:
        InvalidInput: a task says not what to do, or its mode is not its role's.
        NotFound: there is no such mode.
    """
    if len(queue) > MAX_TASKS:
        raise InvalidInput(f"there are {len(queue)} tasks; a run holds at most {MAX_TASKS}, so give fewer at a time")
    return tuple(
        NewTask(
            key=_queue_key(task.key),
            phase=mode.name,
            mode=mode.name,
            role=mode.role,
            text=_queue_text(task),
            depends_on=task.depends_on,
            priority=task.priority,
            expected_ns=task.expected_ns,
        )
        for task in queue
        for mode in [_queue_mode(catalog, task)]
    )


def queue_title(queue: Sequence[NewTask]) -> str:
    """What a queue asks for, as one text: the first of its tasks."""
    return one_line("; ".join(task.text for task in queue[:_TITLED]), _TITLE_LIMIT)


def _queue_key(key: str) -> str:
    if not key.strip() or not key.isprintable():
        raise InvalidInput(f"task id {key[:64]!r} cannot name a task; use printable characters, such as build-1")
    return key


def _queue_text(task: QueuedTask) -> str:
    if task.text is None or not task.text.strip():
        raise InvalidInput(f"task {task.key!r} does not say what to do; to dispatch it, give its text as `task`")
    return checked_text(task.text, TASK_TEXT_LIMIT)


def _queue_mode(catalog: ModeCatalog, task: QueuedTask) -> Mode:
    if task.mode is not None:
        mode = catalog.get(task.mode)
        if mode.role != task.role:
            raise InvalidInput(
                f"task {task.key!r} has role {task.role}, but mode {mode.name} is done by role {mode.role}; "
                "change one of them or leave mode out"
            )
        return mode
    named = _meant(catalog, task.role)
    if len(named) == 1:
        return named[0]
    if named:
        names = ", ".join(mode.name for mode in named)
        raise InvalidInput(f"task {task.key!r}: role {task.role} has the modes {names}; name one of them as its mode")
    raise InvalidInput(
        f"task {task.key!r}: no mode is done by role {task.role}; use a mode's role (see sparc modes), "
        "or add a mode with that role"
    )


def mode_of_role(catalog: ModeCatalog, role: str) -> str | None:
    """The mode that a task of that role is done in where it names none; None where no mode, or not one alone, fits."""
    named = _meant(catalog, role)
    return named[0].name if len(named) == 1 else None


def _meant(catalog: ModeCatalog, role: str) -> list[Mode]:
    fitting = catalog.of_role(role)
    # Where several modes have the role, the one called like it is meant.
    return [mode for mode in fitting if mode.name == role] or fitting
