"""The program's processes: servers with a client on their pipes, and shell commands; each in a session of its own."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

MARK = "SWARMTALLY_FAULTS"
"""In the environment of all that is started, so that whatever is left of it is found."""

WAIT_S = 60.0
"""How long anything may take that must happen, on a machine that does much else."""

CHILD_S = 5.0
"""How long a child that ends by itself may still take, such as a command that was just asked about the system."""

View = dict[str, Any]
Note = Callable[[View], None]


class Gone(Exception):
    """The process has closed its end."""


class Silent(Exception):
    """The process did not answer within `WAIT_S`."""


class Refused(Exception):
    """A tool answered with an error."""


class Process:
    """A process of the program, or what is left of it."""

    def __init__(self, command: list[str], place: Path, environ: Mapping[str, str]) -> None:
        with (place / "stderr.log").open("ab") as log:
            self.popen = subprocess.Popen(
                command,
                cwd=place,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.popen.stdout is not None
        self._out = self.popen.stdout.fileno()
        self._heard = b""

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def peak(self) -> int:
        """The most bytes of memory that it has had; where the system does not tell, what it has now."""
        told = Path(f"/proc/{self.pid}/status")
        if not told.exists():
            return psutil.Process(self.pid).memory_info().rss
        (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", told.read_text())
        return int(kib) * 1024

    def kill(self) -> None:
        """SIGKILL, from whatever thread; nothing when it has gone."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGKILL)

    def line(self, timeout_s: float = WAIT_S) -> bytes:
        """The next whole line of stdout.

        Raises:
            Gone: there are no more; half a line is none.
            Silent: none came in time.
        """
        end = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            self._take(end - time.monotonic())
        found, _, self._heard = self._heard.partition(b"\n")
        return found

    def rest(self) -> bytes:
        """All that it still says, until it closes its end."""
        with suppress(Gone):
            while True:
                self._take(WAIT_S)
        return self._heard

    def _take(self, timeout_s: float) -> None:
        ready, _, _ = select.select([self._out], [], [], max(0.0, timeout_s))
        if not ready:
            raise Silent(f"{self.popen.args} said nothing for {timeout_s:.0f} s")
        data = os.read(self._out, 1 << 20)
        if not data:
            raise Gone
        self._heard += data

    def hang_up(self) -> None:
        """Close its stdin, which ends a server."""
        assert self.popen.stdin is not None
        with suppress(OSError):
            self.popen.stdin.close()

    def wait(self) -> int:
        try:
            return self.popen.wait(WAIT_S)
        except subprocess.TimeoutExpired as error:
            raise Silent(f"{self.popen.args} did not end") from error

    def orphans(self) -> list[str]:
        """Whether it left something of its session, once it has ended. A child that ends by itself is none."""
        end = time.monotonic() + CHILD_S
        while time.monotonic() < end:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return []
            time.sleep(0.01)
        return [f"something of the session of {self.popen.args}"]

    def clean_up(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


class Server(Process):
    """A server on stdio, and its client, who notes what is acknowledged."""

    def __init__(self, command: list[str], place: Path, environ: Mapping[str, str]) -> None:
        super().__init__(command, place, environ)
        self._asked: dict[int, Note | None] = {}
        self._id = 0
        self.refused: list[str] = []
        """The errors that notes were not called for."""

    @property
    def waiting(self) -> int:
        """Calls that are not answered yet."""
        return len(self._asked)

    def raw(self, data: bytes) -> None:
        """Send any bytes.

        Raises:
            Gone: nobody is there.
        """
        assert self.popen.stdin is not None
        try:
            self.popen.stdin.write(data)
            self.popen.stdin.flush()
        except (OSError, ValueError) as error:
            raise Gone from error

    def send(self, method: str, params: Mapping[str, Any], note: Note | None = None) -> int:
        self._id += 1
        self._asked[self._id] = note
        message = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        self.raw(json.dumps(message).encode() + b"\n")
        return self._id

    def shake_hands(self) -> None:
        """Make the two acquainted, where they are not yet."""
        if self._id:
            return
        asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "faults", "version": "1"}}
        request = self.send("initialize", asked)
        while request in self._asked:
            self.hear()
        self.raw(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')

    def ask(self, tool: str, note: Note | None = None, **arguments: Any) -> int:
        """Send a call; `note` is told of its result when that is heard and is no error."""
        return self.send("tools/call", {"name": tool, "arguments": arguments}, note)

    def hear(self, timeout_s: float = WAIT_S) -> View:
        """The next message of the server, noted."""
        message: View = json.loads(self.line(timeout_s))
        if message.get("id") in self._asked and ("result" in message or "error" in message):
            note = self._asked.pop(message["id"])
            result = message.get("result", {})
            if "error" in message or result.get("isError"):
                self.refused.append(json.dumps(message.get("error") or result["content"][0]["text"]))
            elif note is not None:
                note(result["structuredContent"])
        return message

    def hear_all(self) -> None:
        """Hear until every call is answered."""
        while self._asked:
            self.hear()

    def call(self, tool: str, **arguments: Any) -> View:
        """A tool's result.

        Raises:
            Refused: it is an error.
            Gone, Silent: there is none.
        """
        found: list[View] = []
        request = self.ask(tool, found.append, **arguments)
        while request in self._asked:
            self.hear()
        if not found:
            raise Refused(self.refused.pop())
        return found[0]


def environ(place: Path, **more: str) -> dict[str, str]:
    """What processes are started with: nothing of the user's own settings, and not measured by coverage."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SWARMTALLY_", "COV"))}
    homes = {"HOME": str(place), "XDG_DATA_HOME": str(place / "data"), "XDG_CONFIG_HOME": str(place / "config")}
    return kept | homes | {MARK: str(place)} | more


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "swarmtally", *arguments]


def left_of(place: Path) -> list[str]:
    """Every living process that was started for `place`, whatever session it has gone to."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(place) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.info['cmdline']}")
    return found
