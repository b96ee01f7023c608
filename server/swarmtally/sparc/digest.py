"""What stands for texts that do not go into a prompt whole. Made by code: same input, same digest."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmtally.sparc.passages import Found, Indexed, Unit, indexed, query, rank
from swarmtally.sparc.sections import signatures_in
from swarmtally.sparc.selection import HEADING, Piece, Selection, size

_TROUBLE = re.compile(
    r"\b(?:errors?|fail(?:s|ed|ure|ures)?|exceptions?|traceback|todo|fixme|not (?:implemented|working|tested|possible)|"
    r"cannot|could not|broken|missing|incomplete)\b",
    re.IGNORECASE,
)
_NORM = re.compile(
    r"\b(?:must|shall|never|always|only|requires?|required|forbidden|prohibited|mandatory|may not|do not|at most|"
    r"at least|no more than|no later than|limit(?:ed)? to|within)\b",
    re.IGNORECASE,
)
_GENERAL = re.compile(r"\b(?:all|any|every|each|everywhere|no|nothing|nobody|none|whole)\b", re.IGNORECASE)
_GENERAL_TITLE = re.compile(
    r"\b(?:rules?|conventions?|constraints?|requirements?|guidelines?|principles?|polic(?:y|ies)|standards?|"
    r"security|non-functional|invariants?)\b",
    re.IGNORECASE,
)

_LINE_CHARS = 300
"""The most that is shown of one heading, first sentence or signature, in characters."""

_TITLE_LEAST_BYTES = 24

_RULES_SHARE = 0.3
"""How much of what all tasks share is kept for rules for everything."""


def cut(text: str, limit_bytes: int) -> str:
    """`text`, cut to at most `limit_bytes` of UTF-8 without splitting a code point; an ellipsis shows the cut."""
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return text
    ellipsis = "…" if limit_bytes >= size("…") else ""
    return encoded[: max(0, limit_bytes - size(ellipsis))].decode(errors="ignore") + ellipsis


def digest(reference: str, text: str, wanted: Mapping[str, float], budget_bytes: int) -> str:
    """The digest of an artefact: at most `budget_bytes` of UTF-8, the text itself when it is no longer.

    It holds the title, what it says of errors and of what is missing, headings, the first sentence of each section,
    what must be (rules for everything first), signatures of code, and what matches the `wanted` terms; last, what was
    left out. A section begins with its heading or with `[#section]`: `{reference}#{section}` names it.
    """
    if size(text) <= budget_bytes:
        return text
    whole = indexed(text)
    room = budget_bytes - size(_note(len(whole.outline.sections), reference))
    if room <= 0:
        return cut(_note(len(whole.outline.sections), reference), budget_bytes)
    texts = [whole]
    found = rank(texts, wanted)
    selection = Selection(texts, [0], room)
    if room >= _TITLE_LEAST_BYTES:
        selection.take(list(_headings(0, whole, room - 1))[:1])
    levels = sorted(_headings(0, whole), key=lambda piece: whole.outline.sections[piece.section].level)
    stages: list[tuple[float, list[Piece]]] = [
        (0.1, [Piece.of(0, unit) for unit in whole.units if not unit.code and _TROUBLE.search(unit.text)]),
        (0.25, levels),
        (0.4, list(_first_sentences(0, whole))),
        (0.6, requirements(texts, found, room)),
        (0.75, list(_signatures(0, whole))),
        (1.0, list(matching(texts, found))),
    ]
    for share, pieces in stages:
        selection.take(pieces, share)
    # What a stage left goes to all in turn, then to what stands beside that.
    stages.append((1.0, list(around(texts, found))))
    for _ in range(2):
        for _, pieces in stages:
            selection.take(pieces)
        selection.settle()
    left_out = len(whole.outline.sections) - len({piece.section for piece in selection.chosen(0)})
    return "\n".join(filter(None, (selection.written(0), _note(left_out, reference))))


@dataclass(frozen=True, slots=True)
class Overview:
    """What is shown of some texts together."""

    written: tuple[str, ...]
    shown: tuple[frozenset[tuple[int, int]], ...]
    """Of each text the places (first line, order) of the headings and units that are shown in full."""
    whole: tuple[bool, ...]
    """Of each text whether those are all it has."""


def overview(
    texts: Sequence[Indexed], frames: Sequence[int], wanted: Mapping[str, float], room: int, *, fill: bool
) -> Overview:
    """The texts' titles, what they say must be, what matches the `wanted` terms, and as many headings, first sentences
    and signatures as there is room for; with `fill` the rest too. All texts share the room: one that matters gets more.
    """
    found = rank(texts, wanted)
    selection = Selection(texts, frames, room)
    rules_room = round(room * _RULES_SHARE)
    selection.take(requirements(texts, found, rules_room // 2, general=True), _RULES_SHARE)
    selection.take(matching(texts, found), 0.75)
    selection.take(
        (next(_headings(number, text), None) or _top(number, text) for number, text in enumerate(texts)), 0.85
    )
    selection.take(_in_turn([_headings(number, text) for number, text in enumerate(texts)]))
    selection.take(_each_once(_in_turn([_first_sentences(number, text) for number, text in enumerate(texts)])))
    selection.take(requirements(texts, found, rules_room // 2))
    selection.take(_in_turn([_signatures(number, text) for number, text in enumerate(texts)]))
    if fill:
        selection.settle()
        selection.take(_in_turn([_all(number, text) for number, text in enumerate(texts)]))
    return _seen(texts, selection)


def excerpt(
    texts: Sequence[Indexed],
    frames: Sequence[int],
    wanted: Mapping[str, float],
    room: int,
    shown: Sequence[frozenset[tuple[int, int]]],
    *,
    everything: bool,
) -> Overview:
    """What matches the `wanted` terms and is not `shown` yet; with `everything` the rest too, while there is room."""
    said = {
        unit.text
        for text, places in zip(texts, shown, strict=True)
        if places
        for unit in text.units
        if (unit.first, unit.order) in places
    }
    found = [one for one in rank(texts, wanted) if texts[one.document].units[one.number].text not in said]
    selection = Selection(texts, frames, room)
    selection.take(matching(texts, found))
    if everything:
        for number, text in enumerate(texts):
            # A heading can say something that nothing under it says.
            pieces = [*_headings(number, text), *(Piece.of(number, unit) for unit in text.units)]
            rest = (piece for piece in pieces if piece.place not in shown[number])
            selection.take(sorted(rest, key=lambda piece: piece.place))
    return _seen(texts, selection)


def _in_turn(texts: Sequence[Iterator[Piece]]) -> Iterator[Piece]:
    """The first piece of each text, then the second of each, ...: no text has to wait for all of another."""
    left = list(texts)
    while left:
        more = []
        for pieces in left:
            piece = next(pieces, None)
            if piece is not None:
                more.append(pieces)
                yield piece
        left = more


def _all(document: int, text: Indexed) -> Iterator[Piece]:
    return (Piece.of(document, unit) for unit in text.units)


def matching(texts: Sequence[Indexed], found: Sequence[Found]) -> Iterator[Piece]:
    """The units that were found, best first."""
    return _each_once(Piece.of(one.document, texts[one.document].units[one.number]) for one in found)


def _each_once(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Of pieces that say the same, word for word, the first."""
    said: set[str] = set()
    for piece in pieces:
        if piece.text not in said:
            said.add(piece.text)
            yield piece


