"""Which modules of a Python project import which when they are imported themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from swarmtally.quality.pythontree import Import

_FOLDERS_ABOVE = 8
"""Of the target; no package is nested deeper."""


@dataclass(frozen=True, slots=True)
class ImportGraph:
    """Modules are files, by path."""

    imports: Mapping[str, Mapping[str, int]]
    """The modules that each imports, and the line that does it first."""

    def fan_in(self) -> dict[str, int]:
        """How many modules import each one."""
        counts = dict.fromkeys(self.imports, 0)
        for imported in self.imports.values():
            for module in imported:
                counts[module] += 1
        return counts

    def tangles(self) -> list[list[str]]:
        """Groups of modules of which each needs every other: strongly connected components (Tarjan, 1972)."""
        return [sorted(group) for group in _components(self.imports) if len(group) > 1]

    def shortest_cycle(self, tangle: list[str]) -> list[str]:
        """A shortest way from a tangle's first module back to it; begins and ends with it."""
        start, inside = tangle[0], set(tangle)
        ways = {start: [start]}
        waiting = [start]
        for module in waiting:
            for imported in sorted(self.imports[module]):
                if imported == start:
                    return [*ways[module], start]
                if imported in inside and imported not in ways:
                    ways[imported] = [*ways[module], imported]
                    waiting.append(imported)
        raise ValueError(f"{start} is in no cycle")


def import_graph(imports: Mapping[str, tuple[Import, ...]], root: tuple[str, ...] = ()) -> ImportGraph:
    """The graph of Python files, from the imports of each by its path.

    Args:
        root: the names of the folders that the paths lie in, outermost first: a part of a package imports by them.
    """
    root = root[-_FOLDERS_ABOVE:]
    names = _names(imports, root)
    packages = {path: _package(path, imports, root) for path in imports}
    graph: dict[str, dict[str, int]] = {}
    for path, own in imports.items():
        found: dict[str, int] = {}
        for each in own:
            for imported in _imported(each, packages[path], names):
                if imported != path:
                    found.setdefault(imported, each.line)
        graph[path] = found
    return ImportGraph(graph)


def _names(paths: Mapping[str, object], root: tuple[str, ...]) -> dict[str, str]:
    """What a file can be imported as: from above its outermost package, else from any folder above that.

    A name that several files could have in the second way is nobody's, but that from the target's root counts.
    """
    surely: dict[str, str] = {}
    perhaps: dict[str, str | None] = {}
    for path in paths:
        parts = _parts(path)
        surely.setdefault(".".join(parts), path)
    for path in paths:
        parts, outside = _parts(path), _outside(path, paths)
        surely[".".join(parts[outside:])] = path
        for begin in range(1, outside):
            name = ".".join(parts[begin:])
            perhaps[name] = None if name in perhaps else path
        for begin in range(len(root)):
            perhaps[".".join([*root[begin:], *parts])] = path
    return {name: path for name, path in perhaps.items() if path is not None} | surely


def _parts(path: str) -> list[str]:
    parts = path.removesuffix(".py").split("/")
    return parts[:-1] if parts[-1] == "__init__" else parts


def _outside(path: str, paths: Mapping[str, object]) -> int:
    """How many of a file's folders lie above its outermost package."""
    folders = path.split("/")[:-1]
    depth = len(folders)
    while depth and "/".join([*folders[:depth], "__init__.py"]) in paths:
        depth -= 1
    return depth


def _package(path: str, paths: Mapping[str, object], root: tuple[str, ...]) -> list[str]:
    """The package in which a file's relative imports begin; where it reaches up to the target, it may go on above."""
    folders, outside = path.split("/")[:-1], _outside(path, paths)
    return folders[outside:] if outside else [*root, *folders]


def _imported(each: Import, package: list[str], names: Mapping[str, str]) -> Iterator[str]:
    """The project's own modules that an import statement takes; of a package's names, the modules among them."""
    base = each.module.split(".") if each.module else []
    if each.level:
        if each.level - 1 > len(package):
            return
        base = package[: len(package) - each.level + 1] + base
    module = ".".join(base)
    inner = [path for name in each.names if (path := names.get(f"{module}.{name}" if module else name))]
    yield from inner
    path = names.get(module)
    if path and (len(inner) < len(each.names) or not each.names):
        yield path


def _components(graph: Mapping[str, Mapping[str, int]]) -> Iterator[list[str]]:
    """Tarjan's algorithm with a stack of its own, since a chain of imports can be longer than Python's."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    for root in graph:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        open_nodes.append(root)
        is_open.add(root)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = open_nodes[open_nodes.index(node) :]
                    del open_nodes[-len(component) :]
                    is_open.difference_update(component)
                    yield component
            elif following not in index:
                index[following] = low[following] = len(index)
                open_nodes.append(following)
                is_open.add(following)
                work.append((following, iter(graph[following])))
            elif following in is_open:
                low[node] = min(low[node], index[following])


def in_words(cycle: list[str]) -> str:
    """A cycle of at most six modules written out, a longer one with its middle left out."""
    shown = [*cycle[:3], "…", *cycle[-2:]] if len(cycle) > 7 else cycle
    return " → ".join(shown)


def steps(cycle: list[str]) -> Iterator[tuple[str, str]]:
    """Each module of a cycle with the one it imports."""
    return pairwise(cycle)
