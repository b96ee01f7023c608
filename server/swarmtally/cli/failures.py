"""What the user sees of an error: one line on stderr, and an exit status."""

import os
import secrets
import sys
from collections.abc import Iterator

import click

from swarmtally.cli.naming import kebab, remedy
from swarmtally.domain.errors import SwarmError

FAILED, WRONG, INTERRUPTED, NO_READER = 1, 2, 130, 141
"""Exit statuses: an internal error, something the user can change, Ctrl-C, stdout's reader gone (as SIGPIPE would)."""


class Interrupted(Exception):
    """Ctrl-C; `str(error)` is what to tell, empty when there is nothing."""


def tell(error: BaseException) -> int:
    """Show `error` on stderr and return the exit status."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        if str(error):
            _say(str(error))
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _abandon_stdout()
        return NO_READER
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return WRONG
    if isinstance(error, click.UsageError):
        _say(usage_line(error))
        return WRONG
    known = _as_condition(error)
    if known is not None:
        _say(str(known))
        return WRONG
    _say(f"internal error, id {_log(error)}")
    return FAILED


def usage_line(error: click.UsageError) -> str:
    """Click's complaint in our words: the fact and the remedy."""
    path = error.ctx.command_path if error.ctx else "swarmtally"
    place = path.removeprefix("swarmtally ")
    if isinstance(error, click.NoSuchOption):
        return f"{place} has no option {error.option_name!r}{_nearest_option(error)}"
    if isinstance(error, click.MissingParameter) and error.param is not None and error.ctx is not None:
        usage = " ".join((path, *error.ctx.command.collect_usage_pieces(error.ctx)))
        return f"{place}: {error.param.make_metavar(error.ctx)} is missing; usage: {usage}"
    message = error.format_message().rstrip(".")
    hint = "; quote a text that has spaces" if "extra argument" in message else ""
    before = "" if place == path else f"{place}: "
    return f"{before}{message[:1].lower()}{message[1:]}{hint}; see {path} --help"


def _nearest_option(error: click.NoSuchOption) -> str:
    parameters = error.ctx.command.get_params(error.ctx) if error.ctx else []
    flags = [flag for parameter in parameters for flag in parameter.opts if flag.startswith("-")]
    return remedy(kebab(error.option_name), flags)


def _as_condition(error: BaseException) -> SwarmError | None:
    """`error` when it is one the user can do something about; of a group, the first when all are."""
    found = list(_leaves(error))
    conditions = [item for item in found if isinstance(item, SwarmError)]
    return conditions[0] if len(conditions) == len(found) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _say(line: str) -> None:
    # What is quoted may come from anywhere: it must neither break the line nor steer the terminal.
    clean = "".join(char if char.isprintable() else " " for char in line)
    click.echo(f"swarmtally: {' '.join(clean.split())}", err=True)


def _log(error: BaseException) -> str:
    import structlog

    from swarmtally.logs import configure_logging

    number = f"e_{secrets.token_hex(6)}"
    configure_logging("error")
    structlog.get_logger(__name__).error("command.failed", id=number, exc_info=error)
    return number


def _abandon_stdout() -> None:
    """Let what is still buffered go nowhere: the interpreter would complain of it at its end."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
