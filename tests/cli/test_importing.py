"""`swarmtally import claude-flow`: what its databases hold is here afterwards, and they are as they were."""

import hashlib
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally import importing
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.importing import ForeignEntry
from tests.cli import claude_flow
from tests.cli.claude_flow import made
from tests.cli.conftest import Shell

COUNTS = ("imported", "replaced", "same", "different", "expired", "deleted", "refused")
YEAR_2025_S = 1_750_000_000


def counts(document: dict[str, Any]) -> dict[str, int]:
    """The counts that are not 0; they add up to what was read."""
    found = {name: document[name] for name in COUNTS if document[name]}
    assert sum(found.values()) == document["read"]
    return found


def entry(shell: Shell, key: str, namespace: str = "default") -> Any:
    return shell("mcp", "memory_usage", "--action", "retrieve", "--key", key, "--namespace", namespace).document


def bring(shell: Shell, path: Path, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = shell("import", "claude-flow", str(path), *options).document
    return document


def files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def test_entries_of_version_2_keep_namespace_value_expiry_and_when_they_were_made(shell: Shell, place: Path) -> None:
    soon_s = int(time.time()) + 50_000_000
    path = made(
        place / ".swarm" / "memory.db",
        claude_flow.VERSION_2,
        "memory_entries",
        {"key": "text", "value": "hello world", "namespace": "team", "created_at": YEAR_2025_S},
        {"key": "json", "value": '{"a": [1, 2]}', "expires_at": soon_s, "ttl": 1},
        {"key": "packed", "value": "__compressed__eyJiIjogdHJ1ZX0="},
        {"key": "gone", "value": "x", "expires_at": YEAR_2025_S},
    )
    document = bring(shell, path)
    assert counts(document) == {"imported": 3, "expired": 1}
    assert document["tables"] == ["memory_entries"]
    text = entry(shell, "text", "team")
    assert (text["value"], text["created_at"]) == ("hello world", "2025-06-15T15:06:40.000Z")
    found = entry(shell, "json")
    assert found["value"] == {"a": [1, 2]}
    assert found["expires_at"] is not None
    assert entry(shell, "packed")["value"] == {"b": True}
    hits = shell("mcp", "memory_search", "--pattern", "hello", "--namespace", "team").document
    assert [hit["key"] for hit in hits["entries"]] == ["text"]


def test_entries_of_version_3_keep_tags_and_what_is_deleted_stays_away(shell: Shell, place: Path) -> None:
    path = made(
        place / "memory.db",
        claude_flow.VERSION_3,
        "memory_entries",
        {
            "id": "1",
            "key": "a",
            "namespace": "arch",
            "content": "use postgres",
            "tags": '["db", "choice"]',
            "created_at": YEAR_2025_S * 1000,
        },
        {"id": "2", "key": "b", "namespace": None, "content": "7", "status": "deleted"},
        {"id": "3", "key": "c", "namespace": None, "content": "7"},
    )
    document = bring(shell, path)
    assert counts(document) == {"imported": 2, "deleted": 1}
    assert document["not_imported"] == {"metadata": 2}
    found = entry(shell, "a", "arch")
    assert (found["value"], found["tags"]) == ("use postgres", ["db", "choice"])
    assert found["created_at"] == "2025-06-15T15:06:40.000Z"
    assert entry(shell, "c")["value"] == 7


def test_the_other_stores_of_version_2_are_read_too(shell: Shell, place: Path) -> None:
    path = place / "all.db"
    made(
        path,
        claude_flow.SHARED,
        "memory_store",
        {"key": "s", "value": "[1]", "type": "string", "tags": '["t"]'},
        {"key": "j", "value": "[1]", "type": "json"},
    )
    made(
        path,
        claude_flow.HIVE,
        "collective_memory",
        {"id": "1", "swarm_id": "w", "key": "k", "value": "old"},
        {"id": "2", "swarm_id": "w", "key": "k", "value": "new"},
    )
    kept = {"title": "r", "original_key": "r", "original_value": "1", "namespace": "n"}
    made(
        path,
        claude_flow.REASONING,
        "patterns",
        {"id": "1", "type": "reasoning_memory", "pattern_data": json.dumps({**kept, "original_value": "0"})},
        {"id": "2", "type": "reasoning_memory", "pattern_data": json.dumps(kept)},
        {"id": "3", "type": "strategy", "pattern_data": "{}"},
        {"id": "4", "type": "strategy", "pattern_data": "{"},
    )
    document = bring(shell, path)
    assert counts(document) == {"imported": 4}
    assert document["tables"] == ["memory_store", "collective_memory", "patterns"]
    assert document["not_imported"] == {"collective_memory": 1, "patterns": 3}
    assert (entry(shell, "s")["value"], entry(shell, "s")["tags"]) == ("[1]", ["t"])
    assert entry(shell, "j")["value"] == [1]
    assert entry(shell, "k", "hive-mind/w")["value"] == "new"
    assert entry(shell, "r", "n")["value"] == "1"


def test_a_json_store_and_a_consolidated_one_are_read_alike(shell: Shell, place: Path) -> None:
    one = {"key": "k", "value": "[1, 2]", "namespace": "n", "timestamp": YEAR_2025_S * 1000}
    store = place / "memory-store.json"
    store.write_text(json.dumps({"n": [one], "empty": []}))
    assert counts(bring(shell, store)) == {"imported": 1}
    found = entry(shell, "k", "n")
    assert (found["value"], found["created_at"]) == ("[1, 2]", "2025-06-15T15:06:40.000Z")
    made(place / "c.db", claude_flow.CONSOLIDATED, "memory_entries", {**one, "key": "c", "value": "v"})
    assert counts(bring(shell, place / "c.db")) == {"imported": 1}
    assert entry(shell, "c", "n")["created_at"] == "2025-06-15T15:06:40.000Z"


def test_importing_again_changes_nothing_and_overwrite_replaces_what_differs(shell: Shell, place: Path) -> None:
    rows = [{"key": f"k{n}", "value": f"v{n}"} for n in range(3)]
    path = made(place / "memory.db", claude_flow.VERSION_2, "memory_entries", *rows)
    assert counts(bring(shell, path)) == {"imported": 3}
    assert counts(bring(shell, path)) == {"same": 3}
    assert shell("mcp", "memory_usage", "--action", "store", "--key", "k1", "--value", "mine").status == 0
    document = bring(shell, path)
    assert counts(document) == {"same": 2, "different": 1}
    assert document["different_entries"] == [{"namespace": "default", "key": "k1"}]
    assert entry(shell, "k1")["value"] == "mine"
    assert counts(bring(shell, path, "--overwrite", "--dry-run")) == {"same": 2, "replaced": 1}
    assert entry(shell, "k1")["value"] == "mine"
    assert counts(bring(shell, path, "--overwrite")) == {"same": 2, "replaced": 1}
    assert (entry(shell, "k1")["value"], entry(shell, "k1")["version"]) == ("v1", 3)


def test_a_dry_run_says_what_would_be_and_writes_nothing(shell: Shell, place: Path) -> None:
    path = made(place / "memory.db", claude_flow.VERSION_2, "memory_entries", {"key": "k", "value": "v"})
    assert counts(bring(shell, path, "--dry-run")) == {"imported": 1}
    assert shell("mcp", "memory_usage", "--action", "stats").document["stats"]["entries"] == 0


def test_what_cannot_be_kept_is_refused_with_its_reason_and_the_rest_is_kept(shell: Shell, place: Path) -> None:
    path = made(
        place / "memory.db",
        claude_flow.VERSION_3,
        "memory_entries",
        {"id": "1", "key": "k" * 600, "content": "v"},
        {"id": "2", "key": "sparc/x", "content": "v"},
        {"id": "3", "key": "tags", "content": "v", "tags": "a, b"},
        {"id": "4", "key": "bytes", "content": b"\xff\xfe"},
        {"id": "5", "key": "large", "content": "v" * (1 << 20)},
        {"id": "6", "key": "far", "content": "v", "expires_at": 2**43},
        {"id": "7", "key": "good", "content": "v"},
    )
    document = bring(shell, path)
    assert counts(document) == {"imported": 1, "refused": 6}
    reasons = [one["reason"] for one in document["refused_entries"]]
    expected = ("shorten it", "belong to the deliverables", "no list of texts", "no UTF-8", "the limit is", "ten years")
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True)), reasons


