"""The shell command of a tool, made from its argument model: one option an argument."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from swarmtally.cli import output, session
from swarmtally.cli.naming import kebab
from swarmtally.cli.options import Leaf
from swarmtally.cli.values import Kind, kind_of, named_file, parse
from swarmtally_tools.definition import Tool

_SILENT = frozenset({"memory_usage", "memory_search"})
"""Tools that log nothing (a test holds them to it), whose commands need not wait for logging to be set up."""

_RUNNING = ("sparc_", "load_balance")
"""How the names of tools begin that execute a run."""

_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
}


Run = Callable[[Tool, Mapping[str, Any]], int]
"""Calls a tool with arguments, shows what comes of it, and returns the exit status."""


def tool_command(
    tool: Tool,
    *,
    name: str | None = None,
    positional: Sequence[str] = (),
    without: Sequence[str] = (),
    run: Run | None = None,
    files: Mapping[str, str] | None = None,
) -> Leaf:
    """The command that runs `tool`.

    Args:
        name: the command's name; by default the tool's.
        positional: arguments that are given by place, in this order, not by an option.
        without: arguments that are not offered.
        run: how the tool is called; by default with `run_tool`.
        files: arguments whose `@FILE` or `-` (stdin) is not read here: it goes, as a path, to the named argument.
    """
    schema = tool.input_schema
    fields = {key: value for key, value in schema["properties"].items() if key not in without}
    kinds = {key: kind_of(key, value) for key, value in fields.items()}
    kinds |= dict.fromkeys(files or (), Kind.TEXT)
    required = set(schema.get("required", ()))
    parameters: list[click.Parameter] = [click.Argument([key], metavar=key.upper()) for key in positional]
    for key, value in fields.items():
        if key not in positional:
            parameters.append(_option(key, kinds[key], value, required=key in required))
    return Leaf(
        name or tool.name,
        params=parameters,
        help=tool.description,
        callback=partial(_run_given, tool, kinds, files or {}, run or run_tool),
    )


def run_tool(tool: Tool, arguments: Mapping[str, Any]) -> int:
    """Call `tool`, show its result, and return the exit status: 1 when it is a run that did not end well."""
    # Before anything is opened, so that a wrong argument is told at once and leaves no database behind.
    tool.check(arguments)
    view = session.execute(lambda app: tool.call(app, arguments), logs=tool.name not in _SILENT)
    output.show(view)
    return session.status(view) if tool.name.startswith(_RUNNING) else 0


def _run_given(tool: Tool, kinds: Mapping[str, Kind], elsewhere: Mapping[str, str], run: Run, /, **given: Any) -> int:
    arguments: dict[str, Any] = {}
    for key, value in given.items():
        path = named_file(value) if key in elsewhere else None
        if isinstance(value, bool):
            arguments[key] = value
        elif path is not None:
            arguments[elsewhere[key]] = path
        elif value is not None and value != ():
            texts = (value,) if isinstance(value, str) else value
            arguments[key] = parse(kinds[key], kebab(key), texts)
    return run(tool, arguments)


def _option(key: str, kind: Kind, schema: Mapping[str, Any], *, required: bool) -> click.Option:
    flag = f"--{kebab(key)}"
    text = _help(kind, schema, required=required)
    if kind is Kind.FLAG:
        return click.Option([f"{flag}/--no-{kebab(key)}", key], default=None, help=text)
    return click.Option(
        [flag, key], metavar=_metavar(kind, schema), multiple=kind in (Kind.NAMES, Kind.PROSE), help=text
    )


def _metavar(kind: Kind, schema: Mapping[str, Any]) -> str:
    if kind is Kind.WORD:
        choices = _bounds(schema).get("enum")
        return "|".join(choices) if choices else "NUMBER"
    return {Kind.NAMES: "A,B", Kind.PROSE: "TEXT"}.get(kind, kind.name)


def _help(kind: Kind, schema: Mapping[str, Any], *, required: bool) -> str:
    bounds = _bounds(schema)
    notes = [form.format(bounds[key]) for key, form in _LIMITS.items() if key in bounds]
    if kind in (Kind.NAMES, Kind.PROSE):
        notes.append("repeatable")
    if kind is Kind.VALUE:
        notes.append("an object or a list is JSON; all else is text as given: 5, true, JSON with a mistake")
    if required:
        notes.append("required")
    elif schema.get("default") is not None:
        notes.append(f"default: {schema['default']}")
    described = schema.get("description", "")
    return f"{described}  [{', '.join(notes)}]" if notes else described


def _bounds(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of `schema` that is not null, where its limits stand."""
    for item in schema.get("anyOf", ()):
        if item.get("type") != "null":
            found: Mapping[str, Any] = item
            return found
    return schema
