"""The fenced blocks of the pages: what a reader copies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("sh", "bash", "console")

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:.*\\\n)*.+")


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str

    def commands(self) -> Iterator[str]:
        """Of a block of shell: each command with the lines it goes on in."""
        for found in _COMMAND.findall(self.text):
            yield found.strip()


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's blocks of these languages, in their order; all of them, if none is named."""
    found = [Block(each["language"], each["text"]) for each in _BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [block for block in found if not languages or block.language in languages]


def name(page: Path) -> str:
    """As the pages are called in tests: relative to the checkout."""
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
