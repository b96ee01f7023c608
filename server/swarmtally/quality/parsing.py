"""Python files as syntax trees. They are parsed, never compiled, imported or run."""

import ast
import warnings


def parsed(text: str) -> ast.Module | None:
    """The tree of a Python file, or None where this Python's parser refuses it or it is nested too deep."""
    with warnings.catch_warnings():
        # What a target writes is not ours to be warned of.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
