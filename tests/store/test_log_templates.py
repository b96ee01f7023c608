"""Templates of logs are remembered by project, and what failed is found newest first."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from swarmtally.core.bookkeeping import DAY_NS, Bookkeeper
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.retention import Retention
from swarmtally.store import failures, templates
from swarmtally.store.database import Database
from swarmtally.store.templates import Met, Noted
from tests.core.harness import ScriptedBackend, swarmed, task
from tests.store.conftest import HandClock


async def noted(database: Database, *met: Met, project: str = "p", same: Mapping[str, str] | None = None) -> Noted:
    now_ns = database.clock.now_ns()
    return await database.write(lambda tx: templates.note(tx, project, met, same or {}, now_ns))


async def test_a_template_is_new_once_and_its_counts_grow(database: Database, clock: HandClock) -> None:
    first_ns = clock.ns
    assert await noted(database, Met("k", "a <num>", "unknown", 3)) == Noted(0, {})
    clock.advance(5)
    again = await noted(database, Met("k", "a <num>", "unknown", 4), Met("other", "b", "timeout", 1))
    assert (again.known, list(again.seen)) == (1, ["k"])
    seen = again.seen["k"]
    assert (seen.first_ns, seen.last_ns, seen.analyses, seen.entries) == (first_ns, first_ns, 1, 3)
    last = (await noted(database, Met("k", "a <num>", "unknown", 1))).seen["k"]
    assert (last.first_ns, last.last_ns, last.analyses, last.entries) == (first_ns, clock.ns, 2, 7)


async def test_what_was_met_under_another_key_is_not_new(database: Database) -> None:
    await noted(database, Met("alice", "user alice is gone", "unknown", 2))
    again = await noted(database, Met("any", "user <*> is gone", "unknown", 9), same={"any": "alice"})
    assert (list(again.seen), again.seen["any"].template, again.seen["any"].entries) == (
        ["any"],
        "user alice is gone",
        2,
    )
    assert (await noted(database, Met("any", "user <*> is gone", "unknown", 1))).seen["any"].entries == 9


async def test_projects_do_not_see_each_others_templates(database: Database) -> None:
    await noted(database, Met("k", "a", "unknown", 1), project="one")
    assert await noted(database, Met("k", "a", "unknown", 1), project="two") == Noted(0, {})


async def test_of_two_at_once_exactly_one_meets_it_first(database: Database) -> None:
    found: list[Noted] = []

    async def meet() -> None:
        found.append(await noted(database, Met("k", "a", "unknown", 1)))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(meet)
    assert sorted(one.known for one in found) == [0, *[1] * 7]
    assert sorted(one.seen["k"].analyses for one in found if one.seen) == list(range(1, 8))


async def test_a_clock_that_was_set_back_leaves_the_order(database: Database, clock: HandClock) -> None:
    first_ns = clock.ns
    await noted(database, Met("k", "a", "unknown", 1))
    clock.advance(-60)
    await noted(database, Met("k", "a", "unknown", 1))
    seen = (await noted(database, Met("k", "a", "unknown", 1))).seen["k"]
    assert (seen.first_ns, seen.last_ns) == (first_ns, first_ns)


async def test_beyond_the_limit_those_met_longest_ago_go(
    database: Database, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "KEPT", 3)
    for number in range(5):
        await noted(database, Met(f"k{number}", "a", "unknown", 1))
        clock.advance(1)
    assert await _keys(database) == ["k2", "k3", "k4"]


async def test_what_was_not_met_for_as_long_as_runs_are_kept_is_deleted(database: Database, clock: HandClock) -> None:
    await noted(database, *(Met(f"old{number}", "a", "unknown", 1) for number in range(1_200)))
    clock.ns += 2 * DAY_NS
    await noted(database, Met("young", "a", "unknown", 1))
    assert await Bookkeeper(database, clock, Retention(runs_days=1)).delete_old() == 1_200
    assert await _keys(database) == ["young"]


async def _keys(database: Database) -> list[str]:
    rows = await database.read(lambda tx: tx.rows("SELECT key FROM log_template ORDER BY key"))
    return [row["key"] for row in rows]


async def test_the_newest_failures_are_found_by_an_index_of_failures_alone(database: Database) -> None:
    plan = await database.read(
        lambda tx: tx.rows(
            "EXPLAIN QUERY PLAN SELECT * FROM attempt INDEXED BY attempt_failed CROSS JOIN task USING (task_id)"
            " WHERE attempt.status IN ('failed', 'lost') ORDER BY committed_ns DESC LIMIT 5"
        )
    )
    text = " ".join(row["detail"] for row in plan)
    assert "attempt_failed" in text
    assert "TEMP B-TREE" not in text, "it must not sort all failures there are"
    assert await database.read(lambda tx: failures.newest(tx, "p", 5)) == []


async def test_failures_are_the_project_s_own_and_the_newest(tmp_path: Path) -> None:
    backend = ScriptedBackend(lambda key, asked: BackendFailure(f"{key} failed", transient=False))
    async with swarmed(tmp_path, backend) as swarm:
        await swarm.init()
        for key in ("a", "b", "c"):
            await swarm.run(task(key))
        found = await swarm.database.read(lambda tx: failures.newest(tx, "test", 2))
        assert [failure.error for failure in found] == ["b failed", "c failed"]
        assert await swarm.database.read(lambda tx: failures.newest(tx, "another", 2)) == []


async def test_ids_of_other_projects_and_of_nobody_are_not_its_own(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        (done,) = (await swarm.run(task("a"))).values()
        assert done.agent_id is not None
        wanted = [done.task_id, done.agent_id, "t_000000000000_0"]
        own = await swarm.database.read(lambda tx: failures.own_ids(tx, "test", wanted))
        assert own == {done.task_id, done.agent_id}
        assert await swarm.database.read(lambda tx: failures.own_ids(tx, "another", wanted)) == set()
