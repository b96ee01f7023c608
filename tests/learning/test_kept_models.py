"""Given rows, models and predictions as the database keeps them."""

from pathlib import Path

import pytest

from swarmtally.core import control
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import models
from swarmtally.store.database import Database
from swarmtally.store.models import Coverage, GivenRow, NewPrediction, StoredModel
from tests.core.harness import task
from tests.core.hosted import Hosted, failed, hosted, made
from tests.learning.test_own_rows import own
from tests.store.conftest import clock, database, path

__all__ = ["clock", "database", "path"]

MODEL = StoredModel("m", 1, 1, "prediction", 0, "sha", "{}")


def row(line: int, **given: object) -> GivenRow:
    empty: dict[str, object] = dict.fromkeys(GivenRow._fields)
    return GivenRow(**{**empty, "line": line, "level": "task", "duration_s": 1.5, "text": "", **given})  # type: ignore[arg-type]


async def give(database: Database, batch: str, *rows: GivenRow, model_id: str = "m") -> bool:
    return await database.write(lambda tx: models.give(tx, "p", model_id, batch, rows, 7))


async def kept(database: Database, model_id: str = "m", limit: int = 100) -> list[GivenRow]:
    """A page at a time."""
    begin = await database.read(lambda tx: models.first_given(tx, "p", model_id, 7, limit))
    found: list[GivenRow] = []
    while True:
        page, begin = await database.read(lambda tx, at=begin: models.given_after(tx, "p", model_id, 7, at, 2))
        if not page:
            return found
        found += page


async def test_given_rows_come_back_as_they_were_given_and_each_model_has_its_own(database: Database) -> None:
    rows = [row(1, success=True, agents=4, mode="coder"), row(3, success=False, at_ns=9, tokens=12)]
    assert await give(database, "first", *rows)
    assert await kept(database) == rows
    assert await kept(database, "other") == []
    assert await kept(database, limit=1) == rows[1:]


async def test_the_same_rows_again_add_nothing(database: Database) -> None:
    assert await give(database, "first", row(1))
    assert not await give(database, "first", row(1))
    assert await give(database, "first", row(1), model_id="other")
    assert await give(database, "second", row(1))
    assert len(await kept(database)) == 2


async def test_of_too_many_given_rows_the_oldest_go(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "GIVEN_KEPT", 3)
    await give(database, "first", row(1), row(2))
    await give(database, "other", row(9), model_id="other")
    await give(database, "second", row(3), row(4))
    assert [each.line for each in await kept(database)] == [2, 3, 4]
    assert len(await kept(database, "other")) == 1


async def test_a_training_makes_the_next_version_and_old_ones_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "VERSIONS_KEPT", 2)
    assert await database.read(lambda tx: models.newest(tx, "p", "m")) is None
    assert [await database.write(lambda tx: models.keep(tx, "p", MODEL)) for _ in range(4)] == [1, 2, 3, 4]
    found = await database.read(lambda tx: models.newest(tx, "p", "m"))
    assert found is not None
    assert found.version == 4
    rows = await database.read(lambda tx: tx.rows("SELECT version FROM model ORDER BY version"))
    assert [each["version"] for each in rows] == [3, 4]
    assert await database.read(lambda tx: models.names(tx, "p")) == ["m"]
    assert await database.read(lambda tx: models.newest(tx, "q", "m")) is None


async def predict(work: Hosted, *predictions: NewPrediction) -> int:
    return await work.database.write(lambda tx: models.predict(tx, "test", MODEL, predictions, work.clock.ns))


async def score(work: Hosted) -> int:
    await own(work.database)
    return await work.database.write(lambda tx: models.score(tx, "test", work.clock.ns))


async def actual(work: Hosted) -> dict[tuple[str, str], float | None]:
    rows = await work.rows("SELECT task_id, target, actual FROM prediction WHERE scored_ns IS NOT NULL")
    return {(each["task_id"], each["target"]): each["actual"] for each in rows}


def guess(run_id: str, task_id: str, target: str, low: float, high: float) -> NewPrediction:
    return NewPrediction(run_id, task_id, target, (low + high) / 2, low, high, 0.9)


