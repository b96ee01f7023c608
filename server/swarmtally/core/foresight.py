"""The order in which a run's tasks should start, where it is known how long they take."""

from collections.abc import Sequence

import anyio.to_thread

from swarmtally.domain.ordering import ordered
from swarmtally.domain.task import NewTask


async def in_order(plan: Sequence[NewTask], agents: int) -> Sequence[NewTask]:
    """The plan with the place of each task, see `ordering.ordered`; as it is where nothing is expected.

    Worked out in a worker thread.
    """
    expected = any(task.expected_ns is not None for task in plan)
    return await anyio.to_thread.run_sync(ordered, plan, agents) if expected else plan
