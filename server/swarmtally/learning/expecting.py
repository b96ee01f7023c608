"""What a model expects of many tasks at once: what `predict` says of each, in the time of a few."""

from collections.abc import Mapping, Sequence
from math import exp, log2
from typing import Any

from swarmtally.learning.answers import Insufficient, Interval, Prediction
from swarmtally.learning.models import Linear, Medians, Trees
from swarmtally.learning.predict import WIDEST, stand_ins
from swarmtally.learning.predictor import Predictor
from swarmtally.learning.ranges import beyond, checked
from swarmtally.learning.rows import AMOUNTS, FACTORS, TrainingRow
from swarmtally.learning.sections import Section


def own_tasks(sections: Sequence[Section]) -> Predictor | None:
    """What the project's own tasks taught of durations from what is known before they start, where that has skill.
    Given rows are no help here: they may be of another machine, and what is expected of some tasks is put beside what
    others took on this one."""
    for section in sections:
        learned = section.targets["duration_s"] if section.before is None else section.before
        if (section.source, section.level) == ("own", "task") and isinstance(learned, Predictor):
            return learned if learned.skill is not None and learned.skill.low > 0 else None
    return None


def expected_durations(predictor: Predictor, queries: Sequence[Mapping[str, Any]]) -> list[Prediction | None]:
    """Of each query what `predict` answers, in seconds; None where that refuses. Settings of which no row knows
    anything make no difference, as where somebody asks (`recommending`).

    Args:
        predictor: of durations, with skill (`own_tasks`).

    Raises:
        InvalidInput: a query names something else than `predict` takes, or a setting that cannot be.
    """
    found: list[Prediction | None] = [None] * len(queries)
    asked = [(place, _known(predictor, checked(query))) for place, query in enumerate(queries)]
    asked = [(place, settings) for place, settings in asked if not _refused(predictor, settings)]
    if not asked:
        return found
    assumed = [stand_ins(predictor.scope, settings) for _, settings in asked]
    rows = [
        TrainingRow(0, "given", predictor.level, 1.0, **{**stood, **settings})
        for (_, settings), stood in zip(asked, assumed, strict=True)
    ]
    assert isinstance(predictor.model, Medians | Linear | Trees), "a model of seconds"
    similar = _Similar(predictor)
    below, above = predictor.offsets
    for (place, settings), stood, middle in zip(asked, assumed, predictor.model.of(rows).tolist(), strict=True):
        made = Interval(exp(middle), exp(middle + below), exp(middle + above))
        if made.low * WIDEST >= made.high:
            names = tuple((factor, str(value)) for factor, value in stood.items())
            found[place] = Prediction(made, predictor.n, similar.of(settings), names)
    return found


def _known(predictor: Predictor, settings: Mapping[str, Any]) -> dict[str, Any]:
    told = {"text", *(found.factor for found in predictor.ranges)}
    return {factor: value for factor, value in settings.items() if factor in told}


def _refused(predictor: Predictor, settings: Mapping[str, Any]) -> Insufficient | None:
    return beyond(predictor.scope, predictor.level, settings)


class _Similar:
    """Counts rows like a query, once for those that are alike."""

    def __init__(self, predictor: Predictor) -> None:
        self._scope = predictor.scope
        self._known: dict[tuple[Any, ...], int] = {}

    def of(self, settings: Mapping[str, Any]) -> int:
        alike = tuple(
            round(2 * log2(settings[factor])) if factor in AMOUNTS and factor in settings else settings.get(factor)
            for factor in FACTORS
        )
        if alike not in self._known:
            self._known[alike] = self._scope.similar(settings)
        return self._known[alike]
