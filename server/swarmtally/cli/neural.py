"""What models learned and expect as a person reads it, drawn with rich."""

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.neural import PredictedView, TrainedView
from swarmtally_tools.neural_views import AgentsView, ChoiceView, ExpectedView, IntervalView, LearnedView, MissingView


def show(view: TrainedView | PredictedView, console: Console) -> None:
    """Draw what was learned, or what is expected."""
    for part in _trained(view) if isinstance(view, TrainedView) else _predicted(view):
        console.print(part)
        console.print()


def _trained(view: TrainedView) -> Iterator[RenderableType]:
    yield _head(view.status, f"model {view.model_id} version {view.version}, project {view.project}, to {view.as_of}")
    learned = [
        [section.source, section.level, one.target, *_learned(one), _why(one.insufficient)]
        for section in view.sections
        for one in section.targets
    ]
    yield _titled("Learned", _table(("from", "of", "what", "model", "n", "skill", "coverage", "missing"), learned))
    curves = {(one.source, name): curve for one in view.sections for name, curve in one.agents.items()}
    agents = [[source, name, *_agents(curve)] for (source, name), curve in curves.items()]
    yield _titled("Agents that pay", _table(("from", "of", "agents", "n", "missing"), agents))
    if view.accepted or view.refused:
        yield Text(f"training_data: {view.accepted} rows taken, {view.refused} refused")
    if view.refusals:
        yield _table(("line", "refused because"), [[str(one.line), one.reason] for one in view.refusals])
    yield from _notes(view.reasons)
    yield Text(clean(view.next_step))


def _predicted(view: PredictedView) -> Iterator[RenderableType]:
    rests = f"{view.rows} {view.source} {view.level}s, model {view.model_id} version {view.version}"
    yield _head(view.status, f"from {rests}, project {view.project}")
    said = [[written, meant] for written, meant in view.understood.items()]
    said += [[one.text, f"ignored: {one.reason}"] for one in view.ignored]
    if said:
        yield _titled("Understood", _table(("written", "taken for"), said))
    names = ("what", "expected", "90 % interval", "n", "similar", "skill", "missing")
    yield _titled("Expected", _table(names, [_expected(one) for one in view.expected]))
    chosen = view.recommended
    choices = {
        "agents": chosen.agents,
        "topology": chosen.topology,
        "strategy": chosen.strategy,
        "concurrency": chosen.concurrency,
    }
    settings = [[name, *_choice(choice)] for name, choice in choices.items()]
    settings.append(["memory", _number(chosen.memory_mb, " MB"), ""])
    yield _titled("Recommended", _table(("setting", "value", "why"), settings))
    if chosen.then:
        yield _titled("Expected then", _table(names, [_expected(one) for one in chosen.then]))
    yield from _notes({**view.reasons, "warning": view.warning})


def _head(status: str, text: str) -> Text:
    head = Text(status, style="green" if status in ("trained", "predicted") else "yellow")
    return head.append(f"  {clean(text)}", style="bold")


def _learned(one: LearnedView) -> list[str]:
    coverage = NONE if one.coverage is None else f"{one.coverage:.0%} of {one.coverage_n}"
    return [one.kind or NONE, str(one.n), _skill(one.skill), coverage]


def _skill(skill: IntervalView | None) -> str:
    return NONE if skill is None else f"{skill.value:.0%} ({skill.low:.0%} to {skill.high:.0%})"


def _expected(one: ExpectedView) -> list[str]:
    found = one.expected
    value, interval = (NONE, NONE) if found is None else (f"{found.value:g}", f"{found.low:g} to {found.high:g}")
    return [one.target, value, interval, str(one.n), str(one.similar_n), _skill(one.skill), _why(one.insufficient)]


def _agents(curve: AgentsView) -> list[str]:
    best = (
        "" if curve.best is None else f", best {curve.best.value:.1f} ({curve.best.low:.1f} to {curve.best.high:.1f})"
    )
    told = NONE if curve.enough is None or curve.reason else f"{curve.enough} pay{best}"
    return [told, str(curve.n), _reason(curve.reason, curve.runs_to_make)]


def _choice(choice: ChoiceView) -> list[str]:
    compared = ", ".join(f"{name} {took:g} s" for name, took in choice.compared.items())
    why = _reason(choice.reason, choice.runs_to_make)
    return [NONE if choice.value is None else str(choice.value), "; ".join(part for part in (why, compared) if part)]


def _why(missing: MissingView | None) -> str:
    return "" if missing is None else _reason(missing.reason, missing.runs_to_make)


def _reason(reason: str | None, runs: Sequence[str]) -> str:
    return "; ".join(part for part in (reason, *runs) if part)


def _number(value: float | None, unit: str) -> str:
    return NONE if value is None else f"{value:g}{unit}"


def _notes(reasons: dict[str, str]) -> Iterator[RenderableType]:
    if reasons:
        yield _titled("To be known", _table(("of", "what"), [[name, why] for name, why in reasons.items()]))


def _titled(title: str, part: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), part)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table
