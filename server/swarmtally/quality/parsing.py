"""Python files as syntax trees. They are parsed, never compiled, imported or run."""

import ast
import warnings

REFUSED = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser raises for what it cannot take."""


def parsed(text: str) -> ast.Module | None:
    """The tree of a Python file, or None where this Python's parser refuses it or it is nested too deep."""
    try:
        return tree_of(text)
    except REFUSED:
        return None


def tree_of(text: str) -> ast.Module:
    """The tree of a Python file. Raises one of `REFUSED`."""
    with warnings.catch_warnings():
        # What a target writes is not ours to be warned of.
        warnings.simplefilter("ignore")
        return ast.parse(text)
