"""Lines put together from what arrives. None is longer than a bound: of a longer one only both ends are kept, and from
them it is found out whose request it was, or what it answered, where that is certain."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_END_BYTES = 4_096
"""What is kept of each end of a line that is too long."""

_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escaped backslashes, escaped pairs, and halves of pairs."""

_STRING = r'"(?:[^"\\]|\\.)*+"'
_MEMBER = rf'\s*({_STRING})\s*:\s*({_STRING}|[^\s"\[\]{{}},:]++)\s*'
"""A name and a value that is neither an object nor an array."""

_FIRST = re.compile(rf"\s*\{{(?:{_MEMBER}(?:,|\}}\s*\Z))++")
"""The members with which an object begins."""

_LAST = re.compile(rf"(?:,{_MEMBER})++\}}\s*\Z")
"""The members with which an object ends. Its last brace is the outermost, so these are that object's own: read from
there backwards, each quotation mark that no backslash precedes begins or ends a string."""

_ONE = re.compile(_MEMBER)

_ANSWER = re.compile(rf'\s*\{{(?:{_MEMBER},)*+\s*"(?:result|error)"\s*:')
"""The beginning of an object that has one of these after members that are neither objects nor arrays."""


def text_of(line: bytes | bytearray) -> str:
    """The line's text; bytes that are no UTF-8, and halves of surrogate pairs, become U+FFFD: JavaScript sends such
    halves, and no answer can be given to what cannot be parsed."""
    text = line.decode(errors="replace")
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _SURROGATES.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """What is left of a line that was too long."""

    length: int
    """Its bytes, without its newline."""

    most: int
    """The bytes that a line may have."""

    head: bytes
    tail: bytes

    @property
    def request_id(self) -> int | str | None:
        """The id of the request that the line was; None when it was none, or that is not certain."""
        return request_id(text_of(self.head), text_of(self.tail))

    @property
    def answered_id(self) -> int | str | None:
        """The id of the request of ours that the line answered; None when it was no answer, or that is not certain."""
        return answered_id(text_of(self.head), text_of(self.tail))


def request_id(head: str, tail: str) -> int | str | None:
    """The id of the request whose line begins and ends so; None when it is none, or that is not certain.

    Clients write `id` first (the SDK for Python) or last (the one for TypeScript). Only members of the outermost object
    count: those before its first member that is an object or array, and those after its last.
    """
    members = _certain(head, tail)
    return _id_of(members) if isinstance(members.get("method"), str) else None


def answered_id(head: str, tail: str) -> int | str | None:
    """The id of the request of ours that is answered by a line which begins and ends so; None when it is no answer, or
    that is not certain. The result is looked for at the beginning only: SDKs write it second, or first."""
    members = _certain(head, tail)
    return _id_of(members) if "method" not in members and _ANSWER.match(head[:_END_BYTES]) else None


def _id_of(members: Mapping[str, object]) -> int | str | None:
    own = members.get("id")
    if members.get("jsonrpc") != "2.0" or isinstance(own, bool) or not isinstance(own, int | str):
        return None
    return own


def _certain(head: str, tail: str) -> Mapping[str, object]:
    """The members of the outermost object that can be seen; none where they contradict each other."""
    found: dict[str, str] = {}
    try:
        for name, value in _members(head[:_END_BYTES], tail[-_END_BYTES:]):
            if found.setdefault(json.loads(name), value) != value:
                return {}
        return {name: json.loads(value) for name, value in found.items()}
    except ValueError:
        return {}


def _members(head: str, tail: str) -> Iterator[tuple[str, str]]:
    """Names and values, as they were written."""
    for part in (_FIRST.match(head), _LAST.search(tail)):
        if part is not None:
            yield from _ONE.findall(part[0])


Line = bytes | bytearray | LineTooLong


class Lines:
    """Puts lines together, each with its newline.

    Args:
        most: the bytes that a line may have, without its newline.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Not a list of what arrived: of a client that sends byte by byte, that would take many times as much.
        self._unfinished = bytearray()
        self._head = b""
        self._length = 0

    @property
    def held(self) -> int:
        """Bytes of the line that is not finished."""
        return len(self._unfinished) + len(self._head)

    def add(self, data: bytes) -> list[Line]:
        """The lines that are finished with `data`, which is what arrived next."""
        if b"\n" not in data:
            self._hold(data)
            return []
        first, *others, rest = data.split(b"\n")
        self._hold(first)
        finished = [self._finish(b"\n")]
        finished += [line + b"\n" if len(line) <= self._most else self._cut(line) for line in others]
        self._hold(rest)
        return finished

    def end(self) -> list[Line]:
        """The last line, when it has no newline."""
        return [self._finish(b"")] if self._length else []

    def _hold(self, data: bytes) -> None:
        self._unfinished += data
        self._length += len(data)
        if self._length > self._most:
            if not self._head:
                self._head = bytes(self._unfinished[:_END_BYTES])
            del self._unfinished[:-_END_BYTES]

    def _finish(self, newline: bytes) -> Line:
        line, head, length = self._unfinished, self._head, self._length
        self._unfinished, self._head, self._length = bytearray(), b"", 0
        if length > self._most:
            return LineTooLong(length, self._most, head, bytes(line))
        line += newline
        return line

    def _cut(self, line: bytes) -> LineTooLong:
        return LineTooLong(len(line), self._most, line[:_END_BYTES], line[-_END_BYTES:])