def around(texts: Sequence[Indexed], found: Sequence[Found]) -> Iterator[Piece]:
    """What stands beside the units that were found, in their blocks."""
    for one in found:
        units = texts[one.document].units
        for number in (one.number - 1, one.number + 1):
            if 0 <= number < len(units) and units[number].first == units[one.number].first:
                yield Piece.of(one.document, units[number])


def requirements(
    texts: Sequence[Indexed], found: Sequence[Found], part_bytes: int, *, general: bool = False
) -> list[Piece]:
    """What must be: all that stands under a heading such as Conventions, then rules for everything, then others by how
    well they match; `general`: not those others.

    The texts take turns, so that one with many rules does not hide another's. What stands under such a heading goes
    before the other texts' rules for `part_bytes` of its text, no further.
    """
    scores = {(one.document, one.number): one.score for one in found}
    ranked: list[tuple[int, int, int, float, int, int]] = []
    for document, text in enumerate(texts):
        spent = 0
        for wide, score, number in sorted(_rules(document, text, scores)):
            if general and not wide:
                continue
            ahead = 2 if wide <= -2 and spent < part_bytes else 1 if wide else 0
            ranked.append((-ahead, spent if ahead else 0, wide, score, document, number))
            spent += size(text.units[number].text)
    ranked.sort()
    return list(_each_once(Piece.of(document, texts[document].units[number]) for *_, document, number in ranked))


