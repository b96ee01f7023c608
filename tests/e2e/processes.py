"""Several real processes on one database: servers spoken to by hand, shells, and the model server they call."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.backends.wire import OpenAIWire
from tests.mcp.conftest import RawServer, on_wire, serve_command

WAIT_S = 20.0
"""How long a process may take for what it must do."""


class Processes:
    """What a test has started, ended for certain when it is over."""

    def __init__(self, place: Path, wire: OpenAIWire) -> None:
        self.place = place
        self.wire = wire
        self.database = place / "swarm.db"
        self._servers: list[RawServer] = []
        self._shells: list[subprocess.Popen[str]] = []

    def server(self) -> RawServer:
        self._servers.append(RawServer(serve_command(self.place, *on_wire(self.wire)), self.place))
        self._servers[-1].shake_hands()
        return self._servers[-1]

    def start(self, *arguments: str, program: str | None = None) -> "subprocess.Popen[str]":
        """A shell's command, which Ctrl-C (SIGINT) reaches; `program` is Python to run in place of the command."""
        entry = ["-m", "swarmtally.cli.main"] if program is None else ["-c", program]
        self._shells.append(
            subprocess.Popen(
                [sys.executable, *entry, *arguments],
                cwd=self.place,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        )
        return self._shells[-1]

    def environ(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SWARMTALLY_")}
        return kept | {
            "SWARMTALLY_DB": str(self.database),
            "SWARMTALLY_PROJECT": "test",
            "SWARMTALLY_MODEL": "openai:test",
            "SWARMTALLY_BASE_URL": self.wire.base_url,
            "HOME": str(self.place),
            "XDG_DATA_HOME": str(self.place / "data"),
            "XDG_CONFIG_HOME": str(self.place / "config"),
        }

    def shell(self, *arguments: str) -> dict[str, Any]:
        """The document that a command which must succeed prints."""
        running = self.start(*arguments)
        out, err = running.communicate(timeout=WAIT_S)
        assert out, err
        document: dict[str, Any] = json.loads(out)
        return document

    def stop(self, server: "RawServer") -> None:
        """Stop a server (SIGSTOP) while this process holds the write lock, so the stopped one cannot have it."""
        file = sqlite3.connect(self.database, timeout=WAIT_S, isolation_level=None)
        try:
            file.execute("BEGIN IMMEDIATE")
            server.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
            file.execute("ROLLBACK")
        finally:
            file.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        file = sqlite3.connect(self.database, timeout=WAIT_S)
        try:
            found = file.execute(sql).fetchall()
            file.commit()
        finally:
            file.close()
        return found

    def statuses(self, table: str) -> set[str]:
        return {status for (status,) in self.rows(f"SELECT DISTINCT status FROM {table}")}

    def clean_up(self) -> None:
        for server in self._servers:
            server.clean_up()
        for shell in self._shells:
            shell.kill()
            shell.communicate()


def view(result: dict[str, Any]) -> dict[str, Any]:
    """The structured content of a tool's answer that is no error."""
    assert not result["isError"], result
    content: dict[str, Any] = result["structuredContent"]
    return content


def complaint(result: dict[str, Any]) -> str:
    """The line of an answer that is an error."""
    assert result["isError"], result
    text: str = result["content"][0]["text"]
    assert "\n" not in text
    return text


def concurrent(server: RawServer, *tasks: str) -> str:
    """Start one run of several tasks and return its id."""
    started = view(server.call("sparc_concurrent", mode="coder", tasks=list(tasks), wait_s=0))
    return str(started["run_id"])


def waited(server: RawServer, run_id: str) -> dict[str, Any]:
    """The run once it has ended, was paused or interrupted."""
    run: dict[str, Any] = view(server.call("run_status", run_id=run_id, wait_s=WAIT_S))["run"]
    return run
