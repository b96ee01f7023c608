"""Where a process works and with what: options, their environment twins, defaults."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from swarmtally.core.project import DEFAULT_PROJECT, git_root
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.retention import Retention
from swarmtally.domain.run import check_output_tokens
from swarmtally.domain.text import checked_name
from swarmtally.store import location

if TYPE_CHECKING:
    from swarmtally.core.ports import Backend

Front = Literal["mcp", "shell"]

DATABASE = "swarm.db"
"""The database's name in the user's folder for our data, where it lies unless told otherwise."""

PROJECT_LIMIT = 1_000
"""The longest project name, in characters."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this process works and with what. Made by `gather`."""

    database: Path
    project: str
    project_root: Path | None
    front: Front
    model: str | None
    base_url: str | None
    max_output_tokens: int | None
    max_parallel: int | None
    allow: tuple[Path, ...]
    data_dir: Path
    environ: Mapping[str, str]
    adopt: bool = False
    """Take over interrupted runs of the same model by itself."""
    retention: Retention = field(default_factory=Retention)
    """How long rows are kept."""
    backends: "Mapping[str, Backend]" = field(default_factory=dict)
    """Backends that the program brought itself, by name; closed by who made them."""

    @classmethod
    def gather(
        cls,
        front: Front,
        *,
        db: str | None = None,
        project: str | None = None,
        model: str | None = None,
        base_url: str | None = None,
        max_output_tokens: int | None = None,
        max_parallel: int | None = None,
        allow: Sequence[str] = (),
        adopt: bool = False,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> "Settings":
        """Settings from options, else their environment twins, else defaults; the database's folder is made.

        Blocking: call it before the event loop runs.

        Raises:
            StoreError: the database cannot lie where it is asked for.
            InvalidInput: an option or environment variable holds nonsense.
        """
        environ = os.environ if environ is None else environ
        if db is not None and not db.strip():
            raise InvalidInput("--db is empty; give the database file's path, or leave the option out")
        root = git_root(cwd or Path.cwd())
        chosen = project or environ.get("SWARMTALLY_PROJECT")
        named = checked_name("project", chosen) if chosen else str(root or DEFAULT_PROJECT)
        if len(named) > PROJECT_LIMIT:
            raise InvalidInput(f"project has {len(named)} characters; at most {PROJECT_LIMIT} are allowed")
        if max_output_tokens is None:
            max_output_tokens = _whole_number(environ, "SWARMTALLY_MAX_OUTPUT_TOKENS")
        check_output_tokens(max_output_tokens)
        folder = data_dir()
        path = db or environ.get("SWARMTALLY_DB")
        return cls(
            database=location.prepare(Path(path) if path else folder / DATABASE),
            project=named,
            project_root=root,
            front=front,
            model=model or environ.get("SWARMTALLY_MODEL") or None,
            base_url=base_url or environ.get("SWARMTALLY_BASE_URL") or None,
            max_output_tokens=max_output_tokens,
            max_parallel=max_parallel or _whole_number(environ, "SWARMTALLY_MAX_PARALLEL"),
            allow=tuple(Path(item) for item in (allow or _paths(environ.get("SWARMTALLY_ALLOW")))),
            data_dir=folder,
            environ=environ,
            adopt=adopt,
            retention=_retention(environ),
        )

    def named(self) -> str:
        """The options with which any shell meets this database and project."""
        usual = self.data_dir / DATABASE
        db = "" if self.database == usual else f" --db {shlex.quote(str(self.database))}"
        return f"{db} --project {shlex.quote(self.project)}"


def data_dir() -> Path:
    """The user's folder for our data."""
    import platformdirs

    return Path(platformdirs.user_data_dir("swarmtally", appauthor=False))


def _retention(environ: Mapping[str, str]) -> Retention:
    usual = Retention()
    return Retention(
        runs_days=_whole_number(environ, "SWARMTALLY_KEEP_DAYS") or usual.runs_days,
        details_days=_whole_number(environ, "SWARMTALLY_KEEP_DETAIL_DAYS") or usual.details_days,
    )


def _paths(text: str | None) -> list[str]:
    return [part for part in (text or "").split(os.pathsep) if part]


def _whole_number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text)):
        raise InvalidInput(f"{name} is {text[:100]!r}; it takes a whole number above 0")
    return int(text)
