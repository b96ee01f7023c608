"""Every command that a page shows is one there is, with options it takes: what pages show and no other test runs cannot
go out of date unseen."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from swarmtally.cli.main import root
from swarmtally.domain.errors import InvalidInput
from tests.docs.blocks import PAGES, SHELL, blocks

_INLINE = re.compile(r"(?<!`)`((?:\w+=\S+ )*swarmtally [^`]+)`(?!`)")
_LEFT_TO_FILL_IN = {"NAME": "swarm_init", "TOOL": "swarm_init", "N": "1"}
_ENDS = ("&&", "||", ";", "|", ">", ">>", "<", "2>", "2>&1", "&")


def shown(page: Path) -> Iterator[list[str]]:
    """The arguments of each `swarmtally …` in the page's blocks of shell and in its text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, *SHELL) for line in block.commands()]
    for line in [*lines, *(found.replace("\n", " ") for found in _INLINE.findall(text))]:
        line = (
            line.replace("\\\n", " ")
            .replace("…", "0")
            .replace("mcp NAME", "mcp swarm_init")
            .replace("&&", " && ")
            .replace(";", " ; ")
        )
        words = [_LEFT_TO_FILL_IN.get(word, word) for word in shlex.split(line, comments=True)]
        for place, word in enumerate(words):
            begins = all("=" in before or before in _ENDS for before in words[:place][-1:])
            if word.rpartition("/")[2] == "swarmtally" and begins:
                rest = words[place + 1 :]
                yield rest[: next((end for end, each in enumerate(rest) if each in _ENDS), len(rest))]


def parse(arguments: list[str]) -> None:
    """Take `arguments` as the command line does, and run nothing."""
    command: click.Command = root
    context = command.make_context("swarmtally", list(arguments))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None, name
        command = found
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", [page for page in PAGES if any(shown(page))], ids=lambda page: page.stem)
def test_commands_that_a_page_shows_are_there(page: Path) -> None:
    for arguments in shown(page):
        try:
            parse(arguments)
        except click.exceptions.Exit:
            pass  # --help, --version
        except click.MissingParameter:
            pass  # text names a command and leaves its arguments to the reader
        except (click.UsageError, InvalidInput) as error:
            raise AssertionError(f"swarmtally {shlex.join(arguments)}: {error}") from None


def test_a_command_that_is_not_there_is_found_out() -> None:
    for wrong in (["swarn"], ["sparc", "run", "coder", "x", "--modle", "y"], ["mcp", "swarm_inti"]):
        with pytest.raises((click.UsageError, InvalidInput)):
            parse(wrong)
