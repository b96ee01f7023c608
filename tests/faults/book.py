"""What was acknowledged, written down outside the processes that die; and what of it a database no longer has."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Book:
    """Kept by whoever hears the answers."""

    entries: dict[str, object] = field(default_factory=dict)
    """Memory: key → the value acknowledged last."""
    versions: dict[str, int] = field(default_factory=dict)
    """Memory: key that is stored again and again → the version acknowledged last; a later one may be there."""
    deleted: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    reports: dict[str, str] = field(default_factory=dict)
    """Packets: task_id → the output whose report was accepted."""
    shown: dict[str, str] = field(default_factory=dict)
    """Artefacts that a view has shown: artefact_id → sha256."""

    @property
    def count(self) -> int:
        kept = (self.entries, self.versions, self.deleted, self.agents, self.runs, self.reports, self.shown)
        return sum(map(len, kept))

    def lost(self, file: sqlite3.Connection) -> Iterator[str]:
        """What was acknowledged and is not there, or is there as something else."""
        memory = {
            key: (value, version) for key, value, version in file.execute("SELECT key, value, version FROM memory")
        }
        for key, value in self.entries.items():
            if key not in memory or json.loads(memory[key][0]) != value:
                yield f"entry {key}"
        yield from (f"version {n} of {key}" for key, n in self.versions.items() if memory.get(key, ("", 0))[1] < n)
        yield from (f"deletion of {key}" for key in self.deleted & memory.keys())
        yield from (f"agent {one}" for one in self.agents - _column(file, "SELECT agent_id FROM agent"))
        yield from (f"run {one}" for one in self.runs - _column(file, "SELECT run_id FROM run"))
        made = dict(file.execute("SELECT task_id, text FROM artefact"))
        yield from (f"report of {task}" for task, output in self.reports.items() if made.get(task) != output)
        digests = dict(file.execute("SELECT artefact_id, sha256 FROM artefact"))
        yield from (f"artefact {one}" for one, digest in self.shown.items() if digests.get(one) != digest)


def _column(file: sqlite3.Connection, sql: str) -> set[str]:
    return {value for (value,) in file.execute(sql)}
