"""The options that the root and every command take, with their environment twins."""

import os
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import click

from swarmtally.domain.errors import InvalidInput

if TYPE_CHECKING:
    from swarmtally.settings import Settings

_META = "swarmtally.options"

LEVELS = ("debug", "info", "warning", "error")
"""As in `swarmtally.logs`, which takes 0.1 s to import (a test holds them together)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line; None or empty where nothing was. A command's own wins over the root's."""

    db: str | None = None
    project: str | None = None
    model: str | None = None
    base_url: str | None = None
    max_output_tokens: int | None = None
    max_parallel: int | None = None
    allow: tuple[str, ...] = ()
    log_level: str | None = None

    def settings(self, front: Literal["mcp", "shell"] = "shell", *, adopt: bool = False) -> "Settings":
        """The settings of this process. Blocking: call it before the event loop runs.

        Raises:
            SwarmError: the database cannot lie there, or an option or environment variable holds nonsense.
        """
        from swarmtally.settings import Settings

        return Settings.gather(
            front,
            db=self.db,
            project=self.project,
            model=self.model,
            base_url=self.base_url,
            max_output_tokens=self.max_output_tokens,
            max_parallel=self.max_parallel,
            allow=self.allow,
            adopt=adopt,
        )

    def level(self, default: str) -> str:
        """From which level on events are logged.

        Raises:
            InvalidInput: the environment variable holds no level.
        """
        named = self.log_level or os.environ.get("SWARMTALLY_LOG_LEVEL") or default
        if named not in LEVELS:
            raise InvalidInput(f"SWARMTALLY_LOG_LEVEL is {named!r}; it takes {', '.join(LEVELS)}")
        return named

    def repeated(self) -> str:
        """The options that another command needs to meet the same database and project, ready for a shell."""
        given = (("--db", self.db), ("--project", self.project))
        return "".join(f" {name} {shlex.quote(value)}" for name, value in given if value)


def current() -> Options:
    """The options of the command that runs."""
    options: Options = click.get_current_context().meta.get(_META, Options())
    return options


def shared_options() -> list[click.Parameter]:
    """The options of `Options`, as click's parameters."""
    return [
        _option("--db", "PATH", "The database file.", "SWARMTALLY_DB"),
        _option("--project", "NAME", "The project work belongs to; else the git root.", "SWARMTALLY_PROJECT"),
        _option("--model", "NAME", "Who does the work: anthropic:…, openai:…, local, sampling.", "SWARMTALLY_MODEL"),
        _option("--base-url", "URL", "An OpenAI-compatible server, with openai:NAME.", "SWARMTALLY_BASE_URL"),
        _option("--max-output-tokens", "N", "Most tokens a model call may write.", "SWARMTALLY_MAX_OUTPUT_TOKENS"),
        _option("--max-parallel", "N", "Calls at once to a provider's or client's model.", "SWARMTALLY_MAX_PARALLEL"),
        _option("--allow", "FOLDER", "A further folder to write to; repeatable.", "SWARMTALLY_ALLOW", multiple=True),
        _option("--log-level", "LEVEL", f"What is logged on stderr: {', '.join(LEVELS)}.", "SWARMTALLY_LOG_LEVEL"),
    ]


def _option(flag: str, metavar: str, text: str, variable: str, *, multiple: bool = False) -> click.Option:
    # The environment is not read here: `Settings.gather` does that for every front alike.
    return click.Option(
        [flag],
        metavar=metavar,
        help=f"{text}  [{variable}]",
        multiple=multiple,
        expose_value=False,
        callback=_remember,
    )


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is None or value == ():
        return
    name = parameter.name or ""
    if name in ("max_output_tokens", "max_parallel"):
        value = whole_number(value, parameter.opts[0])
    if name == "log_level" and value not in LEVELS:
        raise InvalidInput(f"--log-level is {value!r}; it takes {', '.join(LEVELS)}")
    if name == "allow":
        value = (*context.meta.get(_META, Options()).allow, *value)
    context.meta[_META] = replace(context.meta.get(_META, Options()), **{name: value})


def whole_number(text: str, name: str) -> int:
    """`text` as a number above 0.

    Raises:
        InvalidInput: it is none; the text says so of `name`.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text)):
        raise InvalidInput(f"{name} is {text!r}; it takes a whole number above 0")
    return int(text)


class Leaf(click.Command):
    """A command that does something: it takes the shared options too, except where one of its own has that name."""

    def __init__(self, name: str | None, *, params: list[click.Parameter] | None = None, **settings: Any) -> None:
        own = list(params or ())
        taken = {flag for parameter in own for flag in parameter.opts}
        shared = [option for option in shared_options() if not taken.intersection(option.opts)]
        super().__init__(name, params=own + shared, **settings)
