"""Topologies: edges, the shortest routes over them, and the shape an adaptive swarm's run takes."""

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.errors import NoEdge
from swarmtally.domain.routes import JoiningOrder, check_edge, edge, route
from swarmtally.domain.swarm import Topology
from swarmtally.domain.topology import Shape, decide, neighbours, shape_of

CONNECTED = [shape for shape in Shape if shape is not Shape.SOLO]
SIX = JoiningOrder.of(["a0", "a1", "a2", "a3", "a4", "a5"])

connected = st.sampled_from(CONNECTED)


def swarm(size: int) -> JoiningOrder:
    return JoiningOrder.of([f"a{number}" for number in range(size)])


def hops_by_search(shape: Shape, order: JoiningOrder, source: str, target: str) -> int:
    """Breadth first over the edges: what the shortest path must measure."""
    hops, waiting = {source: 0}, deque([source])
    while target not in hops:
        here = waiting.popleft()
        for other in order.agents:
            if other not in hops and edge(shape, order, here, other):
                hops[other] = hops[here] + 1
                waiting.append(other)
    return hops[target]


@given(connected, st.integers(1, 40), st.data())
def test_a_route_goes_over_edges_and_none_is_shorter(shape: Shape, size: int, data: st.DataObject) -> None:
    order = swarm(size)
    source, target = data.draw(st.sampled_from(order.agents)), data.draw(st.sampled_from(order.agents))
    path = route(shape, order, source, target)
    assert (path[0], path[-1]) == (source, target)
    for one, other in pairwise(path):
        assert edge(shape, order, one, other)
        check_edge(shape, order, one, other)
    assert len(path) - 1 == hops_by_search(shape, order, source, target)


@given(st.sampled_from([topology for topology in Topology if shape_of(topology)]), st.integers(1, 40))
def test_the_neighbours_are_the_agents_an_edge_leads_to(topology: Topology, size: int) -> None:
    order, shape = swarm(size), shape_of(topology)
    assert shape is not None
    for one in order.agents:
        found = tuple(other for other in order.agents if edge(shape, order, one, other))
        assert found == neighbours(topology, order.agents, one)


@given(connected, st.integers(1, 40), st.data())
def test_whatever_is_no_edge_is_refused_and_the_way_round_is_named(
    shape: Shape, size: int, data: st.DataObject
) -> None:
    order = swarm(size)
    source, target = data.draw(st.sampled_from(order.agents)), data.draw(st.sampled_from(order.agents))
    if edge(shape, order, source, target):
        return
    with pytest.raises(NoEdge) as caught:
        check_edge(shape, order, source, target)
    text = str(caught.value)
    assert text.startswith(f"agent {source} has no edge to agent {target} ({shape} topology); ")
    if source != target:
        assert text.endswith(f"send it by way of {route(shape, order, source, target)[1]}")


@pytest.mark.parametrize(
    ("shape", "source", "target", "path"),
    [
        (Shape.STAR, "a2", "a5", "a2 a0 a5"),
        (Shape.STAR, "a2", "a0", "a2 a0"),
        (Shape.STAR, "a0", "a2", "a0 a2"),
        (Shape.HIERARCHICAL, "a5", "a2", "a5 a1 a0 a2"),
        (Shape.HIERARCHICAL, "a1", "a5", "a1 a5"),
        (Shape.HIERARCHICAL, "a5", "a0", "a5 a1 a0"),
        (Shape.RING, "a2", "a5", "a2 a3 a4 a5"),
        (Shape.RING, "a5", "a1", "a5 a0 a1"),
        (Shape.MESH, "a2", "a5", "a2 a5"),
        (Shape.SOLO, "a2", "a2", "a2"),
        (Shape.RING, "a2", "a2", "a2"),
    ],
)
def test_the_way_through_a_swarm_of_six(shape: Shape, source: str, target: str, path: str) -> None:
    assert route(shape, SIX, source, target) == tuple(path.split())


@pytest.mark.parametrize(
    ("shape", "source", "target", "message"),
    [
        (Shape.STAR, "a1", "a2", "agent a1 has no edge to agent a2 (star topology); send it by way of a0"),
        (Shape.RING, "a1", "a0", "agent a1 has no edge to agent a0 (ring topology); send it by way of a2"),
        (Shape.HIERARCHICAL, "a5", "a0", "has no edge to agent a0 (hierarchical topology); send it by way of a1"),
        (Shape.MESH, "a1", "a1", "an agent keeps what it has, so send nothing"),
        (Shape.MESH, "a1", "b", "agent a1 has no edge to agent b (mesh topology); b is not of this swarm"),
        (Shape.STAR, "b", "a0", "b is not of this swarm"),
        (Shape.SOLO, "a1", "a2", "one agent does all of a solo run"),
    ],
)
def test_what_has_no_edge_is_refused_with_a_remedy(shape: Shape, source: str, target: str, message: str) -> None:
    with pytest.raises(NoEdge) as caught:
        check_edge(shape, SIX, source, target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "target"), [("a1", "a2"), ("b", "a1"), ("a1", "b"), ("b", "b")])
def test_there_is_no_way_between_agents_of_a_solo_run_nor_to_strangers(source: str, target: str) -> None:
    with pytest.raises(NoEdge):
        route(Shape.SOLO, SIX, source, target)


def test_a_hierarchy_of_ten_thousand_is_crossed_in_a_few_hops() -> None:
    order = swarm(10_000)
    assert route(Shape.HIERARCHICAL, order, "a9999", "a5000") == (
        "a9999", "a2499", "a624", "a155", "a38", "a9", "a2", "a0", "a4", "a19", "a77", "a312", "a1249", "a5000",
    )  # fmt: skip


def test_every_topology_but_adaptive_is_the_shape_of_its_runs() -> None:
    assert {topology: shape_of(topology) for topology in Topology} == {
        Topology.STAR: Shape.STAR,
        Topology.HIERARCHICAL: Shape.HIERARCHICAL,
        Topology.RING: Shape.RING,
        Topology.MESH: Shape.MESH,
        Topology.ADAPTIVE: None,
    }


@pytest.mark.parametrize(
    ("leaves", "shape", "reason"),
    [
        (1, Shape.SOLO, "1 component: a chain, so one agent"),
        (2, Shape.STAR, "2 components: at most 8, so star"),
        (8, Shape.STAR, "8 components: at most 8, so star"),
        (9, Shape.HIERARCHICAL, "9 components: more than 8, so hierarchical"),
        (11, Shape.HIERARCHICAL, "11 components: more than 8, so hierarchical"),
    ],
)
def test_an_adaptive_run_takes_the_shape_of_its_size(leaves: int, shape: Shape, reason: str) -> None:
    assert decide(leaves) == (shape, reason)


def test_the_reason_calls_the_parts_what_they_are() -> None:
    assert decide(10_000, "task")[1] == "10,000 tasks: more than 8, so hierarchical"
