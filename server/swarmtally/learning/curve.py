"""How throughput grows with the agents, as a model keeps it: what recommends how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swarmtally.learning.answers import Insufficient, Interval
from swarmtally.learning.patterns import Begin, curves, unheard
from swarmtally.learning.rows import Source, TrainingRow
from swarmtally.learning.scalability import WIDEST, Scalability, speed_ups, where_agents_stop_paying

SLACK = 0.02
"""As much longer may work take for fewer agents."""

SURE = 0.9
"""The share of the bootstrap that must agree."""

FURTHEST = 100
"""No further is looked for where agents stop to pay."""


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
    draws: tuple[tuple[float, float], ...] = ()
    """Pairs (sigma, kappa) that the same rows may have come from."""

    def instead_of(self, usual: int) -> int | None:
        """How many agents to take where `usual` would be taken without knowing: `enough`, or the nearest to it on the
        way to `usual` with which the rows are sure that work takes at most `SLACK` longer; None where they do not tell.
        """
        if self.enough is None or not self.draws:
            return None
        step = 1 if self.enough < usual else -1
        # `usual` itself is no slower than it is, so there is always one.
        return next(n for n in range(self.enough, usual + step, step) if self._no_slower(n, usual))

    @property
    def enough_is_sure(self) -> bool:
        """Whether the rows are sure of `enough` to within `WIDEST` times. Where no number is known to be the best, they
        may be all the same: there it lies within what was tried."""
        if self.enough is None or not self.draws:
            return False
        sigma, kappa = np.array(self.draws).T
        found = sorted(where_agents_stop_paying(sigma, kappa, FURTHEST).tolist())
        tail = round((1 - SURE) / 2 * len(found))
        return bool(found[-1 - tail] <= WIDEST * found[tail])

    def _no_slower(self, n: int, than: int) -> bool:
        sigma, kappa = np.array(self.draws).T
        taken, usual = speed_ups(np.array([n, than], dtype=np.float64), sigma, kappa).T
        return bool(np.count_nonzero(taken * (1 + SLACK) >= usual) >= SURE * len(self.draws))


def curves_of(rows: Sequence[TrainingRow], source: Source, seed: int, begin: Begin = unheard) -> dict[str, Curve]:
    """The curves of a source's rows, as `neural_patterns` shows them: of its runs, its pipelines, or what was given."""
    mine = [row for row in rows if row.source == source]
    return {found.of: _told(found.rows, found.found) for found in curves(mine, seed, begin) if found.source == source}


def _told(rows: int, found: Scalability | Insufficient) -> Curve:
    if isinstance(found, Insufficient):
        return Curve(rows, None, None, None, found.reason, found.runs_to_make)
    return Curve(found.rows, found.enough, found.best, found.at_least, found.reason, found.runs_to_make, found.draws)


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
        "draws": [list(draw) for draw in curve.draws],
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
        draws=tuple((float(sigma), float(kappa)) for sigma, kappa in document["draws"]),
    )
