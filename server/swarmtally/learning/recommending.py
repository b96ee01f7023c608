"""What a model expects of a question, and which settings it recommends under a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.learning.answers import Insufficient, Prediction
from swarmtally.learning.curve import FURTHEST, Curve
from swarmtally.learning.patterns import PIPELINE
from swarmtally.learning.predict import Predictor, predict
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, Target
from swarmtally.learning.scalability import MIN_SIZES, PAYS
from swarmtally.learning.sections import TARGETS, Section, untaught
from swarmtally.learning.understanding import COMPLEXITY, Reading

CHOSEN = ("topology", "strategy", "concurrency")
"""Settings that are recommended by comparing what the model expects of each that was seen."""

OPTIONS = 20
"""The most settings of one factor that are compared, those seen most often."""

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one target, and what was learned of it."""

    answer: Prediction | Insufficient
    learned: Predictor | Insufficient


@dataclass(frozen=True, slots=True)
class Choice:
    """A recommended setting; None where there is none to recommend, and `reason` says why."""

    value: str | int | None
    at_least: int | None = None
    """What the best is not below, where it lies beyond what was tried."""
    reason: str | None = None
    runs_to_make: tuple[str, ...] = ()
    compared: Mapping[str, float] | None = None
    """By setting: the duration that is expected of it."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What a model says to a question."""

    section: Section
    query: Mapping[str, Any]
    """The settings that were asked about."""
    meant: Mapping[str, str]
    """By setting: what was taken for it."""
    unused: Mapping[str, str]
    """By setting: why it makes no difference."""
    expected: Mapping[Target, Expected]
    curve: Curve | None
    """What the number of agents rests on; None: there are no such rows."""
    agents: Choice
    choices: Mapping[str, Choice]
    recommended: Mapping[str, Any]
    """The query with the recommended settings; empty where none is recommended."""
    then: Mapping[Target, Expected]
    """What is expected of those."""


def advise(sections: Sequence[Section], reading: Reading, usd_per_token: float | None) -> Advice:
    """What the model expects of a question and recommends for it: by the first of its sections that can say how long
    it takes, the project's own rows before given ones; where none can, by the one with the most rows."""
    return _advice(_section_for(sections, reading), reading, usd_per_token)


def expect(sections: Sequence[Section], reading: Reading) -> Mapping[Target, Expected]:
    """What the model expects of a question, by the section that `advise` would take."""
    section = _section_for(sections, reading)
    query, _, _ = _query(section, reading)
    return {target: _expected(section, target, query) for target in TARGETS}


def _section_for(sections: Sequence[Section], reading: Reading) -> Section:
    candidates = _candidates(sections, reading)
    for section in candidates:
        query, _, _ = _query(section, reading)
        if isinstance(_expected(section, "duration_s", query).answer, Prediction):
            return section
    return max(candidates, key=lambda section: section.rows)


def _candidates(sections: Sequence[Section], reading: Reading) -> list[Section]:
    """Those of the level that is asked about, best first: runs, unless a task's mode is named."""
    level = reading.settings.get("level")
    mode = reading.settings.get("mode")
    tasks_first = any(section.level == "task" and mode in section.categories.get("mode", ()) for section in sections)
    order = ("task", "run") if tasks_first else ("run", "task")
    asked = [section for section in sections if level in (None, section.level)] or [untaught(level or "run")]
    return sorted(asked, key=lambda section: (order.index(section.level), section.source != "own"))


def _query(section: Section, reading: Reading) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """The settings of a question as the section has them, what was taken for each, and those it cannot use."""
    query: dict[str, Any] = {}
    meant: dict[str, str] = {}
    unused: dict[str, str] = {}
    for name, value in reading.settings.items():
        if name == "complexity":
            continue
        if name in (*CATEGORIES, *AMOUNTS) and name not in section.categories and name not in section.amounts:
            unused[name] = f"no {section.source} {section.level} that was learned from says its {name}"
        elif name in (*CATEGORIES, *AMOUNTS, "text"):
            query[name] = value
            meant[name] = f"{name} {value}" if name != "text" else "text, of which words, digits and signs are counted"
        else:
            meant[name] = f"{name} {value}"
    if "complexity" in reading.settings:
        _size(section, reading.settings["complexity"], query, meant, unused)
    return query, meant, unused


