"""Changing one member of a JSON text: every other byte stays as its owner wrote it.

Reading the whole text and writing it again would change what others own: numbers, escapes, spacing, doubled keys.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

_SPACE = re.compile(r"[ \t\r\n]*")
_FIRST_INDENT = re.compile(r"\n([ \t]+)\S")
_NESTED_TOO_DEEP = "it is nested too deep"


class NotPlainJson(ValueError):
    """The text is not JSON as RFC 8259 has it: it holds comments or trailing commas, or is broken. `str(error)` says
    what and where."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its value, and where it stands in the text."""

    key: str
    value: Any
    """As JSON has it; the worth of numbers is not read."""
    start: int
    """Where its key begins."""
    value_start: int
    end: int
    """Behind its value."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object in a text, from its brace to behind its other brace."""

    start: int
    end: int
    members: tuple[Member, ...]

    def find(self, key: str) -> list[Member]:
        """The members of that key: none, one, or several, which JSON leaves undefined."""
        return [member for member in self.members if member.key == key]


def _refuse(constant: str) -> NoReturn:
    raise NotPlainJson(f"{constant} is no JSON value")


# A number of ten thousand digits is valid, and not ours to judge.
_DECODER = json.JSONDecoder(parse_int=lambda _: 0, parse_float=lambda _: 0.0, parse_constant=_refuse)


def root(text: str) -> Object | None:
    """The object that `text` is; None where it is another value.

    Raises:
        NotPlainJson: it is not JSON.
    """
    try:
        value, end = _DECODER.raw_decode(text, start := _skip(text, 0))
    except json.JSONDecodeError as error:
        raise NotPlainJson(f"{error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise NotPlainJson(_NESTED_TOO_DEEP) from None
    rest = _skip(text, end)
    if rest != len(text):
        raise NotPlainJson(f"more follows its end, line {text.count(chr(10), 0, rest) + 1}")
    return object_at(text, start) if isinstance(value, dict) else None


def object_at(text: str, start: int) -> Object:
    """The object that begins at `start` of a text that is JSON."""
    members = []
    place = _skip(text, start + 1)
    while text[place] != "}":
        key, end = _DECODER.raw_decode(text, place)
        value_start = _skip(text, _skip(text, end) + 1)
        value, end = _DECODER.raw_decode(text, value_start)
        members.append(Member(key, value, place, value_start, end))
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return Object(start, place + 1, tuple(members))


def put(text: str, into: Object, key: str, value: Mapping[str, Any] | list[str] | str, depth: int) -> str:
    """`text` with member `key` of the object `into` set to `value`, written as the text around it is.

    Args:
        depth: how many objects the member is inside of, `into` included.
    """
    found = into.find(key)
    if into.members:
        inline = "\n" not in text[into.start : into.end]
        indent = _own_indent(text, into.members[0]) or _unit(text) * depth
    else:
        inline = "\n" not in text.strip() and into.end - into.start < len(text.strip())
        indent = _unit(text) * depth
    written = _written(value, None if inline else indent, text)
    if found:
        return text[: found[0].value_start] + written + text[found[0].end :]
    member = f"{json.dumps(key)}: {written}"
    line = "" if inline else _newline(text) + indent
    if into.members:
        last = into.members[-1].end
        return f"{text[:last]},{line or ' '}{member}{text[last:]}"
    close = "" if inline else _newline(text) + _unit(text) * (depth - 1)
    return f"{text[: into.start + 1]}{line}{member}{close}{text[into.end - 1 :]}"


def remove(text: str, out_of: Object, member: Member) -> str:
    """`text` without `member` of the object `out_of`."""
    place = out_of.members.index(member)
    if place:
        return text[: out_of.members[place - 1].end] + text[member.end :]
    if len(out_of.members) > 1:
        return text[: member.start] + text[out_of.members[1].start :]
    return text[: out_of.start + 1] + text[out_of.end - 1 :]


def _skip(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    """One step of indentation, as the first indented line has it."""
    found = _FIRST_INDENT.search(text)
    return found[1] if found else "  "


def _own_indent(text: str, member: Member) -> str:
    """What stands before `member` on its line, where that is only space."""
    before = text[text.rfind("\n", 0, member.start) + 1 : member.start]
    return "" if before.strip(" \t") else before


def _written(value: object, indent: str | None, text: str) -> str:
    if indent is None:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=_unit(text)).split("\n")
    return (_newline(text) + indent).join(lines)
