"""The tags that material stands in inside a prompt. Whatever in it looks like such a tag is disarmed: it is data."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from swarmtally.domain.task import Artefact
from swarmtally.sparc.digest import cut
from swarmtally.sparc.selection import size

# Characters nobody sees. A model may read a tag across them.
_UNSEEN = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"


def _spelled(word: str) -> str:
    return f"[{_UNSEEN}]*".join(word)


_TAG = re.compile(
    rf"[<\uff1c\ufe64](?=[\s/\\{_UNSEEN}]*(?:{_spelled('context')}|{_spelled('artefact')}|{_spelled('artifact')})\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Material:
    """Text to be shown inside a tag. `reference` names it, `recency` is higher for what was made later."""

    opening: str
    closing: str
    text: str
    reference: str
    recency: int
    limit: int | None = None
    """The most of the text that is ever shown, in bytes; None unless it is only seen."""

    @property
    def needed(self) -> bool:
        return self.limit is None

    @property
    def frame(self) -> int:
        """The bytes of everything but the text, with the line break that follows."""
        return size(self.opening) + size(self.closing) + 3

    @property
    def most(self) -> int:
        """The bytes it takes while there is room."""
        return self.frame + size(self.text) if self.limit is None else self.at_most(self.limit)

    def at_most(self, text_bytes: int) -> int:
        """The bytes it takes when its text is limited to `text_bytes`."""
        return self.frame + min(size(self.text), text_bytes)

    def show(self, text: str) -> str:
        return f"{self.opening}\n{text}\n{self.closing}"


def disarmed(text: str) -> str:
    """`text` with everything that looks like one of our tags made harmless: its `<` is written `&lt;`."""
    return _TAG.sub("&lt;", text)


def disarmed_again(text: str, limit_bytes: int) -> str:
    """The same for parts of disarmed texts: lines that were apart can meet and form a tag. At most `limit_bytes`."""
    return cut(disarmed(text), limit_bytes)


@lru_cache(maxsize=16)
def contexts(texts: tuple[str, ...]) -> tuple[Material, ...]:
    """The texts of a run's shared context, numbered from 1; empty ones are left out.

    Those asked for lately are kept: a run asks for each of its tasks.
    """
    return tuple(
        Material(f'<context n="{number}">', "</context>", disarmed(text), f"context:{number}", number)
        for number, text in enumerate(filter(str.strip, texts), start=1)
    )


def artefact(made: Artefact, limit: int | None = None) -> Material:
    """What a task delivered. That it is empty or was cut off is said where no digest can leave it out."""
    reference = f"{made.phase}/{made.name}"
    names = {"id": f"artifact:{reference}", "name": made.name, "phase": made.phase}
    if not made.whole.strip():
        names["state"] = "empty: the task delivered no text"
    elif made.truncated:
        names["state"] = "not whole: cut off at the output limit"
    attributes = " ".join(f'{key}="{_attribute(value)}"' for key, value in names.items())
    opening, text = f"<artefact {attributes}>", disarmed(made.whole)
    return Material(opening, "</artefact>", text, f"artifact:{_attribute(reference)}", made.ordinal, limit)


def joined_whole(materials: Sequence[Material]) -> str:
    """All of it."""
    return "\n".join(material.show(material.text) for material in materials)


def whole_bytes(materials: Sequence[Material]) -> int:
    """The length of `joined_whole`."""
    return max(0, sum(material.frame + size(material.text) for material in materials) - 1)


def common_length(sizes: Sequence[int], room: int) -> int:
    """The greatest length to which all `sizes` can be limited so that their sum is at most `room`."""
    for index, length in enumerate(sorted(sizes)):
        share = room // (len(sizes) - index)
        if length > share:
            return share
        room -= length
    return max(sizes, default=0)


def _attribute(value: str) -> str:
    return html.escape(" ".join(value.split()))
