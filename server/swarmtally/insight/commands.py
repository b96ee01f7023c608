"""Commands that are suggested, with what each needs to do the same wherever it is pasted."""

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmtally.domain.swarm import Swarm


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project's work is."""

    project: str
    database: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The options with which a command in any folder meets this work."""
        return ("--project", self.project, "--db", str(self.database))

    def command(self, tool: str, *words: str) -> str:
        """The tool, called from a shell."""
        return shlex.join(["swarmtally", "mcp", tool, *words, *self.options])

    @property
    def own(self) -> "Place":
        """The project's work in a database of its own, beside this one; this place again where it is that already."""
        ending = f"-{_short(self.project)}"
        if self.database.stem.endswith(ending):
            return self
        return Place(self.project, self.database.with_name(f"{self.database.stem}{ending}{self.database.suffix}"))


def moving(place: Place, swarms: Iterable[tuple[Swarm, Mapping[str, int]]]) -> str:
    """The commands that let new work go to `place`, with swarms there like these, each with how many agents of each
    role it needs from the beginning; the last one is the current one then."""
    steps = [f"export SWARMTALLY_DB={shlex.quote(str(place.database))}"]
    return " && ".join([*steps, *(step for swarm, staff in swarms for step in _made(place, swarm, staff))])


def _made(place: Place, swarm: Swarm, staff: Mapping[str, int]) -> list[str]:
    words = ["--topology", swarm.topology, "--max-agents", str(swarm.max_agents), "--strategy", swarm.strategy]
    words += ["--name", swarm.name] if swarm.name != swarm.swarm_id else []
    words += ["--model", swarm.model] if swarm.model else []
    spawned = [place.command("agent_spawn", "--type", role, "--count", str(count)) for role, count in staff.items()]
    return [place.command("swarm_init", *words), *spawned]


def _short(project: str) -> str:
    """A name for files, another one for each project."""
    last = re.sub(r"[^a-z0-9]+", "-", project.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()).strip("-")
    digest = hashlib.sha256(project.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{last[:30]}-{digest}" if last else digest
