"""Which Python tests check something: a test that asserts nothing fails only when the code under it raises."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_CHECKING = ("assert", "expect", "raises", "warns", "fail", "deprecated_call")
"""How the names of calls begin that check: `assertEqual`, `assert_called_once`, `pytest.raises`, `self.fail`."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a test file, by what it asserts itself and what it uses."""

    name: str
    line: int
    is_test: bool
    asserts: bool
    uses: frozenset[str]
    """Names it calls, and its parameters, which may be fixtures."""


def functions(tree: ast.Module) -> list[Function]:
    """The functions of a test file, those in classes too; what stands inside a function is part of it."""
    return [_function(node, owner) for node, owner in _defined(tree)]


def _defined(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef | None]]:
    waiting: list[tuple[ast.stmt, ast.ClassDef | None]] = [(node, None) for node in reversed(tree.body)]
    while waiting:
        node, owner = waiting.pop()
        if isinstance(node, _FUNCTIONS):
            yield node, owner
        elif isinstance(node, ast.ClassDef):
            waiting += ((inner, node) for inner in reversed(node.body))
        else:
            # Under `if` and `try`, where tests of one platform stand.
            waiting += ((inner, owner) for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt))


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef | None) -> Function:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    uses = {argument.arg for argument in arguments}
    asserts = False
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            asserts = True
        elif isinstance(inner, ast.Call):
            uses.add(_called(inner.func))
    asserts = asserts or any(name.lstrip("_").lower().startswith(_CHECKING) for name in uses)
    return Function(node.name, node.lineno, _is_test(node, owner), asserts, frozenset(uses - {""}))


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_test(node: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef | None) -> bool:
    """Whether pytest or unittest takes it for a test by its name."""
    if not node.name.startswith("test") or any(_is_fixture(one) for one in node.decorator_list):
        return False
    if owner is None:
        return True
    bases = [_called(base) for base in owner.bases]
    return owner.name.startswith("Test") or any("Test" in base for base in bases)


def _is_fixture(decorator: ast.expr) -> bool:
    return _called(decorator.func if isinstance(decorator, ast.Call) else decorator) == "fixture"


def checking_names(found: Iterable[Function]) -> frozenset[str]:
    """The names of functions in test files that check something, themselves or through others of them.

    By name, not by import: where two share a name and one of them checks, both count as checking.
    """
    callers: dict[str, set[str]] = {}
    checking: set[str] = set()
    for one in found:
        if one.asserts:
            checking.add(one.name)
        for used in one.uses:
            callers.setdefault(used, set()).add(one.name)
    waiting = list(checking)
    while waiting:
        new = callers.get(waiting.pop(), set()) - checking
        checking |= new
        waiting += new
    return frozenset(checking)


def without_assertion(found: Sequence[Function], checking: frozenset[str]) -> list[Function]:
    """The tests that check nothing, neither themselves nor through what they call."""
    return [one for one in found if one.is_test and not one.asserts and not one.uses & checking]
