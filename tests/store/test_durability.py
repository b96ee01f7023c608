"""What was acknowledged is there after kill -9, at whatever moment."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio

from swarmtally.core.memory import Memory
from swarmtally.store.database import open_database

WRITER = Path(__file__).with_name("acknowledging_writer.py")


def acknowledged_until_killed(path, name, rows):
    """Kill the writer once it has acknowledged `rows` rows; every key it acknowledged."""
    with subprocess.Popen([sys.executable, WRITER, path, name], stdout=subprocess.PIPE) as child:
        seen = [child.stdout.readline() for _ in range(rows)]
        child.kill()
        # Whole lines only: the kill may have cut the last one, which was acknowledged to nobody then.
        rest = child.stdout.read().splitlines(keepends=True)
    assert child.returncode == -9
    return [line.decode().strip() for line in (*seen, *rest) if line.endswith(b"\n")]


def test_every_acknowledged_row_survives_sigkill(path):
    acknowledged = []
    for name, rows in enumerate((1, 7, 50, 333, 1500)):
        acknowledged += acknowledged_until_killed(path, f"r{name}", rows)
    assert len(acknowledged) >= 1891
    reader = sqlite3.connect(path)
    present = {key for (key,) in reader.execute("SELECT key FROM memory")}
    assert set(acknowledged) <= present
    assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # Each entry has its text: both were in one transaction.
    assert reader.execute("SELECT COUNT(*) FROM memory_text WHERE memory_text MATCH 'number'").fetchone() == (
        len(present),
    )
    reader.close()


async def test_the_next_process_goes_on_where_the_killed_one_was(path, clock):
    keys = await anyio.to_thread.run_sync(acknowledged_until_killed, path, "r", 20)
    async with open_database(path, clock) as database:
        memory = Memory(database, clock)
        assert (await memory.retrieve("p", "n", keys[-1])).version == 1
        assert (await memory.store("p", "n", keys[-1], "next")).version == 2
