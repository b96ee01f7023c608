"""The six criteria that analysers find faults for: what counts for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from swarmtally.quality.copies import Copy, find_copies
from swarmtally.quality.facts import FileFacts
from swarmtally.quality.functions import Function
from swarmtally.quality.graph import ImportGraph, import_graph, in_words
from swarmtally.quality.languages import PYTHON
from swarmtally.quality.linting import Linted
from swarmtally.quality.model import Assessment, Criterion, Finding, Measure, SourceFile
from swarmtally.quality.pythontree import NESTED_LOOPS, SHIFTED_LIST, UNREACHABLE
from swarmtally.quality.scoring import heaviest, not_scored, scored

COMPLEX = 10
"""McCabe's own limit for a function's complexity (1976)."""

LONG = 60
"""Code lines of a function; what fits on a printed page (Holzmann, 2006)."""

WIDE = 7
"""Parameters of a function."""

CROWDED = 20
"""A module that so many import and that imports as many itself is a hub: every change passes through it."""

COUNTED = {
    Criterion.PERFORMANCE: "ruff's PERF, other needless passes, three loops in each other, lists shifted in loops",
    Criterion.EFFICIENCY: "ruff's C4 and FURB, objects made for nothing, files left open",
    Criterion.SCALABILITY: "ruff's ASYNC (blocking calls), global state, import cycles, hubs among modules",
    Criterion.MAINTAINABILITY: "complex, long and wide functions (lizard), copied code, dead code, ruff's PL and SIM",
    Criterion.RELIABILITY: "ruff's B, BLE, TRY, PLE and F: swallowed errors, undefined names, likely bugs",
    Criterion.SECURITY: "ruff's S (bandit) without asserts",
}

_RULE_CRITERION = {
    NESTED_LOOPS: (
        Criterion.PERFORMANCE,
        0.5,
        "three or more loops in each other",
        "look the inner values up in a dict",
    ),
    SHIFTED_LIST: (
        Criterion.PERFORMANCE,
        0.5,
        "a list is shifted in a loop, which is quadratic",
        "use collections.deque",
    ),
    UNREACHABLE: (Criterion.MAINTAINABILITY, 1.0, "unreachable code", "delete it"),
}


@dataclass(frozen=True)
class Material:
    """What the analysers said of a target's code outside tests."""

    files: Sequence[SourceFile]
    facts: Mapping[str, FileFacts]
    linted: Linted
    root: Path

    @cached_property
    def python(self) -> list[SourceFile]:
        return [file for file in self.files if file.language == PYTHON]

    @cached_property
    def python_lines(self) -> int:
        return sum(file.code_lines for file in self.python)

    @cached_property
    def lines(self) -> int:
        return sum(file.code_lines for file in self.files)

    @cached_property
    def graph(self) -> ImportGraph:
        imports = {file.path: self.facts[file.path].tree.imports for file in self.python}
        return import_graph(imports, self.root.parts[1:])

    def of_rules(self, criterion: Criterion) -> list[Finding]:
        """What ruff and the rules of our own found, one a line."""
        return heaviest(self._of_rules(criterion))

    def _of_rules(self, criterion: Criterion) -> Iterator[Finding]:
        for finding in self.linted.findings:
            if finding.criterion is criterion and not self._is_fixed_sql(finding):
                yield finding
        for file in self.python:
            for remark in self.facts[file.path].tree.remarks:
                spoken_for, weight, message, fix = _RULE_CRITERION[remark.rule]
                if spoken_for is criterion:
                    yield Finding(criterion, file.path, remark.line, remark.rule, message, fix, weight)

    def _is_fixed_sql(self, finding: Finding) -> bool:
        """Whether ruff takes for a possible injection what only puts constants together."""
        return finding.rule == "S608" and finding.line in self.facts[finding.file].tree.fixed_texts


def assessed(criterion: Criterion, material: Material) -> Assessment:
    """One of the six criteria, by what the analysers said."""
    if criterion is Criterion.MAINTAINABILITY:
        return _maintainability(material)
    counted = COUNTED[criterion]
    if not material.python_lines:
        return not_scored(criterion, _why_no_python(material), counted)
    if criterion is Criterion.SCALABILITY:
        return _scalability(material)
    return scored(criterion, material.of_rules(criterion), material.python_lines, (), (PYTHON,), counted)


def _why_no_python(material: Material) -> str:
    others = sorted({file.language for file in material.files})
    found = f"there is only {', '.join(others)}" if others else "there is no code outside tests"
    return f"this is measured in Python only, and {found}"


