"""The score for testing: more tests raise it, tests that check nothing lower it, coverage decides where it is known."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.quality import asserting
from swarmtally.quality.assess import assess
from swarmtally.quality.documentation import assess_documentation
from swarmtally.quality.model import Criterion
from swarmtally.quality.parsing import parsed
from swarmtally.quality.sources import collect
from swarmtally.quality.testing import assess_testing
from tests.quality.written import found, sources, values, written

CODE = "def double(x):\n    return 2 * x\n" * 10
TEST = "def test_double():\n    assert double(2) == 4\n"


def test_the_score_is_the_formulas(tmp_path: Path) -> None:
    judged = assess_testing(sources(tmp_path, {"a.py": CODE, "tests/test_a.py": TEST * 2}))
    assert values(judged) == {"line_coverage": None, "test_lines_per_code_line": 0.2, "tests_without_assertion": 0.0}
    assert judged.score == round(10 * (1 - 2 ** (-0.2 / 0.25)), 2)
    assert (judged.n, judged.languages, judged.findings) == (20, ("python",), ())


def test_code_without_tests_has_no_points_and_tests_without_code_no_score(tmp_path: Path) -> None:
    assert assess_testing(sources(tmp_path / "code", {"a.py": CODE})).score == 0.0
    alone = assess_testing(sources(tmp_path / "tests", {"test_a.py": TEST}))
    assert (alone.score, alone.reason) == (None, "the target holds tests and no code")
    assert assess_testing(sources(tmp_path / "none", {"a.md": "x"})).reason == "the target holds no code"


def test_a_test_that_asserts_nothing_is_named_and_lowers_the_score(tmp_path: Path) -> None:
    empty = "def test_runs():\n    double(2)\n"
    files = {"a.py": CODE, "tests/test_a.py": f"{TEST}{empty}"}
    judged = assess_testing(sources(tmp_path, files))
    assert values(judged)["tests_without_assertion"] == 0.5
    assert found(judged) == [("tests/test_a.py", 3, "test-without-assertion")]
    whole = assess_testing(sources(tmp_path, {**files, "tests/test_a.py": TEST + TEST}))
    assert judged.score == pytest.approx((whole.score or 0) / 2, abs=0.01)


def test_coverage_counts_two_thirds_and_names_what_no_test_reaches(tmp_path: Path) -> None:
    lines = "".join(f"DA:{line},{int(line < 6)}\n" for line in range(1, 11))
    files = {"src/a.py": CODE, "tests/test_a.py": TEST * 2, "lcov.info": f"SF:src/a.py\n{lines}end_of_record\n"}
    judged = assess_testing(sources(tmp_path, files))
    alone = 10 * (1 - 2 ** (-0.2 / 0.25))
    assert judged.score == round(2 / 3 * 5 + alone / 3, 2)
    assert values(judged) == {
        "line_coverage": 0.5,
        "branch_coverage": None,
        "code_with_coverage_data": 1.0,
        "test_lines_per_code_line": 0.2,
        "tests_without_assertion": 0.0,
    }
    assert found(judged) == [("src/a.py", 6, "lines-not-reached")]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ("SF:src/b.py\nDA:1,1\n", "lcov.info names none of the target's code"),
        ("SF:src/a.py\nDA:1,1\nDA:400,1\n", "it has lines beyond their ends"),
        ("rubbish", "lcov.info: names no file with lines"),
    ],
)
def test_coverage_of_something_else_does_not_count(tmp_path: Path, report: str, why: str) -> None:
    judged = assess_testing(sources(tmp_path, {"src/a.py": CODE, "tests/test_a.py": TEST, "lcov.info": report}))
    (measure,) = [one for one in judged.measures if one.name == "line_coverage"]
    assert measure.value is None
    assert measure.reason is not None
    assert why in measure.reason
    assert judged.method.startswith("T = ")


def test_the_score_does_not_depend_on_what_else_is_asked_for(tmp_path: Path) -> None:
    own = (Criterion.TESTING, Criterion.DOCUMENTATION)
    root = written(tmp_path, {"a.py": CODE, "broken.py": "def (:\n" * 30, "tests/test_a.py": TEST})
    alone, beside = assess(root, own)[1], assess(root, (*own, Criterion.SECURITY))[1]
    assert alone == beside[:2]
    assert beside[2].n == 20


def test_the_tests_at_the_end_of_a_rust_file_are_tests(tmp_path: Path) -> None:
    code = "pub fn one() -> i32 {\n    1\n}\n"
    tests = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn is_one() { assert_eq!(super::one(), 1); }\n}\n"
    assert assess_testing(sources(tmp_path, {"lib.rs": code})).score == 0.0
    judged = assess_testing(sources(tmp_path, {"lib.rs": code + tests}))
    assert (judged.n, values(judged)["test_lines_per_code_line"]) == (3, round(5 / 3, 4))


def without(text: str) -> list[str]:
    tree = parsed(text)
    assert tree is not None
    return [one.name for _, one in asserting.without_assertion([asserting.read("tests/test_a.py", tree)])]


@pytest.mark.parametrize(
    "body",
    [
        "assert x",
        "self.assertEqual(x, 1)",
        "with pytest.raises(ValueError): x()",
        "mock.assert_called_once()",
        "expect(x).to_be(1)",
        "helper(x)",
        "through(x)",
        "for y in x:\n        if y: assert y",
    ],
)
def test_these_check_something(body: str) -> None:
    helpers = "def helper(x):\n    assert x\n\ndef through(x):\n    helper(x)\n\n"
    assert without(f"{helpers}def test_it(x=1):\n    {body}\n") == []


@pytest.mark.parametrize("body", ["run(x)", "pass", "x = [1]", "'assert x'", "print(x)"])
def test_these_check_nothing(body: str) -> None:
    assert without(f"async def test_it(x=1):\n    {body}\n") == ["test_it"]


@pytest.mark.parametrize(
    ("place", "how"),
    [
        ("tests/checks.py", "from tests.checks import holds"),
        ("tests/unit/checks.py", "from .checks import holds"),
        ("tests/checks.py", "from tests import checks"),
        ("tests/checks.py", "from .. import checks"),
        ("tests/conftest.py", ""),
        ("tests/unit/conftest.py", ""),
    ],
)
def test_helpers_of_files_that_a_test_imports_count(tmp_path: Path, place: str, how: str) -> None:
    files = {place: "def holds(x):\n    assert x\n", "tests/unit/test_a.py": f"{how}\ndef test_a():\n    holds(1)\n"}
    assert assess_testing(sources(tmp_path, {"a.py": CODE, **files})).findings == ()


def test_a_helper_of_another_file_with_that_name_does_not_count(tmp_path: Path) -> None:
    files = {
        "tests/unit/checks.py": "def run(x):\n    assert x\n",
        "tests/test_a.py": "def test_a():\n    app.run(1)\n",
    }
    judged = assess_testing(sources(tmp_path, {"a.py": CODE, **files}))
    assert found(judged) == [("tests/test_a.py", 1, "test-without-assertion")]


def test_a_fixture_that_checks_speaks_for_its_tests() -> None:
    fixture = "@pytest.fixture\ndef test_place():\n    yield 1\n    assert clean()\n\n"
    assert without(f"{fixture}def test_it(test_place):\n    run(test_place)\n") == []


def test_methods_are_tests_where_their_class_is_one() -> None:
    method = "    def test_it(self):\n        run()\n"
    assert without(f"class TestIt:\n{method}class Case(unittest.TestCase):\n{method}class Helper:\n{method}") == [
        "test_it",
        "test_it",
    ]


@given(tests=st.integers(0, 30), more=st.integers(1, 30))
def test_more_tests_never_lower_the_score(tests: int, more: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    few, many = (
        assess_testing(
            sources(tmp_path_factory.mktemp("p"), {"a.py": CODE, "test_a.py": f"import a\n{TEST * count}"})
        ).score
        for count in (tests, tests + more)
    )
    assert few is not None
    assert many is not None
    assert 0 <= few <= many <= 10
    assert few < many or many > 9.9


@pytest.mark.parametrize("whole", ["a project", "a repository"])
def test_a_part_of_a_project_is_not_blamed_for_tests_and_a_readme_that_lie_elsewhere(
    tmp_path: Path, whole: str
) -> None:
    text = '"""A."""\n\n\ndef f():\n    """Do."""\n'
    written(tmp_path, {"app/__init__.py": "", "app/a.py": text, "src/b.py": text})
    if whole == "a repository":
        (tmp_path / ".git").mkdir()
    parts = ["app", "app/a.py", "src/b.py", *(["src"] if whole == "a repository" else [])]
    for part in parts:
        read = collect(tmp_path / part)
        assert assess_testing(read).score is None
        assert "part of a project" in str(assess_testing(read).reason)
        assert assess_documentation(read).score == 10
    read = collect(tmp_path)
    assert assess_testing(read).score == 0
    assert [one.rule for one in assess_documentation(read).findings] == ["readme-missing"]
