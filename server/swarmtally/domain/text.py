"""Text from outside made fit to be kept and shown."""

import re

from swarmtally.domain.errors import InvalidInput

STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, which terminals obey, line separators, and what turns the direction of writing, so that a name
reads as another. Joiners are none of them: Persian and emoji need those."""


def storable(text: str) -> str:
    """`text` with halves of surrogate pairs replaced: they are no characters, and nothing can write them down."""
    return text.encode(errors="replace").decode()


def checked_name(what: str, text: str) -> str:
    """A name that somebody chose, without the blanks around it; `what` says of what.

    Raises:
        InvalidInput: nothing of it can be seen, or it holds what `STEERING` finds.
    """
    name = text.strip()
    if not any(char.isprintable() and not char.isspace() for char in name):
        raise InvalidInput(f"{what} {text[:64]!r} shows nothing; choose another")
    if STEERING.search(name) or storable(name) != name:
        raise InvalidInput(f"{what} {text[:64]!r} holds characters that cannot be shown as they are; choose another")
    return name


def one_line(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without what could steer a terminal."""
    shown = "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in storable(text))
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def counted(number: int, thing: str) -> str:
    """`number` and the name of what is counted, such as "1 call" or "2 calls"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
