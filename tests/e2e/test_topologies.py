"""Topologies as a run lives them: who does what, who tells whom, and what is decided for an adaptive swarm."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import anyio
import pytest

from swarmtally.app import App
from swarmtally.core import router
from swarmtally.domain.errors import NoEdge
from swarmtally.domain.routes import JoiningOrder, edge
from swarmtally.domain.topology import Shape
from swarmtally.store.connection import Row
from swarmtally.store.messages import Message
from swarmtally_tools.run_views import RunView
from swarmtally_tools.sparc import sparc_concurrent, sparc_pipeline
from swarmtally_tools.swarm import swarm_init
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire
from tests.e2e.conftest import OpenTestApp


def architecture(components: int) -> str:
    return "# Shop\n## Components\n" + "".join(f"- part {number}\n" for number in range(1, components + 1))


async def pipeline(app: App, wire: OpenAIWire, topology: str, components: int, **swarm: Any) -> RunView:
    await swarm_init.call(app, {"topology": topology, **swarm})
    wire.script(w.answer("the specification"), w.answer(architecture(components)))
    with anyio.fail_after(60):
        view = await sparc_pipeline.call(app, {"task": "A shop"})
    assert isinstance(view, RunView)
    assert view.status == "succeeded", view.reason
    return view


async def rows(app: App, sql: str) -> list[Row]:
    return await app.database.read(lambda tx: tx.rows(sql))


async def joining_order(app: App) -> JoiningOrder:
    return JoiningOrder.of([row["agent_id"] for row in await rows(app, "SELECT agent_id FROM agent ORDER BY joined")])


def doers(view: RunView) -> dict[str, str | None]:
    assert view.timeline is not None
    return {task.key: task.agent_id for task in view.timeline}


@pytest.mark.parametrize(
    ("topology", "merges"),
    [
        ("star", ["merge_code", "merge_tests", "merge_review"]),
        ("hierarchical", ["merge_group_1", "merge_group_2", "merge"]),
        ("ring", []),
        ("mesh", ["merge"]),
    ],
)
async def test_hand_overs_travel_the_edges_of_their_topology_and_no_others(
    open_test_app: OpenTestApp, wire: OpenAIWire, topology: str, merges: list[str]
) -> None:
    async with open_test_app() as app:
        view = await pipeline(app, wire, topology, 5, max_agents=7)
        assert (view.topology, view.topology_reason) == (topology, "the swarm's topology")
        assert [key for key in doers(view) if key.startswith("merge")] == merges
        order, shape = await joining_order(app), Shape(topology)
        sent = await rows(app, "SELECT * FROM message ORDER BY message_id")
        assert view.messages == len(sent) > 0
        assert all(edge(shape, order, message["sender"], message["receiver"]) for message in sent)
        # Every task whose maker was another agent is reached by what it needs and sees, hop by hop.
        whole: dict[tuple[str, str], list[Row]] = {}
        for message in sent:
            whole.setdefault((message["task_id"], message["about"]), []).append(message)
        needs = await rows(
            app,
            "SELECT dependency.task_id, depends_on, task.agent_id AS receiver, other.agent_id AS sender"
            " FROM dependency JOIN task USING (task_id) JOIN task AS other ON other.task_id = depends_on",
        )
        for need in needs:
            hops = whole.pop((need["task_id"], need["depends_on"]), [])
            assert bool(hops) == (need["sender"] != need["receiver"])
            if hops:
                assert (hops[0]["sender"], hops[-1]["receiver"]) == (need["sender"], need["receiver"])
                assert [hop["hop"] for hop in hops] == list(range(1, hops[0]["hops"] + 1))
                assert all(before["receiver"] == after["sender"] for before, after in pairwise(hops))
        assert whole == {}, "a message nobody needs"


async def test_the_hub_merges_and_nobody_else(open_test_app: OpenTestApp, wire: OpenAIWire) -> None:
    async with open_test_app() as app:
        view = await pipeline(app, wire, "star", 4)
        hub = (await joining_order(app)).agents[0]
        merged = {key: agent for key, agent in doers(view).items() if key.startswith("merge")}
        assert len(merged) == 3
        assert set(merged.values()) == {hub}
        assert len(set(doers(view).values())) > 1


@pytest.mark.parametrize(
    ("components", "topology", "reason"),
    [(1, "solo", "one agent"), (3, "star", "star"), (9, "hierarchical", "more than 8")],
)
async def test_an_adaptive_swarm_decides_when_the_components_are_known(
    open_test_app: OpenTestApp, wire: OpenAIWire, components: int, topology: str, reason: str
) -> None:
    async with open_test_app() as app:
        view = await pipeline(app, wire, "adaptive", components)
        assert view.topology == topology
        assert reason in (view.topology_reason or "")
        after = {agent for key, agent in doers(view).items() if key != "spec"}
        assert (len(after) == 1) == (topology == "solo"), "a chain is one agent's"


async def test_a_batch_in_an_adaptive_swarm_is_decided_at_its_start(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    async with open_test_app() as app:
        await swarm_init.call(app, {"topology": "adaptive"})
        view = await sparc_concurrent.call(app, {"mode": "coder", "tasks": ["A", "B", "C"]})
        assert isinstance(view, RunView)
        assert (view.topology, view.messages) == ("star", 0)


async def test_the_router_refuses_what_no_edge_carries(open_test_app: OpenTestApp) -> None:
    order = JoiningOrder.of(["a_hub", "a_left", "a_right"])
    message = Message("data_transfer", "p", "s", "r", "t_1", "t_0", "a_left", "a_right", 1, 1, 0)
    async with open_test_app() as app:
        with pytest.raises(NoEdge, match="a_hub"):
            await app.database.write(lambda tx: router.send(tx, Shape.STAR, order, [message]))
        assert await rows(app, "SELECT * FROM message") == []


async def test_what_an_agent_that_left_had_made_is_handed_over_by_the_hub(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    async with open_test_app() as app:
        await swarm_init.call(app, {"topology": "star"})
        hold = w.Hold()
        wire.script(w.answer("the specification"), replace(w.answer(architecture(2)), hold=hold))
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await sparc_pipeline.call(app, {"task": "A shop"})

            group.start_soon(run)
            await anyio.to_thread.run_sync(wire.wait_for_requests, 2)
            # The first agent made the specification and is idle; only the second, the architect, stays.
            await app.swarms.scale(1, "specifier", None)
            hold.release()
        (left,) = [row["agent_id"] for row in await rows(app, "SELECT agent_id FROM agent WHERE status = 'left'")]
        about = await rows(
            app, "SELECT * FROM message WHERE about LIKE '%\\_0' ESCAPE '\\' AND task_id NOT LIKE '%\\_1' ESCAPE '\\'"
        )
        assert about, "the code needs the specification"
        assert left not in {agent for message in about for agent in (message["sender"], message["receiver"])}