def _scalability(material: Material) -> Assessment:
    criterion = Criterion.SCALABILITY
    graph = material.graph
    tangles = graph.tangles()
    fan_in = graph.fan_in()
    findings = [*material.of_rules(criterion), *_cycles(graph, tangles), *_hubs(graph, fan_in)]
    measures = (
        Measure("modules", len(graph.imports), "modules"),
        Measure("import_cycles", len(tangles), "groups of modules that need each other"),
        Measure("modules_in_cycles", sum(map(len, tangles)), "modules"),
        Measure("highest_fan_in", max(fan_in.values(), default=0), "modules that import the same one"),
        Measure("blocking_calls", sum(each.rule.startswith("ASYNC2") for each in findings), "calls in async functions"),
    )
    return scored(criterion, findings, material.python_lines, measures, (PYTHON,), COUNTED[criterion])


def _cycles(graph: ImportGraph, tangles: list[list[str]]) -> Iterator[Finding]:
    for tangle in tangles:
        cycle = graph.shortest_cycle(tangle)
        line = graph.imports[cycle[0]][cycle[1]]
        message = f"{len(tangle)} modules import each other: {in_words(cycle)}"
        fix = "move what both sides need into a module of its own"
        yield Finding(Criterion.SCALABILITY, cycle[0], line, "import-cycle", message, fix, float(len(tangle)))


def _hubs(graph: ImportGraph, fan_in: Mapping[str, int]) -> Iterator[Finding]:
    for module, imported in graph.imports.items():
        if fan_in[module] >= CROWDED and len(imported) >= CROWDED:
            message = f"imported by {fan_in[module]} modules, and imports {len(imported)}"
            fix = "split it, so that a change reaches fewer modules"
            yield Finding(Criterion.SCALABILITY, module, 1, "hub", message, fix, 2.0)


def _maintainability(material: Material) -> Assessment:
    criterion = Criterion.MAINTAINABILITY
    if not material.lines:
        reason = "there is no code outside tests in a language that is read"
        return not_scored(criterion, reason, COUNTED[criterion])
    copies = find_copies({file.path: material.facts[file.path].windows for file in material.files})
    unused = list(_unused(material))
    findings = [*material.of_rules(criterion), *_functions(material), *map(_copied, copies), *unused]
    functions = [function for file in material.files for function in material.facts[file.path].functions]
    share = 100 * sum(copy.lines for copy in copies) / material.lines
    measures = (
        Measure("functions", len(functions), "functions"),
        _share("complex_functions", [each.complexity > COMPLEX for each in functions], f"above complexity {COMPLEX}"),
        _share("long_functions", [each.lines > LONG for each in functions], f"of more than {LONG} lines"),
        Measure("copied_lines", round(share, 3), "percent of code lines"),
        Measure("unused_definitions", len(unused), "private functions, methods and classes"),
    )
    languages = tuple(sorted({file.language for file in material.files}))
    return scored(criterion, findings, material.lines, measures, languages, COUNTED[criterion])


def _share(name: str, marked: list[bool], which: str) -> Measure:
    if not marked:
        return Measure(name, None, f"percent {which}", "there are no functions")
    return Measure(name, round(100 * sum(marked) / len(marked), 3), f"percent {which}")


def _functions(material: Material) -> Iterator[Finding]:
    for file in material.files:
        for function in material.facts[file.path].functions:
            for rule, weight, message, fix in _faults(function):
                text = f"{function.name[:100]} {message}"
                yield Finding(Criterion.MAINTAINABILITY, file.path, function.line, rule, text, fix, weight)


def _faults(function: Function) -> Iterator[tuple[str, float, str, str]]:
    """Rule, weight, message and fix; twice the limit weighs twice as much, up to 5."""
    if function.complexity > COMPLEX:
        weight = min(function.complexity / COMPLEX, 5.0)
        yield "complexity", weight, f"has complexity {function.complexity}, more than {COMPLEX}", "split it"
    if function.lines > LONG:
        weight = min(function.lines / LONG, 5.0)
        yield "function-length", weight, f"has {function.lines} code lines, more than {LONG}", "split it"
    if function.parameters > WIDE:
        fix = "put what belongs together into one value"
        yield "parameters", 0.5, f"takes {function.parameters} parameters, more than {WIDE}", fix


def _copied(copy: Copy) -> Finding:
    message = f"{copy.lines} code lines to line {copy.last_line} repeat {copy.original}:{copy.original_line}"
    fix = "move them into one function that both places call"
    return Finding(Criterion.MAINTAINABILITY, copy.file, copy.line, "copied-code", message, fix, copy.lines / 10)


def _unused(material: Material) -> Iterator[Finding]:
    """Private definitions of which no file outside tests says the name."""
    used = {name for file in material.python for name in material.facts[file.path].tree.private_names}
    for file in material.python:
        for definition in material.facts[file.path].tree.definitions:
            if definition.name not in used:
                message = f"{definition.name} is private and never used"
                yield Finding(
                    Criterion.MAINTAINABILITY, file.path, definition.line, "unused", message, "delete it", 1.0
                )
