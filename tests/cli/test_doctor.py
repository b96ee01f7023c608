"""`swarmtally doctor`: rows, remedies, and no secret."""

import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from swarmtally.backends.gguf import PULL_REMEDY
from tests.cli.conftest import Shell


def _rows(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in document["checks"]}


def test_a_fresh_installation_warns_of_what_is_missing_and_passes(shell: Shell, place: Path) -> None:
    result = shell("doctor")
    rows = _rows(result.document)
    assert (result.status, result.document["state"]) == (0, "warn")
    assert rows["database"]["state"] == "ok"
    assert str(place / "swarm.db") in rows["database"]["detail"]
    assert rows["sqlite"]["detail"] == sqlite3.sqlite_version
    assert rows["modes"]["detail"].endswith("built-in, 0 user, 0 project")
    assert (rows["embedded model"]["state"], rows["embedded model"]["remedy"]) == ("warn", PULL_REMEDY)
    assert rows["backend in the shell"]["state"] == "warn"
    assert "--model" in rows["backend in the shell"]["remedy"]
    assert rows["backend over MCP"]["state"] == "ok"
    assert rows["backend over MCP"]["detail"].startswith("host")


def test_keys_are_named_and_never_shown(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-another-secret")
    monkeypatch.setenv("GOOGLE_API_KEY", "third-secret")
    monkeypatch.setenv("SWARMTALLY_API_KEY", "fourth-secret")
    monkeypatch.setenv("SWARMTALLY_MODEL", "openai:x")
    monkeypatch.setenv("SWARMTALLY_BASE_URL", "http://127.0.0.1:9/v1")
    result = shell("doctor")
    rows = _rows(result.document)
    assert "secret" not in result.out
    assert rows["openai"]["detail"] == "OPENAI_API_KEY is set, its SDK is there"
    assert "SWARMTALLY_API_KEY is set" in rows["base URL"]["detail"]
    for provider in ("anthropic", "google"):
        # Whether these SDKs are there depends on the installation; without one the remedy names the extra.
        row = rows[provider]
        assert row["state"] == "ok" or f"pip install 'pydantic-ai-slim[{provider}]'" in row["remedy"]
    assert rows["backend in the shell"]["detail"].startswith("openai:x: ")


def test_a_model_that_cannot_be_used_fails(shell: Shell) -> None:
    result = shell("doctor", "--model", "opnai:gpt-5-mini")
    assert result.status == 1
    assert "did you mean openai:gpt-5-mini?" in _rows(result.document)["backend in the shell"]["remedy"]


def test_an_own_model_and_broken_modes_are_shown(shell: Shell, place: Path) -> None:
    (place / "own.gguf").write_bytes(b"GGUF")
    shell("model", "pull", "own", "--path", str(place / "own.gguf"))
    folder = place / "config" / "swarmtally" / "modes"
    folder.mkdir(parents=True)
    (folder / "broken.md").write_text("no front matter")
    rows = _rows(shell("doctor").document)
    assert rows["embedded model"]["detail"].startswith("local:own; xllamacpp is ")
    assert "broken.md gave no mode: it does not begin with front matter" in rows["modes"]["detail"]


def test_the_checks_of_health_are_shown_too(shell: Shell, place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    shell("swarms", "list")
    (place / "swarm.db").chmod(0o644)
    result = shell("doctor", "--model", "openai:test", "--base-url", f"http://127.0.0.1:{port}/v1")
    rows = _rows(result.document)
    assert rows["store: mode"]["state"] == "warn"
    assert rows["store: mode"]["remedy"].startswith("chmod 600 ")
    assert rows["store: write"]["detail"].startswith("a durable commit took ")
    assert rows["work: runs"]["state"] == "ok"
    assert (rows["backend: reach"]["state"], result.status) == ("fail", 1)
    assert "database" in rows
    assert "loop: lag" not in rows


def test_a_file_that_is_no_database_fails_with_its_remedy(shell: Shell, place: Path) -> None:
    (place / "swarm.db").write_bytes(b"no database at all" * 500)
    _assert_damaged(shell)


def test_damage_that_opening_does_not_meet_is_found(shell: Shell, place: Path) -> None:
    shell("swarms", "list")
    database = sqlite3.connect(place / "swarm.db")
    (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'usage'").fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    content = bytearray((place / "swarm.db").read_bytes())
    content[(page - 1) * size : page * size] = b"\xee" * size
    (place / "swarm.db").write_bytes(content)
    assert shell("swarms", "list").status == 0
    _assert_damaged(shell)


def _assert_damaged(shell: Shell) -> None:
    result = shell("doctor")
    row = _rows(result.document)["database"]
    assert (result.status, row["state"]) == (1, "fail")
    assert "move it away" in row["remedy"]


def test_a_place_where_no_database_can_lie_fails(shell: Shell, place: Path) -> None:
    result = shell("doctor", "--db", str(place))
    assert result.status == 1
    assert _rows(result.document)["settings"]["state"] == "fail"
