"""`swarmtally mcp health_check`: one document and exit status 0, whatever it finds."""

import sqlite3
from pathlib import Path

from tests.cli.conftest import Shell, process

COMPONENTS = ["store", "loop", "work", "backend", "clock", "memory"]


def test_the_command_of_the_seed_document_prints_one_document() -> None:
    result = process("mcp", "health_check", "--components", "all")
    assert result.status == 0, result
    assert [row["component"] for row in result.document["components"]] == COMPONENTS
    backend = next(row for row in result.document["checks"] if row["check"] == "reach")
    assert (backend["status"], "no model to work with" in backend["detail"]) == ("degraded", True)


def test_what_fails_is_in_the_document_and_the_command_still_ends_well(shell: Shell, place: Path) -> None:
    shell("swarms", "list")
    database = sqlite3.connect(place / "swarm.db")
    (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'usage'").fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    content = bytearray((place / "swarm.db").read_bytes())
    content[(page - 1) * size : page * size] = b"\xee" * size
    (place / "swarm.db").write_bytes(content)
    result = shell("mcp", "health_check", "--components", "store")
    assert (result.status, result.document["status"]) == (0, "failed")
    assert "restore a backup" in result.document["components"][0]["remedy"]


def test_several_components_are_named_with_a_comma(shell: Shell) -> None:
    document = shell("mcp", "health_check", "--components", "memory,clock").document
    assert [row["component"] for row in document["components"]] == ["clock", "memory"]


def test_an_unknown_component_is_refused_and_leaves_no_database(shell: Shell, place: Path) -> None:
    assert "components" in shell("mcp", "health_check", "--components", "disk").complaint
    assert not (place / "swarm.db").exists()
