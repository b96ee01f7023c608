"""Reads a log line by line and keeps what the templates need, never the log."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarmtally.logreading.describing import Log, described
from swarmtally.logreading.drain import Drain, Variant
from swarmtally.logreading.formats import Formats
from swarmtally.logreading.gathering import Entry
from swarmtally.logreading.hiding import hide_secrets
from swarmtally.logreading.masking import ANY, LONGEST_MESSAGE, MOST_WORDS, Masks
from swarmtally.logreading.tally import LONGEST_KEPT, Tally
from swarmtally.logreading.templates import Template
from swarmtally.logreading.traces import Trace, trace_of

LONGEST_LINE = 65_536
"""Characters of a line that are looked at."""
LONGEST_LIST = 16_777_216
"""Characters of a line that may be a JSON list."""
MOST_TRACES = 2_000
"""Kinds of stack traces told apart by exception and frame; those of further ones by their message."""
_LONGEST_KNOWN = 300
_KEPT = 20_000
_EMPTY = "<empty>"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log said."""

    lines: int
    entries: int
    """A stack trace is one entry."""
    skipped: tuple[tuple[str, int], ...]
    """Reason and number of lines that became no entry, or not whole."""
    templates: tuple[Template, ...]
    """The most frequent first, then the first seen."""


class _Traces:
    """Stack traces with the same exception and frame."""

    __slots__ = ("drain", "tally")

    def __init__(self, entry: int) -> None:
        self.tally = Tally(entry)
        self.drain = Drain()


