"""Modes: Markdown files that say how one kind of task is done, and by what kind of agent.

They come from three places: the package, the user's configuration folder (`modes/` in it), and the project
(`.swarmtally/modes/` and `.claude/agents/`). A user's mode may stand in for a built-in one of the same name. A
project's never shadows either, because a project may have been cloned from anywhere.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

from platformdirs import user_config_dir

from swarmtally.domain.errors import NotFound

Source = Literal["built-in", "user", "project"]

FILE_LIMIT_BYTES = 64 * 1024
"""The largest mode file that is read."""

FOLDER_LIMIT = 500
"""The most mode files read from one folder, in the order of their names."""

DESCRIPTION_LIMIT = 400
"""Longer descriptions are cut, in characters."""

_NAMED = 40
"""The most modes that an error names."""

_DELIVERABLE_LIMIT = 64
_DEFAULT_DELIVERABLE = "result"
_KEYS = frozenset({"name", "description", "role", "deliverable"})
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(?:[ \t]+(.*))?")
_QUOTED = {'"': re.compile(r'"((?:[^"\\]|\\.)*)"'), "'": re.compile(r"'((?:[^']|'')*)'")}


@dataclass(frozen=True, slots=True)
class Mode:
    """How one kind of task is done. `deliverable` is a short noun for what comes out; `prompt` is the role's text."""

    name: str
    description: str
    role: str
    deliverable: str
    prompt: str
    source: Source


