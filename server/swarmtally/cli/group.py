"""Groups whose commands are made only when one is invoked, or when help lists them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click

from swarmtally.cli.naming import remedy, snake
from swarmtally.domain.errors import InvalidInput

Loader = Callable[[], click.Command]


def from_module(module: str) -> Loader:
    """A loader of the attribute `command` of `module`."""

    def load() -> click.Command:
        command: click.Command = import_module(module).command
        return command

    return load


class LazyGroup(click.Group):
    """A group that knows its commands by name and makes each with a loader."""

    def __init__(self, *, loaders: Mapping[str, Loader], noun: str = "command", **settings: Any) -> None:
        super().__init__(**settings)
        self._loaders = loaders
        self._noun = noun

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._loaders)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        loader = self._loaders.get(cmd_name) or self._loaders.get(snake(cmd_name))
        return None if loader is None else loader()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named first in `args`.

        Raises:
            InvalidInput: there is none; the text names the nearest.
        """
        command = self.get_command(ctx, args[0])
        if command is None:
            place = ctx.command_path.removeprefix("swarmtally ")
            raise InvalidInput(f"{place} has no {self._noun} {args[0]!r}{remedy(args[0], self._loaders)}")
        return command.name, command, args[1:]
