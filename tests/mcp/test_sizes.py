"""Requests that have too many values are refused before the SDK looks at each; arguments of tools may have them."""

from pathlib import Path
from typing import Any

import httpx2
from mcp_types import INVALID_PARAMS

from swarmtally.mcp.sizes import VALUES_LIMIT
from tests.mcp.conftest import Mode, RawServer, answered, in_memory, serve_command
from tests.mcp.http_harness import WAIT_S, served

MANY: dict[str, Any] = {str(number): {} for number in range(VALUES_LIMIT + 1)}
TOLD = "has too many values; at most 5,000 are read beside arguments of tools"


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("tools/call", {"name": "run_status", "arguments": {}, "inputResponses": MANY}),
    ("tools/call", {"name": "run_status", "arguments": {}, "more": [[[[0]] * (VALUES_LIMIT // 2)]]}),
    ("prompts/get", {"name": "sparc_coder", "arguments": MANY}),
    ("completion/complete", {"ref": {}, "argument": {}, "context": {"arguments": MANY}}),
]
CLIENT = {"name": "test", "version": "1"}
ENVELOPE = {"protocolVersion": "2026-07-28", "clientCapabilities": {}, "clientInfo": CLIENT}


def test_too_many_values_are_refused(tmp_path: Path, mode: Mode) -> None:
    server = RawServer(serve_command(tmp_path), tmp_path)
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in ENVELOPE.items()}
    more = {"_meta": meta} if mode == "auto" else {}
    try:
        if mode == "legacy":
            server.shake_hands()
        for method, params in REQUESTS:
            refused = server.receive(server.send(method, {**params, **more}))["error"]
            assert (refused["code"], refused["message"]) == (INVALID_PARAMS, f"{method} {TOLD}")
        server.send("notifications/progress", {"progressToken": 1, "progress": 1, "more": MANY, **more}, notice=True)
        assert server.receive(server.send("tools/list", more))["result"]["tools"]
    finally:
        server.clean_up()
    (line,) = [line for line in (tmp_path / "stderr.log").read_text().splitlines() if "dropped" in line]
    assert f"notifications/progress {TOLD}" in line


async def test_over_http_too(tmp_path: Path) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {"experimental": MANY}}}
    async with served(tmp_path) as listening, httpx2.AsyncClient(timeout=WAIT_S) as http:
        found = await http.post(listening.url, json=message, headers={"Accept": "application/json, text/event-stream"})
    assert TOLD in found.text


async def test_arguments_of_a_tool_may_have_as_many_as_the_tool_takes(tmp_path: Path, mode: Mode) -> None:
    value = list(range(10 * VALUES_LIMIT))
    async with in_memory(tmp_path, mode) as client:
        kept = await client.call_tool("memory_usage", {"action": "store", "key": "k", "value": value})
        assert answered(kept)["version"] == 1
