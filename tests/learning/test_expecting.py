"""What a model expects of many tasks at once, and the model that is read once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from structlog.typing import EventDict

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.retention import Retention
from swarmtally.learning.answers import Interval, Prediction
from swarmtally.learning.expecting import durations_beside, expected_durations, own_tasks
from swarmtally.learning.predict import Predictor, predict, train
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.sections import Section, from_document, learn, to_document
from swarmtally.predicting import Predicting
from swarmtally.store import models
from swarmtally.store.models import StoredModel
from swarmtally.training import DEFAULT_MODEL
from tests.core.hosted import Hosted, hosted
from tests.learning.histories import history
from tests.learning.worlds import world

ASKED: tuple[Mapping[str, Any], ...] = (
    {"mode": "coder", "agents": 2},
    {"mode": "coder", "agents": 2, "text": "make it", "topology": "star"},
    {"mode": "tester", "agents": 8, "text": "a, b = 1, 2;\n" * 40},
    {"mode": "architect"},
    {"agents": 3},
    {"text": ""},
    {"mode": "coder", "agents": 64},
    {"mode": "poet", "agents": 2},
    {"mode": "coder", "topology": "mesh"},
    {},
)


def _texts(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    return [replace(row, text="x = 1; " * (place % 30 + 1)) for place, row in enumerate(rows)]


@pytest.fixture(scope="module", params=["medians", "ridge", "trees"])
def taught(request: pytest.FixtureRequest) -> Predictor:
    n = {"medians": 45, "ridge": 120, "trees": 1_200}[request.param]
    found = train(_texts(history(n)), "duration_s")
    assert isinstance(found, Predictor)
    return found


def test_of_many_at_once_is_expected_what_is_expected_of_each(taught: Predictor) -> None:
    one_by_one = [predict(taught, query) for query in ASKED]
    at_once = expected_durations(taught, ASKED)
    assert any(isinstance(each, Prediction) for each in one_by_one)
    for single, found in zip(one_by_one, at_once, strict=True):
        if not isinstance(single, Prediction):
            assert found is None
            continue
        assert found == replace(single, expected=found.expected if found else single.expected)
        assert found.expected.value == pytest.approx(single.expected.value, rel=1e-9)
        assert found.expected.high == pytest.approx(single.expected.high, rel=1e-9)


def test_what_no_row_knows_makes_no_difference(taught: Predictor) -> None:
    told, same = expected_durations(taught, [{"mode": "coder", "concurrency": 3, "model": "m"}, {"mode": "coder"}])
    assert told == same


def test_too_wide_an_interval_is_none(taught: Predictor) -> None:
    assert expected_durations(replace(taught, offsets=(-1.0, 1.0)), ASKED) == [None] * len(ASKED)


def test_what_tasks_share_and_how_wide_an_interval_is_does_not_keep_them_from_being_compared(taught: Predictor) -> None:
    tasks: list[dict[str, Any]] = [{"mode": "architect"}, {"mode": "tester"}, {"mode": "poet"}]
    expected = [one.expected.value if one else None for one in expected_durations(taught, tasks)]
    wide = replace(taught, offsets=(-1.0, 1.0))
    assert durations_beside(wide, {}, tasks) == expected
    assert expected[2] is None
    assert durations_beside(wide, {"agents": 64}, tasks) == expected, "nobody had 64"
    some = durations_beside(wide, {"agents": 8}, tasks)
    assert some == [
        one.expected.value if one else None
        for one in expected_durations(taught, [{**task, "agents": 8} for task in tasks])
    ]
    assert some != expected


def test_only_own_tasks_of_a_model_with_skill_are_asked(taught: Predictor) -> None:
    def section(source: Any, level: Any, skill: Interval | None) -> Section:
        return Section(source, level, 1, {}, {}, {"duration_s": replace(taught, skill=skill)}, {})

    some, none = Interval(0.4, 0.1, 0.6), Interval(0.2, 0.0, 0.4)
    assert own_tasks([section("own", "run", some), section("given", "task", some)]) is None
    assert own_tasks([section("own", "task", none)]) is None
    assert own_tasks([section("own", "task", None)]) is None
    found = own_tasks([section("given", "task", none), section("own", "task", some)])
    assert found is not None
    assert found.skill == some


def _predicting(work: Hosted) -> Predicting:
    return Predicting(work.database, work.clock, "test", Bookkeeper(work.database, work.clock, Retention()).close)


async def _keep(work: Hosted, document: str) -> None:
    model = StoredModel(DEFAULT_MODEL, 0, 1, "optimization", 0, "sha", document)
    await work.database.write(lambda tx: models.keep(tx, "test", model))


async def _document(rows: Sequence[TrainingRow]) -> str:
    sections = await anyio.to_thread.run_sync(learn, rows, "optimization", 0, lambda section: None)
    return json.dumps(to_document(sections))


async def test_the_newest_model_is_read_once_and_tells_of_tasks(tmp_path: Path) -> None:
    document = await _document(history(200))
    async with hosted(tmp_path) as work:
        predicting = _predicting(work)
        assert await predicting.model() == ()
        assert await predicting.task_durations(ASKED) == [None] * len(ASKED), "without a model"
        await _keep(work, document)
        found = await predicting.model()
        assert found == await anyio.to_thread.run_sync(lambda: from_document(json.loads(document)))
        assert await predicting.model() is found, "nothing changed"
        told = await predicting.task_durations(ASKED)
        assert told[0] is not None
        assert told[6:8] == [None, None]
        assert await predicting.task_durations([]) == []
        await _keep(work, document)
        assert await predicting.model() is not found, "a newer version"


async def test_a_model_that_cannot_be_read_is_logged_once_and_expects_nothing(
    tmp_path: Path, logged: list[EventDict]
) -> None:
    async with hosted(tmp_path) as work:
        predicting = _predicting(work)
        for document in ('{"format": 99}', "no json"):
            await _keep(work, document)
            for _ in range(2):
                assert await predicting.model() == ()
                assert await predicting.task_durations(ASKED) == [None] * len(ASKED)
                assert await predicting.enough_agents() is None
        assert [entry["event"] for entry in logged] == ["model.unreadable"] * 2


async def test_a_question_that_means_nothing_expects_nothing(tmp_path: Path, logged: list[EventDict]) -> None:
    document = await _document(history(60))
    async with hosted(tmp_path) as work:
        predicting = _predicting(work)
        await _keep(work, document)
        assert await predicting.task_durations([{"mode": 7}]) == [None]
        assert [entry["event"] for entry in logged] == ["expectation.failed"]


async def test_how_many_agents_pay_is_told_of_own_runs_only(tmp_path: Path) -> None:
    given, own = await _document(world(60)), await _document(world(60, source="own"))
    async with hosted(tmp_path) as work:
        predicting = _predicting(work)
        assert await predicting.enough_agents() is None
        await _keep(work, given)
        found = await predicting.enough_agents()
        assert found is not None
        assert (found.rows, found.enough) == (0, None)
        assert found.runs_to_make
        await _keep(work, own)
        found = await predicting.enough_agents()
        assert found is not None
        assert found.rows == 51, "own ones that did not fail"
        assert found.enough is not None
