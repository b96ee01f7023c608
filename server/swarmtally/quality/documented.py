"""What a file offers to others, and whether it says what that is."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmtally.quality.languages import PYTHON
from swarmtally.quality.model import SourceFile
from swarmtally.quality.parsing import parsed


@dataclass(frozen=True, slots=True)
class Offered:
    """Something public: a module, class, function or type."""

    kind: str
    name: str
    line: int
    documented: bool


_MODIFIERS = r"(?:(?:abstract|async|static|final|override|unsafe|sealed|open|const|declare|default|virtual|partial) +)*"

_TYPE = r"[\w<>\[\], .?]{1,200}?"

_PUBLIC = {
    "go": re.compile(r"(?P<kind>func|type) +(?:\([^)]{0,200}\) *)?(?P<name>[A-Z]\w*)"),
    "rust": re.compile(rf"\s*pub +{_MODIFIERS}(?P<kind>fn|struct|enum|trait|type) +(?P<name>\w+)"),
    "java": re.compile(
        rf"\s*public +{_MODIFIERS}(?:(?P<kind>class|interface|enum|record) +|{_TYPE} )(?P<name>\w+) *[({{<\w]"
    ),
    "c#": re.compile(
        rf"\s*public +{_MODIFIERS}(?:(?P<kind>class|interface|enum|record|struct) +|{_TYPE} )(?P<name>\w+) *[({{<:\s]"
    ),
    "swift": re.compile(
        rf"\s*(?:public|open) +{_MODIFIERS}(?P<kind>class|struct|enum|protocol|func|actor) +(?P<name>\w+)"
    ),
    "typescript": re.compile(
        rf"export +{_MODIFIERS}(?P<kind>function|class|interface|type|enum|const)\*? +(?P<name>[\w$]+)"
    ),
}
_PUBLIC["javascript"] = _PUBLIC["typescript"]
"""How a line begins that declares something public, in languages that say so in that line."""

LANGUAGES = frozenset({PYTHON, *_PUBLIC})
"""Languages in which what is public is known."""

_ATTRIBUTE = re.compile(r"\s*(?:@[\w.]+|#\[|\[[A-Z])")
"""Stands between a comment and what it is about."""

_NOT_OWN = frozenset({"overload", "override", "setter", "deleter"})
"""Decorators of what another docstring speaks for."""


def offered(file: SourceFile) -> tuple[Offered, ...] | None:
    """What a file offers; None where it cannot be parsed, or the language is none of `LANGUAGES`."""
    if file.language == PYTHON:
        tree = parsed(file.text)
        return None if tree is None else in_python(file.path, tree)
    return by_line(file.language, file.text)


def by_line(language: str, text: str) -> tuple[Offered, ...] | None:
    """What a file offers in a language that says so in a line; None in others."""
    public = _PUBLIC.get(language)
    return None if public is None else tuple(_by_line(public, language, text.splitlines()))


def in_python(path: str, tree: ast.Module) -> tuple[Offered, ...]:
    """The module, its public classes and functions, and the public methods of those classes."""
    return tuple(_in_python(path, tree))


def _in_python(path: str, tree: ast.Module) -> Iterator[Offered]:
    name = path.rpartition("/")[2].removesuffix(".py")
    if tree.body and not (name.startswith("_") and name not in ("__init__", "__main__")):
        yield Offered("module", path, 1, ast.get_docstring(tree, clean=False) is not None)
    waiting: list[tuple[ast.stmt, str]] = [(node, "") for node in reversed(tree.body)]
    while waiting:
        node, owner = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_") or any(_decorator(one) in _NOT_OWN for one in node.decorator_list):
                continue
            is_class = isinstance(node, ast.ClassDef)
            kind = "class" if is_class else "method" if owner else "function"
            yield Offered(kind, f"{owner}{node.name}", node.lineno, ast.get_docstring(node, clean=False) is not None)
            if is_class:
                waiting += ((inner, f"{owner}{node.name}.") for inner in reversed(node.body))
        elif isinstance(node, ast.If | ast.Try):
            waiting += ((inner, owner) for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt))


def _decorator(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _by_line(public: re.Pattern[str], language: str, lines: Sequence[str]) -> Iterator[Offered]:
    before = ""
    for number, line in enumerate(lines):
        found = public.match(line)
        # What has several signatures in a row is one thing, which the first speaks for.
        if found is not None and not (found["kind"] == "function" and found["name"] == before):
            yield Offered(found["kind"] or "method", found["name"], number + 1, _has_comment(lines, number, language))
        before = before if found is None else found["name"]


def _has_comment(lines: Sequence[str], number: int, language: str) -> bool:
    """Whether a documentation comment stands right above a line, attributes between."""
    above = number - 1
    while above >= 0 and _ATTRIBUTE.match(lines[above]):
        above -= 1
    last = lines[above].strip() if above >= 0 else ""
    if last.endswith("*/"):
        while above > 0 and "/*" not in lines[above]:
            above -= 1
        return language == "go" or "/**" in lines[above]
    return last.startswith("//" if language == "go" else "///")
