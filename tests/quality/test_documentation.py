"""The score for documentation: what is public and says what it is for, the README, links that lead somewhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.quality import documented, links
from swarmtally.quality.documentation import assess_documentation
from swarmtally.quality.model import SourceFile
from tests.quality.written import found, sources, values, written

README = "word " * 100


def test_the_score_is_the_mean_of_its_parts_by_weight(tmp_path: Path) -> None:
    files = {
        "a.py": '"""A module."""\n\n\ndef one():\n    """One."""\n\n\ndef two(): pass\n\n\nclass Three: pass\n',
        "README.md": "word " * 50,
        "docs/x.md": "[a](../a.py) [b](b.md)\n",
    }
    judged = assess_documentation(sources(tmp_path, files))
    assert values(judged) == {"public_documented": 0.5, "readme_words": 50.0, "links_intact": 0.5}
    assert judged.score == 5.0
    assert found(judged) == [
        ("README.md", 1, "readme-short"),
        ("docs/x.md", 1, "broken-link"),
        ("a.py", 11, "undocumented-public-class"),
        ("a.py", 8, "undocumented-public-function"),
    ]


def test_parts_that_do_not_apply_are_left_out(tmp_path: Path) -> None:
    assert assess_documentation(sources(tmp_path / "a", {"README": README})).score == 10.0
    code = assess_documentation(sources(tmp_path / "b", {"a.c": "int a;\n"}))
    assert (code.score, code.measures[0].reason) == (0.0, "what is public in c is not known")
    nothing = assess_documentation(sources(tmp_path / "c", {"data.json": "{}"}))
    assert (nothing.score, nothing.reason) == (None, "the target holds neither code nor documents")


def test_tests_need_no_docstrings_and_the_readme_nearest_to_the_root_counts(tmp_path: Path) -> None:
    files = {"tests/README.md": "x", "tests/test_a.py": "def test_a():\n    assert a\n", "pkg/x/README.md": README}
    judged = assess_documentation(
        sources(tmp_path, {**files, "pkg/x/y/README.md": "x", "pkg/a.py": '"""A."""\na = 1\n'})
    )
    assert (judged.score, judged.findings) == (10.0, ())


def offered(language: str, text: str, path: str = "a.x") -> list[tuple[str, bool]] | None:
    found = documented.offered(SourceFile(path, language, 1, False, text))
    return None if found is None else [(one.name, one.documented) for one in found]


def test_in_python_names_say_what_is_public() -> None:
    text = (
        '"""It."""\n\nclass A:\n    def b(self):\n        "b"\n        def inner(): pass\n    def _c(self): pass\n'
        "    def __len__(self): pass\n    @override\n    def d(self): pass\n    @x.setter\n    def e(self, v): pass\n"
        "class _B:\n    def c(self): pass\nif X:\n    async def f(): pass\n"
    )
    assert offered("python", text, "p/a.py") == [("p/a.py", True), ("A", False), ("A.b", True), ("f", False)]
    assert offered("python", "a = 1\n", "p/_a.py") == []
    assert offered("python", "", "p/__init__.py") == []


def test_what_cannot_be_parsed_says_nothing() -> None:
    assert offered("python", "def (:\n") is None
    assert offered("python", "x = " + "+".join(["1"] * 50_000)) in (None, [("a.x", False)])
    assert offered("c", "int f();") is None


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        (
            "go",
            "// Run runs.\nfunc Run() {}\n\nfunc (s *S) Stop() {}\n\nfunc quiet() {}\n",
            [("Run", True), ("Stop", False)],
        ),
        (
            "rust",
            "/// One.\n#[inline]\npub fn one() {}\npub(crate) fn two() {}\npub struct Three;\n",
            [("one", True), ("Three", False)],
        ),
        (
            "java",
            "/** A. */\n@Deprecated\npublic final class A {\n  public List<B> b(int c) {\n",
            [("A", True), ("b", False)],
        ),
        (
            "typescript",
            "/**\n * A.\n */\nexport async function a() {}\n/* no */\nexport const b = 1\n",
            [("a", True), ("b", False)],
        ),
        ("javascript", "function hidden() {}\nexport default class A {}\n", [("A", False)]),
        (
            "c#",
            "/// <summary>A</summary>\n[Serializable]\npublic class A {\n    public int B { get; }\n",
            [("A", True), ("B", False)],
        ),
        ("swift", "/// A.\npublic func a() {}\nopen class B {}\nfunc c() {}\n", [("a", True), ("B", False)]),
    ],
)
def test_in_other_languages_a_comment_right_above_counts(
    language: str, text: str, names: list[tuple[str, bool]]
) -> None:
    assert offered(language, text) == names


def document(text: str, path: str = "docs/a.md") -> SourceFile:
    return SourceFile(path, "markdown", 0, False, text)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("[a](b.md) ![c](<d e.png>)", ["docs/b.md", "docs/d e.png"]),
        ('[a](b.md#part) [c](../d%20e.md?x=1 "title")', ["docs/b.md", "d e.md"]),
        ("[a](/README.md) [f](f_(g).md)", ["README.md", "docs/f_(g).md"]),
        ("[x]: y.md\n[^1]: note\n", ["docs/y.md"]),
        ("[a](https://x.y/z) [b](#here) [c](mailto:a@b) [d](//x/y) [e]({{ url }})", []),
        ("`[a](b.md)` ``[a](`b`.md)``\n```\n[a](c.md)\n```\n[a](d.md)", ["docs/d.md"]),
        ("[a](../../up.md)", [None]),
    ],
)
def test_links_to_files_are_found(text: str, paths: list[str | None]) -> None:
    assert [link.path for link in links.links(document(text))] == paths


@given(st.text(alphabet="[]()<>`~!#/.: ab\n\\%{", max_size=200))
def test_any_text_has_links_on_its_own_lines(text: str) -> None:
    for link in links.links(document(text)):
        assert 1 <= link.line <= len(text.splitlines())
        assert link.path is None or not link.path.startswith(("/", ".."))


def test_a_link_leads_to_what_lies_inside_and_only_there(tmp_path: Path) -> None:
    root = written(tmp_path, {"in/a.md": "a", "in/b/c.txt": "c", "out/secret": "s"}) / "in"
    (root / "way").symlink_to(tmp_path / "out")
    seen = [links.leads_somewhere(root, path) for path in ("a.md", "a", "b", "b/c.txt", "way/secret", "b/d")]
    assert seen == [True, True, True, True, False, False]


def test_several_signatures_of_a_function_are_one() -> None:
    text = "/** Joins. */\nexport function f(a: A): A;\nexport function f(a: A, b: B): B;\nexport function g() {}\n"
    assert offered("typescript", text) == [("f", True), ("g", False)]
