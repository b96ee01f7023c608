"""Carries what one agent delivered to the agent that needs it, along the edges of the run's topology and no others.

The store holds what is delivered; the messages are who told whom, and when. A hand-over takes the shortest way, with a
message for each edge, in the transaction that starts the task it is for.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from swarmtally.domain.routes import JoiningOrder, check_edge, route
from swarmtally.domain.swarm import Swarm
from swarmtally.domain.task import Claim
from swarmtally.domain.topology import Shape
from swarmtally.store import agents, messages, runs
from swarmtally.store.connection import Connection, Row
from swarmtally.store.messages import Message

DATA_TRANSFER = "data_transfer"
"""What a task needs reaches the agent that does it."""

COORDINATION = "coordination"
"""What its topology shows a task besides, and what goes to the hub for merging."""


async def send(tx: Connection, shape: Shape, order: JoiningOrder, given: Sequence[Message]) -> None:
    """Record messages, each of which travels one edge.

    Raises:
        NoEdge: one of them has no edge to travel; none is recorded.
    """
    for message in given:
        check_edge(shape, order, message.sender, message.receiver)
    await messages.insert(tx, given)


async def hand_over(tx: Connection, swarm: Swarm, claims: Sequence[Claim], now_ns: int) -> None:
    """Have the agents of `claims`, all of one swarm, told what their tasks' dependencies delivered.

    What an agent that has left delivered is handed over by the hub. In a run without edges of its own (solo, or not
    decided yet) those of a star are taken.
    """
    delivered = await messages.delivered_for(tx, [claim.task.task_id for claim in claims])
    if not delivered:
        return
    order = await _joining_order(tx, swarm.swarm_id)
    shapes = await runs.shapes(tx, list(dict.fromkeys(claim.task.run_id for claim in claims)))
    by_task = {claim.task.task_id: claim for claim in claims}
    for run_id, shape in shapes.items():
        edges = Shape.STAR if shape is None or shape is Shape.SOLO else shape
        hops: list[Message] = []
        for row in delivered:
            claim = by_task[row["task_id"]]
            if claim.task.run_id == run_id:
                hops += _hops(swarm, edges, order, claim, row, now_ns)
        await send(tx, edges, order, hops)


_ORDERS: OrderedDict[tuple[str, str], tuple[tuple[int, str | None], JoiningOrder]] = OrderedDict()
"""By database and swarm: how many agents it had, and which of them had joined last; and their order."""

_ORDERS_KEPT = 64


async def _joining_order(tx: Connection, swarm_id: str) -> JoiningOrder:
    """The swarm's agents as they are now. Read afresh only when one has joined or left."""
    key, state = (tx.path, swarm_id), (await agents.count(tx, swarm_id), await agents.newest(tx, swarm_id))
    known = _ORDERS.get(key)
    if known is None or known[0] != state:
        known = state, JoiningOrder.of(await agents.ids_in_joining_order(tx, swarm_id))
    _ORDERS[key] = known
    _ORDERS.move_to_end(key)
    if len(_ORDERS) > _ORDERS_KEPT:
        _ORDERS.popitem(last=False)
    return known[1]


def _hops(swarm: Swarm, shape: Shape, order: JoiningOrder, claim: Claim, delivered: Row, now_ns: int) -> list[Message]:
    source = delivered["agent_id"] if delivered["agent_id"] in order.positions else order.agents[0]
    path = route(shape, order, source, claim.agent_id)
    return [
        Message(
            kind=COORDINATION if delivered["sees"] or claim.task.hub else DATA_TRANSFER,
            project=swarm.project,
            swarm_id=swarm.swarm_id,
            run_id=claim.task.run_id,
            task_id=claim.task.task_id,
            about=delivered["about"],
            sender=sender,
            receiver=receiver,
            hop=number,
            hops=len(path) - 1,
            sent_ns=now_ns,
        )
        for number, (sender, receiver) in enumerate(pairwise(path), start=1)
    ]
