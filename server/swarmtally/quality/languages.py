"""What kind of file a name says it is."""

import re
from pathlib import PurePosixPath

PYTHON = "python"

LANGUAGES = {
    ".py": PYTHON,
    ".c": "c",
    ".h": "c",
    ".cc": "c++",
    ".cpp": "c++",
    ".cxx": "c++",
    ".hh": "c++",
    ".hpp": "c++",
    ".hxx": "c++",
    ".cs": "c#",
    ".java": "java",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".go": "go",
    ".rs": "rust",
    ".rb": "ruby",
    ".swift": "swift",
    ".kt": "kotlin",
    ".scala": "scala",
    ".php": "php",
    ".lua": "lua",
}
"""Code that is read, by suffix: the languages whose functions lizard measures."""

DOCUMENTS = {".md": "markdown", ".markdown": "markdown", ".rst": "restructuredtext", ".txt": "text"}

COVERAGE_XML, LCOV = "coverage.xml", "lcov"

_REPORT = re.compile(r"(coverage|cobertura)[\w.-]*\.xml|lcov[\w.-]*|[\w.-]*\.lcov", re.IGNORECASE)

_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "e2e"})

_TEST_NAME = re.compile(
    r"test_.*\.py|.*_test\.(py|go|rb|cc|cpp|c|rs|lua)|conftest\.py|.*[.-](test|spec)\.[cm]?[jt]sx?"
    r"|.*_spec\.(rb|lua)|.*(Test|Tests|TestCase|Spec)\.(java|kt|scala|cs|swift|php)"
)


def language_of(name: str) -> str | None:
    """The language of code with this file name, or None."""
    return LANGUAGES.get(PurePosixPath(name).suffix.lower())


def document_of(name: str) -> str | None:
    """The kind of document a file name stands for, or None; a README needs no suffix."""
    if name.lower() in {"readme", "changelog", "license", "contributing"}:
        return "text"
    return DOCUMENTS.get(PurePosixPath(name).suffix.lower())


def report_of(name: str) -> str | None:
    """The kind of coverage report a file name stands for, or None."""
    if not _REPORT.fullmatch(name):
        return None
    return COVERAGE_XML if name.lower().endswith(".xml") else LCOV


def is_test(path: str) -> bool:
    """Whether a file's place or name says that it is a test or belongs to tests."""
    *folders, name = path.split("/")
    return any(folder.lower() in _TEST_FOLDERS for folder in folders) or _TEST_NAME.fullmatch(name) is not None
