"""A model as it is stored: for each kind of rows (own or given, tasks or runs) what was learned and what was seen.

Plain JSON. Own and given rows are never mixed: they were measured by different people in different ways.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, get_args

from swarmtally.learning.answers import Insufficient, Missing
from swarmtally.learning.curve import Curve, curves_of, read, written
from swarmtally.learning.document import number, one_of, text, whole
from swarmtally.learning.patterns import SOURCES, Begin, unheard
from swarmtally.learning.predict import LEAST_ROWS, Predictor, from_json, to_json, train
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, Level, Source, Target, TrainingRow

FORMAT = 1
"""Of the document; others are refused."""

LEVELS_KEPT = 100
"""Of each factor the values seen most often."""

TARGETS: tuple[Target, ...] = get_args(Target)

PATTERNS: Mapping[str, tuple[Level, ...]] = {
    "prediction": ("task",),
    "coordination": ("run",),
    "optimization": ("task", "run"),
}
"""What each pattern learns from: how tasks go, how runs go, or both."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """The values of a factor that is a number."""

    quartiles: tuple[float, float, float]
    seen: Mapping[int, int]
    """How many rows had each value; of those seen most often."""


@dataclass(frozen=True, slots=True)
class Section:
    """What rows of one source and level taught."""

    source: Source
    level: Level
    rows: int
    categories: Mapping[str, Mapping[str, int]]
    """By factor: how many rows had each value."""
    amounts: Mapping[str, Amounts]
    targets: Mapping[Target, Predictor | Insufficient]
    curves: Mapping[str, Curve]
    """How throughput grows with agents, from all rows of the source: of its runs, its pipelines, or what was given."""
    before: Predictor | Insufficient | None = None
    """How long the project's own tasks take, learned without the size of their prompts, which is not known before they
    start. None: as in `targets`, because no row knows that size, or nobody asks (given rows, runs)."""


Told: TypeAlias = Callable[[Section], None]


def learn(rows: Sequence[TrainingRow], pattern: str, seed: int, tell: Told, begin: Begin = unheard) -> list[Section]:
    """Train a model on `rows`, section by section; `tell` hears of each when it is done, `begin` of its parts before
    they are learned."""
    found = []
    for source in SOURCES:
        curves = curves_of(rows, source, seed, begin)
        for level in PATTERNS[pattern]:
            mine = [row for row in rows if row.source == source and row.level == level]
            if mine or source == "own":
                section = _section(source, level, mine, curves, seed, begin)
                found.append(section)
                tell(section)
    return found


def _section(
    source: Source,
    level: Level,
    rows: Sequence[TrainingRow],
    curves: Mapping[str, Curve],
    seed: int,
    begin: Begin,
) -> Section:
    categories = {name: _seen(rows, name) for name in CATEGORIES}
    amounts = {name: made for name in AMOUNTS if (made := _amounts(rows, name)) is not None}
    targets: dict[Target, Predictor | Insufficient] = {}
    for target in TARGETS:
        begin(f"{target} of {len(rows)} {source} {level}s")
        targets[target] = train(rows, target, seed) if rows else _nothing(level)
    seen = {name: values for name, values in categories.items() if values}
    before = None
    if (source, level) == ("own", "task"):
        begin(f"duration_s of {len(rows)} {source} {level}s before they start")
        before = _before(rows, seed)
    return Section(source, level, len(rows), seen, amounts, targets, curves, before)


def _before(rows: Sequence[TrainingRow], seed: int) -> Predictor | Insufficient | None:
    if all(row.prompt_bytes is None for row in rows):
        return None
    return train([replace(row, prompt_bytes=None) for row in rows], "duration_s", seed)


def untaught(level: Level) -> Section:
    """Of a level that the model was not trained on."""
    missing = Insufficient("rows", f"this model learned nothing of {level}s; train it with another pattern_type", ())
    return Section("own", level, 0, {}, {}, dict.fromkeys(TARGETS, missing), {})


def _nothing(level: Level) -> Insufficient:
    return Insufficient(
        "rows",
        f"no {level} of this project has ended with its duration known; at least {LEAST_ROWS} are needed",
        (f"make at least {LEAST_ROWS} {level}s",) if level == "run" else (f"make runs of at least {LEAST_ROWS} tasks",),
    )


def _seen(rows: Sequence[TrainingRow], name: str) -> dict[Any, int]:
    values = (getattr(row, name) for row in rows)
    return dict(Counter(value for value in values if value is not None).most_common(LEVELS_KEPT))


def _amounts(rows: Sequence[TrainingRow], name: str) -> Amounts | None:
    values = sorted(value for row in rows if (value := getattr(row, name)) is not None)
    if not values:
        return None
    first, middle, third = (float(values[(len(values) - 1) * quarter // 4]) for quarter in (1, 2, 3))
    return Amounts((first, middle, third), _seen(rows, name))


def to_document(sections: Sequence[Section]) -> dict[str, Any]:
    """The JSON of a model."""
    return {"format": FORMAT, "sections": [_section_json(section) for section in sections]}


def from_document(document: Any) -> list[Section]:
    """The model that a document holds.

    Raises:
        ValueError: it is of another format, or damaged.
        InvalidInput: a predictor in it is.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise ValueError(f"a model of format {found!r}; this program reads {FORMAT}")
    try:
        return [_section_of(each) for each in document["sections"]]
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it was damaged: {error!r}") from error


def _section_json(section: Section) -> dict[str, Any]:
    return {
        "source": section.source,
        "level": section.level,
        "rows": section.rows,
        "categories": section.categories,
        "amounts": {
            # As a list: the keys of JSON objects are texts.
            name: {"quartiles": list(made.quartiles), "seen": [list(pair) for pair in made.seen.items()]}
            for name, made in section.amounts.items()
        },
        "targets": {target: _learned_json(learned) for target, learned in section.targets.items()},
        "curves": {name: written(curve) for name, curve in section.curves.items()},
        "before": None if section.before is None else _learned_json(section.before),
    }


def _learned_json(learned: Predictor | Insufficient) -> dict[str, Any]:
    if isinstance(learned, Insufficient):
        return {"insufficient": [learned.what, learned.reason, list(learned.runs_to_make)]}
    return {"predictor": to_json(learned)}


def _section_of(each: Mapping[str, Any]) -> Section:
    return Section(
        source=one_of(get_args(Source), each["source"]),
        level=one_of(get_args(Level), each["level"]),
        rows=whole(each["rows"]),
        categories={
            one_of(CATEGORIES, name): {text(value): whole(n) for value, n in seen.items()}
            for name, seen in each["categories"].items()
        },
        amounts={
            one_of(AMOUNTS, name): Amounts(
                _three(made["quartiles"]), {whole(value): whole(n) for value, n in made["seen"]}
            )
            for name, made in each["amounts"].items()
        },
        targets={target: _learned_of(each["targets"][target]) for target in TARGETS},
        curves={name: read(curve) for name, curve in each["curves"].items()},
        before=None if each["before"] is None else _learned_of(each["before"]),
    )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, middle, third = values
    return number(first), number(middle), number(third)


def _learned_of(learned: Mapping[str, Any]) -> Predictor | Insufficient:
    if "predictor" in learned:
        return from_json(learned["predictor"])
    what, reason, runs = learned["insufficient"]
    return Insufficient(one_of(get_args(Missing), what), text(reason), tuple(map(text, runs)))
