"""Coverage is what test tools recorded, and nothing else: Cobertura and lcov, found, read, matched to the target."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.quality import coverage
from swarmtally.quality.coverage import CoverageData, CoverageUnreadable, FileCoverage, located, read
from tests.quality.written import sources, written

LCOV = "SF:src/a.js\nDA:1,3\nDA:2,0\nBRDA:1,0,0,3\nBRDA:1,0,1,-\nend_of_record\n"

COBERTURA = """<?xml version="1.0"?><!DOCTYPE coverage SYSTEM 'http://cobertura.sourceforge.net/xml/coverage-04.dtd'>
<coverage><sources><source>/build/app/src</source></sources><packages><package><classes>
<class filename="a.py"><methods><method><lines><line number="1" hits="0"/></lines></method></methods><lines>
<line number="1" hits="2"/><line number="2" hits="1" branch="true" condition-coverage="50% (1/2)"/>
<line number="3" hits="0"/></lines></class></classes></package></packages></coverage>"""


def test_lcov_lines_and_branches_are_counted() -> None:
    (file,) = read("lcov.info", LCOV.encode()).files
    assert (file.name, file.reached, file.missed, file.branches, file.branches_hit) == ("src/a.js", 1, [2], 2, 1)


def test_cobertura_lines_that_stand_twice_count_once() -> None:
    data = read("coverage.xml", COBERTURA.encode())
    (file,) = data.files
    assert data.folders == ("/build/app/src",)
    assert (file.name, file.hits, file.branches, file.branches_hit) == ("a.py", {1: True, 2: True, 3: False}, 2, 1)


def test_what_coverage_py_writes_is_read_as_it_reports_it(tmp_path: Path) -> None:
    code = "def half(x):\n    if x:\n        return 1\n    return 2\n\n\nhalf(1)\n"
    written(tmp_path, {"pkg/__init__.py": code})
    options = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    program = [sys.executable, "-m", "coverage"]
    subprocess.run([*program, "run", "--rcfile=/dev/null", "--branch", "--data-file=d", "pkg/__init__.py"], **options)
    for report in (["xml", "-o", "coverage.xml"], ["lcov", "-o", "lcov.info"]):
        subprocess.run([*program, report[0], "--rcfile=/dev/null", "--data-file=d", *report[1:]], **options)
    for name in ("coverage.xml", "lcov.info"):
        data = read(name, (tmp_path / name).read_bytes())
        ((path, file),) = located([data], ["pkg/__init__.py", "other.py"]).items()
        assert (path, len(file.hits), file.missed) == ("pkg/__init__.py", 5, [4])
        assert (file.branches, file.branches_hit) == (2, 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<coverage>", "is no XML"),
        (b"<report></report>", "no Cobertura file"),
        (b"<coverage/>", "names no file"),
        (b"nothing", "names no file"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><coverage>&b;</coverage>', "declares entities"),
    ],
)
def test_what_is_no_coverage_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(CoverageUnreadable, match=why):
        read("coverage.xml", content)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for begin in (b"", b"<coverage>", b"SF:a\n"):
        with suppress(CoverageUnreadable):
            read("x", begin + content)


HITS = st.dictionaries(st.integers(1, 50), st.integers(0, 3), min_size=1, max_size=20)


@given(st.lists(HITS, min_size=1, max_size=4))
def test_a_line_is_reached_when_any_record_of_it_is(records: list[dict[int, int]]) -> None:
    text = "".join(
        "SF:a.py\n" + "".join(f"DA:{line},{hits}\n" for line, hits in record.items()) + "end_of_record\n"
        for record in records
    )
    (file,) = read("lcov.info", text.encode()).files
    assert file.hits == {
        line: any(record.get(line, 0) > 0 for record in records) for record in records for line in record
    }


def data(name: str, *folders: str) -> CoverageData:
    return CoverageData("coverage.xml", (FileCoverage(name, {1: True}, 0, 0),), folders)


@pytest.mark.parametrize(
    ("recorded", "path"),
    [
        (data("/home/ci/build/src/app/a.py"), "src/app/a.py"),
        (data("a.py", "/home/ci/build/src/app"), "src/app/a.py"),
        (data("app\\a.py", "C:\\work\\src"), "src/app/a.py"),
        (data("./src/app/a.py"), "src/app/a.py"),
        (data("b.py"), None),
    ],
)
def test_a_file_is_the_one_whose_path_ends_the_recorded_one(recorded: CoverageData, path: str | None) -> None:
    assert list(located([recorded], ["src/app/a.py", "app/c.py"])) == ([path] if path else [])


def test_files_are_found_in_the_usual_folders_also_where_git_ignores_them(tmp_path: Path) -> None:
    here = sources(tmp_path, {".gitignore": "coverage\n", "coverage/lcov.info": LCOV, "coverage.xml": COBERTURA})
    found, faults = coverage.find(here)
    assert sorted(one.source for one in found) == ["coverage.xml", "coverage/lcov.info"]
    assert faults == []


def test_a_report_may_be_larger_than_code_may(tmp_path: Path) -> None:
    padded = COBERTURA.replace("<packages>", f"<!--{'x' * 1_100_000}--><packages>")
    found, faults = coverage.find(sources(tmp_path, {"coverage.xml": padded}))
    assert ([one.source for one in found], faults) == (["coverage.xml"], [])


def test_a_link_that_leads_out_of_the_target_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path, {"outside.info": LCOV, "target/a.py": "a = 1\n"})
    (tmp_path / "target" / "lcov.info").symlink_to(tmp_path / "outside.info")
    assert coverage.find(sources(tmp_path / "target", {})) == ([], [])


def test_a_file_that_is_too_large_or_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "LIMIT_BYTES", 10)
    here = sources(tmp_path, {".gitignore": "build/\n", "build/lcov.info": LCOV, "coverage.xml": "<coverage>"})
    found, faults = coverage.find(here)
    assert found == []
    assert [fault.partition(":")[0] for fault in faults] == ["coverage.xml", "build/lcov.info"]
