"""The functions of a file in figures. Those of Python are counted in its syntax tree, by lizard's rules."""

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    line: int
    complexity: int
    """McCabe (1976): the number of independent paths, as lizard counts it."""
    lines: int
    """Without blanks and comments."""
    parameters: int


@dataclass(slots=True)
class Counting:
    """A Python function while its nodes are looked at."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    complexity: int = 1
    within: list["Counting"] = field(default_factory=list)
    """The functions that it defines. They are counted by themselves; the line that begins one counts for both."""


_BRANCHING = frozenset({
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.BoolOp, ast.comprehension,
    ast.match_case, ast.Try, ast.TryStar,
})  # fmt: skip


def ways(node: ast.AST) -> int:
    """How many ways a node adds to those through its function; `finally` and each `and` or `or` are one, too."""
    if type(node) not in _BRANCHING:
        return 0
    match node:
        case ast.BoolOp(values=values):
            return len(values) - 1
        case ast.comprehension(ifs=conditions):
            return 1 + len(conditions)
        case ast.match_case(guard=guard):
            return 1 if guard is None else 2
        case ast.Try(finalbody=last) | ast.TryStar(finalbody=last):
            return 1 if last else 0
    return 1


def counted(countings: Sequence[Counting], code_lines: Sequence[int]) -> tuple[Function, ...]:
    """The functions in order; `code_lines` are the numbers of the file's code lines, from 1, in order."""

    def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        return bisect_right(code_lines, node.end_lineno or node.lineno) - bisect_left(code_lines, node.lineno)

    return tuple(
        Function(
            each.node.name,
            each.node.lineno,
            each.complexity,
            lines(each.node) - sum(lines(inner.node) - 1 for inner in each.within),
            _parameters(each.node.args),
        )
        for each in sorted(countings, key=lambda each: each.node.lineno)
    )


def _parameters(given: ast.arguments) -> int:
    named = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
    return named + (given.vararg is not None) + (given.kwarg is not None)
