"""What a prompt shows of texts that are too long to go into each: a part that all tasks of the run share, and the
passages that matter to the one task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from swarmtally.sparc.digest import Overview, excerpt, overview
from swarmtally.sparc.passages import indexed, query
from swarmtally.sparc.selection import size
from swarmtally.sparc.tags import Material, disarmed_again, joined_whole

WHOLE_BYTES = 4 * 1024
"""Shared context up to here goes to every task of a pipeline whole."""

SHARED_SHARE = 0.12
"""Of a longer one this much is shown to all tasks alike, so that a provider's cache can hold it, ..."""

SHARED_LEAST_BYTES, SHARED_MOST_BYTES = 4_300, 24 * 1024
"""... but at least and at most so much."""

STAGE_SHARE = 0.03
"""And this much of what is left of everything a task may read, chosen for the one task, ..."""

STAGE_LEAST_BYTES, STAGE_MOST_BYTES = 768, 6 * 1024
"""... but at least and at most so much."""

LEFT_OUT = "[… shared context left out: it does not fit]"


@dataclass(frozen=True, slots=True)
class Shared:
    """The beginning that the prompts of a run share."""

    text: str
    written: tuple[str, ...]
    """What it shows of each text."""
    shown: tuple[frozenset[tuple[int, int]], ...]
    """Of each text, the places of the headings and units that it shows in full."""
    reduced: tuple[str, ...]
    """The references of the texts that did not go in whole."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text to be chosen from; `shown` are the places of what stands in the prompt already."""

    material: Material
    shown: frozenset[tuple[int, int]] = frozenset()


def shared_bytes(total: int) -> int:
    """How much of a pipeline's context of `total` bytes all its tasks see."""
    if total <= WHOLE_BYTES:
        return total
    return min(total, max(SHARED_LEAST_BYTES, min(SHARED_MOST_BYTES, round(total * SHARED_SHARE))))


def stage_bytes(total: int) -> int:
    """How much is shown to one task of `total` bytes that it may read besides."""
    return max(STAGE_LEAST_BYTES, min(STAGE_MOST_BYTES, round(total * STAGE_SHARE)))


@lru_cache(maxsize=16)
def shared(context: tuple[Material, ...], run_text: str, limit_bytes: int, *, fill: bool) -> Shared:
    """The texts in at most `limit_bytes`: whole, else what matters of them all to work on `run_text`; with `fill` the
    rest too, while there is room.

    What was asked for lately is kept: a run asks for each of its tasks.
    """
    if sum(material.most for material in context) <= limit_bytes:
        whole = tuple(material.text for material in context)
        return Shared(joined_whole(context), whole, tuple(frozenset() for _ in context), ())
    room = limit_bytes - size(_note(len(context))) - 1
    texts = [indexed(material.text) for material in context]
    seen = overview(texts, [material.frame for material in context], query(run_text), room, fill=fill)
    parts = _shown(context, seen)
    text = "\n".join([*parts, _note(len(context) - len(parts))]) if parts else LEFT_OUT
    reduced = (material.reference for material, whole in zip(context, seen.whole, strict=True) if not whole)
    return Shared(text, seen.written, seen.shown, tuple(reduced))


def _note(left_out: int) -> str:
    gone = f"{left_out} texts are left out; " if left_out else ""
    return f"[… shared context is shortened; {gone}whole: context:1, context:2, …; a section: context:1#section]"


def passages(sources: Sequence[Source], wanted: Mapping[str, float], limit_bytes: int, *, everything: bool) -> str:
    """What matches of the sources, in at most `limit_bytes`; with `everything` the rest too, while there is room."""
    texts = [indexed(source.material.text) for source in sources]
    frames = [source.material.frame for source in sources]
    shown = [source.shown for source in sources]
    found = excerpt(texts, frames, wanted, limit_bytes, shown, everything=everything)
    return "\n".join(_shown([source.material for source in sources], found))


def _shown(materials: Sequence[Material], seen: Overview) -> list[str]:
    pairs = zip(materials, seen.written, strict=True)
    return [material.show(disarmed_again(written, size(written))) for material, written in pairs if written]
