"""Scores: what lowers them, what must not, and what they say."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.quality.assess import assess
from swarmtally.quality.criteria import COUNTED
from swarmtally.quality.linting import MAX_FILE_FINDINGS, lint
from swarmtally.quality.model import Criterion, SourceFile
from swarmtally.quality.rules import LEFT_OUT, WEIGHTS, spoken_for
from swarmtally.quality.scoring import HALF, score_of
from tests.quality.project import assessed, plain, reasons, written

FAULTS = {
    Criterion.PERFORMANCE: "def f(a):\n    out = []\n    for n in a:\n        out.append(n * 2)\n    return out\n",
    Criterion.EFFICIENCY: "def f(values):\n    return set([each * 2 for each in values])\n",
    Criterion.SCALABILITY: "import time\n\n\nasync def f():\n    time.sleep(1)\n",
    Criterion.MAINTAINABILITY: "def f(value):\n    raise ValueError(value)\n    print(value)\n",
    Criterion.RELIABILITY: "def f(call):\n    try:\n        call()\n    except Exception:\n        pass\n",
    Criterion.SECURITY: "def f(text):\n    return eval(text)\n",
}


@pytest.mark.parametrize("criterion", FAULTS)
def test_a_fault_lowers_its_own_criterion_and_no_other(tmp_path: Path, criterion: Criterion) -> None:
    found = assessed(written(tmp_path, {"fine.py": plain(100), "fault.py": FAULTS[criterion]}))
    scores = {each: assessment.score for each, assessment in found.items()}
    own = scores.pop(criterion)
    assert own is not None
    assert own < 10
    assert set(scores.values()) == {10.0}
    (finding,) = found[criterion].findings
    assert finding.file == "fault.py"
    assert finding.line > 1
    assert finding.message
    assert finding.criterion is criterion


def test_a_fault_in_a_test_lowers_nothing(tmp_path: Path) -> None:
    files = {f"tests/test_{criterion}.py": text for criterion, text in FAULTS.items()}
    found = assessed(written(tmp_path, {"fine.py": plain(100), **files}))
    assert {each.score for each in found.values()} == {10.0}
    assert {each.n for each in found.values()} == {300}


def test_the_score_does_not_depend_on_what_else_is_asked_for(tmp_path: Path) -> None:
    written(tmp_path, {**{f"{criterion}.py": text for criterion, text in FAULTS.items()}, "broken.py": "def f(:\n"})
    whole = assessed(tmp_path)
    for criterion in FAULTS:
        assert assess(tmp_path, [criterion])[1] == (whole[criterion],)


def test_the_target_s_own_configuration_decides_nothing(tmp_path: Path) -> None:
    files = {f"{criterion}.py": text for criterion, text in FAULTS.items()}
    before = assessed(written(tmp_path / "one", files))
    config = {
        "ruff.toml": 'exclude = ["*"]\n[lint]\nselect = []\n[lint.per-file-ignores]\n"*" = ["ALL"]\n',
        "pyproject.toml": "[tool.ruff.lint]\nselect = []\n",
        "setup.cfg": "[flake8]\nexclude = *\n",
    }
    after = assessed(written(tmp_path / "two", {**files, **config}))
    assert after == before


def test_a_folder_that_ruff_leaves_out_by_itself_is_linted(tmp_path: Path) -> None:
    target = written(tmp_path / "venv" / "site-packages", {"fault.py": FAULTS[Criterion.SECURITY]})
    assert [finding.rule for finding in assessed(target)[Criterion.SECURITY].findings] == ["S307"]


def test_a_noqa_that_names_its_rule_counts_and_a_blanket_one_does_not(tmp_path: Path) -> None:
    text = (
        "# ruff: noqa\ndef f(text):\n    return eval(text)  # noqa: E501, S307 (a constant)\n\n\n"
        "def g(text):\n    return eval(text)  # noqa\n\n\ndef h(text):\n    return eval(text)  # noqa: S30\n"
    )
    found = assessed(written(tmp_path, {"a.py": text}))[Criterion.SECURITY]
    assert [finding.line for finding in found.findings] == [7, 11]


def test_a_file_that_no_analyser_can_read_is_left_out_and_the_others_are_scored(tmp_path: Path) -> None:
    chain = "x = (y\n" + ".a\n" * 60_000 + ")\n"
    written(tmp_path, {"chain.py": chain, "broken.py": "def f(:\n", "old.py": "print 'x'\n", "fine.py": plain(10)})
    sources, (found,) = assess(tmp_path, [Criterion.SECURITY])
    assert [file.path for file in sources.files] == ["fine.py"]
    assert reasons(sources).keys() == {"chain.py", "broken.py", "old.py"}
    assert found.n == 30


def test_what_has_thousands_of_findings_is_counted_to_a_limit(tmp_path: Path) -> None:
    found = assessed(written(tmp_path, {"a.py": "print == 1\n" * (MAX_FILE_FINDINGS + 100)}))[Criterion.RELIABILITY]
    counted = {measure.name: measure.value for measure in found.measures}
    assert counted["findings"] == MAX_FILE_FINDINGS
    assert len(found.findings) == 1_000
    assert found.score == 0


def test_other_languages_are_measured_where_they_can_be_and_null_where_not(tmp_path: Path) -> None:
    script = "function f(a) {\n" + "  if (a > 1) { a -= 1; }\n" * 30 + "  return a;\n}\n"
    found = assessed(written(tmp_path, {"a.js": script}))
    maintainability = found.pop(Criterion.MAINTAINABILITY)
    assert maintainability.languages == ("javascript",)
    assert [(finding.rule, finding.line) for finding in maintainability.findings] == [("complexity", 1)]
    for each in found.values():
        assert each.score is None
        assert each.reason == "this is measured in Python only, and there is only javascript"


def test_an_empty_target_has_no_score_and_says_why(tmp_path: Path) -> None:
    found = assessed(tmp_path)
    assert {each.score for each in found.values()} == {None}
    assert all(each.reason for each in found.values())


def test_import_cycles_and_hubs_lower_scalability(tmp_path: Path) -> None:
    round_trip = {
        "pkg/__init__.py": "",
        "pkg/a.py": "from pkg import b\n\nx = b\n",
        "pkg/b.py": "from pkg import a\n\ny = a\n",
    }
    found = assessed(written(tmp_path / "one", {**round_trip, "fine.py": plain(100)}))[Criterion.SCALABILITY]
    (finding,) = found.findings
    assert (finding.file, finding.line, finding.rule) == ("pkg/a.py", 1, "import-cycle")
    assert finding.message == "2 modules import each other: pkg/a.py → pkg/b.py → pkg/a.py"
    hub = {
        "hub.py": "".join(f"import low{n}\n" for n in range(20)),
        **{f"low{n}.py": "x = 1\n" for n in range(20)},
        **{f"up{n}.py": "import hub\nimport base\n" for n in range(20)},
        "base.py": "x = 1\n",
    }
    found = assessed(written(tmp_path / "two", hub))[Criterion.SCALABILITY]
    assert [(finding.file, finding.rule) for finding in found.findings] == [("hub.py", "hub")]


def test_complex_long_wide_copied_and_dead_code_lower_maintainability(tmp_path: Path) -> None:
    tangled = (
        "def tangled(a):\n" + "".join(f"    if a > {n}:\n        a += {n}\n" for n in range(20)) + "    return a\n"
    )
    long = "def long(a):\n" + "".join(f"    a += {n * n}\n" for n in range(70)) + "    return a\n"
    wide = "def wide(a, b, c, d, e, f, g, h):\n    return (a, b, c, d, e, f, g, h)\n"
    block = "".join(f"    total_{n} = amount * {n} + rate ** {n}\n" for n in range(12))
    copied = f"def one(amount, rate):\n{block}    return amount\n\n\ndef two(amount, rate):\n{block}    return rate\n"
    dead = "def _dead():\n    return 1\n\n\nclass K:\n    def _used(self):\n        return self._used()\n"
    files = {"tangled.py": tangled, "long.py": long, "wide.py": wide, "copied.py": copied, "dead.py": dead}
    found = assessed(written(tmp_path, files))[Criterion.MAINTAINABILITY]
    rules = {(finding.file, finding.line, finding.rule) for finding in found.findings if finding.rule not in WEIGHTS}
    structural = {each for each in rules if not each[2].startswith(("F", "PL", "SIM", "RET"))}
    assert structural == {
        ("tangled.py", 1, "complexity"),
        ("long.py", 1, "function-length"),
        ("wide.py", 1, "parameters"),
        ("copied.py", 18, "copied-code"),
        ("dead.py", 1, "unused"),
    }


def test_a_private_name_that_is_used_somewhere_is_not_dead(tmp_path: Path) -> None:
    files = {
        "a.py": "def _called(): return 1\ndef _by_name(): return 2\n@register\ndef _hook(): return 3\n",
        "b.py": "from a import _called\n\nx = _called()\ny = getattr(a, '_by_name')\n",
        "c.py": "class K(Base):\n    def _template(self):\n        return 1\n",
    }
    found = assessed(written(tmp_path, files))[Criterion.MAINTAINABILITY]
    assert "unused" not in {finding.rule for finding in found.findings}


def test_the_target_is_not_changed(tmp_path: Path) -> None:
    written(tmp_path, {f"{criterion}.py": text for criterion, text in FAULTS.items()})
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    for path in [*tmp_path.iterdir(), tmp_path]:
        path.chmod(path.stat().st_mode & ~stat.S_IWUSR)
    assessed(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before


def test_progress_is_told_for_every_part(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    written(tmp_path, {f"m{n}.py": plain(2, f"f{n}") for n in range(200)})
    assess(tmp_path, tuple(COUNTED), lambda *each: told.append(each))
    assert ("reading files", 200, 0) in told
    assert ("measuring files", 200, 200) in told
    assert told[-1] == ("linting Python", 200, 200)


@given(st.sampled_from(list(HALF)), st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 10**7))
def test_a_score_is_between_0_and_10_and_falls_with_weight(
    criterion: Criterion, weight: float, more: float, lines: int
) -> None:
    score = score_of(criterion, weight, lines)
    assert 0 <= score_of(criterion, weight + more, lines) <= score <= 10


@given(st.sampled_from(list(HALF)), st.floats(0, 1e4), st.integers(1_000, 10**6), st.integers(1, 50))
def test_a_project_that_is_the_same_many_times_over_has_the_same_score(
    criterion: Criterion, weight: float, lines: int, times: int
) -> None:
    assert score_of(criterion, weight * times, lines * times) == pytest.approx(
        score_of(criterion, weight, lines), abs=0.011
    )


def test_the_score_is_5_at_its_half() -> None:
    for criterion, half in HALF.items():
        assert score_of(criterion, half * 7, 7_000) == 5


def test_one_finding_does_not_decide_everything_in_a_few_lines() -> None:
    assert score_of(Criterion.SECURITY, 1, 5) == score_of(Criterion.SECURITY, 1, 1_000)
    assert score_of(Criterion.SECURITY, 2.5, 5) == 5


def test_what_several_rules_see_in_a_line_counts_once_by_the_heaviest(tmp_path: Path) -> None:
    swallowed = "def f(call):\n    try:\n        call()\n    except:\n        pass\n"
    found = assessed(written(tmp_path, {"a.py": swallowed}))[Criterion.RELIABILITY]
    assert [(finding.line, finding.weight) for finding in found.findings] == [(4, 3)]
    one_line = "def g(a=[], b=now()):\n    return a, b\n"
    found = assessed(written(tmp_path, {"a.py": f"from clock import now\n\n\n{one_line}"}))[Criterion.RELIABILITY]
    assert [(finding.rule, finding.weight) for finding in found.findings] == [("B006", 2)]


def test_a_file_that_takes_ruff_down_takes_no_other_along(tmp_path: Path) -> None:
    texts = {
        "attacked.py": "x = (y\n" + ".a\n" * 60_000 + ")\n",
        "broken.py": "def f(:\n",
        "fault.py": FAULTS[Criterion.SECURITY],
    }
    files = [SourceFile(path, "python", 1, is_test=False, text=text) for path, text in texts.items()]
    linted = lint(written(tmp_path, texts), files, lambda _done: None)
    assert linted.refused.keys() == {"attacked.py", "broken.py"}
    assert {(finding.file, finding.rule) for finding in linted.findings} == {("fault.py", "S307")}


def test_a_rule_counts_for_one_criterion_by_its_longest_code() -> None:
    assert spoken_for("S608") == (Criterion.SECURITY, 0.5)
    assert spoken_for("S110") == (Criterion.RELIABILITY, 3)
    assert spoken_for("SIM115") == (Criterion.EFFICIENCY, 1)
    assert spoken_for("B006") == (Criterion.RELIABILITY, 2)
    assert spoken_for("XYZ1") is None
    assert not set(LEFT_OUT) & WEIGHTS.keys()


@pytest.mark.parametrize(
    ("loops", "found"),
    [
        (("x in xs", "y in ys", "z in zs"), True),
        (("i in range(n)", "j in range(i)", "k in range(j)"), True),
        (("x in xs", "y in x.ys", "z in zs", "w in ws"), True),
        (("group in groups", "row in group", "cell in row"), False),
        (("x in xs", "y in ys", "z in y"), False),
        (("x in xs", "y in ys", "name in ('a', 'b')"), False),
        (("x in xs", "y in ys", "n in range(3)"), False),
    ],
)
def test_loops_in_each_other_are_remarked_where_they_multiply(
    tmp_path: Path, loops: tuple[str, ...], found: bool
) -> None:
    lines = [f"{'    ' * depth}for {loop}:" for depth, loop in enumerate(loops)]
    text = "\n".join([*lines, "    " * len(loops) + "use()", ""])
    rules = [one.rule for one in assessed(written(tmp_path, {"a.py": text}))[Criterion.PERFORMANCE].findings]
    assert rules == (["nested-loops"] if found else [])


def test_sql_that_is_put_together_of_constants_is_no_injection(tmp_path: Path) -> None:
    text = (
        'WHO = "name"\n\n\ndef f(db, given):\n'
        '    db.run(f"SELECT {WHO} FROM users WHERE id = :id")\n'
        '    db.run(\n        "SELECT name"\n        f" FROM {store._TABLE}"\n    )\n'
        '    db.run(f"SELECT {WHO} FROM users WHERE id = {given}")\n'
        '    db.run("SELECT " + given + " FROM users")\n'
    )
    found = assessed(written(tmp_path, {"a.py": text}))[Criterion.SECURITY].findings
    assert [(one.rule, one.line) for one in found] == [("S608", 10), ("S608", 11)]


def test_a_shell_that_gets_nothing_from_outside_weighs_little(tmp_path: Path) -> None:
    text = "import os\n\n\ndef f(name):\n    os.system('ls')\n    os.system('ls ' + name)\n"
    found = assessed(written(tmp_path, {"a.py": text}))[Criterion.SECURITY].findings
    assert [(one.line, one.weight) for one in found] == [(6, 3.0), (5, 0.25)]
