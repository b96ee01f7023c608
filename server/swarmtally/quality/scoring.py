"""From findings to a score that can be compared between projects of any size."""

import math
from collections.abc import Iterable

from swarmtally.quality.model import MAX_FINDINGS, Assessment, Criterion, Finding, Measure

BEST = 10.0

LEAST_LINES = 1_000
"""Less code counts as this much, so that one finding in a few lines does not decide everything."""

HALF = {
    Criterion.PERFORMANCE: 2.0,
    Criterion.EFFICIENCY: 4.0,
    Criterion.SCALABILITY: 4.5,
    Criterion.MAINTAINABILITY: 65.0,
    Criterion.RELIABILITY: 16.0,
    Criterion.SECURITY: 2.5,
}
"""The weight of findings per 1,000 code lines at which the score is 5; twice that gives 2.5.

Set so that of 41 well-known Python packages (`benchmarks.quality_calibration` names them) three quarters get 8 or more.
"""


def density(weight: float, lines: int) -> float:
    """Weight per 1,000 code lines."""
    return 1_000 * weight / max(lines, LEAST_LINES)


def score_of(criterion: Criterion, weight: float, lines: int) -> float:
    """10 × 2^(−density / half): 10 without findings, halved by each further `half`, never below 0."""
    return round(BEST * math.exp2(-density(weight, lines) / HALF[criterion]), 2)


def heaviest(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each line, the heaviest: several rules see the same fault there."""
    kept: dict[tuple[str, int], Finding] = {}
    for finding in sorted(findings, key=_worst_first):
        kept.setdefault((finding.file, finding.line), finding)
    return list(kept.values())


def _worst_first(finding: Finding) -> tuple[float, str, int, str]:
    return -finding.weight, finding.file, finding.line, finding.rule


def scored(
    criterion: Criterion,
    findings: Iterable[Finding],
    lines: int,
    measures: Iterable[Measure],
    languages: tuple[str, ...],
    counted: str,
) -> Assessment:
    """The assessment of a criterion by its findings; `counted` says what they are, in a few words."""
    worst = sorted(findings, key=_worst_first)
    weight = sum(finding.weight for finding in worst)
    general = (
        Measure("findings", len(worst), "findings"),
        Measure("findings_per_1000_lines", round(density(len(worst), lines), 3), "findings per 1,000 code lines"),
        Measure("weight_per_1000_lines", round(density(weight, lines), 3), "weight per 1,000 code lines"),
    )
    return Assessment(
        criterion,
        score_of(criterion, weight, lines),
        None,
        method(criterion, counted),
        lines,
        (*general, *measures),
        tuple(worst[:MAX_FINDINGS]),
        languages,
    )


def not_scored(criterion: Criterion, reason: str, counted: str) -> Assessment:
    return Assessment(criterion, None, reason, method(criterion, counted), 0, (), (), ())


def method(criterion: Criterion, counted: str) -> str:
    return (
        f"10 × 2^(−d / {HALF[criterion]:g}), d = weight of findings per 1,000 code lines outside tests "
        f"(at least {LEAST_LINES} lines); findings: {counted}"
    )
