"""Which template of an earlier log says the same as one of this log.

A place is variable when it has had several words, so that the same message can have another template in a log where it
had fewer: "user alice is gone" there, "user <*> is gone" here; or values of another kind: "id <num>", "id <id>".
"""

from collections.abc import Iterable, Mapping, Sequence

from swarmtally.logreading.drain import SIMILARITY
from swarmtally.logreading.masking import ANY

COMPARED = 500
"""The most templates that one is compared with."""


def same_as(wanted: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """For templates of `wanted` the key of the one of `known` that says the same, by key; both are texts by key.

    Two say the same when they have as many words, these differ only where one of them holds a value, and as many are
    equal as in a group of Drain (He et al., 2017). Of several the one with the most equal words.
    """
    leaves: dict[tuple[int, str], list[tuple[str, list[str]]]] = {}
    for key, text in known.items():
        words = text.split()
        leaves.setdefault(_leaf(words), []).append((key, words))
    found: dict[str, str] = {}
    for key, text in wanted.items():
        words = text.split()
        same = _most_alike(words, leaves.get(_leaf(words), ())[:COMPARED])
        if same is not None:
            found[key] = same
    return found


def _leaf(words: Sequence[str]) -> tuple[int, str]:
    """The number of words and the first: what Drain's tree tells apart."""
    first = words[0] if words else ""
    return len(words), ANY if "<" in first else first


def _most_alike(words: Sequence[str], leaf: Iterable[tuple[str, Sequence[str]]]) -> str | None:
    best, best_equal = None, SIMILARITY * len(words)
    for key, others in leaf:
        equal = _equal(words, others)
        if equal is not None and equal >= best_equal:
            best, best_equal = key, equal
    return best


def _equal(words: Sequence[str], others: Sequence[str]) -> int | None:
    """How many words are equal; None where two differ of which neither holds a value: Drain would make one of two where
    one does."""
    equal = 0
    for one, other in zip(words, others, strict=True):
        if one == other:
            equal += 1
        elif "<" not in one and "<" not in other:
            return None
    return equal
