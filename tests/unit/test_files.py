"""Files that come with a deliverable: which paths are taken, and how they are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.files import FILES_LIMIT_BYTES, File, checked_files, rendered

EVIL = [
    "", "/etc/passwd", "//server/share", "..", "../up", "a/../b", "a/..", ".", "./a", "a//b", "a/", "a\\b", "..\\up",
    "C:", "C:/a", "c:a", "a:stream", "nul", "NUL.txt", "a/con", "Aux.py", "com1", "LPT9.log", "com¹.txt", "conin$",
    "CON .txt", ".git", ".git/hooks/pre-commit", "a/.GIT/config", "git~1/hooks", ".g\u200cit/config", "a.", "a ",
    "a./b", "a\0b", "a\nb", "a\x7fb", "\x1b[31m", "a?b", "a*b", 'a"b', "a<b", "a|b", "x" * 201, "é" * 101, "\ud800",
    "a/\udfff.py", "txt\u202efdp.exe", "a/\u2066b", "a\u200eb", "a\x85b", "a\u2028b",
]  # fmt: skip

FINE = [
    "a", "src/app.py", ".gitignore", ".github/workflows/ci.yml", "a b/c d.txt", "é/日本.md", "console.py",
    "nullable.ts", "a..b", "...a", "git/hooks", "common/x", "x" * 200, "a-b_c+d@e#f$g%h&i(j)k[l]{m}", "😀.txt",
    "می\u200cخواهم.md", "👩\u200d💻.txt",
]  # fmt: skip


@pytest.mark.parametrize("path", EVIL)
def test_a_path_that_could_do_harm_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(InvalidInput, match=r"use a relative path such as src/app\.py") as refusal:
        checked_files({"fine.txt": "", path: ""})
    line = str(refusal.value)
    assert "\n" not in line
    assert "\0" not in line
    assert len(line) < 1_000


@pytest.mark.parametrize("path", FINE)
def test_an_ordinary_path_is_taken(path: str) -> None:
    assert checked_files({path: "text"}) == (File(path, "text"),)


@pytest.mark.parametrize(
    ("one", "other"), [("README.md", "readme.md"), ("a/B", "A/b"), ("caf\u00e9", "cafe\u0301"), ("straße", "STRASSE")]
)
def test_two_paths_that_are_one_file_on_some_system_are_refused(one: str, other: str) -> None:
    with pytest.raises(InvalidInput, match="are one file on some systems; rename one"):
        checked_files({one: "1", other: "2"})


@pytest.mark.parametrize("below", ["a/b", "A/b", "a/b/c"])
def test_what_is_a_file_and_a_folder_at_once_is_refused(below: str) -> None:
    with pytest.raises(InvalidInput, match="'a' is a file and a folder at once; rename one"):
        checked_files({"a": "1", below: "2"})


def test_the_limits_are_exact() -> None:
    assert len(checked_files({f"f{number}": "" for number in range(100)})) == 100
    with pytest.raises(InvalidInput, match="files holds 101 files; at most 100 are allowed"):
        checked_files({f"f{number}": "" for number in range(101)})
    half = "é" * (FILES_LIMIT_BYTES // 4)
    assert len(checked_files({"a": half, "b": half})) == 2
    with pytest.raises(InvalidInput, match="files holds 4194305 bytes; at most 4194304 are allowed together"):
        checked_files({"a": half, "b": f"{half}x"})


def test_half_a_character_in_a_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'a' is not valid Unicode at character 2; remove it"):
        checked_files({"a": "xy\ud83d"})


def test_files_come_in_the_order_of_their_paths() -> None:
    assert [file.path for file in checked_files({"b": "", "c/z": "", "a": ""})] == ["a", "b", "c/z"]


@given(st.text(alphabet="`~\n ab", max_size=60), st.text(max_size=20))
def test_no_text_closes_its_own_fence(text: str, said: str) -> None:
    told = rendered(said, [File("a.md", text), File("b.md", "end")])
    after = told[len(said) + 2 if said else 0 :].split("\n")
    fence = after[1]
    assert after[0] == "File `a.md`:"
    assert set(fence) == {"`"}
    closing = next(number for number, line in enumerate(after[2:]) if line.startswith(fence))
    assert "\n".join(after[2 : 2 + closing]) == text


def test_a_deliverable_of_files_alone_has_no_empty_beginning() -> None:
    assert rendered("", [File("a", "x")]) == "File `a`:\n```\nx\n```"
    assert rendered("said", []) == "said"
