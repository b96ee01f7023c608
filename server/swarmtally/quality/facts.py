"""What one file says of itself: its functions (lizard's in languages other than Python), its text, what it offers to
others, and for Python what its syntax tree holds."""

import ast
import base64
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from swarmtally.quality import documented
from swarmtally.quality.documented import Offered
from swarmtally.quality.functions import Function
from swarmtally.quality.languages import PYTHON
from swarmtally.quality.parsing import REFUSED, tree_of
from swarmtally.quality.pythontree import Definition, Import, Remark, TreeFacts, read_tree
from swarmtally.quality.texts import code_line_numbers

WINDOW = 10
"""Code lines in a row that must be the same in two places to count as copied."""

WINDOW_CHARACTERS = 200
"""What they must hold at least, blanks at their ends not counted: rows of brackets and short names are no copies.

Half of them must differ, too: a table's equal lines are none either.
"""

DIGEST_BYTES = 8

if TYPE_CHECKING:
    import lizard

_IMPORT = re.compile(r"(import|from|#include|using|use|package|require|export \* from)\b|#include")


@cache
def _analyser() -> "lizard.FileAnalyzer":
    """Imported in the measuring process alone: lizard puts the program's folder on `sys.path`."""
    import lizard

    return lizard.FileAnalyzer(lizard.get_extensions([]))


class NotMeasured(ValueError):
    """A file's text is no code of its language, or an analyser failed on it; the text says which."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The digests of a file's runs of `WINDOW` code lines."""

    lines: tuple[int, ...]
    """The numbers of its code lines, imports not counted, from 1."""
    digests: tuple[bytes | None, ...]
    """Of the window that begins at each of them; None where it holds too little."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    functions: tuple[Function, ...]
    windows: Windows
    tree: TreeFacts
    offered: tuple[Offered, ...] | None
    """What it offers to others; None where that cannot be known of its language."""


def measured(path: str, language: str, text: str) -> FileFacts:
    """Raises NotMeasured."""
    code_lines = [number + 1 for number in code_line_numbers(text, language)]
    windows = _windows(text, code_lines)
    if language != PYTHON:
        return FileFacts(_functions(path, text), windows, TreeFacts(), documented.by_line(language, text))
    tree = _tree(text)
    facts, functions = read_tree(tree, code_lines)
    return FileFacts(functions, windows, facts, documented.in_python(path, tree))


def _tree(text: str) -> ast.Module:
    try:
        return tree_of(text)
    except SyntaxError as error:
        raise NotMeasured(f"not Python: {error.msg} in line {error.lineno}") from None
    except REFUSED as error:
        raise NotMeasured(f"Python's parser gives up: {str(error) or type(error).__name__}") from None


def _functions(path: str, text: str) -> tuple[Function, ...]:
    try:
        found = _analyser().analyze_source_code(path, text).function_list
    except Exception as error:  # noqa: BLE001 (a tokenizer for thirty languages can fail in any way on broken code)
        raise NotMeasured(f"lizard fails on it: {type(error).__name__}") from None
    return tuple(
        Function(each.name, each.start_line, each.cyclomatic_complexity, each.nloc, each.parameter_count)
        for each in found
    )


def _windows(text: str, code_lines: Sequence[int]) -> Windows:
    raw = text.split("\n")
    numbers: list[int] = []
    lines: list[bytes] = []
    for number in code_lines:
        line = " ".join(raw[number - 1].split())
        if not _IMPORT.match(line):
            numbers.append(number)
            lines.append(line.encode())
    digests: list[bytes | None] = []
    for start in range(len(lines) - WINDOW + 1):
        window = b"\n".join(lines[start : start + WINDOW])
        enough = len(window) >= WINDOW_CHARACTERS and len(set(lines[start : start + WINDOW])) >= WINDOW // 2
        digests.append(blake2b(window, digest_size=DIGEST_BYTES).digest() if enough else None)
    return Windows(tuple(numbers), tuple(digests))


_NOTHING = b"\0" * DIGEST_BYTES


def to_wire(facts: FileFacts) -> dict[str, object]:
    """Facts as JSON can hold them."""
    digests = b"".join(digest or _NOTHING for digest in facts.windows.digests)
    return {
        "functions": [(each.name, each.line, each.complexity, each.lines, each.parameters) for each in facts.functions],
        "lines": facts.windows.lines,
        "digests": base64.b64encode(digests).decode("ascii"),
        "tree": asdict(facts.tree),
        "offered": None
        if facts.offered is None
        else [(each.kind, each.name, each.line, each.documented) for each in facts.offered],
    }


def from_wire(wire: dict[str, object]) -> FileFacts:
    """Facts as `to_wire` wrote them."""
    functions, lines, digests, tree = wire["functions"], wire["lines"], wire["digests"], wire["tree"]
    offered = wire["offered"]
    assert isinstance(functions, list)
    assert isinstance(lines, list)
    assert isinstance(digests, str)
    assert isinstance(tree, dict)
    assert offered is None or isinstance(offered, list)
    data = base64.b64decode(digests)
    cut = (data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES))
    return FileFacts(
        tuple(Function(*each) for each in functions),
        Windows(tuple(lines), tuple(None if digest == _NOTHING else digest for digest in cut)),
        TreeFacts(
            tuple(Import(**each) for each in tree["imports"]),
            tuple(Definition(**each) for each in tree["definitions"]),
            tuple(tree["private_names"]),
            tuple(Remark(**each) for each in tree["remarks"]),
            tuple(tree["fixed_texts"]),
        ),
        None if offered is None else tuple(Offered(*each) for each in offered),
    )
