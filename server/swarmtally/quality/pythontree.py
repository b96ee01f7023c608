"""What a Python file's syntax tree says."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from swarmtally.quality.functions import Counting, Function, counted, ways
from swarmtally.quality.loops import Loop, multiplying

DEEP_LOOPS = 3
"""Loops in loops, each over something of its own, from which on they are remarked."""

NESTED_LOOPS, SHIFTED_LIST, UNREACHABLE = "nested-loops", "shifted-list", "unreachable"
"""Rules of our own; what no linter rule finds."""

_CONSTANT = re.compile(r"_*[A-Z][A-Z0-9_]*")
_PRIVATE = re.compile(r"_[A-Za-z0-9]\w*")

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_WITH_BLOCKS = (ast.stmt, ast.Module, ast.ExceptHandler, ast.match_case)
_WORDS = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LEAVES = frozenset({ast.Name, ast.Constant, ast.alias, ast.Pass, ast.Break, ast.Continue})
"""Half of all nodes; nothing stands in them."""

_LOOKED_AT = frozenset({
    ast.Import, ast.ImportFrom, ast.Name, ast.Attribute, ast.Constant, ast.JoinedStr, ast.Call, ast.ClassDef, *_LOOPS,
    *_FUNCTIONS, ast.Module, ast.ExceptHandler, ast.match_case, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.TryStar,
}) - {ast.Lambda}  # fmt: skip
"""Kinds of nodes that `_look` has something to say of."""


@dataclass(frozen=True, slots=True)
class Import:
    """An import that happens when the module is imported."""

    line: int
    module: str
    """Empty in `from . import name`."""
    names: tuple[str, ...]
    """What is taken from it; empty for `import module`."""
    level: int
    """Leading dots."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A private function, method or class that nothing but its own project can mean to use."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Remark:
    rule: str
    line: int


@dataclass(frozen=True, slots=True)
class TreeFacts:
    imports: tuple[Import, ...] = ()
    definitions: tuple[Definition, ...] = ()
    private_names: tuple[str, ...] = ()
    """Names of the private kind that are read, imported or stand in a text."""
    remarks: tuple[Remark, ...] = ()
    fixed_texts: tuple[int, ...] = ()
    """Lines on which an f-string begins that takes nothing but constants: none of it comes from outside."""


