"""Files are measured in processes that no file can take along."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from swarmtally.quality.facts import FileFacts
from swarmtally.quality.model import SourceFile
from swarmtally.quality.workers import measure_all
from tests.quality.project import plain

ENDLESS = "template<\n" * 90_000
"""What lizard needs many seconds for."""


def file(path: str, text: str, language: str = "python") -> SourceFile:
    return SourceFile(path, language, len(text.splitlines()), is_test=False, text=text)


def untold(_done: int) -> None:
    """Nobody asks."""


def test_facts_are_those_of_the_file() -> None:
    text = "import os\n\n\ndef f(a, b):\n    if a and b:\n        return os\n    return None\n\n\n"
    text += "def _unused():\n    return 1\n    f()\n"
    facts = measure_all([file("a.py", text)], untold)["a.py"]
    assert isinstance(facts, FileFacts)
    assert [(each.name, each.line, each.complexity, each.lines, each.parameters) for each in facts.functions] == [
        ("f", 4, 3, 4, 2),
        ("_unused", 10, 1, 3, 0),
    ]
    assert [each.module for each in facts.tree.imports] == ["os"]
    assert [(each.name, each.line) for each in facts.tree.definitions] == [("_unused", 10)]
    assert [(each.rule, each.line) for each in facts.tree.remarks] == [("unreachable", 12)]


@pytest.mark.parametrize(
    ("language", "path", "text"),
    [
        ("javascript", "a.js", "function f(a) { if (a) { return 1; } return 2; }"),
        ("typescript", "a.ts", "function f(a: number): number { if (a) { return 1; } return 2; }"),
        ("java", "A.java", "class A { int f(int a) { if (a > 0) { return 1; } return 2; } }"),
        ("go", "a.go", "package a\nfunc f(a int) int { if a > 0 { return 1 }; return 2 }"),
        ("rust", "a.rs", "fn f(a: i32) -> i32 { if a > 0 { return 1; } 2 }"),
        ("c", "a.c", "int f(int a) { if (a) { return 1; } return 2; }"),
        ("c++", "a.cpp", "int f(int a) { if (a) { return 1; } return 2; }"),
        ("ruby", "a.rb", "def f(a)\n  if a\n    return 1\n  end\n  2\nend\n"),
        ("swift", "a.swift", "func f(a: Int) -> Int { if a > 0 { return 1 }; return 2 }"),
    ],
)
def test_functions_of_many_languages_are_measured(language: str, path: str, text: str) -> None:
    facts = measure_all([file(path, text, language)], untold)[path]
    assert isinstance(facts, FileFacts)
    assert [(each.complexity, each.parameters) for each in facts.functions] == [(2, 1)]


def test_many_files_are_told_of_one_by_one_and_all_measured() -> None:
    told: list[int] = []
    files = [file(f"m{n}.py", plain(3, f"f{n}")) for n in range(60)]
    found = measure_all(files, told.append)
    assert told == list(range(1, 61))
    assert {path: len(facts.functions) for path, facts in found.items() if isinstance(facts, FileFacts)} == {
        each.path: 3 for each in files
    }


def test_a_file_that_is_no_python_is_refused_with_the_reason() -> None:
    found = measure_all([file("a.py", "def f(:\n"), file("b.py", "x = (\n" + "1 +\n" * 50_000 + "1)\n")], untold)
    assert found["a.py"] == "not Python: invalid syntax in line 1"
    assert str(found["b.py"]).startswith("Python's parser gives up")


def test_a_file_that_takes_too_long_takes_no_other_along() -> None:
    found = measure_all([file("a.cpp", ENDLESS, "c++"), file("b.py", plain(2))], untold, time_limit_s=2)
    assert str(found["a.cpp"]).startswith("measuring it took longer than 2 s")
    assert isinstance(found["b.py"], FileFacts)


def test_a_caller_who_raises_leaves_no_process_behind() -> None:
    def stop(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_all([file("a.py", plain(2)), file("b.cpp", ENDLESS, "c++")], stop)
    assert not [child for child in psutil.Process().children() if "swarmtally.quality" in " ".join(child.cmdline())]


def test_what_lies_in_the_current_directory_is_not_imported(tmp_path: Path) -> None:
    for name in ("json", "lizard", "ast", "ruff", "gc"):
        (tmp_path / f"{name}.py").write_text("import pathlib\npathlib.Path('imported').touch()\n")
    program = (
        "from pathlib import Path; from swarmtally.quality.assess import assess; "
        "from swarmtally.quality.criteria import COUNTED; print(assess(Path('.'), tuple(COUNTED))[1][0].score)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.stdout == "10.0\n", done.stderr
    assert not (tmp_path / "imported").exists()
