"""Learning from run history, and asking what was learned."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from swarmtally.app import App
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.text import checked_name
from swarmtally.learning.answers import Insufficient
from swarmtally.learning.predict import Predictor
from swarmtally.learning.sections import Section
from swarmtally.predicting import Predicted
from swarmtally.training import DEFAULT_MODEL, Trained, TrainRequest
from swarmtally_tools.definition import Tool, View, tool
from swarmtally_tools.neural_views import (
    AgentsView,
    ChoiceView,
    ExpectedView,
    LearnedView,
    agents_view,
    choice_view,
    expected_view,
    learned_view,
    significant,
)

REFUSALS_SHOWN = 50
"""The most refused rows, and ignored names, that one answer lists."""

_MB = 1_000_000

ModelId = Annotated[str, Field(description="Its name", max_length=100)]


class Pattern(StrEnum):
    OPTIMIZATION = "optimization"
    COORDINATION = "coordination"
    PREDICTION = "prediction"


class RefusedView(View):
    line: int
    """The line or element, from 1."""
    reason: str
    """Why it was not taken."""


class SectionView(View):
    source: str
    """own: this project's tasks and runs; given: rows that came with training_data, in any call."""
    level: str
    """task or run."""
    rows: int
    """Rows learned from."""
    targets: list[LearnedView]
    """What was learned of duration, tokens and success."""
    agents: dict[str, AgentsView]
    """What was learned of how many agents pay: of runs, pipelines, or what was given."""


class TrainedView(View):
    status: str
    """trained; insufficient_data when nothing could be learned: the sections say what is missing."""
    model_id: str
    """Name it in neural_predict."""
    version: int
    """Grows by one with each training."""
    pattern_type: Pattern
    """As asked."""
    sections: list[SectionView]
    """Own and given rows, tasks and runs: never mixed."""
    accepted: int
    """Rows of training_data that were taken."""
    refused: int
    """Rows that were not."""
    refusals: list[RefusedView]
    """Their reasons, at most 50."""
    ignored: dict[str, int]
    """Names in rows that mean nothing here, and in how many rows; at most 50."""
    rows_sha256: str
    """Of the rows: the same ones and the same seed make the same model."""
    seed: int
    """Of everything random."""
    reasons: dict[str, str]
    """What else is to be known of an argument or a figure."""
    project: str
    """Whose history it is."""
    database: str
    """The one file that holds everything."""
    as_of: str
    """Own rows up to then were learned from (UTC)."""
    next_step: str
    """What to do now."""


@tool(title="Train a model on run history")
async def neural_train(
    app: App,
    pattern_type: Annotated[
        Pattern, Field(description="From tasks (prediction), runs (coordination), both")
    ] = Pattern.OPTIMIZATION,
    training_data: Annotated[
        Any, Field(description="More rows {duration_s, agents, tokens, …}: list or JSON lines")
    ] = None,
    model_id: ModelId = DEFAULT_MODEL,
    epochs: Annotated[int | None, Field(description="No effect", ge=1)] = None,
) -> TrainedView:
    """Learn duration, tokens and success from this project's finished tasks and runs and from rows given, apart; tested
    on later rows. Returns skill and interval coverage, or the runs to make. Kept as the next version of model_id."""
    request = TrainRequest(checked_name("model_id", model_id), pattern_type, _rows(training_data))
    return _trained_view(app, await app.training().train(request), epochs)


def _rows(given: Any) -> str | list[Any] | dict[str, Any] | None:
    if given is None or isinstance(given, str | list | dict):
        return given
    raise InvalidInput(f"training_data is {given!r}; give a list of rows, one row, or lines of JSON")


