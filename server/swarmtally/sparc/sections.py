"""The sections of a text, each with a name that references can use, and the blocks they consist of.

A section of prose is a heading with what follows; a section of code is a symbol: a function, a class, or a method of a
large class.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmtally.sparc.keeping import kept
from swarmtally.sparc.markdown import HEADING_CHARS, Line, read_lines, split_lines

_SLUG_DROPPED = re.compile(r"[^\w\- ]")
_SLUG_CHARS = 64
_SIGNATURE = re.compile(
    r"""\s*(?:
      (?:async\s+)?def\s+\w+
    | (?:export\s+)?(?:default\s+)?(?:abstract\s+)?(?:class|interface|enum)\s+\w
    | (?:export\s+)?(?:default\s+)?(?:async\s+)?function\b\s*\*?\s*\w*\s*[(<]
    | (?:export\s+)?(?:const|let|var)\s+\w+[^=]{0,200}=\s*(?:async\s*)?(?:\([^)]*\)[^=]{0,200}|\w+\s*)=>
    | (?:export\s+)?type\s+\w+
    | func\s+[\w(]
    | (?:pub(?:\([^)]*\))?\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?fn\s+\w+
    | (?:pub(?:\([^)]*\))?\s+)?(?:struct|enum|trait|mod)\s+\w+
    | impl\b
    | (?:public|protected|private)\s+(?:static\s+|final\s+|abstract\s+)*\w
    )""",
    re.VERBOSE,
)
_NAME = re.compile(
    r"(?:\b(?:def|class|interface|enum|function|const|let|var|type|struct|trait|mod|fn|impl|func(?:\s*\([^)]{0,200}\))?)\s+)(\w+)"
)
_SIGNATURE_CHARS = 1_000
"""How far into a line it is looked for."""

_SIGNATURE_LINES = 12
"""How many lines of parameters belong to it."""

_LEADS_IN = re.compile(r"\s*(?:@|#|//|/\*|\*|\[)")
_CODE_LINE = re.compile(
    r"\s+\S|.*[:{}();,\]\[=]\s*$|\s*(?:import|from|use|package|return|#|//|/\*|\*|@)|\s*(?:def|class|func|fn)\s"
)

_CODE_SHARE = 0.7
"""From this share of its lines that look like code on, a text without fences is code."""

_ONE_SYMBOL_SHARE = 0.9
"""The same where it holds but one signature."""

_QUOTES = ('"""', "'''")
"""What stands between them in code is prose, and part of the code."""

LARGE_SYMBOL_BYTES = 3_000
"""A class from here on is divided into its methods."""

KEPT_CHARS = 4 * 1024 * 1024
"""How much text is kept with its sections, and with its units: a run's context is looked at for each of its tasks.
Prose takes some fifteen times its length so, and up to a hundred times what consists of very short lines."""


@dataclass(frozen=True, slots=True)
class Section:
    """One heading and what follows it up to the next, or one symbol of code."""

    level: int
    """1 to 6; 0 for what stands before the first."""
    slug: str
    first: int
    """The number of its first line: its heading's, or the first of what leads in to a symbol."""
    last: int
    title: str = ""
    """Its heading's text, or the signature of its symbol."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A text by lines and sections."""

    lines: tuple[Line, ...]
    sections: tuple[Section, ...]
    code: bool
    """The whole text is code; prose may hold code between fences."""

    def text(self, first: int, last: int) -> str:
        """The lines from `first` to `last`, as they stand in the text."""
        return "\n".join(self.written(number) for number in range(first, last + 1))

    def written(self, number: int) -> str:
        line = self.lines[number]
        return f"{'#' * line.level} {line.text}" if line.level else line.text


@kept(KEPT_CHARS)
def outline(text: str) -> Outline:
    """The sections of `text` in order; what stands before the first is one named `top`."""
    lines = tuple(read_lines(text))
    if not _is_code(lines):
        return Outline(
            lines, tuple(_sections(lines, [(n, n, line.text) for n, line in enumerate(lines) if line.level])), False
        )
    raw = tuple(Line(written, fenced=True) for written in split_lines(text.removesuffix("\n")))
    return Outline(raw, tuple(_sections(raw, list(_symbols(raw)))), True)


