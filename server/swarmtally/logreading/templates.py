"""What was found in a log: templates, how often and when each came, and what it says about the cause."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Burst:
    """A stretch of time in which a template came far oftener than over the whole log."""

    from_ns: int
    """Unix nanoseconds."""
    to_ns: int
    count: int
    rate_per_minute: float


@dataclass(frozen=True, slots=True)
class Template:
    """Entries that say the same thing with other values."""

    key: str
    """The same in every run and process: from the masked template alone (of a trace: exception and frame)."""
    template: str
    """Its words, variable ones as <*>, <num>, <ip>, <path> …; secrets are masked."""
    count: int
    share: float
    """Of all entries."""
    first_ns: int | None
    """Unix nanoseconds; None where its entries carry no time."""
    last_ns: int | None
    rate_per_minute: float | None
    """Over the time between the log's first and last entry."""
    bursts: tuple[Burst, ...]
    examples: tuple[str, ...]
    """At most 3, each bounded, secrets masked: first, middle, last."""
    level: str | None
    """The most frequent of critical, error, warning, info, debug."""
    components: tuple[tuple[str, int], ...]
    """The most frequent with their counts."""
    category: str
    cause: str | None
    remedy: str | None
    evidence: str | None
    """The words of the template that speak for category and cause."""
    exception: str | None
    frame: str | None
    """Of a stack trace: its innermost own frame."""
    lines: tuple[int, ...]
    """0-based numbers of the first lines of its entries, when they were asked for."""
