"""A tally and its words become a template."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from swarmtally.logreading.bursts import SECONDS_PER_MINUTE, bursts
from swarmtally.logreading.categories import finding
from swarmtally.logreading.hiding import hide_secrets
from swarmtally.logreading.stamps import NS_PER_S
from swarmtally.logreading.tally import Tally
from swarmtally.logreading.templates import Template
from swarmtally.logreading.traces import Trace

LONGEST_EXAMPLE = 500
LONGEST_TRACE = 1_500
"""Characters of an example, and of one that is a stack trace."""
LONGEST_TEMPLATE = 1_000
LONGEST_COMPONENT = 100
MOST_COMPONENTS = 10
_LEVELS = ("critical", "error", "warning", "info", "debug")


@dataclass(frozen=True, slots=True)
class Log:
    """What a template is measured against."""

    entries: int
    first_ns: int | None
    last_ns: int | None

    @property
    def span_s(self) -> float:
        return 0.0 if self.first_ns is None or self.last_ns is None else (self.last_ns - self.first_ns) / NS_PER_S


def described(message: str, tally: Tally, log: Log, trace: Trace | None = None) -> Template:
    """`message` is the masked words; of a trace, those of its exception."""
    whole = _of_trace(message, trace) if trace else message
    template = _shortened(whole, LONGEST_TEMPLATE)
    said = finding(template)
    timed = sum(tally.buckets.values())
    span_s = log.span_s
    return Template(
        key=_key(f"{trace.exception}\n{trace.frame}" if trace else whole),
        template=template,
        count=tally.count,
        share=tally.count / log.entries,
        first_ns=tally.first_ns,
        last_ns=tally.last_ns,
        rate_per_minute=timed / span_s * SECONDS_PER_MINUTE if timed and span_s else None,
        bursts=bursts(tally.buckets, tally.shift, span_s) if timed and span_s else (),
        examples=_examples(tally, LONGEST_TRACE if trace else LONGEST_EXAMPLE),
        level=_level(tally),
        components=_components(tally),
        category=said.category,
        cause=said.cause,
        remedy=said.remedy,
        evidence=said.evidence,
        exception=trace.exception if trace else None,
        frame=trace.frame if trace else None,
        lines=tuple(sorted(tally.lines)),
    )


def _of_trace(message: str, trace: Trace) -> str:
    said = f"{trace.exception}: {message}" if message != "<empty>" else trace.exception
    return f"{said} at {trace.frame}" if trace.frame else said


def _key(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _examples(tally: Tally, longest: int) -> tuple[str, ...]:
    # Secrets go before the cut, or half of one could stay.
    texts = (tally.first_text, tally.middle_text, tally.last_text)
    return tuple(dict.fromkeys(_shortened(hide_secrets(text), longest) for text in texts[: tally.count]))


def _shortened(text: str, longest: int) -> str:
    """The start and, where the exception of a trace stands, the end."""
    if len(text) <= longest:
        return text
    if "\n" not in text:
        return f"{text[: longest - 1]}…"
    half = (longest - 3) // 2
    return f"{text[:half]}\n…\n{text[-half:]}"


def _level(tally: Tally) -> str | None:
    found: Sequence[str] = [level for level in _LEVELS if tally.levels[level]]
    return max(found, key=lambda level: tally.levels[level], default=None)


def _components(tally: Tally) -> tuple[tuple[str, int], ...]:
    most = sorted(tally.components.items(), key=lambda one: (-one[1], one[0]))[:MOST_COMPONENTS]
    return tuple((hide_secrets(name[:LONGEST_COMPONENT]), count) for name, count in most)
