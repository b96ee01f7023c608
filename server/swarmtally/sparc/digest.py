"""What a later stage sees of an artefact when the whole does not fit. Made by code: same input, same digest."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from swarmtally.sparc.markdown import Line, read_lines
from swarmtally.sparc.sections import Section, split_blocks, split_sections

_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")
_SENTENCE = re.compile(r"[.!?](?=\s)")
_TERM = re.compile(r"[^\W_]{3,}")
_STOPWORDS = frozenset(
    _TERM.findall(
        "and are but can component for from has have into its not our that the their them then they this use using was "
        "what when which will with you your"
    )
)
_SIGNATURE = re.compile(
    r"""\s*(?:
      (?:async\s+)?def\s+\w+
    | (?:export\s+)?(?:default\s+)?(?:abstract\s+)?(?:class|interface|enum)\s+\w
    | (?:export\s+)?(?:default\s+)?(?:async\s+)?function\b
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

_LINE_CHARS = 300
"""The most that is shown of one heading, first sentence or signature, in characters."""

_TITLE_LEAST_BYTES = 24
_FIRST_TERM_WEIGHT = 12
"""A task says first what it is about, so its first terms weigh most; from the twelfth on each weighs one."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Something of section number `section` that could be shown; it begins at line `first`."""

    section: int
    first: int
    text: str
    covers: int = -1
    """The last line that it repeats in full, so that nothing else need show it; -1 for none."""

    @property
    def cost(self) -> int:
        return size(self.text) + 1


def size(text: str) -> int:
    """The length of `text` in UTF-8 bytes."""
    return len(text.encode())


def cut(text: str, limit_bytes: int) -> str:
    """`text`, cut to at most `limit_bytes` of UTF-8 without splitting a code point; an ellipsis shows the cut."""
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return text
    ellipsis = "…" if limit_bytes >= size("…") else ""
    return encoded[: max(0, limit_bytes - size(ellipsis))].decode(errors="ignore") + ellipsis


def digest(artefact_id: str, text: str, task_text: str, budget_bytes: int) -> str:
    """The digest of an artefact for one task: at most `budget_bytes` of UTF-8, the text itself when it is no longer.

    It holds the title, the headings, the first sentence of each section, the signatures of code, and the passages that
    match the task, each with its reference `artifact:{artefact_id}#{section}`; last, what was left out.
    """
    if size(text) <= budget_bytes:
        return text
    lines = list(read_lines(text))
    sections = split_sections(lines)
    whole = f"artifact:{artefact_id}"
    room = budget_bytes - size(_note(len(sections), whole))
    if room <= 0:
        return cut(_note(len(sections), whole), budget_bytes)
    starts = [section.first for section in sections if section.level]
    headings = sorted(_headings(lines, sections), key=lambda piece: (sections[piece.section].level, piece.first))
    title = [replace(piece, text=cut(piece.text, room - 1)) for piece in headings if piece.first == starts[0]]
    if room < _TITLE_LEAST_BYTES:
        title = []
    chosen = _choose(
        (
            (1.0, title),
            (0.25, headings),
            (0.45, list(_sentences(lines, sections))),
            (0.7, list(_signatures(lines, sections))),
            (1.0, _passages(lines, sections, task_text, whole, max(200, room // 4))),
        ),
        room,
    )
    left_out = len(sections) - len({piece.section for piece in chosen})
    return "\n".join([*_in_order(chosen), _note(left_out, whole)])


def _note(left_out: int, whole: str) -> str:
    if not left_out:
        return f"[… shortened; whole: {whole}]"
    noun = "section" if left_out == 1 else "sections"
    return f"[… {left_out} {noun} left out; whole: {whole}]"


def _choose(stages: Sequence[tuple[float, Sequence[_Piece]]], room: int) -> list[_Piece]:
    """Take what fits, stage by stage. Each may fill the room up to its share; what is left then goes to all in turn."""
    chosen: dict[_Piece, None] = {}
    used = 0
    own = [(room * share, pieces) for share, pieces in stages]
    rest = [(room, pieces) for _, pieces in stages]
    for limit, pieces in (*own, *rest):
        for piece in pieces:
            if piece not in chosen and used + piece.cost <= limit:
                chosen[piece] = None
                used += piece.cost
    return list(chosen)


def _in_order(chosen: Sequence[_Piece]) -> Iterator[str]:
    """The chosen pieces in the order of the document, without those that a passage repeats."""
    covered = -1
    for piece in sorted(chosen, key=lambda piece: (piece.first, -piece.covers)):
        if piece.first > covered:
            yield piece.text
            covered = max(covered, piece.covers)


def _headings(lines: Sequence[Line], sections: Sequence[Section]) -> Iterator[_Piece]:
    for index, section in enumerate(sections):
        if section.level:
            text = f"{'#' * section.level} {lines[section.first].text[:_LINE_CHARS]}"
            yield _Piece(index, section.first, text)


def _sentences(lines: Sequence[Line], sections: Sequence[Section]) -> Iterator[_Piece]:
    for index, section in enumerate(sections):
        for first, last in split_blocks(lines, section):
            if not lines[first].plain:
                continue
            paragraph = lines[first].text
            if not _BULLET.match(paragraph):
                paragraph = " ".join(line.text.strip() for line in lines[first : last + 1])
            yield _Piece(index, first, _first_sentence(paragraph.strip()))
            break


def _first_sentence(paragraph: str) -> str:
    end = _SENTENCE.search(paragraph)
    sentence = paragraph[: end.end()] if end and not _BULLET.match(paragraph) else paragraph
    return sentence if len(sentence) <= _LINE_CHARS else sentence[: _LINE_CHARS - 1] + "…"


def _signatures(lines: Sequence[Line], sections: Sequence[Section]) -> Iterator[_Piece]:
    # Small models leave the fences out; then every line may be code.
    is_code: Callable[[Line], bool]
    is_code = (lambda line: line.fenced) if any(line.fence_mark for line in lines) else (lambda line: line.plain)
    for index, section in enumerate(sections):
        for number in range(section.first, section.last + 1):
            line = lines[number]
            text = line.text[:_LINE_CHARS]
            if is_code(line) and _SIGNATURE.match(text):
                yield _Piece(index, number, text.rstrip(" {"))


def _passages(
    lines: Sequence[Line], sections: Sequence[Section], task_text: str, whole: str, limit_bytes: int
) -> list[_Piece]:
    """The paragraphs and blocks that share terms with the task, best first."""
    weights = _weights(task_text)
    scored = []
    for index, section in enumerate(sections):
        for first, last in split_blocks(lines, section):
            text = "\n".join(line.text for line in lines[first : last + 1])
            score = sum(weights.get(term, 0) for term in set(_TERM.findall(text.casefold())))
            if score:
                shown = cut(text, limit_bytes)
                reference = f"[{whole}#{section.slug}]"
                covers = last if shown == text else first
                scored.append((-score, _Piece(index, first, f"{reference}\n{shown}", covers)))
    return [piece for _, piece in sorted(scored, key=lambda item: (item[0], item[1].first))]


def _weights(task_text: str) -> dict[str, int]:
    terms = [term for term in dict.fromkeys(_TERM.findall(task_text.casefold())) if term not in _STOPWORDS]
    return {term: max(1, _FIRST_TERM_WEIGHT - rank) for rank, term in enumerate(terms)}
