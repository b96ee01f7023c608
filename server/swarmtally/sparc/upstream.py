"""What a prompt shows of the artefacts that a task needs or sees: whole, as digests, or left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from swarmtally.sparc.digest import digest
from swarmtally.sparc.duplicates import Once
from swarmtally.sparc.selection import size
from swarmtally.sparc.tags import Material, common_length, disarmed_again

SEEN_DIGEST_BYTES = 1_024
"""The most that is shown of an artefact which a task sees without needing it."""

_DIGEST_LEAST_BYTES = 240
"""No artefact is shown with less; when even that does not fit, some are left out."""

_DIGEST_SHARE = 4
"""A digest is at most a quarter of the whole (while there is room), but it may have 1 KiB."""


Terms = Mapping[str, float]
"""Words and what each weighs."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The artefacts as they stand in a prompt."""

    shown: tuple[tuple[Material, str], ...]
    note: str
    """What is said of those that are left out."""
    reduced: tuple[str, ...]
    """The references of those that do not stand there whole."""

    def text(self, once: Once) -> str:
        """All of it, without what a prompt says `once`."""
        lines = [material.show(once.cleared(text)) for material, text in self.shown]
        return "\n".join([*lines, self.note] if self.note else lines)


def fit(artefacts: Sequence[Material], wanted: tuple[Terms, Terms], room: int) -> Fitted:
    """What is shown of the artefacts in at most `room` bytes, by the terms `wanted` for the task and for the run.

    Whole while they fit, only of one that is seen and not needed never more than a digest. Then the seen ones shrink
    evenly and are left out, the earliest first. Then digests stand for the largest needed ones, one after the other;
    then digests shrink evenly; then artefacts are left out, the earliest first. Room that a digest leaves goes to the
    seen ones again.
    """
    # A seen digest is about the whole run, not the one task, so that all tasks which see it begin alike.
    of_task, of_run = wanted
    needed = [material for material in artefacts if material.needed]
    seen = [material for material in artefacts if not material.needed]
    # The needed ones take what they can use, the seen ones get what is left: at least room to say they are left out.
    note_bytes = size(left_out(len(artefacts)))
    spare = _spare(seen, note_bytes)
    kept = _latest_that_fit(needed, room - spare, note_bytes - spare)
    if len(kept) < len(needed):
        note = left_out(len(artefacts) - len(kept))
        return _joined(artefacts, _fit_needed(kept, of_task, room - size(note)), note)
    shown = _fit_needed(kept, of_task, room - spare)
    room -= sum(material.frame + size(text) for material, text in shown.items())
    kept = _latest_that_fit(seen, room, note_bytes)
    note = left_out(len(seen) - len(kept))
    return _joined(artefacts, shown | _fit_seen(kept, of_run, room - size(note)), note)


def least(artefacts: Sequence[Material]) -> int:
    """The bytes for which the shared context makes way: small digests of what is needed, and a word on the others."""
    needed = sum(material.at_most(_DIGEST_LEAST_BYTES) for material in artefacts if material.needed)
    seen = [material for material in artefacts if not material.needed]
    return needed + _spare(seen, size(left_out(len(artefacts))))


def _spare(seen: Sequence[Material], note_bytes: int) -> int:
    """The bytes with which the seen ones can be shown, or be said to be left out."""
    return min(note_bytes, sum(material.at_most(_DIGEST_LEAST_BYTES) for material in seen))


def _joined(artefacts: Sequence[Material], shown: Mapping[Material, str], note: str) -> Fitted:
    return Fitted(
        tuple((material, shown[material]) for material in artefacts if material in shown),
        note,
        tuple(material.reference for material in artefacts if shown.get(material) != material.text),
    )


def _fit_needed(kept: Sequence[Material], of_task: Terms, room: int) -> dict[Material, str]:
    free = room - sum(material.frame for material in kept)
    shown = [material.text for material in kept]
    total = sum(map(size, shown))
    for index in sorted(range(len(kept)), key=lambda index: -size(kept[index].text)):
        if total <= free:
            break
        length = size(kept[index].text)
        shown[index] = _digested(kept[index], of_task, max(1024, length // _DIGEST_SHARE))
        total += size(shown[index]) - length
    return _shrunk_digests(kept, shown, of_task, free)


def _fit_seen(kept: Sequence[Material], of_run: Terms, room: int) -> dict[Material, str]:
    shown = [_digested(material, of_run, SEEN_DIGEST_BYTES) for material in kept]
    return _shrunk_digests(kept, shown, of_run, room - sum(material.frame for material in kept))


def _shrunk_digests(kept: Sequence[Material], shown: Sequence[str], of_task: Terms, free: int) -> dict[Material, str]:
    shrunk = _shrunk(shown, free, lambda index, limit: _digested(kept[index], of_task, limit))
    return dict(zip(kept, shrunk, strict=True))


def _latest_that_fit(artefacts: Sequence[Material], room: int, note_bytes: int) -> list[Material]:
    """Those that can be shown with at least a small digest each. The latest know most about the state of the work.

    When that is not all of them, `note_bytes` are kept free.
    """
    if sum(material.at_most(_DIGEST_LEAST_BYTES) for material in artefacts) <= room:
        return list(artefacts)
    free = room - note_bytes
    kept = set()
    for material in sorted(artefacts, key=lambda material: -material.recency):
        least = material.at_most(_DIGEST_LEAST_BYTES)
        if least <= free:
            free -= least
            kept.add(material)
    return [material for material in artefacts if material in kept]


def left_out(count: int) -> str:
    """What is said of artefacts for which there is no room."""
    return f"[… {count} earlier artefact{'' if count == 1 else 's'} left out: no room]" if count else ""


def _shrunk(texts: Sequence[str], room: int, shrink: Callable[[int, int], str]) -> list[str]:
    """`texts`, the longest of them shrunk to one common length so that together they fit `room` bytes."""
    level = common_length([size(text) for text in texts], room)
    return [text if size(text) <= level else shrink(index, level) for index, text in enumerate(texts)]


def _digested(material: Material, of_task: Terms, limit_bytes: int) -> str:
    return disarmed_again(digest(material.reference, material.text, of_task, limit_bytes), limit_bytes)
