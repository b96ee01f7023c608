"""What a log says on a terminal: a table of its templates, then what is to be told of each of them."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from swarmtally.cli.terminal import pairs_of
from swarmtally.cli.text import NONE, clean
from swarmtally_tools.errors import BurstView, ErrorsView, TemplateView

_LEVELS = {"critical": "bold red", "error": "red", "warning": "yellow"}
_BURSTS = 3
"""Bursts of a template that are shown, those with the most entries; JSON has all."""


def show(view: ErrorsView, console: Console) -> None:
    """Print `view`."""
    title = (
        f"{view.source}: {view.entries:,} entries in {view.lines:,} lines, {view.total:,} templates, {view.new:,} new"
    )
    console.print(Text(clean(title), style="bold"))
    if view.templates:
        console.print(_table(view.templates))
    for number, template in enumerate(view.templates, 1):
        told = list(_told(template))
        if told:
            console.print()
            console.print(Text(clean(f"{number}. {_short(template.template)}"), style="bold"))
            console.print(pairs_of(told))
    rest = view.total - len(view.templates)
    if rest > 0:
        console.print(f"{rest:,} more templates are not shown; raise --limit")
    for what, count in (*view.skipped.items(), *view.notes.items()):
        console.print(Text(clean(f"{count:,} × {what}"), style="yellow"))
    if view.stopped:
        console.print(Text(clean(f"Not read to its end: {view.stopped}"), style="yellow"))
    if "templates" in view.reasons:
        console.print(Text(clean(view.reasons["templates"])))
    console.print(Text(clean(f"Rows: {view.database}"), style="dim"))


def _table(templates: list[TemplateView]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "count", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("level", no_wrap=True)
    table.add_column("category", no_wrap=True)
    table.add_column("template", overflow="fold")
    for number, each in enumerate(templates, 1):
        mark = "new " if each.new else ""
        table.add_row(
            str(number),
            f"{each.count:,}",
            f"{each.share:.1%}",
            Text(clean(each.level or NONE), style=_LEVELS.get(each.level or "", "")),
            clean(each.category),
            Text.assemble((mark, "green"), clean(each.template)),
        )
    return table


def _told(template: TemplateView) -> Iterator[tuple[str, str]]:
    """What there is to be told beside the table: nothing that is not known."""
    if template.first_at is not None:
        rate = "" if template.rate_per_minute is None else f", {template.rate_per_minute:g} a minute"
        yield "when", f"{template.first_at} to {template.last_at}{rate}"
    yield from _bursts(template.bursts)
    if template.exception is not None:
        yield "trace", template.exception + (f" at {template.frame}" if template.frame else "")
    if template.cause is not None:
        yield "cause", template.cause + (f" ({template.evidence})" if template.evidence else "")
    if template.remedy is not None:
        yield "remedy", template.remedy
    if template.components:
        yield "from", ", ".join(f"{name} {count:,}" for name, count in template.components.items())
    for name, ids in (("tasks", template.task_ids), ("agents", template.agent_ids)):
        if ids:
            yield name, ", ".join(ids)
    for example in template.examples[:1]:
        yield "example", example


def _bursts(bursts: list[BurstView]) -> Iterator[tuple[str, str]]:
    most = sorted(bursts, key=lambda burst: -burst.count)[:_BURSTS]
    for burst in (burst for burst in bursts if burst in most):
        yield "burst", f"{burst.count:,} from {burst.from_at} to {burst.to_at}, {burst.rate_per_minute:g} a minute"
    if len(bursts) > len(most):
        yield "bursts", f"{len(bursts) - len(most)} smaller ones are not shown"


def _short(text: str) -> str:
    """The first line of a template, as long as a heading may be."""
    line = text.partition("\n")[0]
    return line if len(line) <= 70 else f"{line[:69]}…"
