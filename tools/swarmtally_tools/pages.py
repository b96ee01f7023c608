"""One Markdown page for each tool, made from its definition: `python -m swarmtally_tools.pages [--check] DIR`."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmtally_tools import registry
from swarmtally_tools.definition import Tool

NOTE = "<!-- Written by `python -m swarmtally_tools.pages`; change the tool's definition instead. -->"

INDEX = "index.md"

ANY_JSON = "any JSON"

RUN_ID, TASK_ID, LEASE = "r_0123456789ab", "t_0123456789ab_0", "l_0123456789ab"
"""Stand in the examples for what an earlier call has returned."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "swarm_init": {"topology": "mesh", "max_agents": 8},
    "agent_spawn": {"type": "coder", "count": 2},
    "swarm_scale": {"target_size": 4, "type": "tester"},
    "swarm_monitor": {"interval": 0.5, "duration": 1},
    "memory_usage": {"action": "store", "key": "project_context", "value": {"language": "Python"}, "tags": ["context"]},
    "memory_search": {"pattern": "project_*", "limit": 10},
    "load_balance": {
        "tasks": [
            {"id": "build", "role": "coder", "estimated_s": 40},
            {"id": "test", "role": "tester", "estimated_s": 20, "depends_on": ["build"]},
        ]
    },
    "sparc_run": {"mode": "coder", "task": "A function that checks an e-mail address"},
    "sparc_batch": {"modes": ["coder", "tester"], "tasks": ["Login with a password", "Password reset by e-mail"]},
    "sparc_concurrent": {"mode": "researcher", "tasks": ["Payment providers", "Search engines"]},
    "sparc_pipeline": {"task": "A shop with product catalog, shopping cart, checkout"},
    "run_status": {},
    "work_claim": {"limit": 2},
    "work_report": {"task_id": TASK_ID, "lease": LEASE, "output": "# Login", "files": {"src/login.py": "..."}},
    "run_control": {"run_id": RUN_ID, "action": "cancel"},
    "performance_report": {"format": "detailed", "timeframe": "24h", "explain": ["success_rate"]},
    "token_usage": {"operation": "batch", "timeframe": "7d", "group_by": "mode"},
    "health_check": {"components": ["all"]},
    "bottleneck_analyze": {"component": "swarm", "metrics": ["cpu", "memory"], "timeframe": "24h"},
    "quality_assess": {"target": "current-project", "criteria": ["testing", "documentation"], "limit": 5},
    "error_analysis": {
        "logs": [
            "2026-11-23T03:10:00Z ERROR worker-1 connection to 10.0.0.1:5432 timed out after 30 s",
            "2026-11-23T03:11:00Z ERROR worker-2 connection to 10.0.0.2:5432 timed out after 31 s",
            "2026-11-23T03:12:00Z WARN rate limit reached, retry in 8 s",
        ],
    },
    "neural_train": {
        "pattern_type": "optimization",
        "training_data": [{"duration_s": 12.5, "agents": 4, "mode": "coder", "success": True}],
    },
    "neural_patterns": {"action": "analyze", "operation": "parallel_execution"},
    "neural_predict": {"input": "project_complexity: high, team_size: 5"},
}
"""Arguments of the example on each page. In this order they work one after the other in a new project that has a
host-driven run; tests run them."""


def pages() -> dict[str, str]:
    """File name → content, for every tool and the index."""
    tools = registry.load_all()
    return {INDEX: _index(tools), **{f"{tool.name}.md": _page(tool) for tool in tools}}


def shell_example(name: str) -> str:
    """The command line that calls the tool `name` with its example's arguments."""
    words = ["swarmtally", "mcp", name]
    for key, value in EXAMPLES[name].items():
        words += [f"--{key.replace('_', '-')}", _shell_word(value)]
    return shlex.join(words)


