"""Which module imports which, and where that goes round."""

import ast
from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.quality.graph import ImportGraph, import_graph, in_words
from swarmtally.quality.pythontree import read_tree


def graph(files: Mapping[str, str], root: tuple[str, ...] = ()) -> ImportGraph:
    return import_graph({path: read_tree(ast.parse(text), ())[0].imports for path, text in files.items()}, root)


def edges(files: Mapping[str, str], root: tuple[str, ...] = ()) -> set[tuple[str, str]]:
    return {(path, to) for path, imported in graph(files, root).imports.items() for to in imported}


def test_every_way_to_import_a_module_is_an_edge() -> None:
    files = {
        "src/app/__init__.py": "",
        "src/app/a.py": "import app.b\nfrom app import c\nfrom . import d\nfrom .e import x\nfrom .inner import f\n",
        **{f"src/app/{name}.py": "" for name in "bcde"},
        "src/app/inner/__init__.py": "",
        "src/app/inner/f.py": "from .. import b\nfrom ..c import y\nimport os\n",
    }
    a, f = "src/app/a.py", "src/app/inner/f.py"
    assert edges(files) == {
        *((a, f"src/app/{name}.py") for name in ("b", "c", "d", "e", "inner/f")),
        (f, "src/app/b.py"),
        (f, "src/app/c.py"),
    }


def test_a_name_of_a_package_is_an_import_of_the_package() -> None:
    assert edges({"app/__init__.py": "NAME = 1", "main.py": "from app import NAME"}) == {("main.py", "app/__init__.py")}


def test_a_part_of_a_package_knows_itself_by_the_names_above_it() -> None:
    files = {
        "__init__.py": "",
        "a.py": "from shop.store import b\nfrom shop.store.inner.c import X\nimport shop.other\nimport store",
        "b.py": "from ..store import a\nfrom ..other import a\nfrom . import inner",
        "inner/__init__.py": "",
        "inner/c.py": "from ...store.b import X\nimport b",
    }
    assert edges(files, ("home", "shop", "store")) == {
        ("a.py", "b.py"),
        ("a.py", "inner/c.py"),
        ("a.py", "__init__.py"),
        ("b.py", "a.py"),
        ("b.py", "inner/__init__.py"),
        ("inner/c.py", "b.py"),
    }


def test_packages_without_init_files_are_known_by_the_folders_they_lie_in() -> None:
    files = {"src/app/a.py": "from app.inner import b\nimport same.c", "src/app/inner/b.py": "import app.a"}
    twice = {"one/same/c.py": "", "two/same/c.py": ""}
    assert edges(files | twice) == {("src/app/a.py", "src/app/inner/b.py"), ("src/app/inner/b.py", "src/app/a.py")}


def test_what_is_imported_later_or_for_type_checkers_is_no_edge() -> None:
    text = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\nelse:\n    import c\n"
        "def f():\n    import b\nclass K:\n    import d\n"
    )
    assert edges({"a.py": text, "b.py": "", "c.py": "", "d.py": ""}) == {("a.py", "c.py"), ("a.py", "d.py")}


def test_a_tangle_and_its_shortest_cycle_are_found() -> None:
    found = graph(
        {"a.py": "import b", "b.py": "import c\nimport d", "c.py": "import a", "d.py": "import c", "e.py": "import a"}
    )
    assert found.tangles() == [["a.py", "b.py", "c.py", "d.py"]]
    assert found.shortest_cycle(found.tangles()[0]) == ["a.py", "b.py", "c.py", "a.py"]
    assert found.fan_in() == {"a.py": 2, "b.py": 1, "c.py": 2, "d.py": 1, "e.py": 0}


def test_a_very_long_chain_does_not_exhaust_the_stack() -> None:
    found = ImportGraph({str(n): {str((n + 1) % 5_000): 1} for n in range(5_000)})
    assert [len(tangle) for tangle in found.tangles()] == [5_000]
    assert in_words(["a", "b", "c", "d", "e", "f", "g", "h", "a"]) == "a → b → c → … → h → a"


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9)), max_size=10))
def test_modules_are_tangled_exactly_when_each_reaches_the_other(imports: dict[int, set[int]]) -> None:
    nodes = {str(n): {str(to): 1 for to in imports.get(n, set()) if to != n} for n in range(10)}
    found = ImportGraph(nodes)

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = nodes[waiting.pop()].keys() - seen
            seen |= new
            waiting.extend(new)
        return seen

    reach = {node: reached(node) for node in nodes}
    tangled = {frozenset(tangle) for tangle in found.tangles()}
    expected = {frozenset({a, *(b for b in reach[a] if a in reach[b])}) for a in nodes if a in reach[a]}
    assert tangled == expected
    for tangle in found.tangles():
        cycle = found.shortest_cycle(tangle)
        assert cycle[0] == cycle[-1]
        assert all(to in nodes[by] for by, to in pairwise(cycle))