class Skipped(NamedTuple):
    """A file that gave no mode, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class ModeCatalog:
    """All modes by name. `skipped` lists the files that gave none."""

    modes: Mapping[str, Mode]
    skipped: tuple[Skipped, ...] = field(default=())

    @classmethod
    def load(cls, project_root: Path | None, user_folder: Path | None = None) -> "ModeCatalog":
        """Read every mode there is.

        Reads files and blocks while it does: call it from a worker thread, never on the event loop.

        Args:
            project_root: the project's folder; None when there is none.
            user_folder: where the user's modes are; by default `modes` in the user's configuration folder.
        """
        user_folder = user_folder or Path(user_config_dir("swarmtally"), "modes")
        skipped: list[Skipped] = []
        modes = {mode.name: mode for mode in _built_in()}
        user: dict[str, Mode] = {}
        _add_folder(user, user_folder, user_folder, "user", skipped)
        modes |= user
        if project_root is not None:
            for folder in (project_root / ".swarmtally" / "modes", project_root / ".claude" / "agents"):
                _add_folder(modes, folder, project_root, "project", skipped)
        return cls(modes, tuple(skipped))

    def get(self, name: str) -> Mode:
        """The mode of that name.

        Raises:
            NotFound: there is none; the text names the nearest.
        """
        mode = self.modes.get(name)
        if mode is not None:
            return mode
        nearest = difflib.get_close_matches(name, self.modes, n=1)
        skipped = next((one for one in self.skipped if Path(one.path).stem == name), None)
        if skipped is not None:
            raise NotFound(f"no mode {name[:64]!r}: {skipped.path} was skipped, {skipped.reason}")
        if nearest:
            raise NotFound(f"no mode {name[:64]!r}; did you mean {nearest[0]!r}?")
        raise NotFound(f"no mode {name[:64]!r}; there are {', '.join(sorted(self.modes)[:_NAMED])}")

    def of_role(self, role: str) -> list[Mode]:
        """The modes done by that role, by name."""
        return sorted((mode for mode in self.modes.values() if mode.role == role), key=lambda mode: mode.name)


def parse_mode(text: str, source: Source) -> Mode:
    """The mode that a file's text describes.

    The front matter is the part of YAML that such files need: `key: value` on one line, the value plain or quoted. Of
    the keys we do not read (`tools`, `model`, `color`, …) the lines are passed over, lists and blocks included.
    Without `role` it is the name, without `deliverable` it is "result", which is how Claude's agent files read.

    Raises:
        ValueError: the file is malformed; the text says where.
    """
    head, prompt = _split(text)
    values = _front_matter(head)
    for key in ("name", "description"):
        if not values.get(key):
            raise ValueError(f"its front matter has no {key}")
    name = values["name"]
    role = values.get("role") or name
    for key, value in (("name", name), ("role", role)):
        if not _SLUG.fullmatch(value):
            raise ValueError(f"its {key} {value[:64]!r} is not made of a-z, 0-9 and '-' (at most 64)")
    deliverable = values.get("deliverable") or _DEFAULT_DELIVERABLE
    if len(deliverable) > _DELIVERABLE_LIMIT or not deliverable.isprintable():
        raise ValueError(f"its deliverable is not a short noun (at most {_DELIVERABLE_LIMIT} printable characters)")
    if not prompt:
        raise ValueError("it has no text after the front matter")
    return Mode(name, _shortened(values["description"]), role, deliverable, prompt, source)


def _split(text: str) -> tuple[list[str], str]:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---":
        raise ValueError("it does not begin with front matter (a line ---)")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return lines[1:number], "\n".join(lines[number + 1 :]).strip()
    raise ValueError("its front matter is not closed (a line ---)")


def _front_matter(lines: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    passing_over = False
    for number, line in enumerate(lines, start=2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if passing_over and (line[0].isspace() or line.startswith("-")):
            continue
        pair = _PAIR.fullmatch(line.rstrip())
        if pair is None:
            raise ValueError(f"line {number} of its front matter is not 'key: value'")
        key, value = pair[1], pair[2] or ""
        passing_over = key not in _KEYS
        if passing_over:
            continue
        if key in values:
            raise ValueError(f"its front matter has {key} twice")
        values[key] = _unquoted(value.strip(), number)
    return values


def _unquoted(value: str, number: int) -> str:
    quoted = _QUOTED.get(value[:1])
    if quoted is None:
        return value
    match = quoted.fullmatch(value)
    if match is None:
        raise ValueError(f"line {number} of its front matter has an unfinished quotation")
    if value[0] == "'":
        return match[1].replace("''", "'").strip()
    return re.sub(r"\\(.)", lambda escape: " " if escape[1] in "nrt" else escape[1], match[1]).strip()


def _shortened(description: str) -> str:
    # Descriptions are shown on terminals: what could steer one is taken out.
    clean = " ".join("".join(char if char.isprintable() else " " for char in description).split())
    return clean if len(clean) <= DESCRIPTION_LIMIT else clean[: DESCRIPTION_LIMIT - 1].rstrip() + "…"


def _built_in() -> Iterator[Mode]:
    # A malformed file of our own is a fault of the package, so it is not skipped but raised.
    folder = resources.files("swarmtally.sparc").joinpath("modes")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".md"):
            yield parse_mode(file.read_text("utf-8"), "built-in")


def _add_folder(modes: dict[str, Mode], folder: Path, within: Path, source: Source, skipped: list[Skipped]) -> None:
    """Add the modes of `folder`, which must not lead out of `within`; a name that is taken stays with its owner."""
    try:
        if not folder.is_dir():
            return
        base = _real(folder)
        if not base.is_relative_to(_real(within)):
            skipped.append(Skipped(folder, f"it leads out of {within}"))
            return
        files = sorted(path for path in base.iterdir() if path.suffix == ".md")
    except OSError as error:
        skipped.append(Skipped(folder, f"it cannot be read ({error.strerror})"))
        return
    if len(files) > FOLDER_LIMIT:
        skipped.append(Skipped(folder, f"it holds {len(files)} modes; only the first {FOLDER_LIMIT} are read"))
    for path in files[:FOLDER_LIMIT]:
        try:
            mode = parse_mode(_read(path, base), source)
        except OSError as error:
            skipped.append(Skipped(path, f"it cannot be read ({error.strerror})"))
        except ValueError as error:
            skipped.append(Skipped(path, str(error)))
        else:
            if mode.name in modes:
                taken = modes[mode.name].source
                skipped.append(Skipped(path, f"the name {mode.name!r} is taken by a {taken} mode"))
            else:
                modes[mode.name] = mode


def _real(path: Path) -> Path:
    # Not Path.resolve: before Python 3.13 that raises RuntimeError for a circle of links.
    return Path(os.path.realpath(path, strict=True))


def _read(path: Path, base: Path) -> str:
    target = _real(path)
    if not target.is_relative_to(base):
        raise ValueError("it is a link out of its folder")
    if not target.is_file():  # opening a pipe would wait for its writer for ever
        raise ValueError("it is not a plain file")
    with target.open("rb") as file:
        content = file.read(FILE_LIMIT_BYTES + 1)
    if len(content) > FILE_LIMIT_BYTES:
        raise ValueError(f"it is larger than {FILE_LIMIT_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from error
