"""What must be true of a database after a fault; asked through a read-only connection, before anybody repairs it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.core.invariants import ALWAYS, AT_REST
from tests.faults.book import Book
from tests.faults.tally import Tally

ONCE = {
    "a task succeeded in one attempt": (
        "SELECT task_id FROM attempt WHERE status = 'succeeded' GROUP BY task_id HAVING COUNT(*) > 1"
    ),
    "a task has one result": "SELECT task_id FROM artefact GROUP BY task_id HAVING COUNT(*) > 1",
    "a task's success is told once": (
        "SELECT task_id FROM event WHERE kind = 'task.succeeded' GROUP BY task_id HAVING COUNT(*) > 1"
    ),
    "an agent's successes are counted once": (
        "SELECT agent_id FROM agent WHERE tasks_succeeded <> (SELECT COUNT(*) FROM attempt"
        " WHERE attempt.agent_id = agent.agent_id AND attempt.status = 'succeeded')"
    ),
}
"""Each gives the rows that show a result which was recorded twice."""

CALLS = "SELECT COUNT(*) FROM usage WHERE backend <> 'host'"

UNFINISHED = "SELECT run_id, status, backend ->> 'name' FROM run WHERE finished_ns IS NULL ORDER BY created_ns"


def opened(path: Path) -> "closing[sqlite3.Connection]":
    """A connection that only reads."""
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20))


def inspect(path: Path, book: Book, calls: int, tally: Tally, *, at_rest: bool) -> None:
    """Note in `tally` whatever is not as it must be.

    Args:
        calls: how many calls have reached the model.
        at_rest: nothing is under way any more.
    """
    if not path.exists():
        tally.lost += ["the database"] if book.count else []
        return
    with opened(path) as file:
        tally.damaged += [text for (text,) in file.execute("PRAGMA integrity_check") if text != "ok"]
        if file.execute("PRAGMA user_version").fetchone() == (0,):
            tally.lost += ["the tables"] if book.count else []
            return
        file.execute("BEGIN")  # all that follows is asked of one state
        tally.damaged += [f"foreign key of {row[0]}" for row in file.execute("PRAGMA foreign_key_check")]
        tally.damaged += broken(file, ALWAYS)
        tally.lost += book.lost(file)
        tally.twice += broken(file, ONCE)
        (recorded,) = file.execute(CALLS).fetchone()
        tally.lost += [f"{calls - recorded} calls without a row"] if recorded < calls else []
        if at_rest:
            tally.stuck += broken(file, AT_REST)
            tally.stuck += [f"run {run_id} is {status}" for run_id, status, _ in file.execute(UNFINISHED)]
            tally.stuck += failed(file)


def failed(file: sqlite3.Connection) -> Iterator[str]:
    """Runs that ended otherwise than well, although their model answers everything."""
    ended = file.execute(
        "SELECT run_id, status, reason FROM run WHERE finished_ns IS NOT NULL AND status <> 'succeeded'"
    )
    return (f"run {run_id} {status}: {reason}" for run_id, status, reason in ended.fetchall())


def broken(file: sqlite3.Connection, laws: dict[str, str]) -> list[str]:
    return [f"{law}: {rows[:3]}" for law, sql in laws.items() if (rows := file.execute(sql).fetchall())]


def unfinished(path: Path) -> list[tuple[str, str, str]]:
    """Run, status and backend of what has not ended; nothing where a victim died before it had made the tables."""
    if not path.exists():
        return []
    with opened(path) as file:
        made = file.execute("PRAGMA user_version").fetchone() != (0,)
        return file.execute(UNFINISHED).fetchall() if made else []
