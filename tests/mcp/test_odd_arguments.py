"""Every argument of every tool, with what no caller should send: one line or an answer, and nothing half done."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swarmtally_tools import registry
from swarmtally_tools.definition import Tool
from tests.mcp.conftest import in_memory, text_of, told
from tests.mcp.test_host_work import call

DEEP: list[Any] = []
for _ in range(90):
    DEEP = [DEEP]

TASK = {"id": "a", "role": "coder"}

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**63, -(2**63) - 1, 1e308, -1e308),
    *("", " ", "\0", "x" * 30_000, "漢" * 300, "..", "/", "*", "[a-", '"', "9" * 400, "1e999d", "-5s", "a/b"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01/9999-12-31", "2026-01-01T00:00:00Z/2025-01-01T00:00:00Z"),
    *([], [None], [""], [[]], ["x"] * 5_000, [{}], DEEP, [TASK | {"depends_on": ["a"]}], [TASK] * 2),
    *([TASK | {"estimated_s": 1e308}], [TASK | {"estimated_s": 1e-300}], [TASK | {"priority": 2**63}], [TASK] * 10_000),
    *({}, {"": ""}, {"a": 1}, {"../x": "y"}, {"a\0b": "c"}, {"CON": "x"}, {"x" * 5_000: "y"}, {"a": "x" * 2_000_000}),
    *({"input_tokens": -1}, {"input_tokens": 2**63, "output_tokens": 1}, {"input_tokens": 1, "cache_read_tokens": 5}),
)

BELONGS: dict[str, dict[str, Any]] = {
    "agent_spawn": {"type": "coder"},
    "swarm_scale": {"target_size": 2},
    "memory_usage": {"action": "store", "key": "k", "value": "v"},
    "memory_search": {"pattern": "*"},
    "load_balance": {"tasks": [{"id": "a", "role": "coder"}]},
    "sparc_run": {"mode": "coder", "task": "x", "wait_s": 0},
    "sparc_batch": {"modes": ["coder"], "tasks": ["x"], "wait_s": 0},
    "sparc_concurrent": {"mode": "coder", "tasks": ["x"], "wait_s": 0},
    "sparc_pipeline": {"task": "x", "wait_s": 0},
    "run_control": {"run_id": "r_none", "action": "resume"},
    "work_report": {"task_id": "t_none", "lease": "l_none", "output": "x"},
    "error_analysis": {"logs": ["boom"]},
    "quality_assess": {"target": "no/such/file.py"},
}
"""What a call needs besides."""

WAITS = {("swarm_monitor", "duration"), ("run_status", "wait_s")} | {(tool, "wait_s") for tool in BELONGS}
"""Arguments that let a call wait as long as they say."""

EVERY = {"neural_train": 5}
"""Of whose values only so many are tried: each training is a process."""


TABLES = ("project", "swarm", "agent", "run", "task", "attempt", "usage", "artefact", "event", "memory")


def odd(tool: Tool) -> Iterator[dict[str, Any]]:
    for name in tool.arguments.model_fields:
        for value in ODD[:: EVERY.get(tool.name, 1)]:
            if (tool.name, name) not in WAITS or value not in (True, 1.5):
                yield {**BELONGS.get(tool.name, {}), name: value}


class Watched:
    """The rows of a database, read again only where somebody has written."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._seen: tuple[int, list[list[Any]]] = (-1, [])

    def rows(self) -> list[list[Any]]:
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        if version != self._seen[0]:
            self._seen = (version, [self._database.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES])
        return self._seen[1]


@pytest.mark.parametrize("tool", registry.load_all(), ids=lambda tool: tool.name)
async def test_odd_arguments_are_refused_in_one_line_and_change_nothing(tmp_path: Path, tool: Tool) -> None:
    async with in_memory(tmp_path) as client:
        await call(client, "swarm_init")
        await call(client, "agent_spawn", type="coder", count=2)
        with closing(sqlite3.connect(f"file:{tmp_path / 'swarm.db'}?mode=ro", uri=True)) as database:
            watched = Watched(database)
            for arguments in odd(tool):
                before = watched.rows()
                result = await client.call_tool(tool.name, arguments)
                if result.is_error:
                    assert "internal error" not in told(result), arguments
                    assert len(text_of(result)) < 1_000
                    assert watched.rows() == before, arguments
