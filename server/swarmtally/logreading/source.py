"""One log read to its end or to a limit: its templates, what was mended on the way, and which ids its lines name."""

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from swarmtally.logreading.lines import Lines, Read
from swarmtally.logreading.reading import Reader, Reading

LINES_LIMIT = 10_000_000
"""The most lines that are read of one log."""

MENTIONS_LIMIT = 10_000
"""The most lines whose ids are kept."""

BATCH = 2_000
"""Lines between two looks at the clock."""

TELL_EVERY_S = 0.5

_ID = re.compile(r"\b(?:t_[0-9a-hjkmnp-tv-z]{12}_[0-9]{1,5}|a_[0-9a-hjkmnp-tv-z]{12})\b")

Tell = Callable[[int, int], None]
"""Is told how many lines and bytes were read so far."""


@dataclass(frozen=True, slots=True)
class Mention:
    """The ids of tasks and agents that a template's entries name."""

    key: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A log as it was read."""

    reading: Reading
    notes: tuple[tuple[str, int], ...]
    """What was mended, and how often."""
    stopped: str | None
    """Why it was not read to its end."""
    mentions: tuple[Mention, ...]


def read_log(read: Read, *, now_ns: int, seconds: float | None, numbers: bool, tell: Tell | None = None) -> Log:
    """Read a log of which `read` gives the bytes.

    Args:
        now_ns: Unix nanoseconds, which tell the year of times without one.
        seconds: how long to go on; None: to the end.
        numbers: whether templates carry the numbers of their lines: for a JSON list, of its elements.
        tell: is told about twice a second how far it is.
    """
    lines = Lines(read)
    reader = Reader(keep_lines=True, now_ns=now_ns)
    mentions: dict[int, set[str]] = {}
    stopped = _feed(lines, reader, mentions, seconds, tell)
    reading = reader.result()
    named = _mentioned(reading, mentions)
    if not numbers:
        reading = replace(reading, templates=tuple(replace(template, lines=()) for template in reading.templates))
    return Log(reading, lines.notes(), stopped, named)


def _feed(
    lines: Lines, reader: Reader, mentions: dict[int, set[str]], seconds: float | None, tell: Tell | None
) -> str | None:
    """Give `reader` all lines it may have; returns why it did not get the rest."""
    begun = time.monotonic()
    told = begun - TELL_EVERY_S
    source = _watched(lines, mentions)
    count = 0
    while batch := list(islice(source, BATCH)):
        reader.feed(batch)
        count += len(batch)
        now = time.monotonic()
        if tell is not None and now - told >= TELL_EVERY_S:
            tell(count, lines.taken)
            told = now
        if count >= LINES_LIMIT:
            return f"{LINES_LIMIT} lines are the most that are read; give the rest apart"
        if seconds is not None and now - begun >= seconds:
            return f"{seconds:g} s are the longest that one call reads; in the shell there is no such limit"
    return None


def _watched(lines: Lines, mentions: dict[int, set[str]]) -> Iterator[str]:
    """The lines; what ids they name goes to `mentions`, by the lines' numbers."""
    for number, line in enumerate(lines):
        # Looking for these first takes a tenth of what the expression takes.
        if ("t_" in line or "a_" in line) and len(mentions) < MENTIONS_LIMIT:
            ids = _ID.findall(line)
            if ids:
                mentions[number] = set(ids)
        yield line


def _mentioned(reading: Reading, mentions: dict[int, set[str]]) -> tuple[Mention, ...]:
    """Which template's entries name which ids: a line belongs to the entry that began last before it or with it."""
    if not mentions:
        return ()
    at = sorted(mentions)
    begun: list[tuple[int, str] | None] = [None] * len(at)
    for template in reading.templates:
        for line in template.lines:
            index = bisect_left(at, line)
            if index < len(at):
                begun[index] = max(begun[index] or (line, template.key), (line, template.key))
    ids: dict[str, set[str]] = {}
    last: tuple[int, str] | None = None
    for line, own in zip(at, begun, strict=True):
        last = own or last
        if last is not None:
            ids.setdefault(last[1], set()).update(mentions[line])
    return tuple(Mention(key, tuple(sorted(named))) for key, named in ids.items())
