"""How throughput grows with the agents, as a model keeps it: what recommends how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.learning.answers import Insufficient, Interval
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.scalability import Scalability, fit_scalability


@dataclass(frozen=True, slots=True)
class Curve:
    """What the Universal Scalability Law says of rows; see `swarmtally.learning.scalability`.

    `enough` is the smallest number whose next agent no longer pays, `best` the number with the greatest throughput;
    where history does not tell, `reason` says why, `at_least` what the best is not below, and `runs_to_make` what would
    tell.
    """

    rows: int
    enough: int | None
    best: Interval | None
    at_least: int | None
    reason: str | None
    runs_to_make: tuple[str, ...]


def curve_of(rows: Sequence[TrainingRow], seed: int) -> Curve:
    """The curve through rows with a known number of agents: tasks a second for runs, and one for each row that says
    nothing of tasks. Work is only compared with work of its mode, backend and model."""
    known = [(row, row.agents) for row in rows if row.agents is not None]
    points = [(at_once(row, agents), _done(row) / row.duration_s) for row, agents in known]
    kinds = [(row.mode, row.backend, row.model) for row, _ in known]
    return _told(len(points), fit_scalability(points, kinds, seed))


def at_once(row: TrainingRow, agents: int) -> int:
    """How many could be at work: no more agents than its backend takes calls."""
    return agents if row.concurrency is None else min(agents, row.concurrency)


def _done(row: TrainingRow) -> int:
    return row.tasks if row.level == "run" and row.tasks else 1


def _told(rows: int, found: Scalability | Insufficient) -> Curve:
    if isinstance(found, Insufficient):
        return Curve(rows, None, None, None, found.reason, found.runs_to_make)
    return Curve(found.rows, found.enough, found.best, found.at_least, found.reason, found.runs_to_make)


def to_json(curve: Curve) -> dict[str, Any]:
    """The curve as a model's document has it."""
    best = curve.best
    return {
        "rows": curve.rows,
        "enough": curve.enough,
        "best": None if best is None else [best.value, best.low, best.high, best.level],
        "at_least": curve.at_least,
        "reason": curve.reason,
        "runs_to_make": list(curve.runs_to_make),
    }


def from_json(document: Mapping[str, Any]) -> Curve:
    """The curve that a model's document holds."""
    return Curve(
        rows=document["rows"],
        enough=document["enough"],
        best=None if document["best"] is None else Interval(*document["best"]),
        at_least=document["at_least"],
        reason=document["reason"],
        runs_to_make=tuple(document["runs_to_make"]),
    )
