"""`swarmtally serve`: the MCP server, on standard input and output or over HTTP."""

from dataclasses import replace
from typing import cast

import anyio
import click

from swarmtally.cli import options
from swarmtally.cli.offering import offer_options
from swarmtally.cli.options import Leaf
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import HOST, SAMPLING
from swarmtally.mcp.bounds import GRACE_S, Bounds
from swarmtally_tools.toolsets import offered

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
    "--rate",
    type=click.FloatRange(0, 1_000_000),
    metavar="N",
    default=None,
    envvar="SWARMTALLY_RATE",
    help="Requests a second that one address may send over HTTP, this machine's own too; 0: no limit.  "
    "[SWARMTALLY_RATE; default: 200, and no limit for this machine's own]",
)
@click.option(
    "--drain",
    type=click.FloatRange(0, 3_600),
    metavar="SECONDS",
    default=GRACE_S,
    envvar="SWARMTALLY_DRAIN",
    help="How long calls under way over HTTP may take once the server was told to end; new ones are refused.  "
    f"[SWARMTALLY_DRAIN; default: {GRACE_S}]",
)
@click.option(
    "--adopt/--no-adopt",
    default=False,
    envvar="SWARMTALLY_ADOPT",
    help="Take over interrupted runs of the project by itself, where --model is the one they began with.  "
    "[SWARMTALLY_ADOPT]",
)
@offer_options
@click.pass_context
def command(
    context: click.Context,
    transport: str,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    rate: float | None,
    drain: float,
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
    if adopt and settings.model in (None, HOST, SAMPLING):
        raise InvalidInput("--adopt needs --model: a run is only taken over by the model that it began with")
    if transport == "stdio":
        _refuse_idle_options(context)
        from swarmtally.mcp import stdio

        anyio.run(stdio.serve, settings, level, offer)
        return
    from swarmtally.mcp.listening import Transport, listen

    listening = listen(cast("Transport", transport), host, port, allowed_hosts)
    from swarmtally.mcp import http

    bounds = Bounds(grace_s=drain)
    if rate is not None:
        bounds = replace(bounds, requests_per_s=rate, counts_loopback=True)
    anyio.run(http.serve, settings, listening, level, bounds, offer)


def _refuse_idle_options(context: click.Context) -> None:
    for name in ("host", "port", "allowed_hosts", "rate", "drain"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-').removesuffix('s') if name == 'allowed_hosts' else name}"
            raise InvalidInput(f"{flag} is for HTTP; give --transport http too, or leave it out")
