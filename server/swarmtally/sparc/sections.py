"""The sections of a text and the blocks they consist of, each section with a name that references can use."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmtally.sparc.markdown import Line

_SLUG_DROPPED = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Section:
    """One heading and what follows it up to the next."""

    level: int
    slug: str
    first: int
    """The number of its heading's line, or of its first line where the text begins without heading."""
    last: int


def split_sections(lines: Sequence[Line]) -> list[Section]:
    """The sections in order; what stands before the first heading is one named `top`."""
    starts = [number for number, line in enumerate(lines) if line.level]
    if not starts or any(line.text.strip() for line in lines[: starts[0]]):
        starts.insert(0, 0)
    ends = [*(number - 1 for number in starts[1:]), len(lines) - 1]
    slugs: dict[str, int] = {}
    found = []
    for first, last in zip(starts, ends, strict=True):
        line = lines[first]
        slug = _SLUG_DROPPED.sub("", line.text.casefold()).strip().replace(" ", "-")[:64] if line.level else "top"
        slug = slug or "section"
        seen = slugs[slug] = slugs.get(slug, -1) + 1
        found.append(Section(line.level, f"{slug}-{seen}" if seen else slug, first, last))
    return found


def split_blocks(lines: Sequence[Line], section: Section) -> Iterator[tuple[int, int]]:
    """The paragraphs and fenced blocks of a section, as first and last line."""
    start: int | None = None
    in_fence = False
    for number in range(section.first, section.last + 1):
        line = lines[number]
        separates = line.level or (line.plain and not line.text.strip())
        begins_fence = line.fence_mark and not in_fence
        if start is not None and (separates or begins_fence):
            yield start, number - 1
            start = None
        if not separates and start is None:
            start = number
        if line.fence_mark:
            in_fence = not in_fence
            if not in_fence and start is not None:
                yield start, number
                start = None
    if start is not None:
        yield start, section.last
