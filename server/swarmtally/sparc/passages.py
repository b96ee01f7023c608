"""Finds what in a text matters to a task: BM25 over its sentences and symbols (Robertson & Zaragoza 2009).

A unit is a sentence, an item of a list, a row of a table, a part of JSON with its path, or a whole symbol of code. Its
section's heading counts as part of it. Words are compared by their first six letters, which joins most inflected forms
in most languages (truncation as in McNamee & Mayfield 2004).
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmtally.sparc.jsonparts import json_parts
from swarmtally.sparc.keeping import kept
from swarmtally.sparc.sections import KEPT_CHARS, LARGE_SYMBOL_BYTES, Outline, outline, split_blocks

K1, B = 1.2, 0.75
"""BM25's saturation of a term's count, and how much a long unit is held back; the usual values."""

STEM_CHARS = 6

SENTENCE_CHARS = 400
"""A longer sentence or item is divided."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]{2,}")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s|\s*\|")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "an and are as at be but by can component do for from has have if in into is it its no not of on or our so "
        "task that the their them then they this to up use using was we what when which will with you your",
    )
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is shown or not: number `order` of the block that begins at line `first`, in section number `section`."""

    section: int
    first: int
    order: int
    text: str
    apart: bool
    """Stands on lines of its own; a sentence does not."""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Indexed:
    """A text's units, and where which term stands in them."""

    outline: Outline
    units: tuple[Unit, ...]
    lengths: tuple[int, ...]
    """Of each unit, in terms."""
    postings: Mapping[str, tuple[tuple[int, int], ...]]
    """Term → (number of a unit, how often it stands there)."""


@dataclass(frozen=True, slots=True)
class Found:
    """Unit number `number` of text number `document`, and how well it matches."""

    document: int
    number: int
    score: float


def terms(text: str) -> Iterator[str]:
    """The words that say something, shortened; of scripts without spaces the pairs of neighbouring characters."""
    for word in _WORD.findall(_HUMP.sub(" ", text).casefold()):
        if word in _STOPWORDS:
            continue
        if _UNSPACED.search(word):
            yield from (word[index : index + 2] for index in range(len(word) - 1))
        else:
            yield word[:STEM_CHARS]


def query(own: str, around: str = "", share: float = 0.1) -> dict[str, float]:
    """The terms of a task and what each weighs: those of what it is `around` little beside its `own`."""
    return dict.fromkeys(_vocabulary(around), share) | dict.fromkeys(_vocabulary(own), 1.0)


@kept(KEPT_CHARS)
def _vocabulary(text: str) -> tuple[str, ...]:
    """A text's terms, each once. Kept: a batch of a thousand tasks asks for its own text, which holds them all, for
    each of them."""
    return tuple(dict.fromkeys(terms(text)))


@kept(KEPT_CHARS)
def indexed(text: str) -> Indexed:
    """The units of a text; those of the last texts asked for are kept."""
    whole = outline(text)
    units = tuple(_json_units(text) or _units(whole))
    counts = [_counted(whole, unit) for unit in units]
    postings: dict[str, list[tuple[int, int]]] = {}
    for number, count in enumerate(counts):
        for term, times in count.items():
            postings.setdefault(term, []).append((number, times))
    lengths = tuple(count.total() for count in counts)
    return Indexed(whole, units, lengths, {term: tuple(where) for term, where in postings.items()})


def rank(texts: Sequence[Indexed], wanted: Mapping[str, float]) -> list[Found]:
    """The units that hold any of the `wanted` terms, best first; equal ones in the order of the texts.

    What holds more of the terms comes before what holds one of them often: BM25's sum counts as far as the terms found
    make up all that was wanted.
    """
    count = sum(len(text.units) for text in texts)
    mean = max(1.0, sum(sum(text.lengths) for text in texts) / max(1, count))
    scores: dict[tuple[int, int], float] = {}
    matched: dict[tuple[int, int], float] = {}
    for term, weight in wanted.items():
        holding = sum(len(text.postings.get(term, ())) for text in texts)
        rarity = weight * math.log1p((count - holding + 0.5) / (holding + 0.5))
        for document, text in enumerate(texts):
            for number, times in text.postings.get(term, ()):
                norm = K1 * (1 - B + B * text.lengths[number] / mean)
                at = document, number
                scores[at] = scores.get(at, 0.0) + rarity * times * (K1 + 1) / (times + norm)
                matched[at] = matched.get(at, 0.0) + weight
    total = sum(wanted.values())
    found = [Found(*at, score * matched[at] / total) for at, score in scores.items()]
    return sorted(found, key=lambda one: (-one.score, one.document, one.number))


def _json_units(text: str) -> list[Unit]:
    parts = json_parts(text, SENTENCE_CHARS) or ()
    return [
        Unit(0, number, order, part, apart=True)
        for number, whole in enumerate(parts)
        for order, part in enumerate(_parts(whole, LARGE_SYMBOL_BYTES))
    ]


def _units(whole: Outline) -> Iterator[Unit]:
    for index, section in enumerate(whole.sections):
        for first, last in split_blocks(whole.lines, section):
            line = whole.lines[first]
            if line.fence_mark or line.fenced:
                runs = (whole.text(*run) for run in _runs(whole, first, last))
                parts = (part for run in runs for part in _parts(run, LARGE_SYMBOL_BYTES))
                for order, text in enumerate(parts):
                    yield Unit(index, first, order, text, apart=True, code=True)
            else:
                for order, (text, apart) in enumerate(_said(whole, first, last)):
                    yield Unit(index, first, order, text, apart)


def _said(whole: Outline, first: int, last: int) -> Iterator[tuple[str, bool]]:
    """The sentences of a paragraph, the items of a list, or the rows of a table."""
    starts = [number for number in range(first, last + 1) if number == first or _ITEM.match(whole.lines[number].text)]
    for start, end in zip(starts, [*(number - 1 for number in starts[1:]), last], strict=True):
        if _ITEM.match(whole.lines[start].text):
            yield from ((part, True) for part in _parts(whole.text(start, end).rstrip(), SENTENCE_CHARS))
            continue
        text = " ".join(line.text.strip() for line in whole.lines[start : end + 1])
        yield from (
            (part, False) for sentence in _SENTENCE_END.split(text) for part in _parts(sentence, SENTENCE_CHARS)
        )


def _parts(text: str, limit: int) -> Iterator[str]:
    """`text` divided at spaces into parts of at most `limit` characters; a longer word is divided too."""
    start = 0
    while len(text) - start > limit:
        end = text.rfind(" ", start + 1, start + limit + 1)
        end = start + limit if end < 0 else end
        yield text[start:end]
        start = end
        while text.startswith(" ", start):
            start += 1
    if start < len(text):
        yield text[start:]


def _runs(whole: Outline, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The lines of a symbol, divided where it is very large."""
    start, length = first, 0
    for number in range(first, last + 1):
        bytes_ = len(whole.lines[number].text.encode()) + 1
        if number > start and length + bytes_ > LARGE_SYMBOL_BYTES:
            yield start, number - 1
            start, length = number, 0
        length += bytes_
    yield start, last


def _counted(whole: Outline, unit: Unit) -> Counter[str]:
    counted = Counter(terms(unit.text))
    counted.update(set(terms(whole.sections[unit.section].title)))
    return counted
