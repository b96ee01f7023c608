"""Every command that a page shows is run by a shell, as it stands there. What is changed for that, and what is not run,
is said here."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.backends.wire import Answer, OpenAIWire, Received, anthropic_answer
from tests.cli import claude_flow
from tests.cli.conftest import Shell
from tests.docs import stand_ins
from tests.docs.blocks import PAGES, ROOT, SHELL, blocks, name

TIMEOUT_S = 90

INSTALLS = "it installs from the network into the environment that runs this; test_project.py looks at the extra's name"
BUILT = "tests/release runs this wheel in an environment of its own, `make package` under uvx"
NO_DAEMON = "there is no Docker daemon; tests/mcp/test_image.py tries what the Dockerfile says"
TERMINAL = "it needs a terminal: tests/cli/test_watching.py"


@dataclass(frozen=True, slots=True)
class Apart:
    """What a page's commands need to be run here."""

    instead: dict[str, str] = field(default_factory=dict)
    """Text of the page and what stands for it."""
    not_run: dict[str, str] = field(default_factory=dict)
    """The beginning of a command, and why it is not run."""


CLONE = {"cd swarmtally ": f"cd '{ROOT}' ", "make demo": "make -n demo"}

APART = {
    "README.md": Apart(
        {**CLONE, "API_KEY=…": "API_KEY=key SWARMTALLY_BASE_URL="}, {".venv/bin/python -m pip": INSTALLS}
    ),
    "docs/bottlenecks.md": Apart({"s_…": "$SWARM_ID"}),
    "docs/claude-desktop.md": Apart({**CLONE, "RUN_ID": "$RUN_ID"}),
    "docs/compatibility.md": Apart({"make validators": f"make -C '{ROOT}' -n validators"}),
    "docs/error-analysis.md": Apart({"/var/log/app.log": "app.log"}),
    "docs/http.md": Apart({"curl -sN": "curl -sNf"}, {"docker": NO_DAEMON}),
    "docs/monitoring.md": Apart(
        {"--interval 5 --duration 60": "--interval 1 --duration 1"}, {"swarmtally top": TERMINAL}
    ),
    "docs/packaging.md": Apart({"make ": f"make -C '{ROOT}' -n "}, {"uvx": BUILT, "uv tool": BUILT}),
    "docs/quality.md": Apart({"r_0123456789ab": "$RUN_ID"}),
    "docs/tracing.md": Apart({}, {"pip install": INSTALLS}),
}

SERVES = "swarmtally serve --transport http"
PRELUDE = """
set -eu
server=
end() { [ -z "$server" ] || { kill -TERM "$server"; wait "$server"; server=; }; }
mkfifo "$LOG"
exec 3<> "$LOG"
up() { sed '/serve.listening/q' <&3 >&2; }
"""


def script(page: Path) -> str:
    """The page's commands for `sh`. Before each its text goes to stderr; HTTP servers run until the next one."""
    apart = APART.get(name(page), Apart())
    lines = [PRELUDE]
    for command in (command for block in blocks(page, *SHELL) for command in block.commands()):
        if any(command.startswith(beginning) for beginning in apart.not_run):
            continue
        lines.append(f"cat >&2 <<'COMMAND'\n@@ {command}\nCOMMAND")
        for text, other in apart.instead.items():
            command = command.replace(text, other)
        lines.append(f"end\n{{ exec {command}\n}} 2>&3 & server=$!\nup" if command.startswith(SERVES) else command)
    return "\n".join([*lines, "end", ""])


def generated(page: Path) -> bool:
    return page.parent.name == "tools"


WITH_COMMANDS = [page for page in PAGES if blocks(page, *SHELL) and not generated(page)]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def model(request: Received) -> Answer:
    """The wire as whichever provider is asked."""
    return anthropic_answer("done") if request.path.endswith("/messages") else Answer()


@pytest.fixture
def project(place: Path, shell: Shell, wire: OpenAIWire) -> Path:
    """A project with what the pages' users have in theirs."""
    wire.respond = model
    home = place
    project = home / "my-project"
    for folder in (".git", "src/shop"):
        (project / folder).mkdir(parents=True)
    (project / "app.py").write_text("print('hello')\n")
    (project / "src" / "shop" / "cart.py").write_text(
        "def total(prices: list[float]) -> float:\n    return sum(prices)\n"
    )
    (project / "app.log").write_text(stand_ins.LOG)
    (project / "error-logs.json").write_text(json.dumps(["disk full", "connection refused"]))
    rows = [{"duration_s": 100 / (1 + n % 4) + n % 7, "agents": 1 + n % 4} for n in range(40)]
    (project / "performance-logs.json").write_text(json.dumps(rows))
    claude_flow.made(
        project / ".swarm" / "memory.db", claude_flow.VERSION_2, "memory_entries", {"key": "k", "value": "v"}
    )
    os.chdir(project)
    return project


class Reader:
    """Runs a page's commands in a project."""

    def __init__(self, project: Path, place: Path, shell: Shell, wire: OpenAIWire) -> None:
        self._project = project
        self._model = wire.base_url
        self._bin = str(Path(sys.executable).parent)
        self._port = str(free_port())
        self._environ = {
            **os.environ,
            "PATH": os.pathsep.join([str(stand_ins.put(place / "bin")), self._bin, os.environ["PATH"]]),
            "SWARMTALLY_PORT": self._port,
            "ANTHROPIC_BASE_URL": wire.base_url.removesuffix("/v1"),
            "SWARM_ID": shell("mcp", "swarm_init").document["swarm_id"],
            "RUN_ID": shell("sparc", "run", "coder", "Login").document["run_id"],
            "DB": os.environ["SWARMTALLY_DB"],
            "COPY": str(place / "copy.db"),
            "LOG": str(place / "log"),
        }

    def run(self, page: Path) -> tuple[int, str]:
        """The shell's status, and what was said on stderr for the last command."""
        text = script(page).replace("8765", self._port).replace("http://localhost:11434/v1", self._model)
        text = text.replace("/absolute/path/to/swarmtally/.venv/bin", self._bin)
        with subprocess.Popen(
            ["sh", "-c", text],
            cwd=self._project,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as commands:
            try:
                _, said = commands.communicate(timeout=TIMEOUT_S)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(commands.pid, SIGKILL)
        return commands.returncode, said[said.rfind("@@ ") :]


@pytest.fixture
def reader(project: Path, place: Path, shell: Shell, wire: OpenAIWire) -> Reader:
    return Reader(project, place, shell, wire)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_its_commands_run(page: Path, reader: Reader) -> None:
    for program in ("curl", "openssl"):
        if f"{program} " in script(page) and shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")
    status, said = reader.run(page)
    assert status == 0, said


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_nothing_is_excused_that_is_not_there(page: Path) -> None:
    apart = APART.get(name(page), Apart())
    commands = [command for block in blocks(page, *SHELL) for command in block.commands()]
    for beginning, reason in apart.not_run.items():
        assert any(command.startswith(beginning) for command in commands), (beginning, reason)
    for text in apart.instead:
        assert any(text in command for command in commands), text


def test_a_command_that_fails_is_found_out(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = "swarmtally runs show \\\n     r_none  # there is none\n"
    page.write_text(f"```sh\ntrue\n```\n\n1. Then\n   ```sh\n   {command}   true\n   ```\n")
    status, said = reader.run(page)
    assert status == 2
    assert said.startswith(f"@@ {command}")
    assert "no run" in said