def _size(section: Section, word: str, query: dict[str, Any], meant: dict[str, str], unused: dict[str, str]) -> None:
    """How much there is to do, taken from what was seen: a quartile of the prompts' sizes, of runs also of the number
    of their tasks."""
    names = ("tasks", "prompt_bytes") if section.level == "run" else ("prompt_bytes",)
    place = COMPLEXITY[word]
    told = []
    for name in names:
        amounts = section.amounts.get(name)
        if amounts is not None and name not in query and len(set(amounts.quartiles)) > 1:
            query[name] = round(amounts.quartiles[place])
            told.append(f"{name} {query[name]}")
    if told:
        which = ("lower quartile", "median", "upper quartile")[place]
        meant["complexity"] = f"{' and '.join(told)}: the {which} of what was seen"
    else:
        unused["complexity"] = f"the sizes of the {section.source} {section.level}s do not differ or are not known"


def _expected(section: Section, target: Target, query: Mapping[str, Any]) -> Expected:
    learned = _learned(section, target, query)
    if isinstance(learned, Insufficient):
        return Expected(learned, learned)
    return Expected(predict(learned, query), learned)


def _learned(section: Section, target: Target, query: Mapping[str, Any]) -> Predictor | Insufficient:
    """What was learned of a target. Who learned with the sizes of prompts leaves to them what texts and modes tell as
    well: where a size is not known, the one answers that learned without."""
    if target == "duration_s" and section.before is not None and "prompt_bytes" not in query:
        return section.before
    return section.targets[target]


def _advice(section: Section, reading: Reading, usd_per_token: float | None) -> Advice:
    query, meant, unused = _query(section, reading)
    budget = _budget(reading, usd_per_token, unused)
    # How many agents is what is asked; how many somebody has in mind only says what else they want to know.
    open_to = {name: value for name, value in query.items() if name != "agents"}
    curve = _curve(section, open_to)
    agents = _agents(section, curve, open_to, budget)
    chosen = dict(open_to) if agents.value is None else {**open_to, "agents": agents.value}
    choices: dict[str, Choice] = {}
    for factor in CHOSEN:
        choices[factor] = _choice(section, factor, chosen, budget)
        if choices[factor].value is not None:
            chosen[factor] = choices[factor].value
    changed = {name for name in chosen if chosen[name] != query.get(name)}
    return Advice(
        section=section,
        query=query,
        meant=meant,
        unused=unused,
        expected={target: _expected(section, target, query) for target in TARGETS},
        curve=curve,
        agents=agents,
        choices=choices,
        recommended=chosen if changed else {},
        then={target: _expected(section, target, chosen) for target in TARGETS} if changed else {},
    )


def _budget(reading: Reading, usd_per_token: float | None, unused: dict[str, str]) -> float | None:
    """The tokens that may be used."""
    limits = [float(reading.settings["budget_tokens"])] if "budget_tokens" in reading.settings else []
    if "budget_usd" in reading.settings:
        if usd_per_token:
            limits.append(reading.settings["budget_usd"] / usd_per_token)
        else:
            unused["budget_usd"] = "no call of this project has a price, so dollars cannot be counted"
    return min(limits, default=None)


def _affordable(section: Section, query: Mapping[str, Any], budget: float | None) -> bool:
    """Whether the tokens that are expected stay within the budget; where nothing is expected, nobody knows."""
    if budget is None:
        return True
    answer = _expected(section, "tokens", query).answer
    return isinstance(answer, Insufficient) or answer.expected.value <= budget