def _trained_view(app: App, trained: Trained, epochs: int | None) -> TrainedView:
    model, given = trained.model, trained.given
    learned = any(not isinstance(each, Insufficient) for one in trained.sections for each in one.targets.values())
    return TrainedView(
        status="trained" if learned else "insufficient_data",
        model_id=model.model_id,
        version=model.version,
        pattern_type=Pattern(model.pattern),
        sections=[_section_view(section) for section in trained.sections],
        accepted=len(given.rows) if given else 0,
        refused=len(given.refused) if given else 0,
        refusals=[RefusedView(line=one.line, reason=one.reason) for one in given.refused[:REFUSALS_SHOWN]]
        if given
        else [],
        ignored=dict(list(given.ignored.items())[:REFUSALS_SHOWN]) if given else {},
        rows_sha256=model.rows_sha256,
        seed=model.seed,
        reasons=dict(_training_reasons(trained, epochs)),
        project=app.settings.project,
        database=str(app.settings.database),
        as_of=iso(model.trained_ns),
        next_step=f"Ask it with neural_predict, model_id {model.model_id}."
        if learned
        else "Make the runs that the sections name, or give rows with training_data; then train again.",
    )


def _section_view(section: Section) -> SectionView:
    return SectionView(
        source=section.source,
        level=section.level,
        rows=section.rows,
        targets=[learned_view(target, learned) for target, learned in section.targets.items()],
        agents={name: agents_view(curve) for name, curve in section.curves.items()},
    )


def _training_reasons(trained: Trained, epochs: int | None) -> Iterator[tuple[str, str]]:
    if epochs is not None:
        yield (
            "epochs",
            "nothing ran in epochs: models are fitted until they converge, and later rows decide which one",
        )
    if trained.again:
        yield "accepted", "these rows had been given to this model before, so they were not added again"
    before = next((one.before for one in trained.sections if isinstance(one.before, Predictor)), None)
    if before is not None and before.skill is not None:
        skill, low, high = (significant(each) for each in (before.skill.value, before.skill.low, before.skill.high))
        told = (
            "of own tasks with the size of their prompts; asked without it, which nobody knows before a start, another"
        )
        yield "duration_s", f"{told} model answers, whose skill is {skill} ({low} to {high})"
    skills = (each for one in trained.sections for each in one.targets.values() if not isinstance(each, Insufficient))
    if any(each.skill is None for each in skills):
        yield "skill", NO_SKILL


class IgnoredView(View):
    text: str
    """What was written."""
    reason: str
    """Why it makes no difference."""


class RecommendedView(View):
    agents: ChoiceView
    """The smallest number whose next agent no longer pays, within the budget."""
    curve: AgentsView | None
    """What that rests on; null: no row says its agents."""
    topology: ChoiceView
    """The one with the shortest expected duration, of those that were tried."""
    strategy: ChoiceView
    """The same."""
    concurrency: ChoiceView
    """Calls the backend takes at once: the same."""
    memory_mb: float | None
    """What 95 % of the samples of processes that executed runs stayed below, in 10^6 bytes."""
    memory_n: int
    """Samples behind it."""
    then: list[ExpectedView]
    """What is expected of the recommended settings; empty where they are those asked about."""
    cost_usd: float | None
    """Of the tokens expected then."""


class PredictedView(View):
    status: str
    """predicted; insufficient_data when no duration can be told: the reasons are with it."""
    model_id: str
    """Who says so."""
    version: int
    """Its version."""
    understood: dict[str, str]
    """What was written, and what was taken for it."""
    ignored: list[IgnoredView]
    """What was written and makes no difference."""
    source: str
    """own or given: whose rows the answer rests on; they are never mixed."""
    level: str
    """task or run: what the answer is about."""
    rows: int
    """Rows that were learned from."""
    expected: list[ExpectedView]
    """Duration, tokens and success of what was asked."""
    cost_usd: float | None
    """Of the tokens expected, at what the project's calls cost."""
    recommended: RecommendedView
    """What history speaks for."""
    coverage_last: float | None
    """Share of the newest predictions of durations of runs and tasks whose interval held what happened."""
    coverage_last_n: int
    """How many those are, at most 50."""
    stored: int
    """Figures kept, to be compared with what happens to the run or task that was named."""
    reasons: dict[str, str]
    """Why a figure is null."""
    warning: str
    """What history cannot tell."""
    project: str
    """Whose history it is."""
    database: str
    """The one file that holds everything."""
    trained_at: str
    """Own rows up to then were learned from (UTC)."""
    as_of: str
    """When it was asked (UTC)."""


