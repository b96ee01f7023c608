"""Code that stands in two places."""

import random

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.quality.copies import find_copies
from swarmtally.quality.facts import WINDOW, measured
from tests.quality.project import plain


def lines(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return [f"value_{chance.randrange(10**12)} = compute({chance.randrange(10**12)})" for _ in range(count)]


def copies(**files: list[str]) -> list[tuple[str, int, int, int, str, int]]:
    windows = {path: measured(f"{path}.py", "python", "\n".join(text) + "\n").windows for path, text in files.items()}
    return [(c.file, c.line, c.last_line, c.lines, c.original, c.original_line) for c in find_copies(windows)]


def test_a_block_that_stands_twice_is_one_copy_with_its_place() -> None:
    block = lines(1, 15)
    assert copies(a=[*lines(2, 5), *block], b=[*lines(3, 8), "# a remark", *block, *lines(4, 5)]) == [
        ("b", 10, 24, 15, "a", 6)
    ]


def test_blanks_comments_and_indentation_do_not_hide_a_copy() -> None:
    block = lines(1, 12)
    changed = [text for line in block for text in (f"    {line}", "", "    # a remark")]
    assert copies(a=block, b=["def f():", *changed]) == [("b", 2, 35, 12, "a", 1)]


def test_a_copy_in_the_same_file_counts() -> None:
    block = lines(1, 12)
    assert copies(a=[*block, *lines(2, 3), *block]) == [("a", 16, 27, 12, "a", 1)]


def test_imports_and_short_lines_are_no_copies() -> None:
    imports = [f"from package.module{n} import something_with_a_long_name" for n in range(20)]
    short = ["x()", "y = (", "1,", ")", "z()"] * 4
    assert copies(a=imports, b=imports) == []
    assert copies(a=short, b=short) == []


def test_a_table_of_equal_lines_is_no_copy_of_itself() -> None:
    assert copies(a=["values.append('the same text over and over again')"] * 60) == []


def test_functions_of_the_same_shape_are_no_copies() -> None:
    assert copies(a=plain(20).splitlines(), b=plain(20, "other").splitlines()) == []


@given(st.integers(WINDOW, 40), st.integers(0, 20), st.integers(0, 20))
def test_every_line_of_a_planted_copy_is_counted_and_no_other(length: int, before: int, after: int) -> None:
    block = lines(1, length)
    found = copies(a=block, b=[*lines(2, before), *block, *lines(3, after)])
    assert found == [("b", before + 1, before + length, length, "a", 1)]