def _curve(section: Section, query: Mapping[str, Any]) -> Curve | None:
    """That of pipelines where one is asked about; else the one that rests on most rows."""
    if query.get("mode") == PIPELINE and "pipelines" in section.curves:
        return section.curves["pipelines"]
    return max(section.curves.values(), key=lambda curve: curve.rows, default=None)


def _agents(section: Section, curve: Curve | None, query: Mapping[str, Any], budget: float | None) -> Choice:
    """The smallest number whose next agent no longer pays, or the most below it that the budget allows."""
    if curve is None:
        return Choice(None, reason=f"no {section.source} row that was learned from says its agents")
    if curve.enough is not None and (curve.reason is None or curve.enough_is_sure):
        wanted, why = curve.enough, curve.reason and f"the next one hardly pays; of the best number: {curve.reason}"
    elif curve.best is not None:
        wanted, why = round(curve.best.value), None
    elif (found := _by_durations(section, query)) is not None:
        wanted, why = found, f"by the durations expected the next one hardly pays; of the best number: {curve.reason}"
    else:
        return Choice(None, curve.at_least, curve.reason, curve.runs_to_make)
    for agents in range(wanted, 0, -1):
        if _affordable(section, {**query, "agents": agents}, budget):
            reason = why if agents == wanted else f"{wanted} would pass the budget"
            return Choice(agents, curve.at_least, reason, curve.runs_to_make)
    return Choice(None, reason=f"even one agent is expected to use more than the budget of {budget:.0f} tokens")


def _by_durations(section: Section, query: Mapping[str, Any]) -> int | None:
    """The smallest number whose next agent no longer pays, by what is expected of each number between those that were
    tried: where the curve does not describe the rows, and another law does. None where that is not told of all."""
    agents = section.amounts.get("agents")
    # Of own tasks each is one agent's: with more agents there are more of them at once, and none is quicker.
    shared = (section.source, section.level) != ("own", "task")
    if not shared or agents is None or len(agents.seen) < MIN_SIZES or 1 not in agents.seen:
        return None
    speeds: list[float] = []
    for tried in range(1, min(max(agents.seen), FURTHEST) + 1):
        answer = _expected(section, "duration_s", {**query, "agents": tried}).answer
        if isinstance(answer, Insufficient):
            return None
        speeds.append(1 / answer.expected.value)
        if tried > 1 and speeds[-1] - speeds[-2] < PAYS * speeds[0]:
            return tried - 1
    return None


def _choice(section: Section, factor: str, query: Mapping[str, Any], budget: float | None) -> Choice:
    """The setting of `factor` with the shortest expected duration that the budget allows."""
    if factor in query:
        return Choice(query[factor], reason="as asked")
    options = _options(section, factor)
    compared: dict[Any, float] = {}
    refusal: Insufficient | None = None
    for option in options:
        asked = {**query, factor: option}
        answer = _expected(section, "duration_s", asked).answer
        if isinstance(answer, Insufficient):
            refusal = answer
        elif _affordable(section, asked, budget):
            compared[option] = answer.expected.value
    shown = {str(option): duration for option, duration in compared.items()}
    if len(options) < 2:
        seen = f"every {section.level} that says its {factor} had {options[0]}" if options else f"no {factor} is known"
        return Choice(None, reason=f"{seen}; nothing can be compared", runs_to_make=(_more(factor),))
    if len(compared) < 2:
        why = refusal.reason if refusal else "the budget allows at most one"
        return Choice(None, reason=why, runs_to_make=refusal.runs_to_make if refusal else (), compared=shown)
    best = min(compared, key=lambda option: compared[option])
    if max(compared.values()) - compared[best] <= _SAME * compared[best]:
        return Choice(None, reason=f"the model sees no difference between {', '.join(shown)}", compared=shown)
    return Choice(best, compared=shown)


def _options(section: Section, factor: str) -> list[Any]:
    amounts = section.amounts.get(factor)
    seen: Mapping[Any, int] = section.categories.get(factor, {}) if amounts is None else amounts.seen
    return list(seen)[:OPTIONS]


def _more(factor: str) -> str:
    return f"make at least 3 runs with another {factor}"