@dataclass(slots=True)
class _Found:
    imports: list[Import] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    private_names: set[str] = field(default_factory=set)
    remarks: list[Remark] = field(default_factory=list)
    fixed_texts: list[int] = field(default_factory=list)
    functions: list[Counting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the file a node stands."""

    at_import: bool = True
    """Whether it is executed when the module is imported."""
    loops: tuple[Loop, ...] = ()
    """Those it stands in, outermost first."""
    keeps_methods: bool = True
    """Whether a private method here can only be called from this project: its class has no base that could call it."""
    function: Counting | None = None


def read_tree(tree: ast.Module, code_lines: Sequence[int]) -> tuple[TreeFacts, tuple[Function, ...]]:
    """What a file's tree says, and its functions; `code_lines` are the numbers of its code lines, from 1, in order."""
    found = _Found()
    waiting: list[tuple[ast.AST, _Place]] = [(tree, _Place())]
    while waiting:
        node, place = waiting.pop()
        if place.function is not None:
            place.function.complexity += ways(node)
        if type(node) in _LOOKED_AT:
            _look(node, place, found)
        if type(node) not in _LEAVES:
            waiting.extend(_inside(node, place, found))
    facts = TreeFacts(
        tuple(sorted(found.imports, key=lambda each: each.line)),
        tuple(sorted(found.definitions, key=lambda each: each.line)),
        tuple(sorted(found.private_names)),
        tuple(sorted(found.remarks, key=lambda each: (each.line, each.rule))),
        tuple(sorted(found.fixed_texts)),
    )
    return facts, counted(found.functions, code_lines)


def _inside(node: ast.AST, place: _Place, found: _Found) -> Iterator[tuple[ast.AST, _Place]]:
    if isinstance(node, _FUNCTIONS):
        place = _Place(at_import=False, function=_function(node, place, found))
    elif isinstance(node, ast.ClassDef):
        place = replace(place, loops=(), keeps_methods=not node.bases and not node.keywords)
    if isinstance(node, ast.If) and _for_type_checkers(node):
        yield from ((child, replace(place, at_import=False)) for child in node.body)
        yield from ((child, place) for child in node.orelse)
        return
    body = replace(place, loops=(*place.loops, Loop(node))) if isinstance(node, _LOOPS) else place
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            inside = body if name == "body" else place
            yield from ((child, inside) for child in value if isinstance(child, ast.AST))
        elif isinstance(value, ast.AST) and not isinstance(value, _WORDS):
            yield value, place


def _function(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, place: _Place, found: _Found
) -> Counting | None:
    """The function that what is inside counts for; a lambda is part of the one it stands in."""
    if isinstance(node, ast.Lambda):
        return place.function
    counting = Counting(node)
    found.functions.append(counting)
    if place.function is not None:
        place.function.within.append(counting)
    return counting


def _look(node: ast.AST, place: _Place, found: _Found) -> None:
    match node:
        case ast.Import() | ast.ImportFrom():
            _look_at_import(node, place, found)
        case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name, ctx=ast.Load()):
            _use(name, found)
        case ast.Constant(value=str(text)) if len(text) < 200:
            found.private_names.update(_PRIVATE.findall(text))
        case ast.JoinedStr(values=parts) if all(map(_is_constant, parts)):
            found.fixed_texts.append(node.lineno)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            _define(node, place, found)
        case ast.For() if len(place.loops) >= DEEP_LOOPS - 1 and multiplying((*place.loops, Loop(node))) == DEEP_LOOPS:
            found.remarks.append(Remark(NESTED_LOOPS, node.lineno))
        case ast.Call(func=ast.Attribute(attr=("pop" | "insert") as name), args=[ast.Constant(value=0), *rest]):
            if place.loops and bool(rest) == (name == "insert"):
                found.remarks.append(Remark(SHIFTED_LIST, node.lineno))
    for block in _blocks(node):
        _look_at_block(block, found)


def _look_at_import(node: ast.Import | ast.ImportFrom, place: _Place, found: _Found) -> None:
    for alias in node.names:
        for part in alias.name.split("."):
            _use(part, found)
    if not place.at_import:
        return
    if isinstance(node, ast.Import):
        found.imports.extend(Import(node.lineno, alias.name, (), 0) for alias in node.names)
    else:
        names = tuple(alias.name for alias in node.names)
        found.imports.append(Import(node.lineno, node.module or "", names, node.level))


def _is_constant(part: ast.expr) -> bool:
    """Whether a part of an f-string is text, or something whose name is written as those of constants are."""
    match part:
        case ast.Constant():
            return True
        case ast.FormattedValue(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            return _CONSTANT.fullmatch(name) is not None
    return False


def _use(name: str, found: _Found) -> None:
    if _PRIVATE.fullmatch(name):
        found.private_names.add(name)


def _define(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, place: _Place, found: _Found) -> None:
    """What has a decorator may be registered by it; a name that ends with `_` is one that a library asks for."""
    is_private = _PRIVATE.fullmatch(node.name) and not node.name.endswith("_")
    if is_private and not node.decorator_list and place.keeps_methods:
        found.definitions.append(Definition(node.name, node.lineno))


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    if not isinstance(node, _WITH_BLOCKS):
        return  # the bodies of lambdas and comprehensions are no statements
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block


def _look_at_block(block: list[ast.stmt], found: _Found) -> None:
    for before, after in pairwise(block):
        if isinstance(before, _ENDS) and not _makes_generator(after):
            found.remarks.append(Remark(UNREACHABLE, after.lineno))
            return
    for statement in block:
        if isinstance(statement, ast.If | ast.While) and _never(statement.test):
            found.remarks.append(Remark(UNREACHABLE, statement.lineno))


def _makes_generator(statement: ast.stmt) -> bool:
    """A `yield` after the end of a function is how an empty generator is written."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield)


def _never(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and not test.value


def _for_type_checkers(node: ast.If) -> bool:
    match node.test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
    return False
