"""Code quality on a terminal: a bar for each score with the figures it is made of, then the findings."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.quality import CriterionView, MeasureView, QualityView

_BAR = 20
"""Cells of a score of 10."""

_NAMED = 5
"""How many of what was left out are named."""

_STYLES = ((7.0, "green"), (4.0, "yellow"), (0.0, "red"))
"""From which score on a bar has which colour."""


def show(view: QualityView, console: Console) -> None:
    """Print `view`."""
    languages = ", ".join(f"{one.language} {one.code_lines}" for one in view.languages)
    told = f"{view.kind} {view.target}: {view.files} files of code, {view.code_lines} lines ({languages or NONE})"
    console.print(Text(clean(told), style="bold"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=_BAR)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for one in view.criteria:
        table.add_row(Text(one.criterion), _bar(one.score), _score(one.score), Text(clean(_figures(one)), style="dim"))
    console.print(table)
    for one in view.criteria:
        _show_findings(one, console)
    for line in _notes(view):
        console.print(Text(clean(line), style="dim"))


def _bar(score: float | None) -> Text:
    if score is None:
        return Text("")
    style = next(style for limit, style in _STYLES if score >= limit)
    return Text("█" * round(score / 10 * _BAR), style=style)


def _score(score: float | None) -> Text:
    return Text(NONE if score is None else f"{score:.1f}", style="bold")


def _figures(one: CriterionView) -> str:
    if one.reason is not None:
        return one.reason
    return "; ".join(map(_figure, one.measures))


def _figure(measure: MeasureView) -> str:
    name = measure.measure.replace("_", " ")
    if measure.value is None:
        return f"{name} {NONE} ({measure.reason})"
    if measure.unit.startswith("share"):
        return f"{name} {measure.value:.1%}"
    return f"{name} {measure.value:.1f}%" if measure.unit.startswith("percent") else f"{name} {measure.value:g}"


def _show_findings(one: CriterionView, console: Console) -> None:
    if not one.findings:
        return
    title = f"{one.criterion}: {len(one.findings)} of {one.findings_total} findings"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    # A place that is broken over two lines cannot be copied; the message gives way.
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold", style="dim")
    table.add_column(overflow="fold")
    for finding in one.findings:
        fix = f" → {finding.fix}" if finding.fix else ""
        table.add_row(*(Text(clean(text)) for text in (finding.place, finding.rule, f"{finding.message}{fix}")))
    console.print(table)


def _notes(view: QualityView) -> Iterator[str]:
    named = "; ".join(f"{one.path}: {one.reason}" for one in view.left_out[:_NAMED])
    if named:
        more = f"; {view.left_out_total - _NAMED} more" if view.left_out_total > _NAMED else ""
        yield f"Left out: {named}{more}"
    if view.truncated:
        yield f"Not all was seen: {view.truncated}"
    if view.next_step:
        yield f"Next: {view.next_step}"
