"""Which Python tests check something: a test that asserts nothing fails only when the code under it raises."""

import ast
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_CHECKING = ("assert", "expect", "raises", "warns", "fail", "deprecated_call")
"""How the names of calls begin that check: `assertEqual`, `assert_called_once`, `pytest.raises`, `self.fail`."""

_AMBIGUOUS = 20
"""Files of one name from which on only those in or below the folder of the file that imports it are looked at."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a test file, by what it asserts itself and what it uses."""

    name: str
    line: int
    is_test: bool
    asserts: bool
    uses: frozenset[str]
    """Names it calls, and its parameters, which may be fixtures."""


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file of tests or of what belongs to tests."""

    path: str
    functions: tuple[Function, ...]
    modules: frozenset[str]
    """What it imports, dotted; what is imported from a package may be a module too."""


def read(path: str, tree: ast.Module) -> TestFile:
    """What a test file holds."""
    return TestFile(path, tuple(functions(tree)), frozenset(_imported(path, tree)))


def _imported(path: str, tree: ast.Module) -> Iterator[str]:
    folder = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


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


def without_assertion(files: Sequence[TestFile]) -> Iterator[tuple[str, Function]]:
    """The tests that check nothing, neither themselves nor through what they call, with their files.

    Names are looked up in the file itself, in the test files that it imports from, and in each conftest.py on the way
    to it; among these they are told apart by name only, so that in doubt a test counts as checking.
    """
    checking = {file.path: {one.name for one in file.functions if one.asserts} for file in files}
    scopes = _scopes(files)
    while _spread(files, scopes, checking):
        pass
    for file in files:
        yield from ((file.path, one) for one in file.functions if one.is_test and one.name not in checking[file.path])


def _spread(files: Sequence[TestFile], scopes: Mapping[str, frozenset[str]], checking: Mapping[str, set[str]]) -> bool:
    """Add to each file's checking functions those that use one; whether there was any."""
    grown = False
    for file in files:
        near = set[str]().union(*(checking[path] for path in scopes[file.path]))
        new = {one.name for one in file.functions if one.uses & near} - checking[file.path]
        checking[file.path].update(new)
        grown = grown or bool(new)
    return grown


def _scopes(files: Sequence[TestFile]) -> dict[str, frozenset[str]]:
    """Path → the paths in which what a file uses may be defined."""
    by_module: dict[str, set[str]] = {}
    for file in files:
        parts = file.path.removesuffix(".py").removesuffix("/__init__").split("/")
        for begin in range(len(parts)):
            by_module.setdefault(".".join(parts[begin:]), set()).add(file.path)
    paths = {file.path for file in files}
    return {file.path: frozenset(_scope(file, by_module, paths)) for file in files}


def _scope(file: TestFile, by_module: Mapping[str, set[str]], paths: Container[str]) -> Iterator[str]:
    yield file.path
    yield from _conftests(file.path, paths)
    folder = file.path.rpartition("/")[0]
    for module in file.modules:
        named = by_module.get(module, set())
        # Where many files share a name, as in a folder of many projects, the near ones are meant.
        yield from named if len(named) <= _AMBIGUOUS else (path for path in named if path.startswith(folder))


def _conftests(path: str, paths: Container[str]) -> Iterator[str]:
    folders = path.split("/")[:-1]
    for count in range(len(folders) + 1):
        conftest = "/".join([*folders[:count], "conftest.py"])
        if conftest in paths:
            yield conftest
