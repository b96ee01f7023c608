"""What the process that assesses tells the one that asked: a line of JSON each for progress and for the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from swarmtally.quality.model import Assessment, LeftOut, Sources

LEFT_OUT = 20
"""The most of what was left out that an answer names; all of it is counted."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One criterion, with the page of its findings that was asked for."""

    assessment: Assessment
    findings_total: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an assessment."""

    files: int
    code_lines: int
    languages: tuple[tuple[str, int], ...]
    """Language and its code lines, most first."""
    documents: int
    left_out: tuple[LeftOut, ...]
    left_out_total: int
    truncated: str | None
    """Which limit ended the walk before everything was seen."""
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the process: progress, or the end with an answer or an error."""

    progress: tuple[str, int, int] | None = None
    answer: Answer | None = None
    error: str | None = None


_LINES = TypeAdapter(Line)


def written(line: Line) -> bytes:
    return _LINES.dump_json(line, exclude_none=False) + b"\n"


def read(line: bytes) -> Line:
    return _LINES.validate_json(line)


def answer(sources: Sources, assessments: Sequence[Assessment], limit: int, offset: int) -> Answer:
    """The answer with `limit` findings of each criterion from `offset` on."""
    languages: Counter[str] = Counter()
    for file in sources.files:
        languages[file.language] += file.code_lines
    return Answer(
        len(sources.files),
        sum(languages.values()),
        tuple(languages.most_common()),
        len(sources.documents),
        sources.left_out[:LEFT_OUT],
        len(sources.left_out),
        _cut(sources),
        tuple(
            Judged(replace(one, findings=one.findings[offset : offset + limit]), len(one.findings))
            for one in assessments
        ),
    )


def _cut(sources: Sources) -> str | None:
    if not sources.truncated:
        return None
    return next((one.reason for one in sources.left_out if one.path == "."), "a limit was reached")
