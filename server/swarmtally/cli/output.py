"""A command's result on stdout: tables on a terminal, else one JSON document."""

import json
import sys

import click
from pydantic import BaseModel


def show(view: BaseModel) -> None:
    """Print `view` for whoever reads: a person at a terminal, or a program."""
    if sys.stdout is not None and sys.stdout.isatty():
        from swarmtally.cli import terminal

        terminal.show(view)
        return
    text = json.dumps(view.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    # A path may hold bytes that are no UTF-8; as `\udcxx` they are JSON all the same.
    click.echo(text.encode("utf-8", "backslashreplace"))
