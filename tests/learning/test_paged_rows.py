"""The process that trains gets page by page what would be read at once."""

import json
from pathlib import Path

import anyio.to_thread
import pytest

from swarmtally import training_rows
from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.retention import Retention
from swarmtally.learning.given import digest
from swarmtally.learning.rows import Level, TrainingRow
from swarmtally.learning.sections import learn, to_document
from swarmtally.store import models
from swarmtally.store.database import Database
from swarmtally.training import SEED, Training, TrainRequest
from swarmtally.training_rows import PagedRows, given_rows
from tests.insight.history import NOW_NS, History, database_of
from tests.learning.test_own_rows import own
from tests.learning.worlds import as_given, world

BOTH: tuple[Level, ...] = ("task", "run")


def past() -> History:
    """Sixty runs of three tasks, two and two begun and ended at the same moment; some fail, texts are not ASCII, agents
    come and go."""
    history = History()
    history.project("p")
    history.swarm("s", "p")
    for number in range(5):
        history.agent(f"a{number}", "s", 1 + number * 700, 40_000 if number == 3 else None)
    for number in range(60):
        run_id = f"r{number * 7 % 60:02}"
        history.run(run_id, "p", "s", number // 2 * 900, task="ü" * number)
        for ordinal in range(3):
            name, at = f"{run_id}t{ordinal}", 1_000 * (number // 2) + 500 * (ordinal // 2)
            status = "failed" if (number + ordinal) % 11 == 0 else "succeeded"
            history.task(name, run_id, status)
            history.call(run_id, name, 1, at, input_tokens=number + 1, output_tokens=ordinal)
            took = NS_PER_S * (1 + number % 7)
            history.attempt(name, 1, status, at + 1, committed_ns=at + 100, exec_ns=took, final=1)
        history.ended[run_id] = ("succeeded", 1_000 * (number // 2) + 600)
    return history


async def at_once(database: Database, model_id: str) -> list[TrainingRow]:
    kept = []
    begin = 0
    while True:
        page, begin = await database.read(lambda tx, at=begin: models.given_after(tx, "p", model_id, 2**62, at, 1_000))
        if not page:
            return [*await own(database, "p", limit=1_000), *given_rows(kept)]
        kept += page


async def decoded(rows: PagedRows) -> list[list[TrainingRow]]:
    return [[TrainingRow(*values) for values in json.loads(page)] async for page in rows.pages()]


@pytest.mark.parametrize("levels", [BOTH, ("task",), ("run",)])
async def test_pages_hold_what_is_read_at_once_in_the_same_order(
    levels: tuple[Level, ...], empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_rows, "PAGE", 7)
    async with database_of(past(), empty, tmp_path / "swarm.db") as database:
        training = Training(database, database.clock, "p", Bookkeeper(database, database.clock, Retention()).close)
        given = [*as_given(world(30)), *as_given(world(20, level="task"))]
        await training._give(TrainRequest("m", "optimization", given))
        whole = [row for row in await at_once(database, "m") if row.level in levels]
        assert len(whole) == sum({"task": 180 + 20, "run": 60 + 30}[level] for level in levels)
        assert len({row.at_ns for row in whole if row.source == "own"}) < len(whole), "some end at the same moment"
        rows = PagedRows(database, "p", "m", levels, NOW_NS)
        pages = await decoded(rows)
        assert [row for page in pages for row in page] == whole
        assert max(map(len, pages)) == 7
        assert rows.sha256() == digest(whole)


async def test_the_newest_are_taken_when_there_are_too_many(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_rows, "ROWS_LIMIT", 5)
    async with database_of(past(), empty, tmp_path / "swarm.db") as database:
        training = Training(database, database.clock, "p", Bookkeeper(database, database.clock, Retention()).close)
        await training._give(TrainRequest("m", "optimization", as_given(world(30))))
        newest = await own(database, "p", limit=5)
        own_rows, given = await decoded(PagedRows(database, "p", "m", BOTH, NOW_NS))
        assert own_rows == newest
        assert [(row.at_ns, row.tasks) for row in given] == [
            (place, row.tasks) for place, row in enumerate(world(30)[-5:], 1)
        ]


async def test_what_ends_or_is_given_later_is_left_out(empty: Path, tmp_path: Path) -> None:
    async with database_of(past(), empty, tmp_path / "swarm.db") as database:
        training = Training(database, database.clock, "p", Bookkeeper(database, database.clock, Retention()).close)
        await training._give(TrainRequest("m", "optimization", as_given(world(3))))
        whole = await own(database, "p", limit=1_000)
        found, given = await decoded(PagedRows(database, "p", "m", BOTH, 15_000))
        assert found == [row for row in whole if row.at_ns <= 15_000]
        assert given == []


async def test_the_model_is_the_one_of_the_rows_read_at_once(empty: Path, tmp_path: Path) -> None:
    async with database_of(past(), empty, tmp_path / "swarm.db") as database:
        training = Training(database, database.clock, "p", Bookkeeper(database, database.clock, Retention()).close)
        made = await training.train(TrainRequest("m", "coordination", as_given(world(40))))
        whole = [row for row in await at_once(database, "m") if row.level == "run"]
        sections = await anyio.to_thread.run_sync(learn, whole, "coordination", SEED, lambda section: None)
        assert json.loads(made.model.document) == json.loads(json.dumps(to_document(sections)))
        assert (made.model.version, made.model.rows_sha256, len(whole)) == (1, digest(whole), 100)