def _rules(document: int, text: Indexed, scores: Mapping[tuple[int, int], float]) -> Iterator[tuple[int, float, int]]:
    """The rules of a text: how wide and how well they match, both negative, so that the first is the least; number."""
    ruling = [_GENERAL_TITLE.search(section.title) is not None for section in text.outline.sections]
    for number, unit in enumerate(text.units):
        if not unit.code and (ruling[unit.section] or _NORM.search(unit.text)):
            wide = 2 * ruling[unit.section] + (_GENERAL.search(unit.text) is not None)
            yield -wide, -scores.get((document, number), 0.0), number


def _seen(texts: Sequence[Indexed], selection: Selection) -> Overview:
    written, shown, whole = [], [], []
    for document, text in enumerate(texts):
        there = {(unit.first, unit.order): unit.text for unit in text.units}
        there |= {heading.place: heading.text for heading in _headings(document, text)}
        pieces = selection.chosen(document)
        full = frozenset(piece.place for piece in pieces if there.get(piece.place) == piece.text)
        written.append(selection.written(document))
        shown.append(full)
        whole.append(len(full) == len(there))
    return Overview(tuple(written), tuple(shown), tuple(whole))


def _note(left_out: int, reference: str) -> str:
    if not left_out:
        return f"[… shortened; whole: {reference}]"
    noun = "section" if left_out == 1 else "sections"
    return f"[… {left_out} {noun} left out; whole: {reference}]"


def _headings(document: int, text: Indexed, limit_bytes: int | None = None) -> Iterator[Piece]:
    for index, section in enumerate(text.outline.sections):
        if section.level and not text.outline.code:
            written = f"{'#' * section.level} {section.title[:_LINE_CHARS]}"
            yield Piece(document, index, section.first, HEADING, cut(written, limit_bytes) if limit_bytes else written)


def _top(document: int, text: Indexed) -> Piece:
    """What a text without headings begins with."""
    if not text.units:
        return Piece(document, 0, 0, 0, "")
    return Piece.of(document, text.units[0], _short(text.units[0]))


def _first_sentences(document: int, text: Indexed) -> Iterator[Piece]:
    last = -1
    for unit in text.units:
        # The head of a table says nothing without its rows.
        if unit.section != last and not unit.code and not unit.text.lstrip().startswith("|"):
            yield Piece.of(document, unit, _short(unit))
            last = unit.section


def _short(unit: Unit) -> str:
    first = unit.text.split("\n", 1)[0] if unit.code else unit.text
    return first if len(first) <= _LINE_CHARS else first[: _LINE_CHARS - 1] + "…"


def _signatures(document: int, text: Indexed) -> Iterator[Piece]:
    # Small models leave the fences out; then every line may be code.
    fences = any(unit.code for unit in text.units)
    for unit in text.units:
        if unit.code or not fences:
            signatures = signatures_in(unit.text, _LINE_CHARS)
            if signatures:
                yield Piece.of(document, unit, "\n".join(signatures))


def about(task_text: str, run_text: str) -> dict[str, float]:
    """The terms of a task: what it says beyond the run's own task counts, and that a little."""
    own = task_text.replace(run_text.strip(), " ") if run_text.strip() else task_text
    return query(own, run_text) if own.strip() else query(task_text)
