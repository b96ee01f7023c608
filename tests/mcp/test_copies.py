"""A copy of the database made while servers write: with the command of the docs it is whole, with cp it is not."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from mcp import Client
from tests.mcp.conftest import connected, in_memory
from tests.mcp.test_host_work import call, report

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

posix = pytest.mark.skipif(os.name == "nt", reason="the command is one for POSIX shells")


def documented() -> str:
    (block,) = re.findall(r"## A copy of the database\n.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


def copy(database: Path, to: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "DB": str(database), "COPY": str(to)}
    subprocess.run(["sh", "-ec", documented()], env=environ, check=True)


def sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as database:
        (word,) = database.execute("PRAGMA integrity_check").fetchone()
        return word == "ok" and not database.execute("PRAGMA foreign_key_check").fetchall()


async def keep(client: Client, key: str) -> None:
    await call(client, "memory_usage", action="store", key=key, value=f"value of {key}", namespace="copied")


@posix
async def test_the_documented_command_copies_all_that_was_acknowledged_while_others_write(tmp_path: Path) -> None:
    place, restored = tmp_path / "place", tmp_path / "restored"
    place.mkdir()
    restored.mkdir(mode=0o700)
    done = anyio.Event()
    async with connected(place, "auto") as client, connected(place, "auto") as other:
        (packet,) = (await call(client, "sparc_run", mode="coder", task="Login"))["packets"]
        for number in range(20):
            await keep(client, f"k{number}")

        async def write() -> None:
            number = 0
            while not done.is_set():
                await keep(other, f"later{number}")
                number += 1

        async with anyio.create_task_group() as group:
            group.start_soon(write)
            await anyio.to_thread.run_sync(partial(copy, place / "swarm.db", restored / "swarm.db"))
            done.set()
    assert (restored / "swarm.db").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in restored.iterdir()] == ["swarm.db"]
    assert sound(restored / "swarm.db")
    async with in_memory(restored) as client:
        found = await call(client, "memory_search", pattern="k*", namespace="copied", limit=100)
        assert {entry["key"] for entry in found["entries"]} == {f"k{number}" for number in range(20)}
        assert (await call(client, "memory_search", pattern="value k7", mode="text"))["total"] == 1
        # The packet that was out is still its holder's, and its report ends the run of the copy.
        assert (await report(client, packet))["run_status"] == "succeeded"


async def test_a_copy_of_the_file_alone_lacks_what_was_acknowledged_last(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        await keep(client, "k")
        shutil.copy(tmp_path / "swarm.db", tmp_path / "copy.db")
        with closing(sqlite3.connect(tmp_path / "copy.db")) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE name = 'memory'").fetchall()
            assert not (tables and database.execute("SELECT 1 FROM memory").fetchall())
