"""load_balance over a real database: what it plans with, what it refuses, and the run it starts."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import swarmtally
from swarmtally import App, InvalidInput
from swarmtally.domain.errors import NoSwarm, NotFound, RoleMissing, SwarmError
from swarmtally.domain.topology import Shape
from swarmtally.store import models
from swarmtally.store.models import StoredModel
from swarmtally.training import DEFAULT_MODEL
from swarmtally_tools.balance import BalanceView, load_balance
from swarmtally_tools.swarm import agent_spawn, swarm_init
from tests.core.harness import ScriptedBackend
from tests.learning.histories import by_text, document

TWO = [{"id": "build", "role": "coder", "estimated_s": 40}, {"id": "test", "role": "tester", "depends_on": ["build"]}]
TIMED = [TWO[0], {**TWO[1], "estimated_s": 20}]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def opened(backend: ScriptedBackend | None = None) -> AsyncIterator[App]:
    mine = backend or ScriptedBackend()
    async with swarmtally.open(db="swarm.db", project="p", backends={"mine": mine}) as app:
        yield app


async def swarm_of(app: App, *roles: str, **given: Any) -> str:
    view = await swarm_init.call(app, given)
    for role in roles:
        await agent_spawn.call(app, {"type": role})
    return str(view.model_dump()["swarm_id"])


async def balanced(app: App, tasks: list[dict[str, Any]], **given: Any) -> BalanceView:
    view = await load_balance.call(app, {"tasks": tasks, **given})
    assert isinstance(view, BalanceView)
    return view


async def refused(app: App, tasks: list[dict[str, Any]], **given: Any) -> str:
    with pytest.raises(SwarmError) as caught:
        await load_balance.call(app, {"tasks": tasks, **given})
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def rows(app: App, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await app.database.read(lambda tx: tx.rows(sql))]


async def finished(app: App, role_s: Mapping[str, list[float]]) -> None:
    """Finished tasks of these roles, which took so many seconds."""
    queue = [
        {"id": f"{role}{at}", "role": role, "estimated_s": 1, "task": "x"}
        for role, durations in role_s.items()
        for at in range(len(durations))
    ]
    view = await balanced(app, queue, dispatch=True)
    assert view.run_id is not None
    with anyio.fail_after(20):
        await (await app.runs()).wait(view.run_id, None)
    times = [
        {"run_id": view.run_id, "key": f"{role}{at}", "ns": round(seconds * 1e9)}
        for role, durations in role_s.items()
        for at, seconds in enumerate(durations)
    ]
    await app.database.write(
        lambda tx: tx.many(
            "UPDATE attempt SET exec_ns = :ns"
            " WHERE task_id = (SELECT task_id FROM task WHERE run_id = :run_id AND key = :key)",
            times,
        )
    )


async def test_a_plan_says_who_does_what_when_and_changes_nothing() -> None:
    async with opened() as app:
        swarm_id = await swarm_of(app, "coder", "tester")
        before = await rows(app, "SELECT * FROM event")
        view = await balanced(app, TIMED)
        agents = {load.role: load.agent_id for load in view.loads}
        assert [(one.id, one.agent_id, one.start_s, one.end_s, one.estimated) for one in view.assignments] == [
            ("build", agents["coder"], 0, 40, False),
            ("test", agents["tester"], 40, 60, False),
        ]
        assert (view.swarm_id, view.makespan_s, view.lower_bound_s, view.ratio) == (swarm_id, 60, 60, 1)
        assert view.basis["lower_bound_s"] == "critical path build → test"
        assert [(load.role, load.busy_s, load.tasks, load.load_s) for load in view.loads] == [
            ("coder", 0, 1, 40),
            ("tester", 0, 1, 20),
        ]
        assert view.n == {"assignments": 2, "loads": 2, "estimates": 0}
        assert (view.run_id, view.status, view.next_offset) == (None, None, None)
        assert await rows(app, "SELECT * FROM event") == before
        assert await rows(app, "SELECT * FROM run") == []


async def test_a_missing_duration_is_the_median_of_its_role_and_says_so() -> None:
    async with opened() as app:
        await swarm_of(app, "coder", "tester")
        assert await refused(app, TWO) == (
            "no duration is known for task 'test': the project has 0 finished tasks, and an estimate needs 3; "
            "give estimated_s"
        )
        await finished(app, {"tester": [7, 3, 5], "coder": [100]})
        view = await balanced(app, [TWO[1], {"id": "build", "role": "coder"}])
        assert [(one.id, one.start_s, one.end_s, one.estimated) for one in view.assignments] == [
            ("build", 0, 6, True),  # of 3, 5, 7 and 100
            ("test", 6, 11, True),
        ]
        assert [one.model_dump() for one in view.estimates] == [
            {"role": "coder", "duration_s": 6, "n": 4, "basis": "all roles", "tasks": 1},
            {"role": "tester", "duration_s": 5, "n": 3, "basis": "role", "tasks": 1},
        ]
        assert view.n["estimates"] == 4


async def test_a_model_with_skill_estimates_each_task_by_its_text_and_says_so() -> None:
    text = await anyio.to_thread.run_sync(document, by_text())
    model = StoredModel(DEFAULT_MODEL, 0, 1, "prediction", 0, "sha", text)
    async with opened() as app:
        await swarm_of(app, "coder", "poet")
        await app.database.write(lambda tx: models.keep(tx, "p", model))
        await finished(app, {"tester": [7, 3, 5]})
        view = await balanced(
            app,
            [
                {"id": "short", "role": "coder", "task": "word " * 4},
                {"id": "long", "role": "coder", "task": "word " * 30},
                {"id": "no text", "role": "tester"},
                {"id": "no mode", "role": "poet", "task": "word " * 4},
                {"id": "given", "role": "coder", "task": "word", "estimated_s": 2},
            ],
        )
        took = {one.id: round(one.end_s - one.start_s) for one in view.assignments}
        basis = {one.id: one.basis for one in view.assignments}
        assert basis == {"short": "model", "long": "model", "no text": "role", "no mode": "all roles", "given": None}
        assert (took["no text"], took["no mode"], took["given"]) == (5, 5, 2)
        assert took["short"] == pytest.approx(4, abs=1)
        assert took["long"] == pytest.approx(30, abs=4)
        assert [(one.role, one.n, one.basis, one.tasks) for one in view.estimates] == [
            ("coder", 120, "model", 2),
            ("poet", 3, "all roles", 1),
            ("tester", 3, "role", 1),
        ]


async def test_tasks_of_other_projects_and_failed_ones_are_no_history() -> None:
    backend = ScriptedBackend(script=lambda key, asked: RuntimeError("no"))
    async with opened() as app:
        await swarm_of(app, "tester")
        await finished(app, {"tester": [1, 2, 3]})
    async with swarmtally.open(db="swarm.db", project="other", backends={"mine": backend}) as app:
        await swarm_of(app, "tester")
        await finished(app, {"tester": [1, 2, 3]})
        assert "the project has 0 finished tasks" in await refused(app, [{"id": "x", "role": "tester"}])


async def test_a_busy_agent_gets_work_when_its_task_should_have_ended() -> None:
    backend = ScriptedBackend()
    async with opened(backend) as app:
        await swarm_of(app, "coder", max_agents=1)
        await finished(app, {"coder": [500, 500, 500]})
        backend.gate, backend.met = anyio.Event(), anyio.Event()
        now, following = one(id="now", task="x"), one(id="next")
        # A program's own process executes the run, so the call lasts as long.
        async with anyio.create_task_group() as group:
            group.start_soon(partial(balanced, app, now, dispatch=True))
            with anyio.fail_after(20):
                await backend.met.wait()
            view = await balanced(app, following)
            (load,) = view.loads
            assert load.busy_s is not None
            assert 400 < load.busy_s < 500
            assert view.assignments[0].start_s == load.busy_s
            assert view.role_bound_s == view.makespan_s > view.lower_bound_s == 1
            await app.database.write(lambda tx: tx.rows("UPDATE attempt SET exec_ns = 0 WHERE exec_ns IS NOT NULL"))
            view = await balanced(app, following)
            assert (view.loads[0].busy_s, view.assignments[0].start_s) == (None, 0)
            assert view.reasons["busy_s"].startswith("of 1 busy agents too few finished tasks took longer")
            backend.gate.set()


async def test_a_role_nobody_has_goes_to_anyone_unless_the_swarm_is_specialized() -> None:
    async with opened() as app:
        await swarm_of(app, "coder")
        view = await balanced(app, TIMED)
        assert view.reasons["assignments"] == (
            "no agent has role tester: any agent takes those tasks; add one with agent_spawn --type ROLE"
        )
        assert len({one.agent_id for one in view.assignments}) == 1
        strict = await swarm_of(app, "coder", strategy="specialized")
        with pytest.raises(RoleMissing, match="has no agent of role tester and room for 7; spawn them with"):
            await load_balance.call(app, {"tasks": TIMED, "swarm_id": strict})


async def test_without_a_swarm_or_an_agent_the_remedy_is_named() -> None:
    async with opened() as app:
        with pytest.raises(NoSwarm, match="make one with swarm_init"):
            await load_balance.call(app, {"tasks": TIMED})
        with pytest.raises(NotFound):
            await load_balance.call(app, {"tasks": TIMED, "swarm_id": "s_nobody"})
        swarm_id = await swarm_of(app)
        told = f"swarm {swarm_id} has no agents to balance tasks over; add them with agent_spawn --type ROLE"
        assert await refused(app, TIMED) == told


def one(**given: Any) -> list[dict[str, Any]]:
    return [{"id": "x", "role": "coder", "estimated_s": 1, **given}]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([], "tasks must have at least 1 item"),
        (one() * 2, "two tasks have the id 'x'"),
        (one(depends_on=["y"]), "task 'x' depends on 'y', which is not among the tasks"),
        (one(depends_on=["x"]), "wait for each other in a circle"),
        (one(estimated_s=-1), "tasks.0.estimated_s must be more than 0.0, got -1"),
        (one(estimated_s=0), "tasks.0.estimated_s must be more than 0.0, got 0"),
        (one(estimated_s=1e12), "tasks.0.estimated_s must be at most 31536000"),
        (one(estimated_s=float("nan")), "tasks.0.estimated_s"),
        (one(prio=1), "tasks.0.prio is not known here"),
        (one(id=""), "tasks.0.id must be at least 1 character long"),
        (one() * 10_001, "tasks must have at most 10000 items"),
    ],
)
async def test_what_cannot_be_planned_is_refused_in_one_line(tasks: list[dict[str, Any]], said: str) -> None:
    async with opened() as app:
        await swarm_of(app, "coder")
        assert said in await refused(app, tasks)


async def test_a_long_plan_is_paged_and_the_pages_are_the_whole() -> None:
    async with opened() as app:
        await swarm_of(app, "coder", "tester")
        tasks = [
            {"id": f"a-task-with-a-long-name-{number:04}", "role": "coder", "estimated_s": number + 1}
            for number in range(1_000)
        ]
        found, offset, answers = [], 0, 0
        while offset is not None:
            view = await balanced(app, tasks, offset=offset)
            assert len(view.model_dump_json().encode()) < 50_000
            found += [one.id for one in view.assignments]
            offset, answers = view.next_offset, answers + 1
        assert answers > 1
        assert sorted(found) == sorted(task["id"] for task in tasks)
        assert len(set(found)) == 1_000
        assert "offset pages a plan" in await refused(app, tasks, offset=1, dispatch=True)


async def test_dispatched_tasks_run_with_their_roles_priorities_and_dependencies() -> None:
    backend = ScriptedBackend()
    tasks = [
        {"id": "test", "role": "tester", "estimated_s": 2, "depends_on": ["build"], "task": "Test it", "priority": 3},
        {"id": "build", "role": "coder", "estimated_s": 2, "task": "Build it", "mode": "coder"},
        {"id": "ship", "role": "engineer", "estimated_s": 2, "depends_on": ["build", "test"], "task": "Ship it"},
    ]
    async with opened(backend) as app:
        swarm_id = await swarm_of(app, "coder", "tester", "engineer")
        view = await balanced(app, tasks, dispatch=True)
        assert view.makespan_s == 6
        assert view.run_id is not None
        assert view.run_id in view.next_step
        runs = await app.runs()
        with anyio.fail_after(20):
            await runs.wait(view.run_id, None)
        state = await runs.show(view.run_id)
        assert (state.status, state.run.kind, state.run.swarm_id, state.run.shape) == (
            "succeeded",
            "queue",
            swarm_id,
            Shape.STAR,
        )
        assert [
            (each.task.key, each.task.mode, each.task.role, each.task.priority, each.task.text) for each in state.tasks
        ] == [
            ("test", "tester", "tester", 3, "Test it"),
            ("build", "coder", "coder", 0, "Build it"),
            ("ship", "data-pipeline", "engineer", 0, "Ship it"),
        ]
        assert [text.splitlines()[-1] for text in backend.order] == [
            "Deliverable: code",
            "Deliverable: tests",
            "Deliverable: pipeline",
        ]
        needs = await rows(
            app,
            "SELECT a.key AS task, b.key AS needs FROM dependency JOIN task a ON a.task_id = dependency.task_id"
            " JOIN task b ON b.task_id = dependency.depends_on ORDER BY 1, 2",
        )
        assert [(row["task"], row["needs"]) for row in needs] == [
            ("ship", "build"),
            ("ship", "test"),
            ("test", "build"),
        ]
        kept = await app.memory.retrieve("p", "default", f"sparc/{view.run_id}/tester/test")
        assert kept.value


async def test_a_host_driven_queue_waits_for_clients() -> None:
    async with opened() as app:
        await swarm_of(app, "coder", model="host")
        view = await balanced(app, one(task="Do it"), dispatch=True)
        assert view.status == "waiting_for_host"
        claimed = await (await app.packets()).claim(1, run_id=view.run_id)
        assert [packet.task.key for packet in claimed.packets] == ["x"]


@pytest.mark.parametrize(
    ("given_fields", "said"),
    [
        ({}, "task 'x' does not say what to do; to dispatch it, give its text as `task`"),
        ({"task": "  "}, "task 'x' does not say what to do"),
        ({"task": "Do it", "mode": "tester"}, "task 'x' has role coder, but mode tester is done by role tester"),
        ({"task": "Do it", "mode": "cdoer"}, "no mode 'cdoer'; did you mean 'coder'?"),
        ({"task": "Do it", "role": "poet"}, "no mode is done by role poet; use a mode's role"),
        ({"task": "Do it", "role": "integrator"}, "role integrator has the modes integration, merger; name one"),
        ({"task": "Do it", "id": "x\ny"}, "cannot name a task; use printable characters"),
        ({"task": "Do \ud800 it"}, "tasks.0.task: input should be a valid string"),
    ],
)
async def test_what_cannot_be_dispatched_starts_nothing(given_fields: dict[str, Any], said: str) -> None:
    async with opened() as app:
        await swarm_of(app, "coder")
        assert said in await refused(app, one(**given_fields), dispatch=True)
        assert await rows(app, "SELECT * FROM run") == []


def test_a_queue_is_no_sparc_request() -> None:
    with pytest.raises(InvalidInput, match="a queue has roles and dependencies"):
        swarmtally.SparcRequest(swarmtally.RunKind.QUEUE, ("coder",), ("x",))


async def test_the_same_swarm_and_tasks_give_the_same_plan() -> None:
    async with opened() as app:
        await swarm_of(app, "coder", "tester", "coder")
        one_view, other = [json.loads((await balanced(app, tasks)).model_dump_json()) for tasks in (TIMED, TIMED[::-1])]
        assert {**one_view, "as_of": None} == {**other, "as_of": None}
