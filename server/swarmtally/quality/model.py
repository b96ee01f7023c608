"""What is assessed, and what comes of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Criterion(StrEnum):
    PERFORMANCE = "performance"
    EFFICIENCY = "efficiency"
    SCALABILITY = "scalability"
    MAINTAINABILITY = "maintainability"
    RELIABILITY = "reliability"
    SECURITY = "security"
    TESTING = "testing"
    DOCUMENTATION = "documentation"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the target, read once: whatever is said of it is said of this text."""

    path: str
    """Relative to the target's root, with `/`."""
    language: str
    code_lines: int
    """Lines that hold more than blanks and a comment; 0 for documents and reports."""
    is_test: bool
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that was not assessed, or, as `*.png`, all files of a kind."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sources:
    root: Path
    files: tuple[SourceFile, ...]
    """Code, sorted by path."""
    documents: tuple[SourceFile, ...]
    """Markdown, reStructuredText and texts; language `markdown`, `restructuredtext` or `text`."""
    reports: tuple[SourceFile, ...]
    """What test tools left behind, ignored by git or not; language `coverage.xml` or `lcov`."""
    left_out: tuple[LeftOut, ...]
    truncated: bool
    """Whether a limit ended the walk before everything was seen."""
    is_part: bool = False
    """Whether it is a file, a package, or a folder of a repository: tests and README may lie elsewhere."""


@dataclass(frozen=True, slots=True)
class Finding:
    criterion: Criterion
    file: str
    line: int
    """From 1."""
    rule: str
    message: str
    fix: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    value: float | None
    unit: str
    reason: str | None = None
    """Why there is no value."""


@dataclass(frozen=True, slots=True)
class Assessment:
    criterion: Criterion
    score: float | None
    """0 to 10."""
    reason: str | None
    """Why there is no score."""
    method: str
    """The formula, in one line."""
    n: int
    """Code lines or units that were measured."""
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]
    """Worst first, at most `MAX_FINDINGS`."""
    languages: tuple[str, ...]
    """Those that were measured."""


MAX_FINDINGS = 1_000
"""Of one criterion; the score and the measures count all."""
