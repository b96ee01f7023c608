"""`swarmtally top`: a swarm at work, redrawn until Ctrl-C."""

import sys

import click

from swarmtally.cli.options import Leaf
from swarmtally.domain.errors import InvalidInput

INTERVAL_S = 2.0
"""Executing processes record a sample a second, so that each redrawing has one."""


@click.command("top", cls=Leaf)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.5, 60),
    default=INTERVAL_S,
    show_default=True,
    help="Between two samples.",
)
@click.option("--swarm-id", metavar="ID", help="The swarm; omitted: the current one.")
def command(interval: float, swarm_id: str | None) -> int:
    """Watch a swarm live until Ctrl-C: agents, queue, runs, throughput, processor and memory, latencies, and where the
    executing processes' time goes. The figures are those of the tool swarm_monitor."""
    if sys.stdout is None or not sys.stdout.isatty():
        raise InvalidInput("top draws on a terminal, and stdout is none; for JSON use swarmtally mcp swarm_monitor")
    from swarmtally.cli.watching import look, screen
    from swarmtally_tools.monitor import Watched

    with screen() as live:
        look(swarm_id, interval, float("inf"), Watched(interval, 0), live)
    return 0
