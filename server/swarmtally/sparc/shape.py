"""Weaves a topology into a pipeline: which tasks see which others besides what they need, and which merges there are.

To see is softer than to need: a task waits for what it sees and gets its digest, but does without it when it failed.
What a task sees was made before it in every order of execution, so its prompt does not depend on timing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from swarmtally.domain.task import NewTask
from swarmtally.domain.topology import Shape
from swarmtally.sparc.modes import Mode

GROUP = 4
"""How many components one merge of a hierarchical run takes."""

MERGE_PHASE = "merge"


def shaped(plan: Sequence[NewTask], shape: Shape, merger: Mode) -> tuple[NewTask, ...]:
    """The tasks of `plan` and the merges between them as a run of that shape does them, in the order of reading.

    Args:
        plan: what follows from an architecture, as `swarmtally.sparc.plan.expand_pipeline` makes it.
        shape: the run's.
        merger: the mode of the merges.
    """
    parts = _Parts.of(plan)
    match shape:
        case Shape.SOLO:
            return tuple(plan)
        case Shape.STAR:
            return _star(parts, merger)
        case Shape.HIERARCHICAL:
            return _hierarchical(parts, merger)
        case Shape.RING:
            return _ring(parts)
        case Shape.MESH:
            return _mesh(parts, merger)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A pipeline's tasks by what they do. The tasks at one place of `code`, `tests`, `docs`, `reviews` are of the same
    component."""

    code: tuple[NewTask, ...]
    tests: tuple[NewTask, ...]
    docs: tuple[NewTask, ...]
    reviews: tuple[NewTask, ...]
    done: NewTask

    @classmethod
    def of(cls, plan: Sequence[NewTask]) -> "_Parts":
        def phase(name: str) -> tuple[NewTask, ...]:
            return tuple(task for task in plan if task.phase == name)

        (done,) = phase("completion")
        return cls(phase("code"), phase("tests"), phase("docs"), phase("review"), done)

    @property
    def all(self) -> tuple[NewTask, ...]:
        return (*self.code, *self.tests, *self.docs, *self.reviews, self.done)

    @property
    def single(self) -> bool:
        """There is one component, so nothing to merge."""
        return len(self.code) == 1


def _star(parts: _Parts, merger: Mode) -> tuple[NewTask, ...]:
    """The hub merges each wave of the components; the next wave sees what it made of the last."""
    if parts.single:
        return parts.all
    made = (*parts.tests, *parts.docs)
    whole = f"of every component of: {parts.done.text}"
    code = _merge(merger, "merge_code", f"Merge the code {whole}", parts.code, hub=True)
    tests = _merge(merger, "merge_tests", f"Merge the tests and documents {whole}", made, hub=True)
    review = _merge(merger, "merge_review", f"Merge the reviews {whole}", parts.reviews, hub=True)
    return (
        *parts.code,
        code,
        *_seeing(made, [code]),
        tests,
        *_seeing(parts.reviews, [tests]),
        review,
        *_seeing([parts.done], [review]),
    )


def _hierarchical(parts: _Parts, merger: Mode) -> tuple[NewTask, ...]:
    """Components are merged in groups, then the groups by the root."""
    if parts.single:
        return parts.all
    text = parts.done.text
    merges = [
        _merge(
            merger,
            f"merge_group_{number}",
            f"Merge {_numbered(first + 1, min(first + GROUP, len(parts.code)))} of: {text}",
            (*parts.reviews[first : first + GROUP], *parts.docs[first : first + GROUP]),
        )
        for number, first in enumerate(range(0, len(parts.code), GROUP), start=1)
    ]
    if len(merges) > 1:
        merges.append(_merge(merger, "merge", f"Merge the groups of components of: {text}", merges, hub=True))
    return (*parts.all[:-1], *merges, *_seeing([parts.done], merges[-1:]))


def _ring(parts: _Parts) -> tuple[NewTask, ...]:
    """Each component is refined from the one before it."""
    code = [*parts.code[:1]]
    for before, task in zip(parts.code, parts.code[1:], strict=False):
        code += _seeing([task], [before])
    return (*code, *parts.all[len(code) :])


def _mesh(parts: _Parts, merger: Mode) -> tuple[NewTask, ...]:
    """Every task sees all that earlier waves made, and one merge stands before the end."""
    merge = _merge(merger, "merge", f"Merge every component of: {parts.done.text}", (*parts.reviews, *parts.docs))
    waves = [parts.code, (*parts.tests, *parts.docs), parts.reviews, () if parts.single else (merge,), (parts.done,)]
    known = list(_made_before(parts.all))
    woven: list[NewTask] = []
    for wave in waves:
        woven += (replace(task, sees=tuple(key for key in known if key not in task.depends_on)) for task in wave)
        known += (task.key for task in wave)
    return tuple(woven)


def _made_before(plan: Sequence[NewTask]) -> Iterator[str]:
    """The keys that tasks of the plan need and that are not of the plan: specification and architecture."""
    keys = {task.key for task in plan}
    yield from dict.fromkeys(key for task in plan for key in task.depends_on if key not in keys)


def _seeing(tasks: Iterable[NewTask], seen: Iterable[NewTask]) -> Iterator[NewTask]:
    keys = tuple(task.key for task in seen)
    return (replace(task, sees=keys) for task in tasks)


def _merge(merger: Mode, key: str, text: str, needed: Iterable[NewTask], *, hub: bool = False) -> NewTask:
    return NewTask(
        key=key,
        phase=MERGE_PHASE,
        mode=merger.name,
        role=merger.role,
        text=text,
        depends_on=tuple(task.key for task in needed),
        tolerates_failure=True,
        hub=hub,
    )


def _numbered(first: int, last: int) -> str:
    return f"component {first}" if first == last else f"components {first} to {last}"
