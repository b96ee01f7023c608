"""A stored model that somebody or something changed is refused as damaged, and breaks nothing."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from swarmtally.domain.errors import InvalidInput
from swarmtally.learning.recommending import advise
from swarmtally.learning.sections import from_document
from swarmtally.learning.understanding import understand
from tests.learning.histories import document, parts


@cache
def taught() -> str:
    return document(parts(48))


def changed(change: Callable[[dict[str, Any]], None]) -> Any:
    found = json.loads(taught())
    change(found["sections"][-1])
    return found


def _model(section: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = section["targets"]["duration_s"]["predictor"]["model"]
    return model


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "rows": lambda section: section.update(rows="x"),
    "source": lambda section: section.update(source="theirs"),
    "level": lambda section: section.update(level="swarm"),
    "categories": lambda section: section.update(categories=[1]),
    "counts": lambda section: section["categories"]["mode"].update(coder="many"),
    "quartiles": lambda section: section["amounts"]["agents"].update(quartiles=[1, None, 2]),
    "no tokens": lambda section: section["targets"].pop("tokens"),
    "reason": lambda section: section["targets"].update(tokens={"insufficient": [1, 2, 3]}),
    "least": lambda section: _model(section).update(least=0),
    "weights": lambda section: _model(section).update(weights=[1e308] * len(_model(section)["weights"])),
    "scale": lambda section: _model(section).update(scale=1e308),
    "offsets": lambda section: section["targets"]["duration_s"]["predictor"].update(offsets=[-1e308, 1e308]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_model_that_was_changed_is_refused_as_damaged(what: str) -> None:
    question = understand("agents: 5, prompt_bytes: 7200", {})
    with pytest.raises((ValueError, InvalidInput)):
        advise(from_document(changed(CHANGES[what])), question, None)


def test_the_same_model_unchanged_answers() -> None:
    found = advise(from_document(changed(lambda section: None)), understand("agents: 5, prompt_bytes: 7200", {}), None)
    assert found.section.rows == 48
