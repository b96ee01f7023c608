"""Our server as a process, for a validator to talk to."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REAL = "swarmtally"
FIXTURE = "tests.validators.fixture_server"

_ROOT = Path(__file__).parents[2]
_END_S = 10
_TROUBLE = re.compile(r"tool\.failed|Traceback|level=(?:error|critical)")


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def trouble(self) -> list[str]:
        """What the server logged of errors it did not expect."""
        return trouble(self.log)


def trouble(log: Path) -> list[str]:
    return [line for line in log.read_text(errors="replace").splitlines() if _TROUBLE.search(line)]


@contextmanager
def place() -> Iterator[Path]:
    """A folder of its own, for a database and what a validator writes."""
    with tempfile.TemporaryDirectory(prefix="validators.") as folder:
        yield Path(folder)


def stdio_command(folder: Path) -> list[str]:
    """A server over stdio, which logs to `folder / "stderr.log"` whoever starts it. A script without arguments: a
    validator may take its command as one text."""
    script = folder / "serve"
    command = [sys.executable, "-P", "-m", REAL, "serve", "--db", str(folder / "stdio.db"), "--project", "validators"]
    script.write_text(f"#!/bin/sh\nexec {shlex.join(command)} 2>>{shlex.quote(str(folder / 'stderr.log'))}\n")
    script.chmod(0o700)
    return [str(script)]


@contextmanager
def over_http(folder: Path, module: str = REAL) -> Iterator[Served]:
    """A server over HTTP on a free port of loopback, until this is left."""
    command = [sys.executable, "-m", module, "serve", "--transport", "http", "--port", "0"]
    options = ["--db", str(folder / "http.db"), "--project", "validators"]
    log = folder / "http.log"
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, env=environ, stdin=subprocess.DEVNULL, stderr=errors
        )
    try:
        yield Served(_url(process, log), log, process)
    finally:
        process.terminate()
        process.wait(_END_S)


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    while True:
        found = re.search(r"event=serve\.listening url=(\S+)", log.read_text())
        if found:
            return found[1]
        if process.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text()[-500:]}")
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
