"""A predictor as plain JSON and back: numbers and names only, all of them checked, so that any file is safe.

Every kind is written out whole, boosted trees too (about 80 KB), so what is read predicts exactly what was written.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any, TypeAlias, TypeVar, get_args

from swarmtally.domain.errors import InvalidInput
from swarmtally.learning.answers import Interval
from swarmtally.learning.features import COUNTS, KINDS, Column, Encoding
from swarmtally.learning.learners import Kind
from swarmtally.learning.models import Linear, Medians, Odds, Rates, Sums, Trees
from swarmtally.learning.predictor import Predictor
from swarmtally.learning.ranges import Range, Scope
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, FACTORS, Level, Target
from swarmtally.learning.support import Support

FORMAT = "swarmtally.predictor"
VERSION = 2

Document: TypeAlias = dict[str, Any]
T = TypeVar("T")


def to_json(predictor: Predictor) -> Document:
    """What `json.dumps` takes and `from_json` reads."""
    return {"format": FORMAT, "version": VERSION, **asdict(predictor)}


def from_json(document: Any) -> Predictor:
    """The predictor that was written.

    Raises:
        InvalidInput: it is not one, is of a version that this program does not know, or was damaged.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidInput("this is no model of swarmtally; train one with neural_train")
    if document.get("version") != VERSION:
        raise InvalidInput(
            f"this model is of version {document.get('version')}, known is {VERSION}; train it again with neural_train"
        )
    try:
        return _predictor(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidInput(f"this model was damaged ({error}); train it again with neural_train") from error


def _predictor(document: Document) -> Predictor:
    kind = one_of(get_args(Kind), document["kind"])
    return Predictor(
        target=one_of(get_args(Target), document["target"]),
        kind=kind,
        level=one_of(get_args(Level), document["level"]),
        n=whole(document["n"]),
        trained_from_ns=whole(document["trained_from_ns"]),
        trained_until_ns=whole(document["trained_until_ns"]),
        seed=whole(document["seed"]),
        skill=None if document["skill"] is None else _interval(document["skill"]),
        coverage=None if document["coverage"] is None else number(document["coverage"]),
        coverage_n=whole(document["coverage_n"]),
        scope=_scope(document["scope"]),
        model=_MODELS[kind](document["model"]),
        offsets=_pair(document["offsets"]),
        support=_support(document["support"]),
    )


def one_of(known: tuple[T, ...], value: Any) -> T:
    """`value`, which is one of `known`; these raise ValueError where it is not what it should be."""
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, known))}")
    return known[known.index(value)]


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(map(number, values))


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    return number(first), number(second)


def _interval(found: Mapping[str, Any]) -> Interval:
    return Interval(*(number(found[name]) for name in ("value", "low", "high", "level")))


def _scope(found: Mapping[str, Any]) -> Scope:
    ranges = tuple(map(_range, found["ranges"]))
    combinations = tuple((tuple(map(_setting, marks)), whole(n)) for marks, n in found["combinations"])
    if any(len(marks) != len(FACTORS) for marks, _ in combinations):
        raise ValueError("a combination without all factors")
    return Scope(ranges, combinations)


