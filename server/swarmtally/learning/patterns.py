"""What history says of how work is done: the effect of each factor, and how throughput grows with agents.

The project's own rows and given ones are never put together: they may come from another machine and another load.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from swarmtally.learning.answers import Insufficient
from swarmtally.learning.effects import Effects, effects
from swarmtally.learning.rows import Level, Source, Target, TrainingRow
from swarmtally.learning.scalability import Scalability, fit_scalability

TARGETS: tuple[Target, ...] = ("duration_s", "tokens", "success")

SOURCES: tuple[Source, ...] = ("own", "given")

PIPELINE = "pipeline"
"""The kind of runs whose tasks wait for each other by design, which bends the curve: it has one of its own."""


class Operation(StrEnum):
    """What patterns are about: single tasks, whole runs, or how runs gain from more agents."""

    TASK_EXECUTION = "task_execution"
    RUN_EXECUTION = "run_execution"
    PARALLEL_EXECUTION = "parallel_execution"


_LEVELS: dict[Operation, Level] = {Operation.TASK_EXECUTION: "task", Operation.RUN_EXECUTION: "run"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Effects on one target, from rows of one source."""

    source: Source
    operation: Operation
    target: Target
    found: Effects | Insufficient


@dataclass(frozen=True, slots=True)
class Curve:
    """How throughput grows with agents, from rows of one source: given ones, pipelines, or all other runs."""

    source: Source
    of: str
    rows: int
    found: Scalability | Insufficient


@dataclass(frozen=True, slots=True)
class Patterns:
    """All that was asked for."""

    patterns: tuple[Pattern, ...]
    curves: tuple[Curve, ...]


Begin = Callable[[str], None]
"""Called with the name of each part before it is looked at; what it raises ends the search."""


def unheard(_part: str) -> None:
    """Nobody wants to know."""


def find_patterns(
    rows: Sequence[TrainingRow], operations: Sequence[Operation], seed: int = 0, begin: Begin = unheard
) -> Patterns:
    """What the rows say about those operations. The same rows and seed say the same."""
    patterns = [
        pattern for operation in operations if operation in _LEVELS for pattern in _patterns(rows, operation, begin)
    ]
    found = tuple(curves(rows, seed, begin)) if Operation.PARALLEL_EXECUTION in operations else ()
    return Patterns(tuple(patterns), found)


def rows_for(rows: Sequence[TrainingRow], operation: Operation, source: Source) -> list[TrainingRow]:
    """Those of a source that an operation can be learned from. A curve needs runs that did not fail, with their agents;
    of given rows any, since who gave them says what one piece of work is."""
    own = [row for row in rows if row.source == source]
    if operation in _LEVELS:
        return [row for row in own if row.level == _LEVELS[operation]]
    compared = [row for row in own if row.agents is not None and row.success is not False]
    return compared if source == "given" else [row for row in compared if row.level == "run"]


def _patterns(rows: Sequence[TrainingRow], operation: Operation, begin: Begin) -> Iterator[Pattern]:
    for source in SOURCES:
        own = rows_for(rows, operation, source)
        # Of what nobody gave there is nothing to say; that a project has no rows of its own is worth saying.
        if own or source == "own":
            for target in TARGETS:
                begin(f"{target} of {operation}, {source} rows")
                yield Pattern(source, operation, target, effects(own, target))


def curves(rows: Sequence[TrainingRow], seed: int, begin: Begin = unheard) -> Iterator[Curve]:
    """How throughput grows with agents, source by source, pipelines apart."""
    own = rows_for(rows, Operation.PARALLEL_EXECUTION, "own")
    parts: tuple[tuple[Source, str, list[TrainingRow]], ...] = (
        ("own", "runs", [row for row in own if row.mode != PIPELINE]),
        ("own", "pipelines", [row for row in own if row.mode == PIPELINE]),
        ("given", "given", rows_for(rows, Operation.PARALLEL_EXECUTION, "given")),
    )
    for source, of, part in parts:
        if part or of == "runs":
            begin(f"throughput by agents, {of}")
            yield Curve(source, of, len(part), _curve(part, seed))


def _curve(rows: Sequence[TrainingRow], seed: int) -> Scalability | Insufficient:
    # A row that does not say how many tasks it had is one piece of work, whatever its size.
    points = [(at_once(row), (row.tasks or 1) / row.duration_s) for row in rows]
    kinds = [(row.mode, row.topology, row.backend, row.model) for row in rows]
    return fit_scalability(points, kinds, seed, [row.prompt_bytes for row in rows])


def at_once(row: TrainingRow) -> int:
    """How many agents could be at work at once: no more than there were tasks, or calls its backend takes."""
    limits = [limit for limit in (row.agents, row.concurrency, row.tasks) if limit is not None]
    return max(1, min(limits, default=1))
