"""health_check as a client sees it: what fails is a result, not an error."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

from swarmtally.insight.health import Component
from swarmtally_tools.health import Named
from tests.backends.wire import OpenAIWire
from tests.mcp.conftest import Mode, answered, connected, in_memory, on_wire, told


def rows(view: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["component"]: row for row in view["components"]}


async def test_a_server_tells_its_health_in_both_eras(tmp_path: Path, mode: Mode, wire: OpenAIWire) -> None:
    async with connected(tmp_path, mode, *on_wire(wire)) as client:
        view = answered(await client.call_tool("health_check", {"components": ["store", "work", "backend", "clock"]}))
    found = rows(view)
    assert list(found) == ["store", "work", "backend", "clock"]
    assert (found["work"]["status"], found["backend"]["status"], found["clock"]["status"]) == ("ok", "ok", "ok")
    assert found["backend"]["detail"].endswith("answered with HTTP 200")
    assert [request.path for request in wire.requests] == ["/v1/models"]
    assert view["project"] == "test"


async def test_a_dead_backend_fails_and_the_call_does_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with in_memory(tmp_path, model="openai:test", base_url=f"http://127.0.0.1:{port}/v1") as client:
        view = answered(await client.call_tool("health_check", {"components": ["backend", "clock"]}))
    backend = rows(view)["backend"]
    assert (view["status"], backend["status"], rows(view)["clock"]["status"]) == ("failed", "failed", "ok")
    assert str(port) in backend["detail"]
    assert "--base-url" in backend["remedy"]


async def test_the_worst_check_speaks_for_its_component(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await client.call_tool("health_check", {"components": ["store"]})
        with closing(sqlite3.connect(tmp_path / "swarm.db")) as other:
            other.execute("PRAGMA user_version = 99")
        view = answered(await client.call_tool("health_check", {"components": ["store"]}))
    schema = next(row for row in view["checks"] if row["check"] == "schema")
    store = rows(view)["store"]
    assert (store["status"], store["detail"], store["remedy"]) == ("failed", schema["detail"], schema["remedy"])
    assert "schema 99" in store["detail"]


async def test_an_unknown_component_is_refused(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        assert "components" in told(await client.call_tool("health_check", {"components": ["disk"]}))
        assert "components" in told(await client.call_tool("health_check", {"components": []}))


def test_the_arguments_words_are_the_components() -> None:
    assert get_args(Named) == ("all", *Component)
