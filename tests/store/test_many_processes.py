"""Several processes write to one file at once: the normal case."""

import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

WRITER = Path(__file__).with_name("counting_writer.py")
PROCESSES = 8
WRITES = 500


def test_eight_processes_write_to_one_file_without_a_lock_error_and_none_starves(path):
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, WRITER, path, f"c{number}", str(WRITES)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(PROCESSES)
        ]
        # All have imported and opened before any starts: only the writing is compared.
        assert [child.stdout.readline() for child in children] == ["ready\n"] * PROCESSES
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        reports = [child.communicate(timeout=100) for child in children]
    assert [errors for _, errors in reports] == [""] * PROCESSES
    elapsed = [float(report) for report, _ in reports]
    reader = sqlite3.connect(path)
    counted = reader.execute("SELECT COUNT(DISTINCT key), SUM(version) FROM memory").fetchone()
    reader.close()
    assert counted == (PROCESSES * WRITES, PROCESSES * WRITES)
    assert max(elapsed) <= 2 * min(elapsed), elapsed
