"""What references name: `artifact:{phase}/{name}` and `context:{n}`, or with `#{section}` one section of it."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from swarmtally.sparc.digest import cut, size
from swarmtally.sparc.markdown import read_lines
from swarmtally.sparc.sections import Section, split_sections

_NEAREST = 3
_SHOWN_CHARS = 100
_NO_ROOM = "[… no room to show what was asked for]"
_LEAST_BYTES = 120
"""No part is shown with less."""

_PLAIN = re.compile(r"[^\w#/:.\- ]")


@dataclass(frozen=True, slots=True)
class Part:
    """A text that a reference names, and the tags it is shown in."""

    reference: str
    opening: str
    closing: str
    text: str
    """Disarmed: it cannot close its tag."""

    @property
    def frame(self) -> int:
        """The bytes of everything but the text, with the line break that follows."""
        return size(self.opening) + size(self.closing) + 3

    def show(self, limit_bytes: int) -> str:
        shown = self.text
        if size(shown) > limit_bytes:
            note = f"\n[… cut here: it has {size(self.text)} bytes]"
            shown = cut(self.text, limit_bytes - size(note)) + note
        return f"{self.opening}\n{shown}\n{self.closing}"


def told(there: Sequence[Part], references: Sequence[str], budget_bytes: int) -> str:
    """The parts that the references name among those that are there, in the order asked, at most `budget_bytes` long.

    What does not fit is cut, the longest first, down to one common length. A reference that names nothing is said to be
    unknown, with the nearest that do.
    """
    found: dict[str, Part] = {}
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


def _fitted(parts: Sequence[Part], room: int) -> str:
    if not parts:
        return ""
    free = room - sum(part.frame for part in parts)
    limit = _common_length([size(part.text) for part in parts], free)
    if limit < min(_LEAST_BYTES, max(size(part.text) for part in parts)):
        return _NO_ROOM
    return "\n".join(part.show(limit) for part in parts)


def _common_length(sizes: Sequence[int], room: int) -> int:
    """The greatest length to which all `sizes` can be limited so that their sum is at most `room`."""
    for index, length in enumerate(sorted(sizes)):
        share = room // (len(sizes) - index)
        if length > share:
            return share
        room -= length
    return max(sizes)


def _find(there: Sequence[Part], reference: str) -> Part | None:
    whole, _, slug = reference.strip().partition("#")
    part = next((part for part in there if part.reference == whole), None)
    return _section(part, slug) if part is not None and slug else part


def _section(part: Part, slug: str) -> Part | None:
    lines = list(read_lines(part.text))
    sections = split_sections(lines)
    number = next((number for number, section in enumerate(sections) if section.slug == slug), None)
    if number is None:
        return None
    own = lines[sections[number].first : sections[number].last + 1]
    text = "\n".join(f"{'#' * line.level} {line.text}" if line.level else line.text for line in own)
    below = [f"{part.reference}#{each.slug}" for each in _below(sections, number)]
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


def _unknown(there: Sequence[Part], reference: str) -> str:
    # A model wrote it, perhaps at the behest of what it read: nothing of it may look like more than a name.
    asked = _PLAIN.sub("?", " ".join(reference.split()))[:_SHOWN_CHARS]
    names = [part.reference for part in there]
    whole, _, slug = reference.strip().partition("#")
    part = next((part for part in there if part.reference == whole), None)
    if part is not None and slug:
        names = [f"{whole}#{section.slug}" for section in split_sections(list(read_lines(part.text)))]
    near = difflib.get_close_matches(reference, names, _NEAREST, cutoff=0) or names[:_NEAREST]
    there_are = f"the nearest are {', '.join(near)}" if near else "nothing can be asked for"
    return f"[… {asked} names nothing here; {there_are}]"
