"""Reads just enough Markdown, line by line, to find headings and fenced code. Any text is valid input."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BREAK = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")
_HEADING_LEVELS = 6

HEADING_CHARS = 300
"""What is longer is no heading but prose after a mark: a heading is shown again and again."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document. `level` is 1 to 6 for a heading, else 0; a heading's `text` is without its marks."""

    text: str
    level: int = 0
    fence_mark: bool = False
    """Opens or closes a fence."""
    fenced: bool = False
    """Lies between the marks of a fence; nothing inside is a heading or a list."""

    @property
    def plain(self) -> bool:
        """Is text outside code that is no heading."""
        return not (self.level or self.fence_mark or self.fenced)


def split_lines(text: str) -> list[str]:
    """The lines of `text`; other characters that break lines somewhere, such as form feeds, are part of theirs."""
    return _BREAK.split(text)


def read_lines(text: str) -> Iterator[Line]:
    """The lines of `text`. A fence that is never closed reaches to the end, as in CommonMark."""
    fence = ""
    for raw in split_lines(text):
        mark = _FENCE.fullmatch(raw)
        if fence:
            closes = mark is not None and mark[1].startswith(fence) and not mark[2].strip()
            yield Line(raw, fence_mark=closes, fenced=not closes)
            fence = "" if closes else fence
        elif mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence = mark[1]
            yield Line(raw, fence_mark=True)
        else:
            yield _outside_code(raw)


def _outside_code(raw: str) -> Line:
    stripped = raw.strip()
    if not stripped.startswith("#"):
        return Line(raw)
    content = stripped.lstrip("#")
    level = len(stripped) - len(content)
    indent = len(raw) - len(raw.lstrip(" "))
    if 1 <= level <= _HEADING_LEVELS and indent <= 3 and content[:1].isspace() and len(content) <= HEADING_CHARS:
        return Line(content.strip().rstrip("#").strip(), level=level)
    return Line(raw)
