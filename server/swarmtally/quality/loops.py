"""Which loops in loops multiply, and which only walk through nested data."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Loop:
    node: ast.For | ast.AsyncFor | ast.While

    @cached_property
    def sets(self) -> frozenset[str]:
        """The names that it gives values to."""
        return _names(self.node, ast.Store)

    def is_over_its_own(self, around: Sequence["Loop"]) -> bool:
        """Whether it goes over something that no loop around it sets; `while` and `async for` wait for something."""
        if not isinstance(self.node, ast.For):
            return False
        match self.node.iter:
            case ast.Tuple() | ast.List() | ast.Set() | ast.Constant():
                return False  # a few that are written there
            case ast.Call(func=ast.Name(id="range"), args=bounds):
                return not all(isinstance(bound, ast.Constant) for bound in bounds)
        read = _names(self.node.iter, ast.Load)
        return not any(outer.sets & read for outer in around)


def multiplying(loops: Sequence[Loop]) -> int:
    """How many of loops in each other, outermost first, multiply with the innermost; 0 where that does not itself.

    A loop over what an outer one sets walks nested data: each item is seen once, however many loops that takes.
    """
    own = [loop.is_over_its_own(loops[:number]) for number, loop in enumerate(loops)]
    return sum(own) if own[-1] else 0


def _names(node: ast.AST, context: type[ast.expr_context]) -> frozenset[str]:
    return frozenset(each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, context))
