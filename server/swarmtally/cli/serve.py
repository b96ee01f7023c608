"""`swarmtally serve`: the MCP server, on standard input and output or over HTTP."""

from typing import cast

import anyio
import click

from swarmtally.cli import options
from swarmtally.cli.options import Leaf
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import HOST
from swarmtally_tools.toolsets import TOOLSETS, offered

PORT = 8765
"""Where HTTP is served unless told otherwise."""


@click.command("serve", cls=Leaf)
@click.option(
    "--transport",
    type=click.Choice(["stdio", "http", "sse"]),
    default="stdio",
    envvar="SWARMTALLY_TRANSPORT",
    help="How clients connect; sse is for older ones.  [SWARMTALLY_TRANSPORT; default: stdio]",
)
@click.option(
    "--host",
    metavar="NAME",
    default="127.0.0.1",
    envvar="SWARMTALLY_HOST",
    help="The address HTTP is served on; off loopback SWARMTALLY_TOKEN must hold a token that clients send.  "
    "[SWARMTALLY_HOST; default: 127.0.0.1]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=PORT,
    envvar="SWARMTALLY_PORT",
    help=f"The port HTTP is served on; 0 takes a free one.  [SWARMTALLY_PORT; default: {PORT}]",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    envvar="SWARMTALLY_ALLOWED_HOSTS",
    help="A further name HTTP clients reach the server by, such as a proxy's; repeatable.  "
    "[SWARMTALLY_ALLOWED_HOSTS, separated by spaces]",
)
@click.option(
    "--adopt/--no-adopt",
    default=False,
    envvar="SWARMTALLY_ADOPT",
    help="Take over interrupted runs of the project by itself, where --model is the one they began with.  "
    "[SWARMTALLY_ADOPT]",
)
@click.option(
    "--toolsets",
    metavar="NAMES",
    multiple=True,
    envvar="SWARMTALLY_TOOLSETS",
    help=f"Offer only these groups of tools, with commas or repeated: {', '.join(TOOLSETS)}.  "
    "[SWARMTALLY_TOOLSETS; default: all]",
)
@click.option(
    "--read-only/--no-read-only",
    default=False,
    envvar="SWARMTALLY_READ_ONLY",
    help="Offer only tools that change nothing.  [SWARMTALLY_READ_ONLY]",
)
@click.pass_context
def command(
    context: click.Context,
    transport: str,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    adopt: bool,
    toolsets: tuple[str, ...],
    read_only: bool,
) -> None:
    """Serve MCP clients: one on standard input and output, until it goes away; or many over HTTP, until SIGTERM.

    MCP clients start the first by themselves.
    """
    given = options.current()
    # Everything that can be wrong with the options is told before the client's first message is read.
    level, settings = given.level("info"), given.settings("mcp", adopt=adopt)
    offer = offered(toolsets, read_only=read_only)
    if adopt and read_only:
        raise InvalidInput("--adopt takes over runs, which --read-only rules out; leave one of them out")
    if adopt and settings.model in (None, HOST):
        raise InvalidInput("--adopt needs --model: a run is only taken over by the model that it began with")
    if transport == "stdio":
        _refuse_idle_options(context)
        from swarmtally.mcp import stdio

        anyio.run(stdio.serve, settings, level, offer)
        return
    from swarmtally.mcp.listening import Transport, listen

    listening = listen(cast("Transport", transport), host, port, allowed_hosts)
    from swarmtally.mcp import http

    anyio.run(http.serve, settings, listening, level, offer)


def _refuse_idle_options(context: click.Context) -> None:
    for name in ("host", "port", "allowed_hosts"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-').removesuffix('s') if name == 'allowed_hosts' else name}"
            raise InvalidInput(f"{flag} is for HTTP; give --transport http too, or leave it out")
