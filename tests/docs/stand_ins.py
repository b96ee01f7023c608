"""Other makers' programs that pages name: each does with what it is given what the real one would, as far as swarmtally
sees it, and fails where that fails."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

WAIT_S = 30

LOG = (
    "2026-11-23 14:02:11 ERROR payments: connection to 10.0.0.7:5432 timed out after 30 s\n"
    "2026-11-23 14:02:12 ERROR payments: connection to 10.0.0.8:5432 timed out after 30 s\n"
)

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "stand-in", "version": "1"},
    },
}


def starts(command: list[str]) -> None:
    """A client of stdio: the command is a server that answers."""
    asked = json.dumps(INITIALIZE) + "\n"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=WAIT_S, check=True)
    (answer,) = done.stdout.splitlines()
    assert json.loads(answer)["result"]["serverInfo"]["name"] == "swarmtally", done


def answers(url: str, headers: dict[str, str]) -> None:
    """A client of streamable HTTP: the URL is a server that lets it in."""
    given = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    request = urllib.request.Request(url, json.dumps(INITIALIZE).encode(), given)
    with urllib.request.urlopen(request, timeout=WAIT_S) as found:
        assert b'"swarmtally"' in found.read()


def claude(arguments: list[str]) -> None:
    assert arguments[:2] == ["mcp", "add"], arguments
    if "--" in arguments:
        starts(arguments[arguments.index("--") + 1 :])
        return
    (url,) = (each for each in arguments if each.startswith("http:"))
    name, _, value = arguments[arguments.index("--header") + 1].partition(": ")
    answers(url, {name: value})


def npx(arguments: list[str]) -> None:
    assert arguments[0] == "@modelcontextprotocol/inspector", arguments
    starts(arguments[1:])


def kubectl(arguments: list[str]) -> None:
    assert arguments[0] == "logs", arguments
    sys.stdout.write(LOG)


PROGRAMS = {"claude": claude, "npx": npx, "kubectl": kubectl}


def put(folder: Path) -> Path:
    """A folder of these programs, for the PATH."""
    folder.mkdir()
    root = Path(__file__).parents[2]
    for program in PROGRAMS:
        script = folder / program
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m tests.docs.stand_ins {program} "$@"\n'
        )
        script.chmod(0o755)
    return folder


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