def _support(found: Mapping[str, Any]) -> Support:
    encoding, inverse = _encoding(found["encoding"]), _numbers(found["inverse"])
    size = len(encoding.columns) + 1
    _same(len(inverse), size * (size + 1) // 2)
    limit, usual = number(found["limit"]), number(found["usual"])
    if min(limit, usual) < 0:
        raise ValueError("a leverage below 0")
    return Support(encoding, inverse, limit, usual)


def _range(found: Mapping[str, Any]) -> Range:
    names = tuple((text(name), whole(n)) for name, n in found["names"])
    amounts = (whole(found[name]) for name in ("low", "high", "usual"))
    return Range(one_of(FACTORS, found["factor"]), whole(found["n"]), names, *amounts)


def _setting(value: Any) -> str | int | None:
    return value if value is None or isinstance(value, str) else whole(value)


def _encoding(found: Mapping[str, Any]) -> Encoding:
    return Encoding(tuple(map(_column, found["columns"])))


def _column(found: Mapping[str, Any]) -> Column:
    column = Column(
        one_of((*FACTORS, "text"), found["factor"]),
        one_of(tuple(KINDS), found["kind"]),
        text(found["of"]),
        *(number(found[name]) for name in ("fill", "centre", "spread", "low", "high")),
    )
    if column.spread <= 0:
        raise ValueError("a column without spread")
    if column.kind == "count":
        one_of(tuple(COUNTS), column.of)
    if column.kind in ("log", "amount", "share"):
        one_of(AMOUNTS, column.factor)
    return column


def _medians(found: Mapping[str, Any]) -> Medians:
    names = {
        one_of(CATEGORIES, factor): {text(name): number(effect) for name, effect in effects.items()}
        for factor, effects in found["names"].items()
    }
    amounts = {one_of(AMOUNTS, factor): tuple(map(_pair, points)) for factor, points in found["amounts"].items()}
    if not all(amounts.values()):
        raise ValueError("an amount without effects")
    return Medians(number(found["overall"]), names, amounts)


def _linear(found: Mapping[str, Any]) -> Linear:
    encoding, weights = _encoding(found["encoding"]), _numbers(found["weights"])
    _same(len(weights), len(encoding.columns))
    return Linear(encoding, number(found["intercept"]), weights)


def _sums(found: Mapping[str, Any]) -> Sums:
    encoding, weights = _encoding(found["encoding"]), _numbers(found["weights"])
    _same(len(weights), len(encoding.columns))
    least = number(found["least"])
    if least <= 0:
        raise ValueError("a sum of nothing")
    return Sums(encoding, number(found["scale"]), least, number(found["intercept"]), weights)


def _odds(found: Mapping[str, Any]) -> Odds:
    encoding, weights = _encoding(found["encoding"]), _numbers(found["weights"])
    covariance = tuple(map(_numbers, found["covariance"]))
    _same(len(weights), len(encoding.columns) + 1, len(covariance), *map(len, covariance))
    return Odds(encoding, weights, covariance)


def _rates(found: Mapping[str, Any]) -> Rates:
    modes = {text(mode): (whole(one), whole(other)) for mode, (one, other) in found["modes"].items()}
    succeeded, failed = whole(found["succeeded"]), whole(found["failed"])
    if min(succeeded, failed, *(each for pair in modes.values() for each in pair)) < 0:
        raise ValueError("fewer than no rows")
    return Rates(succeeded, failed, modes)


def _trees(found: Mapping[str, Any]) -> Trees:
    trees = Trees(
        _encoding(found["encoding"]),
        number(found["base"]),
        tuple(map(whole, found["roots"])),
        tuple(map(whole, found["column"])),
        _numbers(found["threshold"]),
        tuple(map(whole, found["left"])),
        tuple(map(whole, found["right"])),
        _numbers(found["value"]),
    )
    nodes = len(trees.column)
    _same(nodes, len(trees.threshold), len(trees.left), len(trees.right), len(trees.value))
    inner = [node for node in range(nodes) if trees.column[node] >= 0]
    # Children stand after their parent, so whoever follows them arrives.
    ordered = all(node < child < nodes for node in inner for child in (trees.left[node], trees.right[node]))
    if not ordered or not all(0 <= root < nodes for root in trees.roots):
        raise ValueError("a node that is none")
    if any(trees.column[node] >= len(trees.encoding.columns) for node in inner):
        raise ValueError("a column that is none")
    return trees


def _same(*lengths: int) -> None:
    if len(set(lengths)) > 1:
        raise ValueError("parts of different lengths")


_MODELS: dict[Kind, Callable[[Mapping[str, Any]], Medians | Linear | Sums | Trees | Odds | Rates]] = {
    "group_median": _medians,
    "ridge": _linear,
    "sums": _sums,
    "boosted_trees": _trees,
    "group_rate": _rates,
    "logistic": _odds,
}
