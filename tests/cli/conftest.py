"""Running the shell's commands: in this process where only text counts, as real processes where more does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarmtally.cli.main import run
from tests.backends.wire import OpenAIWire

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that was refused, and that it left stdout alone."""
        assert self.status == 2, self
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("swarmtally: ")
        return line.removeprefix("swarmtally: ")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for the working directory, the database, the user's data and configuration; no keys."""
    for name in list(os.environ):
        if name.startswith("SWARMTALLY_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    # Users' stdout is buffered, which is what makes a closed pipe hard.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SWARMTALLY_DB", str(tmp_path / "swarm.db"))
    return tmp_path


class Shell:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        status = run(arguments)
        captured = self._capsys.readouterr()
        return Result(status, captured.out, captured.err)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIWire]:
    """A model server on loopback, named by the environment as the model to use."""
    with OpenAIWire() as server:
        monkeypatch.setenv("SWARMTALLY_MODEL", "openai:test")
        monkeypatch.setenv("SWARMTALLY_BASE_URL", server.base_url)
        yield server


def start(*arguments: str, program: str | None = None, **streams: Any) -> "subprocess.Popen[str]":
    """Start a command as a process of its own, which Ctrl-C (SIGINT) reaches even where it was ignored for us.

    `program` is Python to run instead of the command's own entry.
    """
    entry = ["-m", "swarmtally.cli.main"] if program is None else ["-c", program]
    given: Mapping[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, *entry, *arguments],
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **{**given, **streams},
    )


def finish(process: "subprocess.Popen[str]", given: str | None = None) -> Result:
    out, err = process.communicate(given, timeout=TIMEOUT_S)
    return Result(process.returncode, out or "", err or "")


def process(*arguments: str, program: str | None = None, **streams: Any) -> Result:
    return finish(start(*arguments, program=program, **streams))