def is_signature(line: str) -> bool:
    """Whether a line of code begins a function, a class, or the like."""
    return _SIGNATURE.match(line, 0, _SIGNATURE_CHARS) is not None


def signatures_in(text: str, limit_chars: int) -> list[str]:
    """The signatures in some code, each as one line of at most `limit_chars`, with the parameters on lines below it."""
    lines = text.split("\n")
    found = []
    for number, line in enumerate(lines):
        if is_signature(line):
            whole = line[:limit_chars]
            for following in lines[number + 1 : number + 1 + _SIGNATURE_LINES]:
                if whole.count("(") <= whole.count(")") or len(whole) >= limit_chars:
                    break
                part = following.strip()
                closes = part.startswith((")", "]"))
                whole += part if closes or whole.endswith("(") else f" {part}"
                if closes:
                    break
            found.append(whole[:limit_chars].replace(",)", ")").rstrip(" {"))
    return found


def _is_code(lines: Sequence[Line]) -> bool:
    if any(line.fence_mark for line in lines):
        return False
    written = [line for line in lines if line.text.strip()]
    # What reads as a heading is a comment where it stands in code: it begins no symbol.
    signatures = sum(1 for line in written if not line.level and is_signature(line.text))
    if not signatures:
        return False
    looks, quoted = 0, False
    for line in written:
        ends = sum(map(line.text.count, _QUOTES))
        looks += bool(line.level or quoted or ends or _CODE_LINE.match(line.text))
        quoted ^= ends % 2 == 1
    return looks >= (_CODE_SHARE if signatures > 1 else _ONE_SYMBOL_SHARE) * len(written)


def _symbols(lines: Sequence[Line]) -> Iterator[tuple[int, int, str]]:
    """Each symbol's first line, the line of its signature, and that line's text."""
    signatures = [number for number, line in enumerate(lines) if is_signature(line.text)]
    top = min(_indent(lines[number].text) for number in signatures)
    outer = [number for number in signatures if _indent(lines[number].text) == top]
    ends = [*(number - 1 for number in outer[1:]), len(lines) - 1]
    for start, end in zip(outer, ends, strict=True):
        yield _lead_in(lines, start), start, lines[start].text
        inner = signatures[bisect_right(signatures, start) : bisect_right(signatures, end)]
        if inner and sum(len(line.text.encode()) + 1 for line in lines[start : end + 1]) >= LARGE_SYMBOL_BYTES:
            level = min(_indent(lines[number].text) for number in inner)
            for number in inner:
                if _indent(lines[number].text) == level:
                    yield _lead_in(lines, number), number, lines[number].text


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _lead_in(lines: Sequence[Line], start: int) -> int:
    """The first of the decorators and comments that stand right before line `start`."""
    while start and _LEADS_IN.match(lines[start - 1].text):
        start -= 1
    return start


def _sections(lines: Sequence[Line], starts: Sequence[tuple[int, int, str]]) -> Iterator[Section]:
    """Sections from their first lines, the lines of their titles, and the titles."""
    begun = list(starts)
    if not begun or any(line.text.strip() for line in lines[: begun[0][0]]):
        begun.insert(0, (0, -1, ""))
    ends = [*(first - 1 for first, _, _ in begun[1:]), len(lines) - 1]
    slugs: dict[str, int] = {}
    for (first, titled, title), last in zip(begun, ends, strict=True):
        line = lines[titled] if titled >= 0 else Line("")
        slug = _slug(title, symbol=line.fenced) if titled >= 0 else "top"
        seen = slugs[slug] = slugs.get(slug, -1) + 1
        level = 0 if titled < 0 else line.level or 1
        yield Section(level, f"{slug}-{seen}" if seen else slug, first, last, title.strip()[:HEADING_CHARS])


def _slug(title: str, *, symbol: bool) -> str:
    named = _NAME.search(title, 0, _SIGNATURE_CHARS) if symbol else None
    text = named[1] if named else title[:HEADING_CHARS]
    return _SLUG_DROPPED.sub("", text.casefold()).strip().replace(" ", "-")[:_SLUG_CHARS] or "section"


def split_blocks(lines: Sequence[Line], section: Section) -> Iterator[tuple[int, int]]:
    """The paragraphs and fenced blocks of a section, as first and last line; a symbol of code is one block."""
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
