"""The quality of code, measured."""

from typing import Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.quality.model import MAX_FINDINGS, Criterion, Finding, Measure
from swarmtally_tools.definition import Tool, View, tool

LISTED = 100
"""The most findings of one criterion in one answer."""

ANSWER = 160
"""The most findings of all criteria in one answer: what a model's context takes."""


class MeasureView(View):
    measure: str
    """What was measured."""
    value: float | None
    """Null where it cannot be measured."""
    unit: str
    """What the value counts."""
    reason: str | None
    """Why there is no value."""


class FindingView(View):
    place: str
    """File, relative to the target, and line."""
    rule: str
    """What was looked for."""
    message: str
    """What was found."""
    fix: str | None
    """What to do about it."""


class CriterionView(View):
    criterion: Criterion
    """What is judged."""
    score: float | None
    """0 to 10, by `method`; null where nothing can be measured."""
    reason: str | None
    """Why there is no score."""
    n: int
    """Code lines, or units, that the score rests on."""
    method: str
    """The formula; more in docs/quality.md."""
    languages: list[str]
    """Languages that were measured."""
    measures: list[MeasureView]
    """The figures that the score is made of."""
    findings: list[FindingView]
    """Worst first, one page of them."""
    findings_total: int
    """All that can be paged through; at most 1,000."""


class LanguageView(View):
    language: str
    """Its name."""
    code_lines: int
    """Lines of it that hold code, tests too."""


class NotReadView(View):
    path: str
    """A file or folder, or as `*.png` all files of a kind."""
    reason: str
    """Why it was left out."""


class QualityView(View):
    target: str
    """The folder, file or run that was assessed, read only."""
    kind: str
    """project, path or run."""
    criteria: list[CriterionView]
    """One for each criterion that was asked for."""
    files: int
    """Files of code."""
    code_lines: int
    """Lines that hold more than blanks and comments."""
    languages: list[LanguageView]
    """Most code first."""
    left_out: list[NotReadView]
    """What was not assessed; at most 20."""
    left_out_total: int
    """All that was not assessed."""
    truncated: str | None
    """Which limit ended the look before everything was seen; null when all was."""
    next_step: str | None
    """How to see more findings; null when these are all."""
    as_of: str
    """When it was measured (UTC)."""


@tool(title="Measure code quality", read_only=True, idempotent=True)
async def quality_assess(
    app: App,
    target: Annotated[
        str, Field(description="current-project, a path in an allowed root, or a run id", min_length=1, max_length=4096)
    ] = "current-project",
    criteria: Annotated[
        list[Criterion] | None, Field(description="What to judge; omitted: all", min_length=1, max_length=8)
    ] = None,
    limit: Annotated[int, Field(description="Findings of each criterion", ge=0, le=LISTED)] = 10,
    offset: Annotated[int, Field(description="Findings to skip", ge=0, le=MAX_FINDINGS)] = 0,
) -> QualityView:
    """Score code from 0 to 10 per criterion by analysers (ruff, lizard, import graph, coverage files, links), with
    formula, measures and findings file:line with rule and fix; null with the reason where nothing can be measured.
    Size-normalised. The target (project, path, or a run's deliverables) is only read, never run. Vendored, generated
    and binary files are left out and named."""
    from swarmtally.assessing import LIMIT_S, Wanted

    wanted = tuple(dict.fromkeys(criteria or Criterion))
    if limit * len(wanted) > ANSWER:
        raise InvalidInput(
            f"{limit} findings of {len(wanted)} criteria are more than an answer holds ({ANSWER}); ask for at most "
            f"{ANSWER // len(wanted)} of each, or for fewer criteria"
        )
    found = await app.assessing().assess(target, Wanted(wanted, limit, offset), app.patience(LIMIT_S))
    answer = found.answer
    more = [one.assessment.criterion for one in answer.judged if one.findings_total > offset + limit]
    return QualityView(
        target=found.target,
        kind=found.kind,
        criteria=[
            CriterionView(
                criterion=one.assessment.criterion,
                score=one.assessment.score,
                reason=one.assessment.reason,
                n=one.assessment.n,
                method=one.assessment.method,
                languages=list(one.assessment.languages),
                measures=[_measure(measure) for measure in one.assessment.measures],
                findings=[_finding(finding) for finding in one.assessment.findings],
                findings_total=one.findings_total,
            )
            for one in answer.judged
        ],
        files=answer.files,
        code_lines=answer.code_lines,
        languages=[LanguageView(language=name, code_lines=lines) for name, lines in answer.languages],
        left_out=[NotReadView(path=one.path, reason=one.reason) for one in answer.left_out],
        left_out_total=answer.left_out_total,
        truncated=found.cut or answer.truncated,
        next_step=f"for more of {', '.join(more)}: the same with offset {offset + limit}" if more and limit else None,
        as_of=iso(found.as_of_ns),
    )


def _measure(measure: Measure) -> MeasureView:
    return MeasureView(measure=measure.name, value=measure.value, unit=measure.unit, reason=measure.reason)


def _finding(finding: Finding) -> FindingView:
    return FindingView(
        place=f"{finding.file}:{finding.line}", rule=finding.rule, message=finding.message, fix=finding.fix
    )


TOOLS: tuple[Tool, ...] = (quality_assess,)
