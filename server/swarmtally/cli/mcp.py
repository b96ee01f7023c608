"""`swarmtally mcp <tool>`: every tool as a command."""

import click

from swarmtally.cli.group import LazyGroup, Loader
from swarmtally.cli.tool_command import tool_command
from swarmtally_tools import registry


def _loader(name: str) -> Loader:
    return lambda: tool_command(registry.load(name))


def _monitor() -> click.Command:
    from swarmtally.cli.watching import run_monitor

    return tool_command(registry.load("swarm_monitor"), run=run_monitor)


def _errors() -> click.Command:
    # A log may be larger than memory.
    return tool_command(registry.load("error_analysis"), files={"logs": "path"})


command = LazyGroup(
    name="mcp",
    help="Call one of the tools that MCP clients see.",
    loaders={name: _loader(name) for name in registry.MODULES} | {"swarm_monitor": _monitor, "error_analysis": _errors},
    noun="tool",
)
