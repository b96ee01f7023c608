"""A predictor written and read again is the same, and nothing else is read."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from swarmtally.domain.errors import InvalidInput
from swarmtally.learning.features import encode
from swarmtally.learning.learners import Kind, Material, TreesLearner
from swarmtally.learning.models import Trees
from swarmtally.learning.predict import Predictor, from_json, predict, to_json, train
from swarmtally.learning.ranges import scope_of
from swarmtally.learning.rows import Target
from swarmtally.learning.support import support_of
from tests.learning.histories import history, parts


@cache
def trained(kind: Kind) -> Predictor:
    if kind == "boosted_trees":
        return with_trees()
    n = {"group_median": 40, "ridge": 80, "sums": 48, "group_rate": 40, "logistic": 300}[kind]
    target: Target = "success" if kind in ("group_rate", "logistic") else "duration_s"
    found = train(parts(n) if kind == "sums" else history(n), target)
    assert isinstance(found, Predictor)
    assert found.kind == kind
    return found


@cache
def with_trees() -> Predictor:
    """What training gives where trees win, without the comparison."""
    rows = history(300)
    scope = scope_of(rows)
    encoding, design = encode(rows, scope)
    material = Material(rows, encoding, design, np.log([row.duration_s for row in rows]), 0)
    with threadpool_limits(1):
        model = TreesLearner(None).learn(material, len(rows))
    judged = (None, 0.9, 100)
    support = support_of(encoding, design)
    return Predictor("duration_s", "boosted_trees", "task", 300, 1, 300, 0, *judged, scope, model, (-0.2, 0.2), support)


KINDS: tuple[Kind, ...] = ("group_median", "ridge", "sums", "boosted_trees", "group_rate", "logistic")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_read_again(kind: Kind) -> None:
    taught = trained(kind)
    text = json.dumps(to_json(taught))
    again = from_json(json.loads(text))
    for mode in ("architect", "coder", "tester"):
        for agents in (1, 2, 3, 8):
            query = {"mode": mode, "agents": agents}
            assert predict(again, query) == predict(taught, query)
    assert json.dumps(to_json(again)) == text
    assert len(text) < 200_000


def test_trees_predict_what_the_library_does_and_follow_the_law() -> None:
    model = with_trees().model
    assert isinstance(model, Trees)
    rows = history(300)
    errors = model.of(rows) - np.log([row.duration_s for row in rows])
    assert np.abs(errors).mean() < 0.15


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 1}, "version 1, known is 2"),
        ({"format": "pickle"}, "no model of swarmtally"),
        ({"kind": "magic"}, "damaged"),
        ({"target": "cost"}, "damaged"),
        ({"n": "many"}, "damaged"),
        ({"n": True}, "damaged"),
        ({"offsets": [0.1]}, "damaged"),
        ({"offsets": [0.1, float("nan")]}, "damaged"),
        ({"skill": {"value": 1}}, "damaged"),
        ({"model": {}}, "damaged"),
        ({"scope": None}, "damaged"),
        ({"kind": "boosted_trees"}, "damaged"),
    ],
)
def test_what_is_no_model_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        from_json(to_json(trained("ridge")) | change)


@pytest.mark.parametrize("document", [None, [], "model", {}, {"format": "swarmtally.predictor", "version": 1}])
def test_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(InvalidInput):
        from_json(document)


def _first(trees: dict[str, Any]) -> int:
    return next(node for node, column in enumerate(trees["column"]) if column >= 0)


CHANGES: tuple[Callable[[dict[str, Any]], None], ...] = (
    lambda trees: trees["left"].__setitem__(_first(trees), _first(trees)),
    lambda trees: trees["right"].__setitem__(_first(trees), 10**9),
    lambda trees: trees["column"].__setitem__(_first(trees), 99),
    lambda trees: trees["roots"].append(10**9),
    lambda trees: trees["roots"].append(-1),
    lambda trees: trees["value"].pop(),
    lambda trees: trees["value"].__setitem__(0, float("inf")),
    lambda trees: trees["encoding"]["columns"][0].__setitem__("kind", "import os"),
    lambda trees: trees["encoding"]["columns"][0].__setitem__("factor", "__class__"),
    lambda trees: trees["encoding"]["columns"][0].__setitem__("spread", 0.0),
)


@pytest.mark.parametrize("change", CHANGES)
def test_trees_that_would_never_end_or_lead_nowhere_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(json.dumps(to_json(with_trees())))
    change(document["model"])
    with pytest.raises(InvalidInput, match="damaged"):
        from_json(document)