async def test_a_prediction_is_compared_with_what_happened_then(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a"))
        packet = await work.claim_one()
        task_id = packet.task.task_id
        about = [(task_id, "duration_s", 3, 5), (task_id, "tokens", 10, 20), (task_id, "success", 0.5, 1)]
        whole = [("", "duration_s", 1, 2), ("", "tokens", 40, 50), ("", "success", 0, 1)]
        assert await predict(work, *(guess(run_id, *each) for each in (*about, *whole))) == 6
        assert await score(work) == 0
        work.clock.ns += 4 * NS_PER_S
        await work.report(packet, made(usage=TokenUsage(30, 12)))
        assert await score(work) == 6
        expected = {"duration_s": 4, "tokens": 42, "success": 1}
        assert await actual(work) == {(of, target): value for of in (task_id, "") for target, value in expected.items()}
        for target, inside in (("duration_s", 1), ("tokens", 1), ("success", 2)):
            found = await work.database.read(lambda tx, each=target: models.coverage(tx, "test", "m", each, 50))
            assert found == Coverage(2, inside)
        assert await work.database.read(lambda tx: models.coverage(tx, "test", "x", "tokens", 50)) == Coverage(0, 0)
        assert await score(work) == 0


async def test_what_is_said_of_something_that_has_ended_is_no_prediction(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a"), task("b"))
        packet = await work.claim_one()
        await work.report(packet)
        assert await predict(work, guess(run_id, packet.task.task_id, "duration_s", 0, 1)) == 0
        assert await predict(work, guess(run_id, "", "duration_s", 0, 1)) == 1
        assert await predict(work, guess(run_id, "", "duration_s", 5, 6)) == 0, "the first is what counts"
        await work.finish(run_id)
        assert await predict(work, guess(run_id, "", "tokens", 0, 1)) == 0
        assert await predict(work, guess("r_of_nobody", "", "tokens", 0, 1)) == 0


async def test_what_is_said_of_something_that_is_done_again_is_no_prediction_either(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a"))
        packet = await work.claim_one()
        task_id = packet.task.task_id
        await predict(work, guess(run_id, task_id, "duration_s", 3, 5), guess(run_id, "", "duration_s", 3, 5))
        work.clock.ns += 4 * NS_PER_S
        await work.report(packet, failed())
        await work.database.write(lambda tx: control.retry(tx, "test", run_id, "o", frozenset(), work.clock.ns))
        assert await predict(work, guess(run_id, "", "tokens", 0, 1), guess(run_id, task_id, "tokens", 0, 1)) == 0
        # What it was compared with is how it ended first, whenever that is looked up.
        assert await score(work) == 2
        work.clock.ns += 9 * NS_PER_S
        await work.report(await work.claim_one())
        assert await score(work) == 0
        assert await actual(work) == {(task_id, "duration_s"): 4, ("", "duration_s"): 4}


async def test_what_was_cancelled_or_not_reported_is_not_known_and_counts_for_nothing(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        cancelled = await work.start(task("a"))
        await predict(work, guess(cancelled, "", "duration_s", 0, 1))
        await work.claim_one()
        work.clock.pass_minutes(1)
        await work.cancel(cancelled)
        unknown = await work.start(task("a"))
        await predict(work, guess(unknown, "", "tokens", 0, 1), guess(unknown, "", "success", 0, 1))
        await work.report(await work.claim_one(), failed())
        assert await score(work) == 3
        assert await actual(work) == {("", "duration_s"): None, ("", "tokens"): None, ("", "success"): 0}
        assert await work.database.read(lambda tx: models.coverage(tx, "test", None, "duration_s", 50)) == Coverage(
            0, 0
        )


async def test_what_a_run_or_task_is_can_be_asked_before_it_has_ended(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a", mode="tester"), context=["xy"])
        (task_id,) = await work.database.read(lambda tx: models.first_tasks(tx, run_id, 9))
        whole = await work.database.read(lambda tx: models.subject(tx, "test", run_id, None))
        one = await work.database.read(lambda tx: models.subject(tx, "test", run_id, task_id))
        assert whole is not None
        assert one is not None
        assert (whole["level"], whole["mode"], whole["tasks"], whole["text"]) == ("run", "batch", 1, "the work")
        assert (whole["prompt_bytes"], one["prompt_bytes"]) == (len("the work") + len('["xy"]'), None)
        assert (one["level"], one["mode"], one["topology"], one["agents"]) == ("task", "tester", "star", None)
        assert await work.database.read(lambda tx: models.run_of(tx, "test", task_id)) == run_id
        assert await work.database.read(lambda tx: models.run_of(tx, "other", task_id)) == ""
        assert await work.database.read(lambda tx: models.subject(tx, "other", run_id, None)) is None
        assert await work.database.read(lambda tx: models.subject(tx, "test", run_id, "t_of_nobody")) is None
