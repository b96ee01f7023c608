"""error_analysis in the shell: files of any size, stdin, pipes, and a table on a terminal."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from swarmtally import reading
from swarmtally.cli import terminal
from swarmtally.cli.values import READ_LIMIT_BYTES
from swarmtally.domain.retention import Retention
from swarmtally.logreading.drain import SIMILARITY
from swarmtally.logreading.lines import ELEMENT_LIMIT, LINE_LIMIT_BYTES
from swarmtally.logreading.source import LINES_LIMIT, MENTIONS_LIMIT
from swarmtally.store.templates import KEPT
from swarmtally_tools.errors import CALL_LIMIT_S, IDS_SHOWN, ErrorsView
from tests.cli.conftest import Shell, finish, process, start

PAGE = Path(__file__).parents[2] / "docs" / "error-analysis.md"

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
    view = finish(start("mcp", "error_analysis", "--logs", "-", stdin=subprocess.PIPE), LOG).document
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


def test_the_commands_of_the_page_run(log: Path, place: Path) -> None:
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    (place / "work" / "error-logs.json").write_text(json.dumps(LINES))
    program = f"{shlex.quote(sys.executable)} -m swarmtally.cli.main"
    script = block[1].replace("swarmtally", program).replace("/var/log/app.log", shlex.quote(str(log)))
    script = script.replace("kubectl logs deploy/shop", f"cat {shlex.quote(str(log))}")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    documents = [json.loads(part) for part in re.split(r"(?<=^})\n", done.stdout.strip(), flags=re.MULTILINE)]
    assert [one["source"].split()[0] for one in documents] == ["own", "file", "stdin", "given"]
    assert [one["entries"] for one in documents] == [0, 3, 3, 2]


def test_the_page_states_the_limits_that_hold() -> None:
    text = PAGE.read_text()
    for number in (
        f"the newest {reading.FAILURES_LIMIT:,}",
        f"cut at {LINE_LIMIT_BYTES // 1024} KiB",
        f"longer than {ELEMENT_LIMIT // 2**20} MiB",
        f"beyond {KEPT:,} in a project",
        f"{reading.GIVEN_LIMIT_BYTES // 2**20} MiB; over MCP",
        f"| {LINES_LIMIT:,} |",
        f"the {reading.NOTED_LIMIT:,} most frequent",
        f"| {MENTIONS_LIMIT:,} of a log |",
        f"more than {reading.AT_ONCE_BYTES // 1024} KiB",
        f"{CALL_LIMIT_S:.0f} s of reading",
        f"({Retention().runs_days} days)",
        f"At most {IDS_SHOWN} each",
        f"at least {SIMILARITY:.0%}".replace("%", " %"),
    ):
        assert number in text, number


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


def test_a_terminal_shows_a_template_s_largest_bursts_alone() -> None:
    document = finish(start("mcp", "error_analysis", "--logs", "-", stdin=subprocess.PIPE), LOG).document
    burst = {"from_at": "x", "to_at": "y", "rate_per_minute": 1.0}
    document["templates"][0]["bursts"] = [{**burst, "count": count} for count in (7, 41, 5, 42, 6, 43)]
    page = StringIO()
    terminal.show(ErrorsView.model_validate(document), Console(file=page, width=80))
    assert re.findall(r"^burst +(\d+) from", page.getvalue(), re.MULTILINE) == ["41", "42", "43"]
    assert "3 smaller ones are not shown" in page.getvalue()
