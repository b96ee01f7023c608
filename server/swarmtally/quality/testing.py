"""How well a target is tested: coverage that its own tools recorded, tests beside code, tests that check nothing."""

import re
from collections.abc import Mapping, Sequence

from swarmtally.quality import asserting, coverage
from swarmtally.quality.coverage import FileCoverage
from swarmtally.quality.languages import PYTHON
from swarmtally.quality.model import MAX_FINDINGS, Assessment, Criterion, Finding, Measure, SourceFile, Sources
from swarmtally.quality.parsing import parsed

HALF_RATIO = 0.25
"""Lines of tests for a line of code at which the part for tests is half of 10."""

COVERAGE_WEIGHT = 2 / 3
"""What coverage counts of the score where there is any; the tests themselves count the rest."""

_TESTS = f"T = 10 (1 - 2^(-ratio / {HALF_RATIO:g})) x share of tests that assert"
_ALONE = f"{_TESTS}; without coverage data the score is T"
_BOTH = f"(2 C + T) / 3; C = 10 x share of lines and branches reached; {_TESTS}"

_INLINE_TESTS = re.compile(r"^\s*#\[cfg\((?:test|all\(test\b.*)\)\]", re.MULTILINE)
"""Where the tests of a Rust file begin; they stand at its end."""


def assess_testing(sources: Sources) -> Assessment:
    """The score, measures and findings for `testing`; see docs/quality.md for the formula."""
    code, tests = _lines(sources.files)
    if not code:
        reason = "holds tests and no code" if tests else "holds no code"
        return Assessment(Criterion.TESTING, None, f"the target {reason}", _ALONE, 0, (), (), ())
    ratio = tests / code
    share, asserting_measures, without = _assertions(sources.files)
    reached, coverage_measures, uncovered = _coverage(sources)
    if sources.is_part and not tests and reached is None:
        reason = "the target is a part of a project and holds no tests; assess the whole project, where they may lie"
        return Assessment(Criterion.TESTING, None, reason, _ALONE, 0, (), (), ())
    own = 10 * (1 - 2 ** (-ratio / HALF_RATIO)) * (1 - (share or 0.0))
    score = own if reached is None else COVERAGE_WEIGHT * 10 * reached + (1 - COVERAGE_WEIGHT) * own
    measures = (
        *coverage_measures,
        Measure("test_lines_per_code_line", round(ratio, 4), "lines of tests / line of code"),
        *asserting_measures,
    )
    findings = sorted((*without, *uncovered), key=lambda one: (-one.weight, one.file, one.line))
    return Assessment(
        Criterion.TESTING,
        round(score, 2),
        None,
        _ALONE if reached is None else _BOTH,
        code,
        measures,
        tuple(findings[:MAX_FINDINGS]),
        tuple(sorted({file.language for file in sources.files})),
    )


def _lines(files: Sequence[SourceFile]) -> tuple[int, int]:
    """Lines of code and of tests; a Rust file's own tests count as tests."""
    code = tests = 0
    for file in files:
        inline = 0 if file.is_test else _inline_tests(file)
        tests += file.code_lines if file.is_test else inline
        code += 0 if file.is_test else file.code_lines - inline
    return code, tests


def _inline_tests(file: SourceFile) -> int:
    begins = _INLINE_TESTS.search(file.text) if file.language == "rust" else None
    if begins is None:
        return 0
    blank_free = sum(1 for line in file.text[begins.start() :].splitlines() if line.strip())
    return min(blank_free, file.code_lines)


def _assertions(files: Sequence[SourceFile]) -> tuple[float | None, list[Measure], list[Finding]]:
    """The share of Python tests that assert nothing; None where there is no Python test."""
    found = [
        asserting.read(file.path, tree)
        for file in files
        if file.is_test and file.language == PYTHON and (tree := parsed(file.text)) is not None
    ]
    tests = sum(function.is_test for file in found for function in file.functions)
    if not tests:
        reason = "no tests in Python; which tests of other languages assert is not measured"
        return None, [Measure("tests_without_assertion", None, "share of Python tests", reason)], []
    findings = [
        Finding(
            Criterion.TESTING,
            path,
            test.line,
            "test-without-assertion",
            f"{test.name} asserts nothing: it fails only when what it calls raises",
            "assert what it should come to",
            1.0,
        )
        for path, test in asserting.without_assertion(found)
    ]
    share = len(findings) / tests
    return share, [Measure("tests_without_assertion", round(share, 4), "share of Python tests")], findings


def _coverage(sources: Sources) -> tuple[float | None, list[Measure], list[Finding]]:
    """The share of recorded lines and branches that tests reached; None without data for this target's code."""
    data, faults = coverage.find(sources)
    code = {file.path: file for file in sources.files if not file.is_test}
    named = coverage.located(data, code)
    fresh = {path: one for path, one in named.items() if max(one.hits) <= _length(code[path])}
    if not fresh:
        return None, [_no_coverage(data, faults, named)], []
    lines = sum(len(one.hits) for one in fresh.values())
    branches = sum(one.branches for one in fresh.values())
    lines_hit = sum(one.reached for one in fresh.values())
    branches_hit = sum(one.branches_hit for one in fresh.values())
    measured = sum(code[path].code_lines for path in fresh) / max(1, sum(file.code_lines for file in code.values()))
    measures = [
        Measure("line_coverage", round(lines_hit / lines, 4), "share of recorded lines"),
        Measure(
            "branch_coverage",
            round(branches_hit / branches, 4) if branches else None,
            "share of recorded branches",
            None if branches else "the coverage data holds no branches",
        ),
        Measure("code_with_coverage_data", round(measured, 4), "share of code lines"),
    ]
    return (lines_hit + branches_hit) / (lines + branches), measures, _uncovered(fresh)


def _length(file: SourceFile) -> int:
    return file.text.count("\n") + 1


def _no_coverage(
    data: Sequence[coverage.CoverageData], faults: Sequence[str], named: Mapping[str, FileCoverage]
) -> Measure:
    if named:
        reason = "the coverage data is of other versions of these files: it has lines beyond their ends"
    elif data:
        reason = f"{data[0].source} names none of the target's code"
    elif faults:
        reason = faults[0]
    else:
        reason = "no coverage.xml or lcov.info; let the tests write one"
    return Measure("line_coverage", None, "share of recorded lines", reason)


def _uncovered(files: Mapping[str, FileCoverage]) -> list[Finding]:
    """A finding for each file with lines that no test reached, at the longest stretch of them."""
    findings = []
    for path, one in files.items():
        missed = one.missed
        if missed:
            begin, length = _longest(missed)
            findings.append(
                Finding(
                    Criterion.TESTING,
                    path,
                    begin,
                    "lines-not-reached",
                    f"{len(missed)} of {len(one.hits)} recorded lines are reached by no test, {length} from here on",
                    "add a test that reaches them, or remove what nothing needs",
                    len(missed) / 10,
                )
            )
    return findings


def _longest(numbers: Sequence[int]) -> tuple[int, int]:
    """The first and the length of the longest run of consecutive numbers."""
    best = (numbers[0], 0)
    begin = before = numbers[0]
    for number in numbers:
        if number > before + 1:
            begin = number
        before = number
        if number - begin + 1 > best[1]:
            best = (begin, number - begin + 1)
    return best
