"""Drain: an online parser of logs with a tree of fixed depth.

P. He, J. Zhu, Z. Zheng, M. R. Lyu: Drain: An Online Log Parsing Approach with Fixed Depth Tree, ICWS 2017. The tree's
levels are the number of words and the first word; in a leaf the group with the most equal words takes the message, if
they are enough.

Beyond the paper: a place where words differ is a variable only when one of them is a value or there are more than
`FEW`, so that "VM Started" and "VM Stopped" stay two templates though their group is one; names of failures are no
values, however many; and values of one kind in a row count as one, as does a number with its unit."""

import re
from collections.abc import Callable, Iterator, Sequence
from operator import eq

from swarmtally.logreading.masking import ANY
from swarmtally.logreading.tally import Tally

SIMILARITY = 0.6
"""The least share of equal words with which a message joins a group."""
FEW = 4
"""Different words at one place up to which each makes a template of its own."""
CERTAIN = 1_000
"""What a place counts for in which some words are values: more than any number of others."""
MOST_VARIANTS = 32
"""Templates in a group; with more, the place with the most different words becomes variable at once."""
MOST_IN_LEAF = 100
"""Groups a leaf holds; when it is full, those that hardly came again make room."""
SELDOM = 2
"""Messages up to which a group makes room. They are counted together as what no template was found for."""
MOST_FIRST_WORDS = 200
"""First words told apart among messages of one length; further ones count as variable."""
MOST_GROUPS = 5_000
"""Groups in all leaves, beside one in each leaf."""
_KEPT = 50_000
_TIME = ("ns", "us", "µs", "ms", "msec", "s", "sec", "secs", "second", "seconds", "min", "mins", "minute", "minutes",
         "h", "hour", "hours", "day", "days")  # fmt: skip
_SIZE = ("b", "byte", "bytes", "kb", "kib", "mb", "mib", "gb", "gib", "tb", "tib")
_OF_UNIT = dict.fromkeys(_TIME, "<duration>") | dict.fromkeys(_SIZE, "<size>")
_FAILURE = re.compile(r"[(\['\"]?(?:[\w.$]*[A-Z]\w*(?:Error|Exception)|E[A-Z]{3,})[.,:;)\]'\"]*")
"""ValueError, java.io.IOException, ECONNREFUSED."""
_UNIT = re.compile(rf"({'|'.join(_OF_UNIT)})([.,;:)\]]*)", re.IGNORECASE)


