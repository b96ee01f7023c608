"""The lines of a log that may hold anything: bytes become bounded lines of text, and what was mended is counted.

Text is UTF-8, or UTF-16 with its mark (what PowerShell writes); lines end with a line feed. A log that is one JSON
list gives its elements, which may have several lines, one after the other: it need not fit into memory.
"""

import codecs
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from swarmtally.domain.text import storable

LINE_LIMIT_BYTES = 64 * 1024
"""What is read of one line; the rest of it is passed over."""

ELEMENT_LIMIT = 1024 * 1024
"""The longest element of a JSON list, in characters: it must be held whole to know where it ends."""

CHUNK_BYTES = 1024 * 1024

Read = Callable[[int], bytes]
"""Gives at most so many bytes; none at the end."""

_JSON_LIST = re.compile(rb"\s*\[\s*[\"{\]]")
_BLANK = re.compile(r"[ \t\r\n]*")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_utf_8 = codecs.getincrementaldecoder("utf-8")
_decoder = json.JSONDecoder()

CUT = f"lines longer than {LINE_LIMIT_BYTES} bytes, cut there"
NUL = "lines with NUL characters, which were taken out"
INVALID = "lines that are not valid UTF-8, mended with U+FFFD"
BROKEN = "JSON list that ends before its end or has a mistake, read up to there"
TRAILING = "text after the end of the JSON list, not read"


class Lines:
    """The lines of a log, once."""

    def __init__(self, read: Read) -> None:
        self._source = read
        self._take: Read = self._read
        self.taken = 0
        """Bytes read so far."""
        self._notes: dict[str, int] = {}

    def __iter__(self) -> Iterator[str]:
        first = self._beginning()
        if first.startswith(_UTF_16):
            self._take = _as_utf_8(first, self._read)
            first = self._beginning()
        first = first.removeprefix(codecs.BOM_UTF8)
        pieces = self._of_list(first) if _begins_list(first) else self._of_text(first)
        yield from pieces

    def notes(self) -> tuple[tuple[str, int], ...]:
        """What was mended, and how often."""
        return tuple(self._notes.items())

    def _beginning(self) -> bytes:
        """The first chunk, whole: a pipe gives it in pieces."""
        first = b""
        while len(first) < CHUNK_BYTES and (more := self._take(CHUNK_BYTES - len(first))):
            first += more
        return first

    def _read(self, size: int) -> bytes:
        chunk = self._source(size)
        self.taken += len(chunk)
        return chunk

    def _note(self, what: str) -> None:
        self._notes[what] = self._notes.get(what, 0) + 1

    def _of_text(self, chunk: bytes) -> Iterator[str]:
        begun = b""
        while chunk:
            lines = chunk.split(b"\n")
            lines[0] = begun + lines[0]
            # One byte more than fits tells that it was cut.
            begun = lines.pop()[: LINE_LIMIT_BYTES + 1]
            for line in lines:
                yield self._mended(line)
            chunk = self._take(CHUNK_BYTES)
        if begun:
            yield self._mended(begun)

    def _mended(self, line: bytes) -> str:
        cut = len(line) > LINE_LIMIT_BYTES
        if cut:
            self._note(CUT)
            line = line[:LINE_LIMIT_BYTES]
        try:
            # A character that the cut goes through is not the log's mistake.
            text = _utf_8().decode(line) if cut else line.decode()
        except UnicodeDecodeError:
            self._note(INVALID)
            text = line.decode(errors="replace")
        if "\0" in text:
            self._note(NUL)
            text = text.replace("\0", "")
        return text.removesuffix("\r")

    def _of_list(self, chunk: bytes) -> Iterator[str]:
        for element in self._parsed(chunk):
            text = element if isinstance(element, str) else json.dumps(element, ensure_ascii=False)
            yield self._mended(storable(text[: LINE_LIMIT_BYTES + 1]).encode())

    def _parsed(self, chunk: bytes) -> Iterator[Any]:
        """The elements of the JSON list, as far as it is one."""
        decoder = _utf_8("replace")
        text = decoder.decode(chunk)
        at = text.index("[") + 1
        ended = False
        while True:
            at = _past_blanks(text, at)
            if text.startswith("]", at):
                if (text[at + 1 :] + decoder.decode(self._take(CHUNK_BYTES))).strip():
                    self._note(TRAILING)
                return
            try:
                element, end = _decoder.raw_decode(text, at)
                end = _past_blanks(text, end)
                # The end of a number is known from what follows.
                whole = text[end : end + 1] in (",", "]") if end < len(text) else False
                wrong = end < len(text) and not whole
            except (ValueError, RecursionError) as error:
                whole, wrong = False, isinstance(error, RecursionError)
            if whole:
                yield element
                at = end + 1 if text[end] == "," else end
                continue
            if wrong or ended or len(text) - at > ELEMENT_LIMIT:
                self._note(BROKEN)
                return
            chunk = self._take(CHUNK_BYTES)
            ended = not chunk
            text, at = text[at:] + decoder.decode(chunk, final=ended), 0


def _past_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _begins_list(chunk: bytes) -> bool:
    """Whether a log that begins so is a JSON list; a line of text may begin with a bracket too."""
    if not _JSON_LIST.match(chunk):
        return False
    text = _utf_8("replace").decode(chunk)
    at = _past_blanks(text, text.index("[") + 1)
    if text[at] == "]":
        return not text[at + 1 :].strip()
    try:
        _, at = _decoder.raw_decode(text, at)
    except RecursionError:
        return False
    except ValueError:
        # An element that is longer than what there is to look at.
        return len(chunk) >= CHUNK_BYTES
    return text[_past_blanks(text, at) :][:1] in (",", "]", "")


def _as_utf_8(first: bytes, read: Read) -> Read:
    """What `first` and then `read` give in UTF-16, in UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    begun = io.BytesIO(decoder.decode(first).encode(errors="replace"))

    def read_on(size: int) -> bytes:
        rest = begun.read(size)
        while not rest:
            chunk = read(size)
            rest = decoder.decode(chunk, final=not chunk).encode(errors="replace")
            if not chunk:
                break
        return rest

    return read_on
