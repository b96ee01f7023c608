"""What references name: `artifact:{phase}/{name}` and `context:{n}`, or with `#{section}` one section of it."""

import difflib
import heapq
import re
from collections.abc import Sequence
from dataclasses import replace

from swarmtally.sparc.digest import cut
from swarmtally.sparc.sections import Section, outline
from swarmtally.sparc.selection import size
from swarmtally.sparc.tags import Material, common_length

_NEAREST = 3

_COMPARED = 200
"""How many names are compared letter by letter with one that is unknown: a long text may have tens of thousands."""

_SHOWN_CHARS = 100
_NO_ROOM = "[… no room to show what was asked for]"
_LEAST_BYTES = 120
"""No part is shown with less."""

_PLAIN = re.compile(r"[^\w#/:.\- ]")


def told(there: Sequence[Material], references: Sequence[str], budget_bytes: int) -> str:
    """The parts that the references name among those that are there, in the order asked, at most `budget_bytes` long.

    What does not fit is cut, the longest first, down to one common length. A reference that names nothing is said to be
    unknown, with the nearest that do.
    """
    found: dict[str, Material] = {}
    unknown: list[str] = []
    for reference in dict.fromkeys(references):
        part = _find(there, reference)
        if part is None:
            unknown.append(_unknown(there, reference))
        else:
            found[part.reference] = part
    notes = "\n".join(unknown)
    shown = _fitted(list(found.values()), budget_bytes - (size(notes) + 1 if notes else 0))
    return cut("\n".join(filter(None, (shown, notes))), budget_bytes)


def _fitted(parts: Sequence[Material], room: int) -> str:
    if not parts:
        return ""
    free = room - sum(part.frame for part in parts)
    limit = common_length([size(part.text) for part in parts], free)
    if limit < min(_LEAST_BYTES, max(size(part.text) for part in parts)):
        return _NO_ROOM
    return "\n".join(part.show(_shown(part.text, limit)) for part in parts)


def _shown(text: str, limit_bytes: int) -> str:
    if size(text) <= limit_bytes:
        return text
    note = f"\n[… cut here: it has {size(text)} bytes]"
    return cut(text, limit_bytes - size(note)) + note


def _find(there: Sequence[Material], reference: str) -> Material | None:
    whole, _, slug = reference.strip().partition("#")
    part = next((part for part in there if part.reference == whole), None)
    return _section(part, slug) if part is not None and slug else part


def _section(part: Material, slug: str) -> Material | None:
    whole = outline(part.text)
    number = next((number for number, section in enumerate(whole.sections) if section.slug == slug), None)
    if number is None:
        return None
    text = whole.text(whole.sections[number].first, whole.sections[number].last)
    below = [f"{part.reference}#{each.slug}" for each in _below(whole.sections, number)]
    if below:
        text += f"\n[… below it: {', '.join(below)}]"
    opening = f'{part.opening.removesuffix(">")} section="{slug}">'
    return replace(part, reference=f"{part.reference}#{slug}", opening=opening, text=text)


def _below(sections: Sequence[Section], number: int) -> list[Section]:
    """The sections under the heading of one of them."""
    found = []
    for section in sections[number + 1 :]:
        if section.level <= sections[number].level or not sections[number].level:
            break
        found.append(section)
    return found


def _unknown(there: Sequence[Material], reference: str) -> str:
    # A model wrote it, perhaps at the behest of what it read: nothing of it may look like more than a name.
    asked = _PLAIN.sub("?", " ".join(reference.split()))[:_SHOWN_CHARS]
    names = [part.reference for part in there]
    whole, _, slug = reference.strip().partition("#")
    part = next((part for part in there if part.reference == whole), None)
    if part is not None and slug:
        names = [f"{whole}#{section.slug}" for section in outline(part.text).sections]
    near = difflib.get_close_matches(reference, _likely(names, reference), _NEAREST, cutoff=0) or names[:_NEAREST]
    there_are = f"the nearest are {', '.join(near)}" if near else "nothing can be asked for"
    return f"[… {asked} names nothing here; {there_are}]"


def _likely(names: Sequence[str], reference: str) -> Sequence[str]:
    """Those of many names that have most groups of three letters in common with the reference."""
    if len(names) <= _COMPARED:
        return names
    groups = _groups(reference)
    return heapq.nlargest(_COMPARED, names, key=lambda name: len(groups & _groups(name)))


def _groups(name: str) -> set[str]:
    return {name[start : start + 3] for start in range(len(name) - 2)}
