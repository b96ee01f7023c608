"""`swarmtally serve` from the shell's side; what it speaks is tested with the MCP front."""

import json
import subprocess
from pathlib import Path

from tests.cli.conftest import finish, process, start


def test_a_client_is_served_and_stdout_carries_only_the_protocol() -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    server = start("serve", stdin=subprocess.PIPE)
    done = finish(server, json.dumps(hello) + "\n")
    (line,) = done.out.splitlines()
    assert json.loads(line)["result"]["serverInfo"]["name"] == "swarmtally"
    assert done.status == 0


def test_options_that_cannot_be_are_told_before_anything_is_served(place: Path) -> None:
    assert "it is a folder" in process("serve", "--db", str(place)).complaint
    assert "--log-level is 'loud'" in process("serve", "--log-level", "loud").complaint


def test_what_is_offered_is_checked_before_anything_is_served() -> None:
    assert "did you mean 'memory'" in process("serve", "--toolsets", "insight,memry").complaint
    assert "--adopt takes over runs" in process("serve", "--read-only", "--adopt", "--model", "local").complaint
