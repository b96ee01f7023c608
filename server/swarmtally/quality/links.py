"""Links of Markdown documents to files of the target: do they lead somewhere? Nothing is fetched."""

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from swarmtally.quality.model import SourceFile

_INLINE = re.compile(r"\]\( *(?:<([^<>\n]{1,1000})>|((?:[^()\s<>]|\([^()\s]{0,200}\)){1,1000}))")
_REFERENCE = re.compile(r" {0,3}\[[^\]\n]{1,200}\]: *<?([^\s<>]{1,1000})")
_CODE = re.compile(r"(`+)(?!`).{0,1000}?(?<!`)\1(?!`)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|#|\?|[{$%<]")
"""How a link begins that leads to no file: an address, a place in the same page, or something to be filled in."""

_ENDINGS = ("", ".md", ".mdx", ".rst")
"""Site generators let the ending be left out."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file, as written; `path` is where it leads below the target's root, None when it leaves it."""

    line: int
    written: str
    path: str | None


def links(document: SourceFile) -> list[Link]:
    """The links of a Markdown document to files, code left out."""
    return [
        Link(number, written, _path(document.path, written))
        for number, line in _prose(document.text)
        for written in _written(line)
        if not _ELSEWHERE.match(written)
    ]


def _prose(text: str) -> Iterator[tuple[int, str]]:
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _FENCE.match(line)
        if found is not None and not fence:
            fence = found[1]
        elif found is not None and found[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
        elif not fence:
            yield number, _CODE.sub("", line)


def _written(line: str) -> Iterator[str]:
    for found in _INLINE.finditer(line):
        yield found[1] or found[2]
    reference = _REFERENCE.match(line)
    # Footnotes look the same.
    if reference is not None and not line.lstrip().startswith("[^"):
        yield reference[1]


def _path(document: str, written: str) -> str | None:
    target = unquote(re.split(r"[?#]", written, maxsplit=1)[0])
    base = "" if target.startswith("/") else posixpath.dirname(document)
    path = posixpath.normpath(posixpath.join(base, target.lstrip("/")))
    return None if path.startswith("..") or "\0" in path else path


def leads_somewhere(root: Path, path: str) -> bool:
    """Whether a file or folder of that path lies below `root`; nothing outside is looked at."""
    inside = os.path.realpath(root)
    parent = os.path.realpath(os.path.dirname(os.path.join(inside, path)))  # noqa: PTH118, PTH120 - as cheap as it gets
    if parent != inside and not parent.startswith(inside.rstrip(os.sep) + os.sep):
        return False
    name = posixpath.basename(path)
    return any(os.path.lexists(f"{parent}{os.sep}{name}{ending}") for ending in _ENDINGS)
