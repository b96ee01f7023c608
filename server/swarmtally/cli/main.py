"""The console entry: the root command, and what becomes of every error."""

import sys
from collections.abc import Sequence

import click

from swarmtally.cli import failures
from swarmtally.cli.group import LazyGroup, from_module
from swarmtally.cli.naming import kebab
from swarmtally.cli.options import shared_options
from swarmtally.version import __version__

COMMANDS = {
    "serve": "swarmtally.cli.serve",
    "mcp": "swarmtally.cli.mcp",
    "sparc": "swarmtally.cli.sparc",
    "swarms": "swarmtally.cli.swarms",
    "runs": "swarmtally.cli.runs",
    "model": "swarmtally.cli.model",
    "calibrate": "swarmtally.cli.calibrate",
    "demo": "swarmtally.cli.demo",
    "top": "swarmtally.cli.top",
    "doctor": "swarmtally.cli.doctor",
    "install": "swarmtally.cli.install",
    "import": "swarmtally.cli.importing",
}
"""Command → the module that holds it, as its attribute `command`."""


def _version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"swarmtally {__version__}")
        context.exit()


root = LazyGroup(
    name="swarmtally",
    help="Run swarms of AI agents and count everything they do.",
    loaders={name: from_module(module) for name, module in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": kebab, "max_content_width": 110},
    params=[
        *shared_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version and exit.",
        ),
    ],
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit status.

    0: done; 1: a run failed, a check failed, or an internal error; 2: wrong usage, or a condition the user can do
    something about; 130: Ctrl-C.
    """
    try:
        # Not `root.main`: on Windows that would expand the globs of memory_search.
        with root.make_context("swarmtally", list(arguments)) as context:
            status = root.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where errors become exit statuses
        return failures.tell(error)
    return status if isinstance(status, int) else 0


def main() -> None:
    """What the `swarmtally` command calls."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
