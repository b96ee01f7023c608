"""The options with which a server offers fewer tools: of `serve`, and of `install`, which hands them on to it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from swarmtally_tools.toolsets import TOOLSETS, Offer

_Command = TypeVar("_Command", bound=Callable[..., Any])


def offer_options(command: _Command) -> _Command:
    """Give a command `toolsets` and `read_only`, which `swarmtally_tools.toolsets.offered` takes."""
    toolsets = click.option(
        "--toolsets",
        metavar="NAMES",
        multiple=True,
        envvar="SWARMTALLY_TOOLSETS",
        help=f"Offer only these groups of tools, with commas or repeated: {', '.join(TOOLSETS)}.  "
        "[SWARMTALLY_TOOLSETS; default: all]",
    )
    read_only = click.option(
        "--read-only/--no-read-only",
        default=False,
        envvar="SWARMTALLY_READ_ONLY",
        help="Offer only tools that change nothing.  [SWARMTALLY_READ_ONLY]",
    )
    return toolsets(read_only(command))


def written(offer: Offer) -> list[str]:
    """The arguments of `serve` that make this offer."""
    named = ["--toolsets", ",".join(offer.toolsets)] if offer.toolsets else []
    return [*named, *(["--read-only"] if offer.read_only else [])]