class Reader:
    """Streaming and bounded; `feed` as often as you like, then `result`.

    Args:
        keep_lines: keep the line numbers of each template's entries (8 bytes each).
        now_ns: Unix nanoseconds, for the year of times that name none, such as syslog's; without it they are unknown.
    """

    def __init__(self, *, keep_lines: bool = False, now_ns: int | None = None) -> None:
        self._keep_lines = keep_lines
        self._formats = Formats(now_ns)
        self._masks = Masks()
        self._drain = Drain()
        self._traces: dict[tuple[str, str | None], _Traces] = {}
        self._known: dict[str, Variant] = {}
        """Messages as they came, for many come again."""
        self._pending: Entry | None = None
        self._lines = 0
        self._entries = 0
        self._skipped: Counter[str] = Counter()
        self._first_ns: int | None = None
        self._last_ns: int | None = None

    def feed(self, lines: Iterable[str]) -> None:
        """Reads further lines, with or without their ends; one that holds several is one entry."""
        for line in lines:
            text = line.rstrip()
            if not text:
                self._skipped["blank"] += 1
            elif text[0] == "[" and text[-1] == "]" and (items := _list(text)) is not None:
                for item in items:
                    self._line(item)
            else:
                self._line(text)
            self._lines += 1

    def result(self) -> Reading:
        """What was read so far; more may be fed after it."""
        if self._pending is not None:
            self._settle(self._pending)
            self._pending = None
        log = Log(self._entries, self._first_ns, self._last_ns)
        found = sorted(self._found(log), key=lambda one: (-one[1].count, one[0]))
        return Reading(self._lines, self._entries, tuple(self._skipped.items()), tuple(one for _, one in found))

    def _line(self, text: str) -> None:
        if len(text) > LONGEST_LINE:
            self._skipped[f"cut at {LONGEST_LINE} characters"] += 1
            text = text[:LONGEST_LINE]
        rest: list[str] = []
        if "\n" in text:
            text, *rest = text.strip("\n").split("\n")
        head = self._formats.head(text)
        pending = self._pending
        if pending is not None:
            # What begins with a time never continues another.
            if head.time_ns is None and text and pending.takes(text, head):
                pending.keep_all(rest)
                return
            self._settle(pending)
        self._pending = pending = Entry(head, text, self._lines)
        if rest:
            pending.keep_all(rest)

    def _settle(self, entry: Entry) -> None:
        time_ns, level, component, message, _ = entry.head
        number = self._entries = self._entries + 1
        if "\n" in message:
            # Of JSON and logfmt: a trace in one line. As an example it is what it says, not how it was written.
            message, *rest = message.split("\n")
            entry.text = message
            entry.rest = [*rest, *entry.rest]
        tally = self._tally(message, entry, number)
        text = entry.text
        if entry.rest:
            text = _joined(entry)
        elif len(text) > LONGEST_KEPT:
            text = _cut(text)
        tally.add(time_ns, level, component, text)
        if self._keep_lines:
            tally.lines.append(entry.number)
        if time_ns is not None:
            if self._first_ns is None or self._last_ns is None:
                self._first_ns = self._last_ns = time_ns
            elif time_ns > self._last_ns:
                self._last_ns = time_ns
            elif time_ns < self._first_ns:
                self._first_ns = time_ns

    def _tally(self, message: str, entry: Entry, number: int) -> Tally:
        trace = trace_of(entry.text if entry.head.time_ns is None else message, entry.rest) if entry.rest else None
        if trace is not None and self._is_told_apart(trace):
            return self._of_trace(trace, number)
        known = self._known.get(message)
        if known is None:
            known = self._drain.add(self._words(message), number)
            if len(message) <= _LONGEST_KNOWN:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[message] = known
        return (known if known.into is None else known.now()).tally

    def _is_told_apart(self, trace: Trace) -> bool:
        return (trace.exception, trace.frame) in self._traces or len(self._traces) < MOST_TRACES

    def _of_trace(self, trace: Trace, number: int) -> Tally:
        found = self._traces.setdefault((trace.exception, trace.frame), _Traces(number))
        # Only for the template's words; what is counted is the trace.
        found.drain.add(self._words(trace.message), number).now().tally.count += 1
        return found.tally

    def _words(self, message: str) -> Sequence[str]:
        masks = self._masks
        words = message[:LONGEST_MESSAGE].split()
        masked = [masks[word] for word in words[:MOST_WORDS]]
        if masks.long_risk or (masks.risky and not masks.risky.isdisjoint(words)):
            masks.long_risk = False
            words = hide_secrets(message[:LONGEST_MESSAGE]).split()
            masked = [masks[word] for word in words[:MOST_WORDS]]
        if len(words) > MOST_WORDS or len(message) > LONGEST_MESSAGE:
            masked.append(ANY)
        return masked or [_EMPTY]

    def _found(self, log: Log) -> Iterator[tuple[int, Template]]:
        """Each template with the number of its first entry."""
        merged: dict[str, Tally] = {}
        for words, tally in self._drain.templates():
            # Two groups can have come to the same words.
            text = " ".join(words)
            kept = merged.setdefault(text, tally)
            if kept is not tally:
                kept.take(tally)
        for text, tally in merged.items():
            yield tally.entry, described(text, tally, log)
        for (exception, frame), traces in self._traces.items():
            message = max(traces.drain.templates(), key=lambda one: one[1].count)[0]
            yield traces.tally.entry, described(" ".join(message), traces.tally, log, Trace(exception, "", frame))


def _list(text: str) -> list[str] | None:
    """The strings, and the objects as JSON lines, of a JSON list that holds nothing else."""
    if len(text) > LONGEST_LIST or text[1:].lstrip()[:1] not in ('"', "{"):
        return None
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str | dict) for item in items):
        return None
    return [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in items if item]


def _joined(entry: Entry) -> str:
    """The entry's lines, in the middle cut to what an example needs: exceptions stand at either end."""
    lines = [entry.text, *entry.rest]
    half = LONGEST_KEPT // 2
    text = "\n".join(lines)
    if len(text) <= LONGEST_KEPT and not entry.cut:
        return text
    start, end = text[:half], text[-half:]
    return f"{_cut(start)}\n…\n{end.partition(chr(10))[2] or end.partition(' ')[2]}"


def _cut(text: str) -> str:
    """Without the word at the cut: half a secret no longer looks like one."""
    return text[:LONGEST_KEPT].rpartition(" ")[0] or ANY
