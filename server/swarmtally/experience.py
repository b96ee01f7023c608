"""What a project's history says of how many agents pay, in the words and figures that sizes are decided by."""

from typing import TYPE_CHECKING

from swarmtally.core.sizing import Experience
from swarmtally.domain.swarm import DEFAULT_MAX_AGENTS
from swarmtally.predicting import Predicting
from swarmtally.training import DEFAULT_MODEL

if TYPE_CHECKING:
    from swarmtally.learning.curve import Curve

UNKNOWN = Experience(
    rows=0,
    pays=None,
    best=None,
    told=f"history does not tell how many agents pay: no model {DEFAULT_MODEL} that has learned"
    " from runs of this project can be read",
    runs_to_make=("make at least 8 runs each with 1, 2, 4 and 8 agents", "then neural_train"),
)


async def experience(predicting: Predicting) -> Experience:
    """By the own runs that the project's default model was trained on; given rows are of other machines."""
    found = await predicting.enough_agents()
    return UNKNOWN if found is None else of_curve(found)


def of_curve(curve: "Curve", usual: int = DEFAULT_MAX_AGENTS) -> Experience:
    """What a curve says to who would take `usual` agents without it."""
    pays = curve.instead_of(usual)
    best = None if curve.best is None else max(1, round(curve.best.value))
    return Experience(curve.rows, pays, best, _told(curve, pays, usual), curve.runs_to_make)


def _told(curve: "Curve", pays: int | None, usual: int) -> str:
    runs = f"{curve.rows} own runs"
    if pays is None or curve.enough is None:
        return f"history does not tell how many agents pay ({runs}): {curve.reason or 'all that were tried do'}"
    parts = [f"by {runs} the next agent adds less than a tenth of what one does alone from {curve.enough} on"]
    if pays != curve.enough:
        parts.append(f"{pays}, since with {curve.enough} work may take more than 2 % longer than with {usual}")
    if curve.best is not None:
        low, high = curve.best.low, curve.best.high
        parts.append(f"throughput is greatest with {curve.best.value:.1f} (90 %: {low:.1f} to {high:.1f})")
    return "; ".join(parts)
