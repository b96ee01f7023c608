"""What a model expects of many tasks at once: what `predict` says of each, in the time of a few."""

from collections.abc import Mapping, Sequence
from math import log2
from typing import Any

from swarmtally.learning.answers import Insufficient, Prediction
from swarmtally.learning.models import Linear, Medians, Sums, Trees
from swarmtally.learning.predict import WIDEST, amount, not_together
from swarmtally.learning.predictor import Predictor
from swarmtally.learning.ranges import Scope, beyond, checked, stand_ins
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


def durations_beside(
    predictor: Predictor, shared: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]
) -> list[float | None]:
    """How long tasks of one run take beside each other, in seconds: what their order rests on, and nothing else.

    What all of them share makes all of them longer or shorter alike, and none before another: where rows do not cover
    it, the tasks are asked about without it. Nor does it matter how wide an interval is: where there is skill, what is
    expected is nearer to the truth than the median of the mode, whose interval is wider still.

    Args:
        predictor: of durations, with skill (`own_tasks`).
        shared: settings of all tasks; the others of each are in `tasks`.
    """
    whole = _covered(predictor, [{**shared, **task} for task in tasks])
    if None in whole:
        alone = _covered(predictor, tasks)
        # One or the other for all of them: they are compared.
        if alone.count(None) < whole.count(None):
            whole = alone
    return [None if one is None else one.expected.value for one in whole]


def expected_durations(predictor: Predictor, queries: Sequence[Mapping[str, Any]]) -> list[Prediction | None]:
    """Of each query what `predict` answers, in seconds; None where that refuses. Settings of which no row knows
    anything make no difference, as where somebody asks (`recommending`).

    Args:
        predictor: of durations, with skill (`own_tasks`).

    Raises:
        InvalidInput: a query names something else than `predict` takes, or a setting that cannot be.
    """
    found = _covered(predictor, queries)
    return [one if one is None or one.expected.low * WIDEST >= one.expected.high else None for one in found]


def _covered(predictor: Predictor, queries: Sequence[Mapping[str, Any]]) -> list[Prediction | None]:
    """Of each query what is expected, however wide its interval; None where the rows do not cover it."""
    found: list[Prediction | None] = [None] * len(queries)
    asked = [(place, _known(predictor, checked(query))) for place, query in enumerate(queries)]
    asked = [(place, settings) for place, settings in asked if not _refused(predictor, settings)]
    if not asked:
        return found
    alike = _Alike(predictor.scope)
    assumed = [alike.stand_ins(settings) for _, settings in asked]
    rows = [
        TrainingRow(0, "given", predictor.level, 1.0, **{**stood, **settings})
        for (_, settings), stood in zip(asked, assumed, strict=True)
    ]
    assert isinstance(predictor.model, Medians | Linear | Sums | Trees), "a model of seconds"
    middles, leverages = predictor.model.of(rows).tolist(), predictor.support.leverage(rows).tolist()
    for (place, settings), stood, middle, leverage in zip(asked, assumed, middles, leverages, strict=True):
        made = amount(predictor, middle, leverage)
        if not_together(predictor, {**stood, **settings}, leverage) is None:
            names = tuple((factor, str(value)) for factor, value in stood.items())
            found[place] = Prediction(made, predictor.n, alike.similar(settings), names)
    return found


def _known(predictor: Predictor, settings: Mapping[str, Any]) -> dict[str, Any]:
    told = {"text", *(found.factor for found in predictor.ranges)}
    return {factor: value for factor, value in settings.items() if factor in told}


def _refused(predictor: Predictor, settings: Mapping[str, Any]) -> Insufficient | None:
    return beyond(predictor.scope, predictor.level, settings)


class _Alike:
    """Looks rows like a query up, once for those that are alike."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._similar: dict[tuple[Any, ...], int] = {}
        self._stand_ins: dict[tuple[Any, ...], dict[str, Any]] = {}

    def similar(self, settings: Mapping[str, Any]) -> int:
        marks = _marks(settings)
        if marks not in self._similar:
            self._similar[marks] = self._scope.similar(settings)
        return self._similar[marks]

    def stand_ins(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        marks = _marks(settings)
        if marks not in self._stand_ins:
            self._stand_ins[marks] = stand_ins(self._scope, settings)
        return self._stand_ins[marks]


def _marks(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(
        round(2 * log2(settings[factor])) if factor in AMOUNTS and factor in settings else settings.get(factor)
        for factor in FACTORS
    )
