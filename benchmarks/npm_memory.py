"""Storing and searching memory over MCP: ours beside @modelcontextprotocol/server-memory and claude-flow, which
`make bench-peers-npm` installs. `--smoke` makes it short.

Each is a real process, asked one call at a time. What each keeps is its own affair: ours is on disk, with FULL sync,
before it answers; server-memory rewrites one file with each store, without sync; claude-flow says itself where it
stores. Its `memory_search` answers every pattern with the same words and no entries: measured is its `memory_usage`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(__file__).with_name("peers") / "npm" / "node_modules" / ".bin"
FOUND = 10
"""In how many of the entries the word that is searched for is."""

Call = Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    command: tuple[str, ...]
    store: Callable[[Call, list[tuple[str, str]]], None]
    search: Callable[[Call, str], int]
    """How many entries it found."""
    says: Callable[[Call], str] = lambda _: ""
    """What it says of itself."""


def main() -> int:
    smoke = "--smoke" in sys.argv[1:]
    for count in (200,) if smoke else (1_000, 10_000):
        print(f"{count} entries")
        ours: tuple[float, float] | None = None
        for server in SERVERS:
            store_ms, search_ms, note = _measure(server, count, 5 if smoke else 41)
            ours = ours or (store_ms, search_ms)
            print(
                f"  {server.name:22} store p50 {store_ms:8.2f} ms ({store_ms / ours[0]:6.2f} x ours), search p50"
                f" {search_ms:8.2f} ms ({search_ms / ours[1]:6.2f} x ours){note}"
            )
    return 0


def _measure(server: Server, count: int, rounds: int) -> tuple[float, float, str]:
    with tempfile.TemporaryDirectory() as folder, _connected(server, folder) as call:
        entries = [_entry(number, count) for number in range(count)]
        for first in range(0, count, 500):
            server.store(call, entries[first : first + 500])
        stores = [
            _ms(lambda number=number: server.store(call, [(f"more-{number}", "w1 w2")])) for number in range(rounds)
        ]
        found = server.search(call, "needle")
        searches = [_ms(lambda: server.search(call, "needle")) for _ in range(rounds)]
        note = ("" if found == FOUND else f"; found {found} of {FOUND}") + server.says(call)
        return statistics.median(stores), statistics.median(searches), note


def _entry(number: int, count: int) -> tuple[str, str]:
    words = " ".join(f"w{(number * 31 + place * 7) % 5_000}" for place in range(15))
    return f"key-{number:06}", f"{words} needle" if number % (count // FOUND) == 0 else words


def _ms(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1e3


@contextmanager
def _connected(server: Server, folder: str) -> Iterator[Call]:
    environment = {**os.environ, "MEMORY_FILE_PATH": str(Path(folder, "memory.jsonl"))}
    with (
        Path(folder, "stderr.log").open("ab") as log,
        subprocess.Popen(
            [part.replace("FOLDER", folder) for part in server.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd=folder,
            env=environment,
        ) as process,
    ):
        assert process.stdin is not None
        stdin, stdout = process.stdin, os.fdopen(os.dup(process.stdout.fileno()), "rb")  # type: ignore[union-attr]
        last = 0

        def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            nonlocal last
            last += 1
            stdin.write(json.dumps({"jsonrpc": "2.0", "id": last, "method": method, "params": params}).encode() + b"\n")
            # Some of them write other things to stdout too.
            for line in stdout:
                if line.startswith(b"{") and (message := json.loads(line)).get("id") == last:
                    if "result" not in message or message["result"].get("isError"):
                        raise ValueError(f"{server.name}: {str(message)[:500]}")
                    result: dict[str, Any] = message["result"]
                    return result
            raise EOFError(f"{server.name} closed its output")

        client = {"name": "benchmark", "version": "1"}
        ask("initialize", {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": client})
        stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        try:
            yield lambda tool, **arguments: ask("tools/call", {"name": tool, "arguments": arguments})
        finally:
            stdin.close()
            stdout.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


def _text(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result["content"][0]["text"])
    return found


def _store_by_key(call: Call, entries: list[tuple[str, str]]) -> None:
    for key, value in entries:
        call("memory_usage", action="store", key=key, value=value, namespace="default")


def _store_entities(call: Call, entries: list[tuple[str, str]]) -> None:
    made = [{"name": key, "entityType": "note", "observations": [value]} for key, value in entries]
    call("create_entities", entities=made)


def _search_ours(call: Call, word: str) -> int:
    return len(_text(call("memory_search", pattern=word, limit=FOUND))["entries"])


def _search_nodes(call: Call, word: str) -> int:
    return len(_text(call("search_nodes", query=word))["entities"])


def _search_claude_flow(call: Call, word: str) -> int:
    return len(_text(call("memory_usage", action="search", key=word, value=word, namespace="default"))["results"])


def _where_claude_flow_stores(call: Call) -> str:
    said = _text(call("memory_usage", action="store", key="last", value="w1", namespace="default"))
    return f"; stored: {said.get('storage_type')}"


SERVERS = (
    Server(
        "swarmtally",
        (sys.executable, "-m", "swarmtally", "serve", "--db", "FOLDER/swarm.db", "--project", "p"),
        _store_by_key,
        _search_ours,
    ),
    Server("server-memory", (str(BIN / "mcp-server-memory"),), _store_entities, _search_nodes),
    Server(
        "claude-flow 2.7.47",
        (str(BIN / "claude-flow"), "mcp", "start"),
        _store_by_key,
        _search_claude_flow,
        _where_claude_flow_stores,
    ),
)

if __name__ == "__main__":
    sys.exit(main())
