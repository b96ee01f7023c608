"""Whether what is asked for fits prompts, as far as that is known before a run starts."""

from collections.abc import Sequence

from swarmtally.core.ports import Room
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import RunKind
from swarmtally.sparc.context import WHOLE_BYTES
from swarmtally.sparc.modes import Mode
from swarmtally.sparc.packing import least_prompt, with_context
from swarmtally.sparc.plan import FOLDED_LIMIT

NOTES_BYTES = 1_000
"""What a prompt needs besides role and task, to say what was left out of it."""

LATER_BYTES = 4 * FOLDED_LIMIT
"""What later tasks of a pipeline need besides: the name of their component, or the least of the artefacts they see."""


def check_tasks(kind: RunKind, modes: Sequence[Mode], texts: Sequence[str], room: Room) -> None:
    """Refuse tasks that no packet can tell, however much else is left out of it. Blocks: it makes every prompt.

    Raises:
        InvalidInput: role and text of a task do not fit; the text says which.
    """
    spare = NOTES_BYTES + _later_bytes(kind)
    for number, text in enumerate(texts, start=1):
        excess = max(room.excess(least_prompt(mode, text), spare) for mode in modes)
        if excess > 0:
            which = "" if len(texts) == 1 else f" {number} of {len(texts)}"
            raise InvalidInput(
                f"task{which} is {excess} bytes too long for a packet, which has room for {room.size_bytes} with its "
                f"role ({room.written_bytes} as JSON writes it): shorten it, or name a model to do the work"
            )


def context_note(
    kind: RunKind, modes: Sequence[Mode], texts: Sequence[str], context: Sequence[str], room: Room
) -> str | None:
    """What to know of shared context that does not go in whole; None when it does. Blocks like `check_tasks`."""
    if not any(map(str.strip, context)):
        return None
    size = sum(len(text.encode()) for text in context)
    if kind is RunKind.PIPELINE and size > WHOLE_BYTES:
        return (
            f"The first task gets the shared context ({size} bytes) as far as a prompt has room, later ones a digest "
            "and what matches them. "
        )
    longest = max((least_prompt(mode, text) for text in texts for mode in modes), key=room.excess)
    excess = room.excess(with_context(longest, context))
    if excess + _later_bytes(kind) <= 0:
        return None
    does = "does not go in whole" if excess > 0 else "may not go in whole where a task sees artefacts"
    return f"The shared context ({size} bytes) {does}: a prompt has room for {room.size_bytes} and shows what is cut. "


def _later_bytes(kind: RunKind) -> int:
    return LATER_BYTES if kind is RunKind.PIPELINE else 0