class Variant:
    """What a group's messages look like once its variable places are masked."""

    __slots__ = ("into", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.into: Variant | None = None
        """Which one it became part of, when a place in it became variable."""

    def now(self) -> "Variant":
        variant = self
        while variant.into is not None:
            variant = variant.into
        return variant


class Group:
    """Messages of one length that are similar: a cluster of the paper."""

    __slots__ = ("variable", "variants", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.variable: set[int] = set()
        self.variants: dict[tuple[str, ...], Variant] = {}

    def add(self, words: Sequence[str], first: int) -> Variant:
        self.words = [one if one == other else ANY for one, other in zip(self.words, words, strict=True)]
        key = self._key(words)
        found = self.variants.get(key)
        if found is None:
            found = self.variants[key] = Variant(Tally(first))
            if len(self.variants) > MOST_VARIANTS:
                self._generalise(self._widest(_spread)[1])
        return found.now()

    def count(self) -> int:
        return sum(variant.tally.count for variant in self.variants.values())

    def join(self, other: "Group") -> None:
        """Become part of another, which is variable in every place."""
        (into,) = other.variants.values()
        for variant in self.variants.values():
            into.tally.take(variant.tally)
            variant.into = into

    def settle(self) -> None:
        """At the end: every place with more than a few words is variable, but for names of failures."""
        while (widest := self._widest(_spread_of_words))[0] > FEW:
            self._generalise(widest[1])

    def _key(self, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(ANY if place in self.variable else word for place, word in enumerate(words))

    def _widest(self, spread: Callable[[set[str]], int]) -> tuple[int, int]:
        """How many different words the place with the most has, and which place that is."""
        counts = [spread(set(words)) for words in zip(*self.variants, strict=True)]
        return max(((count, place) for place, count in enumerate(counts)), default=(0, 0))

    def _generalise(self, place: int) -> None:
        self.variable.add(place)
        merged: dict[tuple[str, ...], Variant] = {}
        for words, variant in self.variants.items():
            key = self._key(words)
            kept = merged.setdefault(key, variant)
            if kept is not variant:
                kept.tally.take(variant.tally)
                variant.into = kept
        self.variants = merged


def _spread(words: set[str]) -> int:
    """How many different words; where some are values and some not, or of another kind, it is variable for certain."""
    if len(words) > 1 and any("<" in word for word in words):
        return CERTAIN + len(words)
    return len(words)


def _spread_of_words(words: set[str]) -> int:
    """The same, but names of failures are no values, however many: each says something else."""
    return 1 if all(map(_FAILURE.fullmatch, words)) else _spread(words)


class Leaf:
    """Groups of one length and first word."""

    __slots__ = ("groups", "others")

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.others: Group | None = None
        """Where messages are that no group was found for, and groups that made room."""

    def make_room(self, words: Sequence[str], entry: int) -> int:
        """Have the groups that hardly came again join the others; returns how many."""
        seldom = [group for group in self.groups if group.count() <= SELDOM]
        if seldom:
            others = self.with_others(words, entry)
            for group in seldom:
                group.join(others)
            gone = set(map(id, seldom))
            self.groups = [group for group in self.groups if id(group) not in gone]
        return len(seldom)

    def with_others(self, words: Sequence[str], entry: int) -> Group:
        if self.others is None:
            self.others = Group([ANY] * len(words))
            self.others.variable.update(range(len(words)))
            self.others.add(words, entry)
        return self.others


class Drain:
    """Which template a masked message belongs to."""

    def __init__(self) -> None:
        self._groups = 0
        self._lengths: dict[int, dict[str, Leaf]] = {}
        self._known: dict[tuple[str, ...], Variant] = {}

    def add(self, words: Sequence[str], entry: int) -> Variant:
        """`entry` is the message's number, for the order of templates."""
        key = tuple(words)
        known = self._known.get(key)
        if known is None:
            words = _one_a_value(words)
            known = self._group(words, entry).add(words, entry)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = known
        return known

    def templates(self) -> Iterator[tuple[tuple[str, ...], Tally]]:
        for leaf in (leaf for firsts in self._lengths.values() for leaf in firsts.values()):
            for group in (*leaf.groups, *([leaf.others] if leaf.others else [])):
                group.settle()
                for words, variant in group.variants.items():
                    yield words, variant.tally

    def _group(self, words: Sequence[str], entry: int) -> Group:
        leaf = self._leaf(words)
        found = _most_similar(leaf.groups, words)
        if found is not None:
            return found
        # An empty leaf may always begin a group; there are no more of those than lengths and first words.
        if len(leaf.groups) >= MOST_IN_LEAF or (self._groups >= MOST_GROUPS and leaf.groups):
            gone = leaf.make_room(words, entry)
            self._groups -= gone
            if not gone:
                return leaf.with_others(words, entry)
        found = Group(words)
        self._groups += 1
        leaf.groups.append(found)
        return found

    def _leaf(self, words: Sequence[str]) -> Leaf:
        firsts = self._lengths.setdefault(len(words), {})
        first = words[0] if words else ""
        if "<" in first or (first not in firsts and len(firsts) >= MOST_FIRST_WORDS):
            first = ANY
        leaf = firsts.get(first)
        if leaf is None:
            leaf = firsts[first] = Leaf()
        return leaf


def _most_similar(groups: Sequence[Group], words: Sequence[str]) -> Group | None:
    """The group with the most equal words, if they are enough; among equals the one with more variables (section III-E
    of the paper)."""
    best, best_equal, best_variables = None, -1, -1
    for group in groups:
        equal = sum(map(eq, group.words, words))
        if equal >= best_equal:
            variables = group.words.count(ANY)
            if equal > best_equal or variables > best_variables:
                best, best_equal, best_variables = group, equal, variables
    return best if best is not None and best_equal >= SIMILARITY * len(words) else None


def _one_a_value(words: Sequence[str]) -> Sequence[str]:
    """A value of several words is one: "5 ms", "<1 sec", "2048 bytes (2 KB)". A list is one too, for its length is a
    value: values of one kind in a row, with or without commas and brackets around."""
    kept: list[str] = []
    for word in words:
        last = kept[-1] if kept else ""
        if "<" in last:
            unit = _UNIT.fullmatch(word) if last.endswith("<num>") else None
            if unit:
                value = f"{last[: -len('<num>')].rstrip('<')}{_OF_UNIT[unit[1].lower()]}{unit[2]}"
                if value.startswith("(<size>)") and kept[-2:-1] == ["<size>"]:
                    kept.pop()
                    kept[-1] += value.removeprefix("(<size>)")
                else:
                    kept[-1] = value
                continue
            if word == last:
                continue
            if last[-1] == "," and word.rstrip(",;.)]}") == last.lstrip("([{").rstrip(","):
                kept[-1] = last[:-1] + word[len(word.rstrip(",;.)]}")) :]
                continue
        kept.append(word)
    return kept
