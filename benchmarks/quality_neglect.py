"""Ways to neglect the tests and documents of a copy of a project; see `benchmarks.quality_calibration`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from swarmtally.quality.sources import collect


def _files(folder: Path, *, tests: bool) -> Iterator[Path]:
    yield from (
        path
        for path in sorted(folder.rglob("*.py"))
        if ("tests" in path.relative_to(folder).parts) is tests and path.read_text().strip()
    )


def removed_tests(folder: Path) -> None:
    """Every second file of tests is gone."""
    for path in list(_files(folder, tests=True))[::2]:
        path.unlink()


def removed_assertions(folder: Path) -> None:
    """What every second file of tests asserted is worked out and thrown away."""
    for path in list(_files(folder, tests=True))[::2]:
        path.write_text(re.sub(r"^( *)assert\b", r"\1_ =", path.read_text(), flags=re.MULTILINE))


def removed_docstrings(folder: Path) -> None:
    """No module, class or function outside tests says what it is for."""
    for path in _files(folder, tests=False):
        text = path.read_text()
        lines = text.splitlines(keepends=True)
        for node, owner in sorted(_docstrings(text), key=lambda pair: -pair[0].lineno):
            alone = len(owner.body) == 1 and not isinstance(owner, ast.Module)
            rest = [" " * node.col_offset + "pass\n"] if alone else []
            lines[node.lineno - 1 : node.end_lineno] = rest
        path.write_text("".join(lines))


_Owner = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _docstrings(text: str) -> Iterator[tuple[ast.stmt, _Owner]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _Owner) and ast.get_docstring(node) is not None:
            first = node.body[0]
            if isinstance(node, ast.Module) or first.lineno > node.lineno:
                yield first, node


def tested_lines(folder: Path) -> tuple[int, int]:
    """Lines of code and of tests."""
    files = collect(folder).files
    tests = sum(file.code_lines for file in files if file.is_test)
    return sum(file.code_lines for file in files) - tests, tests


def test_what_was_added(folder: Path, before: tuple[int, int]) -> None:
    """Tests for what a damage added, as many as the rest has: it is to be bad in one way only."""
    code, tests = before
    missing = (tested_lines(folder)[0] - code) * tests // code
    if missing > 0:
        written = "\n\n".join(f"def test_added_{n}():\n    assert {n} + 1 == {n + 1}\n" for n in range(missing // 2))
        (folder / "tests" / "test_added.py").write_text(written)
