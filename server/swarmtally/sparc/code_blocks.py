"""The code in a deliverable that is one text: what a model writes comes in fences, not in files."""

import re
from collections.abc import Iterator

from swarmtally.domain.files import FILES_LIMIT, File
from swarmtally.domain.task import Artefact

PROSE = frozenset({
    "specification", "architecture", "docs", "review", "merge", "completion",
    "analyst", "architect", "documenter", "integration", "merger", "researcher", "reviewer", "security",
    "spec-pseudocode",
})  # fmt: skip
"""Phases of deliverables whose fences hold examples, not what was to be made: those of a pipeline, and modes."""

TESTS = frozenset({"tests", "tester"})

SUFFIXES = {
    **dict.fromkeys(("python", "py", "python3"), "py"),
    **dict.fromkeys(("javascript", "js", "node"), "js"),
    **dict.fromkeys(("typescript", "ts"), "ts"),
    **dict.fromkeys(("go", "golang"), "go"),
    **dict.fromkeys(("rust", "rs"), "rs"),
    **dict.fromkeys(("cpp", "c++", "cc"), "cpp"),
    **dict.fromkeys(("csharp", "c#", "cs"), "cs"),
    **dict.fromkeys(("ruby", "rb"), "rb"),
    **dict.fromkeys(("kotlin", "kt"), "kt"),
    **{name: name for name in ("c", "java", "jsx", "tsx", "swift", "scala", "php", "lua")},
}
"""First word after a fence → suffix of a file that holds such code."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)")


def code_files(artefact: Artefact) -> tuple[File, ...]:
    """The files of a deliverable; where it has none, each fenced block of code in it as one, at most 100.

    A block's file has blank lines before it, so that line 7 of the file is line 7 of the deliverable.
    """
    if artefact.files or artefact.phase in PROSE:
        return artefact.files
    folder = "tests/" if artefact.phase in TESTS else ""
    blocks = enumerate(_blocks(artefact.text), 1)
    files = [File(f"{folder}block_{number:03d}.{suffix}", text) for number, (suffix, text) in blocks]
    return tuple(files[:FILES_LIMIT])


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Suffix and padded content of each fenced block in a language that is known; one may lack its end."""
    lines = text.splitlines()
    fence, suffix, begin = "", None, 0
    for number, line in enumerate([*lines, None]):
        found = _FENCE.match(line) if line is not None else None
        if not fence and found is not None:
            fence, suffix, begin = found[1], SUFFIXES.get(found[2].lower()), number + 1
        elif fence and (line is None or (found is not None and found[1].startswith(fence) and not found[2])):
            if suffix is not None and number > begin:
                yield suffix, "\n" * begin + "\n".join(lines[begin:number]) + "\n"
            fence = ""
