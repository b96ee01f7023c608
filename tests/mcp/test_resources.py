"""Resources as clients list and read them, in both protocol eras."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mcp_types import INVALID_PARAMS, ResourceTemplate, TextResourceContents

from mcp import Client, MCPError
from swarmtally.domain.clock import iso
from swarmtally.mcp import resources
from swarmtally.mcp.resources import READ_LIMIT_BYTES, RESOURCE_NOT_FOUND
from tests.mcp.conftest import Mode, answered, in_memory

FILES = {"src/app.py": "print('é')\n", "data.json": "[1]"}


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answered(await client.call_tool(tool, arguments))


async def done(client: Client, files: dict[str, str] | None = None, output: str = "# Done\n") -> str:
    """A run of one task that has ended; returns its id."""
    run = await call(client, "sparc_run", mode="coder", task="Log in\nand out")
    given = {name: run["packets"][0][name] for name in ("task_id", "lease")}
    await call(client, "work_report", **given, output=output, files=files or FILES)
    run_id: str = run["run_id"]
    return run_id


async def read(client: Client, uri: str) -> TextResourceContents:
    (content,) = (await client.read_resource(uri, cache_mode="bypass")).contents
    assert isinstance(content, TextResourceContents)
    assert content.uri == uri
    return content


async def refused(client: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    assert "\n" not in caught.value.error.message
    return caught.value


def without_times(view: Any) -> Any:
    """A view without when it was read, and what had happened by then."""
    drop = ("as_of", "since", "until", "samples", "trends")
    return {name: value for name, value in view.items() if name not in drop} if isinstance(view, dict) else view


async def test_a_run_and_what_it_delivered_are_listed_and_read(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        run_id = await done(client)
        found = (await client.list_resources()).resources
        run, made = f"swarm://runs/{run_id}", f"swarm://runs/{run_id}/artifacts/coder_1"
        assert [item.uri for item in found] == ["swarm://current", "report://performance", run, made]
        assert all(item.title and item.description and item.name and item.mime_type for item in found)
        whole = await read(client, made)
        assert whole.mime_type == "text/markdown"
        assert whole.text.startswith("# Done")
        assert found[3].size == len(whole.text.encode())
        kept = await call(client, "memory_usage", action="retrieve", key=f"sparc/{run_id}/coder/coder_1")
        assert whole.text == kept["value"]
        shown = json.loads((await read(client, run)).text)
        assert without_times(shown["run"]) == without_times((await call(client, "run_status", run_id=run_id))["run"])
        assert found[2].annotations is not None
        assert found[2].annotations.last_modified == shown["run"]["finished_at"]


async def test_views_hold_what_their_tools_return(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        await done(client)
        for uri, tool in (("swarm://current", "swarm_monitor"), ("report://performance", "performance_report")):
            content = await read(client, uri)
            assert content.mime_type == "application/json"
            here, there = json.loads(content.text), await call(client, tool)
            assert here.keys() == there.keys()
            assert all(here[name] == there[name] for name in ("project", "database", "swarm_id"))
            assert here.get("n") == there.get("n")


async def test_a_timeline_has_the_recorded_times_of_each_attempt(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        run_id = await done(client)
        view = json.loads((await read(client, f"swarm://runs/{run_id}/timeline")).text)
        run = (await call(client, "run_status", run_id=run_id))["run"]
        (task,), (attempt,) = view["tasks"], view["tasks"][0]["attempts"]
        assert (view["status"], view["tasks_total"], task["key"]) == ("succeeded", 1, "coder_1")
        assert (attempt["number"], attempt["status"]) == (1, "succeeded")
        assert attempt["agent_id"] == run["timeline"][0]["agent_id"]
        with closing(sqlite3.connect(tmp_path / "swarm.db")) as database:
            (times,) = database.execute("SELECT ready_ns, claimed_ns, committed_ns FROM attempt").fetchall()
            ((finished_ns,),) = database.execute("SELECT finished_ns FROM task").fetchall()
        assert [attempt[name] for name in ("ready_at", "claimed_at", "committed_at")] == [iso(ns) for ns in times]
        assert task["finished_at"] == iso(finished_ns)


async def test_a_deliverable_is_found_by_key_by_phase_and_key_and_by_file(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        place = f"swarm://runs/{await done(client)}/artifacts"
        assert (await read(client, f"{place}/coder_1")).text == (await read(client, f"{place}/coder/coder_1")).text
        for path in ("coder_1/src/app.py", quote("coder_1/src/app.py", safe="")):
            file = await read(client, f"{place}/{path}")
            assert (file.text, file.mime_type) == (FILES["src/app.py"], "text/x-python")
        assert (await read(client, f"{place}/coder_1/data.json")).mime_type == "application/json"
        assert (
            "has delivered no 'coder_1/other.py'" in (await refused(client, f"{place}/coder_1/other.py")).error.message
        )


async def test_memory_is_read_as_it_was_stored(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        for key, value, kind in (("a/b c?#é", "text", "text/plain"), ("k", {"a": ["é", None]}, "application/json")):
            await call(client, "memory_usage", action="store", key=key, value=value, namespace="my/space")
            content = await read(client, f"memory://my%2Fspace/{quote(key)}")
            assert content.mime_type == kind
            assert (content.text if kind == "text/plain" else json.loads(content.text)) == value


async def test_an_address_of_nothing_is_refused_as_the_protocols_version_has_it(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        for uri in ("swarm://nothing", "memory://default/k", "swarm://runs/r_0", "swarm://current", ""):
            error = (await refused(client, uri)).error
            assert error.code == (RESOURCE_NOT_FOUND if mode == "legacy" else INVALID_PARAMS)
            assert error.data == {"uri": uri}


async def test_what_is_larger_than_a_resource_may_be_is_refused_with_the_way_to_read_it(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        place = f"swarm://runs/{await done(client, {'a.txt': 'x' * READ_LIMIT_BYTES})}/artifacts/coder_1"
        error = (await refused(client, place)).error
        assert error.code == INVALID_PARAMS
        assert f"a resource at most {READ_LIMIT_BYTES}: retrieve sparc/" in error.message
        assert error.message.endswith("read its files, such as coder_1/a.txt")
        assert len((await read(client, f"{place}/a.txt")).text) == READ_LIMIT_BYTES


async def test_a_refusal_says_nothing_that_cannot_be_sent(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        error = (await refused(client, f"memory://default/{'a' * 200}%00%0A")).error
        assert (error.code, "control character" in error.message) == (INVALID_PARAMS, True)


async def test_the_list_comes_in_pages_and_takes_no_cursor_that_it_did_not_give(
    tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "PAGE", 3)
    async with in_memory(tmp_path, mode) as client:
        ids = [await done(client) for _ in range(3)]
        first = await client.list_resources()
        assert first.next_cursor is not None
        second = await client.list_resources(cursor=first.next_cursor)
        listed = [item.uri for page in (first, second) for item in page.resources][2:]
        assert listed == [
            uri for run in reversed(ids) for uri in (f"swarm://runs/{run}", f"swarm://runs/{run}/artifacts/coder_1")
        ]
        assert (len(first.resources), len(second.resources), second.next_cursor) == (5, 3, None)
        made_up = ["", "x", "é", first.next_cursor[:-1], f"{first.next_cursor}A", f"A{first.next_cursor[1:]}", "W10"]
        for cursor in made_up:
            with pytest.raises(MCPError, match="cursor belongs to no page") as caught:
                await client.list_resources(cursor=cursor)
            assert caught.value.error.code == INVALID_PARAMS


async def test_templates_name_every_other_form_and_have_one_page(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        found: list[ResourceTemplate] = (await client.list_resource_templates()).resource_templates
        assert {item.uri_template for item in found} == {
            "swarm://runs/{id}",
            "swarm://runs/{id}/timeline",
            "swarm://runs/{id}/artifacts/{name}",
            "memory://{namespace}/{key}",
        }
        assert all(item.title and item.description for item in found)
        with pytest.raises(MCPError, match="one page") as caught:
            await client.list_resource_templates(cursor="x")
        assert caught.value.error.code == INVALID_PARAMS


async def test_only_clients_of_2026_are_told_how_long_an_answer_may_be_kept(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        found = await client.list_resources()
        report = await client.read_resource("report://performance")
        assert found.cache_scope == report.cache_scope == "private"
        assert found.ttl_ms == report.ttl_ms == (0 if mode == "legacy" else 1_000)


async def test_an_unreadable_database_is_told_and_mended(tmp_path: Path) -> None:
    database = tmp_path / "swarm.db"
    database.write_text("no database")
    async with in_memory(tmp_path) as client:
        with pytest.raises(MCPError) as caught:
            await client.list_resources()
        assert "swarm.db" in caught.value.error.message
        assert "swarm.db" in (await refused(client, "report://performance")).error.message
        database.unlink()
        assert (await client.list_resources()).resources
