"""How predictions held: what was said of tasks and runs before they ended, beside what happened."""

from collections.abc import Sequence

from swarmtally.insight.figures import Figure
from swarmtally.insight.statistics import wilson
from swarmtally.store.connection import Row

NEWEST = 50
"""So many of a window's predictions are counted, those of what ended last."""

LEAST = 20
"""Fewer say nothing of how often 90 % intervals hold."""

TARGETS = ("duration_s", "tokens", "success")


def held(target: str, rows: Sequence[Row]) -> Figure:
    """Of durations and tokens the share that lay in their 90 % intervals; of success, whose intervals are those of a
    rate, the Brier score: the mean of (predicted share - outcome)² (G. W. Brier, Monthly Weather Review 78, 1950).

    Args:
        rows: of `store.models.outcomes`.
    """
    n = len(rows)
    if n < LEAST:
        counted = f"{n} predictions" if n != 1 else "1 prediction"
        return Figure(None, n, f"{counted} of what ended in this time; {LEAST} are needed" if n else NONE)
    runs = len({row["run_id"] for row in rows})
    shared = "; those of one run share its luck, so that they say less than as many apart"
    basis = f"the newest {n}, of {runs} run{'s' if runs > 1 else ''}{shared if runs < n else ''}"
    if target == "success":
        return Figure(sum((row["value"] - row["actual"]) ** 2 for row in rows) / n, n, basis=basis)
    inside = sum(row["low"] <= row["actual"] <= row["high"] for row in rows)
    return Figure(inside / n, n, interval=wilson(inside, n), basis=basis)


NONE = (
    "of nothing that ended in this time it is known both what was predicted and what happened: there was no model"
    " (neural_train), it could not tell (neural_predict says why), or nobody reported the outcome"
)
