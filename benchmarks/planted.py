"""What the proofs of bottleneck_analyze share: a shell on a database of its own, and the line that says how it went."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = 0.15
"""How far the prediction may be off, as a share of what was measured."""

Document = Mapping[str, Any]


@dataclass
class Shell:
    """Commands as a user types them, in one shell: what is exported holds for all that follow."""

    folder: Path
    exported: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exported = {
            "SWARMTALLY_DB": str(self.folder / "swarm.db"),
            "SWARMTALLY_PROJECT": "p",
            "SWARMTALLY_MODEL": "openai:stub",
            **self.exported,
        }

    @property
    def database(self) -> Path:
        return Path(self.exported["SWARMTALLY_DB"])

    def use(self, url: str) -> None:
        """From now on the model is asked there."""
        self.exported["SWARMTALLY_BASE_URL"] = url

    def swarm(self, *options: str) -> str:
        """A new swarm's id."""
        return str(self.call("mcp", "swarm_init", *options)["swarm_id"])

    def tasks(self, number: int, mode: str = "coder") -> float:
        """Run so many tasks of a mode; returns the makespan in seconds."""
        texts = ",".join(f"Task {each}" for each in range(number))
        return self.makespan_s(self.call("sparc", "concurrent", mode, texts)["run_id"])

    def pipeline(self, task: str) -> float:
        """Run a pipeline; returns the makespan in seconds."""
        return self.makespan_s(self.call("sparc", "pipeline", task)["run_id"])

    def makespan_s(self, run_id: str) -> float:
        """First claim to last commit."""
        (makespan_ns,) = self.row(
            "SELECT MAX(committed_ns) - MIN(claimed_ns) FROM attempt JOIN task USING (task_id) WHERE run_id = ?", run_id
        )
        return float(makespan_ns) / 1e9

    def row(self, sql: str, *values: str) -> tuple[Any, ...]:
        connection = sqlite3.connect(self.database)
        found: tuple[Any, ...] = connection.execute(sql, values).fetchone()
        connection.close()
        return found

    def analysis(self, swarm_id: str) -> Document:
        return self.call("mcp", "bottleneck_analyze", "--swarm-id", swarm_id)

    def apply(self, commands: str) -> None:
        """Do what was suggested, word for word."""
        for command in commands.split(" && "):
            words = shlex.split(command)
            if words[0] == "export":
                self.exported.update([words[1].split("=", 1)])
            else:
                self.call(*words[1:])

    def call(self, *words: str) -> Document:
        done = subprocess.run(self.line(*words), env=self.environment, stdout=subprocess.PIPE, check=True, timeout=300)
        document: Document = json.loads(done.stdout)
        return document

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on beside others; its output is not read."""
        return subprocess.Popen(self.line(*words), env=self.environment, stdout=subprocess.DEVNULL)

    def line(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "swarmtally", *words]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SWARMTALLY_")}
        return kept | self.exported


@dataclass(frozen=True)
class Planted:
    """A cause that was planted in a run, and what the analysis said of it."""

    cause: str
    before_s: float
    found: Document

    @property
    def first(self) -> Document:
        """What it ranked first."""
        first: Document = self.found["causes"][0]
        return first

    @property
    def command(self) -> str:
        return str(self.first["what_if"]["command"])

    @property
    def predicted_s(self) -> float:
        return float(self.first["what_if"]["predicted_makespan_s"])

    def line(self, after_s: float) -> str:
        """What was predicted, beside the run that was made again."""
        right = "ranked first" if self.first["cause"] == self.cause else f"WRONG: {self.first['cause']} ranked first"
        off = abs(self.predicted_s - after_s) / after_s
        return (
            f"{self.cause:19} {right}; {self.before_s:5.2f} s, replay off {self.found['replay_error']:.1%}; predicted"
            f" {self.predicted_s:5.2f} s, measured {after_s:5.2f} s: off {off:5.1%}"
            f" (limit {LIMIT:.0%}{'' if off <= LIMIT else ', MISSED'})"
        )
