"""Runs whose tasks' durations are expected: what the real scheduler starts first, and what history it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.core.swarms import Swarms
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retention import Retention
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask, TaskStatus
from swarmtally.domain.timeframe import Timeframe
from swarmtally.domain.topology import Shape
from swarmtally.expectations import Expectations
from swarmtally.learning.rows import FACTORS, TrainingRow
from swarmtally.learning.sections import Section, untaught
from swarmtally.predicting import Predicting
from swarmtally.store import models
from swarmtally.store.models import StoredModel
from swarmtally.training import DEFAULT_MODEL
from swarmtally.training_rows import training_rows
from tests.core.harness import CHOICE, ScriptedBackend, Swarmed, swarmed, task
from tests.learning.histories import by_text, document

LONG_LAST = (task("a"), task("b", "a"), task("c", "b"), task("long"))


def expected(*durations: int) -> list[NewTask]:
    return [task(one.key, *one.depends_on, expected_ns=ns) for one, ns in zip(LONG_LAST, durations, strict=True)]


async def test_what_is_expected_to_take_longest_starts_first(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*expected(1, 1, 1, 9))
        assert swarm.backend.order == ["long", "a", "b", "c"]


async def test_tasks_beside_each_other_start_by_what_is_expected_too(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=2, together=2)) as swarm:
        plan = [task(f"t{ns}", expected_ns=ns) for ns in (1, 9, 5, 7)]
        await swarm.run(*plan)
        assert swarm.backend.order[:2] == ["t9", "t7"]


async def test_without_expectations_the_longest_chain_of_tasks_starts_first(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*LONG_LAST)
        assert swarm.backend.order == ["a", "b", "c", "long"]


async def test_priority_goes_before_what_is_expected(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*expected(1, 1, 1, 9), task("urgent", priority=1, expected_ns=1))
        assert swarm.backend.order == ["urgent", "long", "a", "b", "c"]


async def test_what_was_expected_and_the_order_made_of_it_are_recorded(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*expected(1, 1, 1, 9))
        rows = await swarm.rows("SELECT key, place, expected_ns FROM task ORDER BY ordinal")
        assert [tuple(row) for row in rows] == [("a", 2, 1), ("b", 3, 1), ("c", 4, 1), ("long", 1, 9)]


def expectations(swarm: Swarmed, project: str = "test") -> Expectations:
    database = swarm.database
    books = Bookkeeper(database, database.clock, Retention())
    return Expectations(database, database.clock, project, Predicting(database, database.clock, project, books.close))


async def asked(swarm: Swarmed, plan: Sequence[NewTask], project: str = "test") -> list[int | None]:
    """What is expected of a plan's tasks, in a swarm that has just been made."""
    swarms = Swarms(swarm.database, swarm.database.clock, id_factory(), project)
    made = await swarms.init(Topology.STAR, Strategy.BALANCED, 8, None, None)
    new = NewRun(RunKind.BATCH, "t", (), None, CHOICE, Shape.STAR)
    return [
        one.expected_ns for one in await expectations(swarm, project).of_run(plan, new, made.swarm, swarm.backend.info)
    ]


async def keep_model(swarm: Swarmed, rows: Sequence[TrainingRow]) -> None:
    text = await anyio.to_thread.run_sync(document, rows)
    model = StoredModel(DEFAULT_MODEL, 0, 1, "prediction", 0, "sha", text)
    await swarm.database.write(lambda tx: models.keep(tx, "test", model))


async def test_a_mode_without_enough_finished_tasks_is_expected_to_take_nobody_knows_how_long(tmp_path: Path) -> None:
    plan = [task("x", mode="coder"), task("y", mode="tester"), task("z", mode="coder", expected_ns=7)]
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        assert await asked(swarm, plan) == [None, None, 7]
        found = await swarm.run(*(task(f"t{number}") for number in range(3)), task("one", mode="tester"))
        assert {one.status for one in found.values()} == {TaskStatus.SUCCEEDED}
        took = sorted(
            row["exec_ns"]
            for row in await swarm.rows("SELECT exec_ns FROM attempt JOIN task USING (task_id) WHERE mode = 'coder'")
        )
        assert await asked(swarm, plan) == [took[1], None, 7]
        assert await asked(swarm, plan, "other") == [None, None, 7]


async def test_a_model_with_skill_says_of_each_task_what_finished_ones_say_only_of_its_mode(tmp_path: Path) -> None:
    texts = {"short": "word " * 4, "long": "word " * 30, "given": "word " * 20}
    plan = [task(key, text=text, expected_ns=7 if key == "given" else None) for key, text in texts.items()]
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await swarm.run(*(task(f"t{number}") for number in range(3)))
        (usual, *_) = await asked(swarm, plan)
        await keep_model(swarm, by_text())
        short, long, given = await asked(swarm, plan)
        assert given == 7
        assert short is not None
        assert long is not None
        assert short / NS_PER_S == pytest.approx(4, rel=0.3)
        assert long / NS_PER_S == pytest.approx(30, rel=0.3)
        assert await asked(swarm, [task("x", mode="never seen"), *plan]) == [None, short, long, 7]
        assert await asked(swarm, plan, "other") == [None, None, 7], "another project's model"
        # A model that says nothing of a mode leaves it to what finished tasks of that mode took.
        await keep_model(swarm, [replace(row, mode="poet") for row in by_text()])
        assert await asked(swarm, plan) == [usual, usual, 7]


async def test_a_model_without_skill_is_not_asked(tmp_path: Path) -> None:
    rows = [replace(row, text=f"t {number % 7}") for number, row in enumerate(by_text())]
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        await keep_model(swarm, rows)
        assert await asked(swarm, [task("x"), task("y")]) == [None, None]


async def test_a_model_is_asked_with_what_the_rows_of_such_tasks_say(tmp_path: Path) -> None:
    class Asked(Predicting):
        async def model(self) -> Sequence[Section]:
            return [untaught("task")]

        async def durations_beside(
            self, shared: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]
        ) -> "list[float | None]":
            told.append({**shared, **tasks[1]})
            return [None] * len(tasks)

    told: list[dict[str, Any]] = []
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=1)) as swarm:
        plan = [task("a", text="one"), task("b", text="w" * 3_000)]
        books = Bookkeeper(swarm.database, swarm.database.clock, Retention())
        predicting = Asked(swarm.database, swarm.database.clock, "test", books.close)
        expectation = Expectations(swarm.database, swarm.database.clock, "test", predicting)
        new = NewRun(RunKind.BATCH, "t", (), None, CHOICE, Shape.STAR)
        home, _ = await swarm.swarms.find_or_make(None)
        run_id = await swarm.runs.start(new, plan, home, ["coder"])
        await swarm.runs.wait(run_id, None)
        await expectation.of_run(plan, new, home, swarm.backend.info)
        rows = await training_rows(swarm.database, "test", Timeframe(0, 2**62))
        (row,) = [row for row in rows if row.level == "task" and row.text == "w" * 2_000]
        said = {factor: getattr(row, factor) for factor in FACTORS if factor != "prompt_bytes"}
        said["text"] = row.text
        assert told == [{factor: value for factor, value in said.items() if value is not None}]
        await expectation.of_more(plan, await swarm.runs.get(run_id), None)
        assert told[1] == {**told[0], "tasks": 4}
