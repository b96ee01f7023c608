"""How a model asks for parts that were left out of its prompt, and gets them: once in an attempt.

Its first answer may ask. It is called again with what it asked for, and told that nothing more is to be had. Where it
asks again all the same, it is called once more, and then it can only answer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from swarmtally.core.ports import ASK, BackendInfo, Exchange, Prompt, Reply
from swarmtally.domain.errors import ContextExceeded
from swarmtally.domain.text import one_line

ASK_LIMIT = 8
"""The most parts a model gets."""

REFERENCE_LIMIT = 300
"""The longest reference that is looked up and recorded, in characters."""

KEPT_SHARE = 8
"""One in so many bytes of a prompt's room is kept for what its model may ask for."""

HOW = (
    f"Only if you cannot do the task without a part that was left out: answer with nothing but `{ASK} ` and its "
    f"reference, one a line, at most {ASK_LIMIT}. You are shown them once, and asked again."
)

ANSWER_NOW = "[Nothing more can be shown. Answer with the deliverable now.]"
MORE_ASKED = f"[Only the first {ASK_LIMIT} of what was asked for are shown.]"


async def packed(pack: Callable[[int], Awaitable[Prompt]], budget_bytes: int, info: BackendInfo) -> Prompt:
    """The prompt that `pack` makes, with room left for what the model may ask for, and how it asks.

    Raises:
        ContextExceeded: it cannot be made to fit.
    """
    if info.fetches is not None:
        how = len(HOW.encode()) if info.fetches == "text" else 0
        try:
            prompt = await pack(budget_bytes - budget_bytes // KEPT_SHARE - how)
        except ContextExceeded:
            # Role and task need the room that was to be kept: then nothing can be asked for.
            pass
        else:
            return _told_how(prompt) if how and prompt.left_out else prompt
    prompt = await pack(budget_bytes)
    return replace(prompt, left_out=()) if prompt.left_out else prompt


def _told_how(prompt: Prompt) -> Prompt:
    """The prompt with how to ask in words; the task stays last, as what a small model heeds most."""
    place = max(prompt.shared_parts, len(prompt.parts) - 1)
    return replace(prompt, parts=(*prompt.parts[:place], HOW, *prompt.parts[place:]))


def asked_in(reply: Reply, prompt: Prompt, info: BackendInfo) -> tuple[str, ...]:
    """The references that a reply asks for in place of a deliverable; empty when it is a deliverable."""
    if info.fetches == "text" and not reply.asks:
        return _asked_in_text(reply.text, prompt)
    return reply.asks


def _asked_in_text(text: str, prompt: Prompt) -> tuple[str, ...]:
    """What is asked for by a text that consists of nothing but lines that ask, one of them for what there is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not all(line.startswith(ASK) for line in lines):
        return ()
    asked = tuple(line.removeprefix(ASK).strip().strip("`") for line in lines)
    told = (reference for exchange in prompt.exchanges for reference in exchange.asked)
    known = {_whole(reference) for reference in (*prompt.left_out, *told)}
    return asked if any(_whole(reference) in known for reference in asked) else ()


def _whole(reference: str) -> str:
    """The reference to all of what `reference` names a section of."""
    return reference.partition("#")[0]


def looked_up(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the references asked for that are looked up, each once."""
    return tuple(dict.fromkeys(one_line(reference, REFERENCE_LIMIT) for reference in asked))[:ASK_LIMIT]


def room_for(prompt: Prompt, asked: tuple[str, ...], budget_bytes: int) -> int:
    """How many bytes the parts that were asked for may take so that the whole stays within `budget_bytes`."""
    return max(0, budget_bytes - answered(prompt, asked, "").size_bytes)


def answered(prompt: Prompt, asked: tuple[str, ...], parts: str) -> Prompt:
    """The prompt again, with `parts` for what was asked for."""
    shown = looked_up(asked)
    notes = [MORE_ASKED] if len(set(asked)) > len(shown) else []
    exchange = Exchange(shown, "\n".join((parts, *notes, ANSWER_NOW)))
    return replace(prompt, exchanges=(*prompt.exchanges, exchange))


def refused(prompt: Prompt, asked: tuple[str, ...]) -> Prompt:
    """The prompt again, for a model that asked once more: from now on it can only answer."""
    exchange = Exchange(looked_up(asked), ANSWER_NOW)
    return replace(prompt, exchanges=(*prompt.exchanges, exchange), left_out=())
