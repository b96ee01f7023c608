"""The prompt of a packet: small enough for one answer that a client puts before its model."""

from functools import partial

from swarmtally.core.attempt import inputs_of, pack
from swarmtally.core.elsewhere import told_where
from swarmtally.core.ports import Packer, Prompt, Room
from swarmtally.domain.errors import ContextExceeded
from swarmtally.domain.run import Run
from swarmtally.domain.task import Task
from swarmtally.store.database import Database

PROMPT_BYTES = 48_000
"""The longest prompt of a packet: with what JSON adds it stays below 20,000 tokens of three bytes."""

SHARE_BYTES = 52_000
"""The most that all prompts of one answer may hold together; the first is always given."""

ROOM = Room(PROMPT_BYTES, SHARE_BYTES)
"""What one packet's prompt may take."""

PACKINGS = 8
"""How often a prompt is packed until it is small enough to be sent."""


async def told(database: Database, packer: Packer, run: Run, task: Task, *, lent: bool) -> Prompt:
    """The prompt, small enough to be sent: JSON writes some characters as up to six.

    Args:
        lent: it goes to a client's model alone, which cannot read elsewhere what was left out.

    Raises:
        ContextExceeded: it cannot be made so small.
    """
    inputs = await inputs_of(database, task.task_id)
    packing = partial(pack, packer, run, task, inputs)
    low, budget, high = 0, PROMPT_BYTES, PROMPT_BYTES
    for number in range(PACKINGS):
        try:
            prompt = await (packing(budget) if lent else told_where(packing, run.run_id, budget))
        except ContextExceeded:
            if budget == PROMPT_BYTES:
                raise
            # The guess was too low: what JSON writes longer stands in the part that can be cut.
            low, budget = budget, (budget + high) // 2
            continue
        written = prompt.written_bytes
        if written <= SHARE_BYTES:
            return prompt
        high = min(budget, prompt.size_bytes)
        # As if all of it were written alike; and where that is not so, what is too much, byte for byte.
        guess = high - (written - SHARE_BYTES) if number else high * SHARE_BYTES // written
        budget = guess if guess > low else (low + high) // 2
    raise ContextExceeded(f"task {task.key} cannot be told in {SHARE_BYTES} bytes; shorten it")