@pytest.mark.parametrize("state", ["closed", "open", "killed", "copied"])
def test_the_database_and_its_log_stay_as_they_were(shell: Shell, place: Path, state: str) -> None:
    path = made(place / "cf" / "memory.db", claude_flow.VERSION_2, "memory_entries", {"key": "k", "value": "v"})
    with closing(sqlite3.connect(path)) as writer:
        if state != "closed":
            writer.execute("INSERT INTO memory_entries (key, value) VALUES ('in the log', 'v')")
            writer.commit()
        folder = path.parent
        if state in ("killed", "copied"):
            folder = place / state
            folder.mkdir()
            suffixes = ("", "-wal", "-shm") if state == "killed" else ("", "-wal")
            for name in (path.name + suffix for suffix in suffixes):
                (folder / name).write_bytes((path.parent / name).read_bytes())
        before = files(folder)
        document = bring(shell, folder / path.name)
        after = files(folder)
    assert counts(document) == {"imported": 1 if state == "closed" else 2}
    # The index of the log is where readers say how far they read.
    assert {name: digest for name, digest in after.items() if not name.endswith("-shm")} == {
        name: digest for name, digest in before.items() if not name.endswith("-shm")
    }
    assert set(after) == set(before)


def test_a_database_with_a_transaction_to_roll_back_is_read_as_it_was_before_it(shell: Shell, place: Path) -> None:
    schema = claude_flow.VERSION_2.replace("WAL", "DELETE")
    path = made(place / "cf" / "memory.db", schema, "memory_entries", {"key": "k", "value": "v"})
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.executemany(
            "INSERT INTO memory_entries (key, value) VALUES (?, ?)", [(f"n{n}", "v" * 500) for n in range(99)]
        )
        copies = place / "hot"
        copies.mkdir()
        for file in path.parent.iterdir():
            (copies / file.name).write_bytes(file.read_bytes())
    before = files(copies)
    assert "memory.db-journal" in before
    assert counts(bring(shell, copies / "memory.db")) == {"imported": 1}
    assert files(copies) == before


