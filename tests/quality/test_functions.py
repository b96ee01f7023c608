"""Python's functions, counted in the tree as lizard counts them in the text."""

import ast

import lizard
import pytest

from swarmtally.quality.functions import Function
from swarmtally.quality.pythontree import read_tree
from swarmtally.quality.texts import code_line_numbers

BODIES = {
    "if": "if a:\n        b()\n    elif c:\n        d()\n    else:\n        e()",
    "loops": "for a in b:\n        while c:\n            d()",
    "words": "return a and b or c and not d",
    "choice": "return a if b else c",
    "parts": "return [a for a in b if c if d] + [*(e for f in g for e in f)]",
    "errors": "try:\n        a()\n    except (B, C):\n        d()\n    except E:\n        f()\n    finally: g()",
    "cases": "match a:\n        case [b, c] if d:\n            e()\n        case _:\n            f()",
    "lambda": "return lambda a: a if b else c",
    "within": "def inner(x, *y):\n        if x:\n            return y\n    return inner",
    "text": 'a = """\nif b and c:\n"""\n    return f"{a if d else e}"',
    "class": "class Inner:\n        def method(self):\n            return 1 or 2\n    return Inner",
}


def counted(text: str) -> list[Function]:
    return list(read_tree(ast.parse(text), [number + 1 for number in code_line_numbers(text, "python")])[1])


@pytest.mark.parametrize("body", BODIES)
def test_the_tree_says_what_lizard_says(body: str) -> None:
    text = f"async def f(a, /, b=1, *c, d, **e):\n    # a remark\n    {BODIES[body]}\n"
    found = lizard.analyze_file.analyze_source_code("a.py", text).function_list
    figures = [(one.start_line, one.cyclomatic_complexity, one.nloc, one.parameter_count) for one in found]
    assert [(one.line, one.complexity, one.lines, one.parameters) for one in counted(text)] == sorted(figures)


def test_functions_of_one_line_are_counted() -> None:
    text = "class A:\n    def f(self): ...\n    def g(self): return 1 if self else 2\n"
    assert counted(text) == [Function("f", 2, 1, 1, 1), Function("g", 3, 2, 1, 1)]
