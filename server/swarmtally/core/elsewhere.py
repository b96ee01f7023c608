"""Where a client that does a packet's work itself finds the parts that were left out of its prompt."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from swarmtally.core.ports import Prompt
from swarmtally.domain.errors import ContextExceeded

WHERE = (
    "Parts that were left out above can be read with memory_usage, action retrieve: artifact:PHASE/NAME has the key "
    "sparc/{run_id}/PHASE/NAME, and context:N the key sparc/{run_id}/context/N."
)


async def told_where(pack: Callable[[int], Awaitable[Prompt]], run_id: str, budget_bytes: int) -> Prompt:
    """The prompt that `pack` makes; where parts were left out of it, it says where they can be read.

    Raises:
        ContextExceeded: it cannot be made to fit.
    """
    prompt = await pack(budget_bytes)
    if not prompt.left_out:
        return prompt
    where = WHERE.format(run_id=run_id)
    try:
        prompt = await pack(budget_bytes - len(where.encode()))
    except ContextExceeded:
        # Role and task fill the packet: the references alone must do.
        return prompt
    return replace(prompt, parts=(*prompt.parts, where)) if prompt.left_out else prompt