def test_what_is_no_memory_of_claude_flows_is_refused_in_one_line(shell: Shell, place: Path) -> None:
    folder = place / "project"
    (folder / ".swarm").mkdir(parents=True)
    refused: dict[str, str | bytes] = {
        "empty": b"",
        "text": b"hello",
        "list.json": b"[1]",
        "other.json": b'{"entries": {"a": 1}}',
        "locked": b"RFE1....",
        "torn.db": b"SQLite format 3\0" + b"x" * 200,
    }
    for name, content in refused.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    made(folder / "foreign.db", "CREATE TABLE t (a)")
    os.mkfifo(folder / "pipe")
    told = {
        name: shell("import", "claude-flow", str(folder / name)).complaint
        for name in (*refused, "foreign.db", "pipe", "absent")
    }
    assert "is encrypted" in told["locked"]
    assert "holds no memory of claude-flow's" in told["foreign.db"]
    assert "cannot be read as claude-flow's SQLite" in told["torn.db"]
    assert "not claude-flow's lists" in told["other.json"]
    assert "no file" in told["pipe"]
    assert "it has none of" in shell("import", "claude-flow", str(folder)).complaint
    made(folder / ".swarm" / "memory.db", claude_flow.VERSION_2)
    assert shell("import", "claude-flow", str(folder)).complaint.endswith("name one of its files: .swarm/memory.db")


def test_many_entries_come_in_batches_and_each_key_once(
    shell: Shell, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH", 7)
    rows: list[dict[str, object]] = [{"id": str(n), "key": f"k{n}", "content": str(n)} for n in range(20)]
    rows += [{"id": f"d{n}", "key": "twice", "namespace": None, "content": "x"} for n in range(2)]
    path = made(place / "memory.db", claude_flow.VERSION_3, "memory_entries", *rows)
    assert counts(bring(shell, path)) == {"imported": 21, "same": 1}
    assert shell("mcp", "memory_usage", "--action", "stats").document["stats"]["entries"] == 21


def test_a_database_that_changes_while_it_is_read_is_refused(shell: Shell, place: Path) -> None:
    path = made(place / "memory.db", claude_flow.VERSION_2, "memory_entries", {"key": "k", "value": "v"})
    reader = importing._Reader(path)
    reader.open()
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO memory_entries (key, value) VALUES ('more', 'v')")
        writer.commit()
    with pytest.raises(importing.PathRefused, match="stop claude-flow"):
        reader.close()


@given(st.text() | st.text(alphabet='{}[]":,0123456789eNaInfity .-\\u'), st.none() | st.text(alphabet='[]",ab1'))
def test_whatever_a_value_and_its_tags_hold_is_kept_or_refused(value: str, tags: str | None) -> None:
    found = ForeignEntry("default", "k", value, literal=False, tags=tags, created_ns=None, expires_ns=None)
    try:
        incoming = importing._incoming("p", found, 1)
    except InvalidInput:
        return
    kept = json.loads(incoming.entry.value)
    assert kept == value or kept == json.loads(value)
