"""`swarmtally serve`: the MCP server on standard input and output."""

import anyio
import click

from swarmtally.cli import options
from swarmtally.cli.options import Leaf


@click.command("serve", cls=Leaf)
def command() -> None:
    """Serve one MCP client on standard input and output, until it goes away. MCP clients start this by themselves."""
    given = options.current()
    # Everything that can be wrong with the options is told before the client's first message is read.
    level, settings = given.level("info"), given.settings("mcp")
    from swarmtally.mcp.stdio import serve

    anyio.run(serve, settings, level)
