"""Results as a person reads them: tables, made with rich. Imported only where stdout is a terminal."""

import json
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, TypeGuard

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.run_views import RunView, TaskView
from swarmtally_tools.runs import RunStatusView

_STYLES = {
    "succeeded": "green",
    "ok": "green",
    "running": "cyan",
    "failed": "red",
    "fail": "red",
    "degraded": "yellow",
    "cancelled": "red",
    "interrupted": "yellow",
    "warn": "yellow",
}


_DRAWN = {
    "swarmtally_tools.errors": "swarmtally.cli.templates",
    "swarmtally_tools.performance": "swarmtally.cli.report",
    "swarmtally_tools.tokens": "swarmtally.cli.tokens",
    "swarmtally_tools.neural": "swarmtally.cli.neural",
    "swarmtally_tools.patterns": "swarmtally.cli.patterns",
    "swarmtally_tools.quality": "swarmtally.cli.quality",
}
"""Module of a view → the module that draws it, imported only then: what the figures need takes 0.1 s."""

_ID = re.compile(rf"[a-z]_[0-9a-z_]{{12,}}|{NONE}")


def show(view: BaseModel, console: Console | None = None) -> None:
    """Print `view`: its plain fields as pairs, its lists as tables. A run has a layout of its own."""
    console = console or Console(highlight=False)
    if isinstance(view, RunStatusView) and view.run is not None:
        view = view.run
    if isinstance(view, RunView):
        _show_run(view, console)
    elif type(view).__module__ in _DRAWN:
        import_module(_DRAWN[type(view).__module__]).show(view, console)
    else:
        _show_fields(view, console)


_BY_FIGURE = ("n", "basis", "reasons")
"""Fields that say something of others, by their names."""


def _show_fields(view: BaseModel, console: Console) -> None:
    tables: list[Table | Text] = []
    pairs: list[tuple[str, Any]] = []
    for name in type(view).model_fields:
        value = getattr(view, name)
        if value is None:
            continue
        if _is_rows(value):
            tables += _blocks(name, value) if _nested(value) else [_table(name, value)]
        elif isinstance(value, BaseModel):
            pairs += ((f"{name}.{inner}", found) for inner, found in _items(value))
        elif name in _BY_FIGURE:
            pairs += ((f"{name}.{figure}", found) for figure, found in value.items())
        else:
            pairs.append((name, value))
    if pairs:
        console.print(pairs_of(pairs))
    for table in tables:
        console.print(table)


def _show_run(view: RunView, console: Console) -> None:
    counts = view.tasks
    console.print(
        _line(
            _styled(view.status),
            f"{view.kind} {view.run_id}",
            f"{counts.succeeded} of {counts.total} tasks succeeded"
            + (f", {counts.failed} failed" if counts.failed else "")
            + (f", {counts.cancelled} cancelled" if counts.cancelled else ""),
            NONE if view.duration_s is None else f"{view.duration_s} s",
        )
    )
    pairs: list[tuple[str, Any]] = [
        ("task", view.task),
        ("reason", view.reason),
        ("swarm", view.swarm_id),
        ("project", view.project),
        ("backend", f"{view.backend.model} ({view.backend.reason})"),
        ("database", view.database),
    ]
    console.print(pairs_of([pair for pair in pairs if pair[1] is not None]))
    if view.timeline:
        console.print(_timeline(view.timeline))
    if view.usage is not None:
        console.print(pairs_of([(f"usage.{name}", value) for name, value in _items(view.usage)]))
    if view.budget is not None:
        known = [(name, value) for name, value in _items(view.budget) if value is not None and name != "reasons"]
        console.print(pairs_of([(f"budget.{name}", value) for name, value in known]))
    if view.artefacts:
        console.print(_table("artefacts", view.artefacts, ("phase", "name", "size_bytes", "memory_key", "path")))
    console.print(_line("Next:", view.next_step))


def _timeline(tasks: Sequence[TaskView]) -> Table:
    return _table(
        "timeline",
        tasks,
        ("key", "mode", "agent_id", "status", "attempts", "started_at", "duration_s", "raw_tokens", "error"),
    )


def _is_rows(value: object) -> TypeGuard[list[BaseModel]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, BaseModel) for item in value)


def _nested(rows: Sequence[BaseModel]) -> bool:
    """Whether a column of a table would have to hold lists of views."""
    return any(_is_rows(value) for row in rows for _, value in _items(row))


def _blocks(title: str, rows: Sequence[BaseModel]) -> Iterator[Table | Text]:
    """Each row as pairs; the first field is its name."""
    yield Text(title, style="bold")
    for row in rows:
        (_, name), *fields = _items(row)
        yield Text(clean(_written(name)), style="bold")
        shown = [(key, value) for key, value in fields if value not in (None, [])]
        nested = [(key, value) for key, value in shown if isinstance(value, BaseModel)]
        plain = [pair for pair in shown if pair not in nested]
        yield pairs_of([*plain, *((f"{key}.{inner}", part) for key, view in nested for inner, part in _items(view))])


def _table(title: str, rows: Sequence[BaseModel], names: Sequence[str] | None = None) -> Table:
    # A column in which nothing stands says nothing.
    shown = [
        name
        for name in names or type(rows[0]).model_fields
        if any(getattr(row, name) not in (None, []) for row in rows)
    ]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in shown:
        # An id that is broken over two lines cannot be copied; the other columns give way.
        ids = all(_ID.fullmatch(_written(getattr(row, name))) for row in rows)
        table.add_column(name, overflow="fold", no_wrap=ids, style="bold" if name == shown[0] else None)
    for row in rows:
        table.add_row(*(_styled(_written(getattr(row, name))) for name in shown))
    return table


def pairs_of(pairs: Sequence[tuple[str, Any]]) -> Table:
    """Names and what they stand for, one below the other."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, _styled(_written(value)))
    return table


def _items(view: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in type(view).model_fields:
        value = getattr(view, name)
        if value != {}:
            yield name, value


def _written(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, BaseModel):
        return "; ".join(f"{name} {_written(part)}" for name, part in _items(value) if part is not None)
    if _is_rows(value):
        return "\n".join(map(_written, value))
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value)


def _styled(text: str) -> Text:
    return Text(clean(text), style=_STYLES.get(text, ""))


def _line(*parts: str | Text) -> Text:
    return Text("  ").join(part if isinstance(part, Text) else Text(clean(part)) for part in parts)
