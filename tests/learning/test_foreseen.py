"""What is expected of a run is kept when it starts, and a model that cannot be read stops nothing."""

import json
from pathlib import Path

import anyio.to_thread
from structlog.typing import EventDict

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.retention import Retention
from swarmtally.learning.answers import Prediction
from swarmtally.learning.sections import learn, to_document
from swarmtally.predicting import Predicting
from swarmtally.store import models
from swarmtally.store.models import StoredModel
from swarmtally.training import DEFAULT_MODEL
from tests.core.harness import task
from tests.core.hosted import Hosted, hosted
from tests.learning import histories
from tests.learning.worlds import world


def predicting(work: Hosted) -> Predicting:
    return Predicting(work.database, work.clock, "test", Bookkeeper(work.database, work.clock, Retention()).close)


async def keep(work: Hosted, document: str) -> None:
    model = StoredModel(DEFAULT_MODEL, 0, 1, "optimization", 0, "sha", document)
    await work.database.write(lambda tx: models.keep(tx, "test", model))


async def foreseen(work: Hosted, run_id: str) -> list[tuple[str, str]]:
    await predicting(work).foresee(run_id)
    rows = await work.rows("SELECT task_id, target FROM prediction ORDER BY task_id, target")
    return [(row["task_id"], row["target"]) for row in rows]


async def test_a_run_and_its_tasks_are_foreseen_as_far_as_the_model_can_tell(tmp_path: Path) -> None:
    rows = [*world(60), *world(60, level="task")]
    sections = await anyio.to_thread.run_sync(learn, rows, "optimization", 0, lambda section: None)
    document = json.dumps(to_document(sections))
    async with hosted(tmp_path) as work:
        await work.init()
        known = [task(f"t{number}", mode="batch") for number in range(4)]
        run_id = await work.start(*known, task("never seen", mode="coder"))
        assert await foreseen(work, run_id) == [], "without a model"
        await keep(work, document)
        task_ids = await work.database.read(lambda tx: models.first_tasks(tx, run_id, 4))
        targets = ("duration_s", "success", "tokens")
        assert await foreseen(work, run_id) == [(of, target) for of in ("", *sorted(task_ids)) for target in targets]


async def test_what_is_foreseen_of_tasks_was_learned_without_the_size_of_prompts_that_nobody_knows_yet(
    tmp_path: Path,
) -> None:
    document = await anyio.to_thread.run_sync(histories.document, histories.by_prompt())
    async with hosted(tmp_path) as work:
        await work.init()
        await keep(work, document)
        run_id = await work.start(*(task(f"t{words}", text="word " * words) for words in (5, 12, 40)))
        await foreseen(work, run_id)
        rows = await work.rows(
            "SELECT task_id, value, low, high, text FROM prediction JOIN task USING (task_id)"
            " WHERE target = 'duration_s'"
        )
        assert len(rows) == 3
        for row in rows:
            assert row["low"] < len(row["text"].split()) < row["high"] < 2 * row["low"]
        task_id = await work.one("SELECT MIN(task_id) FROM task")
        asked = await predicting(work).predict({"task_id": task_id}, DEFAULT_MODEL)
        (kept,) = (row["value"] for row in rows if row["task_id"] == task_id)
        told = asked.advice.expected["duration_s"].answer
        assert isinstance(told, Prediction)
        assert told.expected.value == kept


async def test_a_model_that_cannot_be_read_is_logged_and_stops_nothing(tmp_path: Path, logged: list[EventDict]) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a"))
        for document in ('{"format": 99}', '{"format": 1, "sections": [{}]}', "[]", "no json"):
            await keep(work, document)
            assert await foreseen(work, run_id) == []
        assert [entry["event"] for entry in logged] == ["model.unreadable"] * 4