def _shell_word(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def _index(tools: Sequence[Tool]) -> str:
    rows = [f"| [{tool.name}]({tool.name}.md) | {tool.title} | {_kind(tool)} |" for tool in tools]
    intro = "Each is an MCP tool and a shell command, `swarmtally mcp NAME`, with the same arguments and result."
    return _joined(NOTE, "# Tools", intro, "\n".join(["| tool | purpose | changes |", "|---|---|---|", *rows]))


def _page(tool: Tool) -> str:
    call = json.dumps({"name": tool.name, "arguments": EXAMPLES[tool.name]}, indent=2)
    return _joined(
        NOTE,
        f"# {tool.name}",
        f"**{tool.title}.** {tool.description}",
        f"Changes: {_kind(tool)}.",
        "## Arguments",
        _arguments(tool.input_schema),
        "## Shell",
        f"```sh\n{shell_example(tool.name)}\n```",
        *_shell_notes(tool.input_schema),
        "## MCP",
        f"```json\n{call}\n```",
        "## Result",
        _result(tool.output_schema),
    )


def _shell_notes(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, field in schema["properties"].items():
        if _type(field) == ANY_JSON:
            yield (
                f"In the shell `--{name.replace('_', '-')}` takes an object or a list as JSON; anything else is text "
                "exactly as given, also `5`, `true` and JSON with a mistake in it. Over MCP every JSON value is kept "
                "as it is."
            )


def _joined(*blocks: str) -> str:
    return "\n\n".join(blocks) + "\n"


def _kind(tool: Tool) -> str:
    if tool.read_only:
        return "nothing (read only)"
    words = ["can replace or remove what is there" if tool.destructive else "adds only"]
    if tool.open_world:
        words.append("calls the model")
    return ", ".join(words)


def _arguments(schema: Mapping[str, Any]) -> str:
    rows = ["| argument | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    rows += (f"| {' | '.join(map(_cell, cells))} |" for cells in _argument_cells(schema, ""))
    return "\n".join(rows)


def _argument_cells(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    """A row for every argument, those of a list's objects after it."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else _code(field.get("default"))
        yield f"`{prefix}{name}`", _type(field), default, _bounds(field), field.get("description", "")
        for inner in _choices(field):
            yield from _argument_cells(inner.get("items", {}), f"{prefix}{name}[].")


def _result(schema: Mapping[str, Any]) -> str:
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for name, field in _fields(schema, ""):
        rows.append(
            f"| {' | '.join(_cell(cell) for cell in (f'`{name}`', _type(field), field.get('description', '')))} |"
        )
    return "\n".join(rows)


def _fields(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every property, those of nested objects and of a list's objects after it."""
    for name, field in schema.get("properties", {}).items():
        yield f"{prefix}{name}", field
        for inner in _choices(field):
            yield from _fields(inner, f"{prefix}{name}.")
            yield from _fields(inner.get("items", {}), f"{prefix}{name}[].")


def _choices(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(field.get("anyOf", [field]))


def _type(field: Mapping[str, Any]) -> str:
    return " or ".join(_type_name(item) for item in _choices(field))


def _type_name(schema: Mapping[str, Any]) -> str:
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(_code(value) for value in values)
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    names = {"string": "text", "integer": "whole number", "boolean": "true or false", None: ANY_JSON}
    return names.get(kind, str(kind))


def _bounds(field: Mapping[str, Any]) -> str:
    schema = next((item for item in _choices(field) if item.get("type") != "null"), field)
    forms = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "maxLength": "≤ {} characters",
        "maxItems": "≤ {} items",
    }
    return ", ".join(form.format(schema[key]) for key, form in forms.items() if key in schema)


def _code(value: object) -> str:
    return "" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def write(folder: Path) -> None:
    """Write every page into `folder` and remove pages of tools that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name in _present(folder) - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).write_bytes(text.encode())


def differing(folder: Path) -> list[str]:
    """The names of pages in `folder` that are missing, too many or not as they should be."""
    wanted, present = pages(), _present(folder)
    return sorted(
        name
        for name in wanted.keys() | present
        if name not in wanted or name not in present or (folder / name).read_bytes() != wanted[name].encode()
    )


def _present(folder: Path) -> set[str]:
    """The pages of ours in `folder`; a file without our note is somebody else's and is left alone."""
    return {path.name for path in folder.glob("*.md") if path.read_bytes().startswith(NOTE.encode())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with `--check` say which differ; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m swarmtally_tools.pages", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page differs")
    given = parser.parse_args(arguments)
    if not given.check:
        write(given.folder)
        return 0
    found = differing(given.folder)
    if found:
        sys.stderr.write(f"{', '.join(found)}: write again with python -m swarmtally_tools.pages {given.folder}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
