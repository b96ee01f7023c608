"""How throughput grows with the agents, as a model keeps it: what recommends how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.learning.answers import Insufficient, Interval
from swarmtally.learning.patterns import curves
from swarmtally.learning.rows import Source, TrainingRow
from swarmtally.learning.scalability import Scalability


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


def curves_of(rows: Sequence[TrainingRow], source: Source, seed: int) -> dict[str, Curve]:
    """The curves of a source's rows, as `neural_patterns` shows them: of its runs, its pipelines, or what was given."""
    mine = [row for row in rows if row.source == source]
    return {found.of: _told(found.rows, found.found) for found in curves(mine, seed) if found.source == source}


def _told(rows: int, found: Scalability | Insufficient) -> Curve:
    if isinstance(found, Insufficient):
        return Curve(rows, None, None, None, found.reason, found.runs_to_make)
    return Curve(found.rows, found.enough, found.best, found.at_least, found.reason, found.runs_to_make)


def written(curve: Curve) -> dict[str, Any]:
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


def read(document: Mapping[str, Any]) -> Curve:
    """The curve that a model's document holds."""
    return Curve(
        rows=document["rows"],
        enough=document["enough"],
        best=None if document["best"] is None else Interval(*document["best"]),
        at_least=document["at_least"],
        reason=document["reason"],
        runs_to_make=tuple(document["runs_to_make"]),
    )
