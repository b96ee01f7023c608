"""A swarm watched from the shell: redrawn with each sample on a terminal, one JSON document at the end elsewhere."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.failures import Interrupted
from swarmtally_tools.definition import Tool
from swarmtally_tools.monitor import Watched, watch

if TYPE_CHECKING:
    from rich.live import Live


def run_monitor(tool: Tool, arguments: Mapping[str, Any]) -> int:
    """Watch for the whole duration and show it. Ctrl-C ends it earlier, with what was sampled."""
    given = tool.check(arguments).model_dump()
    watched = Watched(given["interval"], given["duration"])
    with screen() as live:
        look(given["swarm_id"], given["interval"], given["duration"], watched, live)
    if live is None:
        output.show(watched.view())
    return 0


def look(swarm_id: str | None, interval_s: float, seconds: float, watched: Watched, live: "Live | None") -> None:
    """Fill `watched`, drawing each sample where there is a screen; returns when it is over or the user ends it.

    Raises:
        Interrupted: the user ended it before there was anything to see.
    """

    async def draw() -> None:
        from swarmtally.cli.frame import frame

        assert live is not None
        live.update(frame(watched.view()), refresh=True)

    async def looking(app: App) -> None:
        await watch(app, swarm_id, interval_s, seconds, watched, draw if live else watched.tell)

    try:
        session.execute(looking)
    except Interrupted:
        if not watched.taken:
            raise


@contextmanager
def screen() -> "Iterator[Live | None]":
    """What is redrawn in place on stdout; None where that is no terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    # A copy: while an operation runs, file descriptor 1 leads to stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as copy:
        console = Console(file=copy, highlight=False)
        with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            yield live