NO_SKILL = "where it is null, the group's own rate is what is said, with which others are compared"

OBSERVATIONAL = "history is observational: what settings were chosen for may have mattered more than the settings"


@tool(title="Predict a run and recommend its settings")
async def neural_predict(
    app: App,
    input: Annotated[  # noqa: A002 - the name users know
        str | dict[str, Any],
        Field(description="{agents: 5, mode: coder, budget_tokens: 9000}, {run_id} or free text"),
    ],
    model_id: ModelId = DEFAULT_MODEL,
) -> PredictedView:
    """Expected duration, tokens, cost and success with intervals, n and skill; recommended agents, topology, strategy
    and concurrency within a budget, or the runs to make. Says what it understood and ignored."""
    return _predicted_view(app, await app.predicting().predict(input, checked_name("model_id", model_id)))


def _predicted_view(app: App, predicted: Predicted) -> PredictedView:
    advice, model, reading = predicted.advice, predicted.model, predicted.reading
    expected = [expected_view(target, each) for target, each in advice.expected.items()]
    then = [expected_view(target, each) for target, each in advice.then.items()]
    known = predicted.coverage.n > 0
    return PredictedView(
        status="predicted" if expected[0].expected else "insufficient_data",
        model_id=model.model_id,
        version=model.version,
        understood={reading.said.get(name, name): meant for name, meant in advice.meant.items()},
        ignored=[
            *(IgnoredView(text=text, reason=why) for text, why in reading.ignored),
            *(IgnoredView(text=reading.said.get(name, name), reason=why) for name, why in advice.unused.items()),
        ],
        source=advice.section.source,
        level=advice.section.level,
        rows=advice.section.rows,
        expected=expected,
        cost_usd=_cost(predicted, expected),
        recommended=RecommendedView(
            agents=choice_view(advice.agents),
            curve=agents_view(advice.curve) if advice.curve else None,
            **{name: choice_view(choice) for name, choice in advice.choices.items()},
            memory_mb=significant(predicted.memory.rss_bytes / _MB) if predicted.memory else None,
            memory_n=predicted.memory.samples if predicted.memory else 0,
            then=then,
            cost_usd=_cost(predicted, then),
        ),
        coverage_last=significant(predicted.coverage.inside / predicted.coverage.n) if known else None,
        coverage_last_n=predicted.coverage.n,
        stored=predicted.stored,
        reasons=dict(_reasons(predicted, expected)),
        warning=OBSERVATIONAL,
        project=app.settings.project,
        database=str(app.settings.database),
        trained_at=iso(model.trained_ns),
        as_of=iso(predicted.as_of_ns),
    )


def _cost(predicted: Predicted, expected: list[ExpectedView]) -> float | None:
    tokens = next((one.expected for one in expected if one.target == "tokens"), None)
    if tokens is None or predicted.price is None:
        return None
    return significant(tokens.value * predicted.price.cost_nanousd / predicted.price.tokens / 1e9)


def _reasons(predicted: Predicted, expected: list[ExpectedView]) -> Iterator[tuple[str, str]]:
    if predicted.price is None:
        yield "cost_usd", "no call of this project, or of the model named, has a price"
    elif _cost(predicted, expected) is None:
        yield "cost_usd", "no tokens are expected; see expected"
    if predicted.memory is None:
        yield "recommended.memory_mb", "no process has executed runs of this project while samples are kept"
    if not predicted.coverage.n:
        yield "coverage_last", "nothing that this model predicted of a run or task has ended yet"
    if any(one.skill is None and one.kind for one in expected):
        yield "skill", NO_SKILL
    if any(one.coverage is None and one.kind for one in expected):
        yield "coverage", "too few later rows to tell"


TOOLS: tuple[Tool, ...] = (neural_train, neural_predict)
