"""error_analysis in the shell: files of any size, stdin, pipes, and a table on a terminal."""

import json
import os
import signal
import subprocess
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from swarmtally.cli import terminal
from swarmtally.cli.values import READ_LIMIT_BYTES
from swarmtally_tools.errors import ErrorsView
from tests.cli.conftest import Shell, finish, process, start

LINES = ["2026-11-23T03:10:00Z ERROR alpha is down", "2026-11-23T03:11:00Z INFO beta went away with it"]
LOG = "\n".join([LINES[0], LINES[1], LINES[0]]) + "\n"


def counts(view: dict[str, object]) -> list[int]:
    templates = view["templates"]
    assert isinstance(templates, list)
    return [one["count"] for one in templates]


@pytest.fixture
def log(place: Path) -> Path:
    path = place / "app.log"
    path.write_text(LOG)
    return path


def test_every_way_to_give_a_log_says_the_same(shell: Shell, log: Path) -> None:
    listed = json.dumps(LOG.splitlines())
    for arguments in (["--logs", LOG], ["--logs", listed], ["--logs", f"@{log}"], ["--path", str(log)]):
        view = shell("mcp", "error_analysis", *arguments, "--lines").document
        assert counts(view) == [2, 1]
        assert [one["lines"] for one in view["templates"]] == [[0, 2], [1]]
    for program in (start("mcp", "error_analysis", "--logs", "-", stdin=subprocess.PIPE),):
        view = finish(program, LOG).document
        assert (view["source"], counts(view), view["new"]) == ("stdin", [2, 1], 0)


def test_a_text_that_begins_with_an_at_sign_is_written_with_two(shell: Shell) -> None:
    view = shell("mcp", "error_analysis", "--logs", "@@home is where it broke").document
    assert view["templates"][0]["examples"] == ["@home is where it broke"]


def test_a_file_called_dash_is_not_stdin(shell: Shell) -> None:
    Path("-").write_text(LOG)
    assert counts(shell("mcp", "error_analysis", "--logs", "@-").document) == [2, 1]


def test_a_file_larger_than_other_arguments_may_be_is_read(shell: Shell, place: Path) -> None:
    with (place / "large.log").open("wb") as file:
        file.write(LOG.encode())
        file.write(b"\0" * READ_LIMIT_BYTES + b"\n")
        file.write(LOG.encode())
    view = shell("mcp", "error_analysis", "--logs", f"@{place / 'large.log'}").document
    assert view["lines"] == 7
    assert counts(view)[:2] == [4, 2]
    assert sum(view["notes"].values()) == 2, "one line was cut, and had NULs taken out"


def test_a_pipe_of_another_program_is_read(place: Path) -> None:
    read, write = os.pipe()
    os.write(write, LOG.encode())
    os.close(write)
    try:
        result = process("mcp", "error_analysis", "--logs", f"@/dev/fd/{read}", pass_fds=(read,))
    finally:
        os.close(read)
    assert counts(result.document) == [2, 1]


def test_what_is_no_file_is_refused_in_one_line(shell: Shell, place: Path) -> None:
    for path in (place / "none", place):
        assert "cannot be read" in shell("mcp", "error_analysis", "--logs", f"@{path}").complaint
    assert "two logs" in shell("mcp", "error_analysis", "--logs", "a", "--path", "b").complaint


def test_ctrl_c_ends_a_log_that_never_ends(place: Path) -> None:
    read, write = os.pipe()
    running = start("mcp", "error_analysis", "--logs", "-", stdin=read)
    try:
        # The database is there when the operation has begun.
        while not (place / "swarm.db").exists() and running.poll() is None:
            os.sched_yield()
        running.send_signal(signal.SIGINT)
        result = finish(running)
    finally:
        os.close(read)
        os.close(write)
    assert (result.status, result.out) == (130, "")
    assert "Traceback" not in result.err


def test_templates_are_a_table_on_a_terminal(shell: Shell) -> None:
    hostile = "2026-11-23T03:12:00Z ERROR \x1b[31mred connection to db-1 timed out"
    document = shell("mcp", "error_analysis", "--logs", LOG + hostile, "--limit", "2").document
    view = ErrorsView.model_validate(document)
    console = Console(file=StringIO(), width=80, highlight=False)
    terminal.show(view, console)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "given: 4 entries in 4 lines, 3 templates, 3 new" in text
    assert "alpha is down" in text
    assert "2026-11-23T03:10:00.000Z" in text
    assert "1 more templates are not shown; raise --limit" in text
    assert "\x1b" not in text
    empty = StringIO()
    terminal.show(ErrorsView.model_validate(shell("mcp", "error_analysis").document), Console(file=empty, width=80))
    assert "no attempt of this project has failed" in " ".join(empty.getvalue().split())
