"""The code in a deliverable's fences becomes files whose lines have the deliverable's numbers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.files import FILES_LIMIT, File
from swarmtally.domain.task import Artefact
from swarmtally.sparc.code_blocks import PROSE, SUFFIXES, TESTS, code_files
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.plan import expand_pipeline, plan_pipeline
from swarmtally.sparc.shape import MERGE_PHASE


def artefact(text: str, phase: str = "code", files: tuple[File, ...] = ()) -> Artefact:
    return Artefact("a_1", "r_1", "t_1", 0, phase, "login", "", len(text), None, text, 0, files=files)


def test_a_block_is_a_file_and_keeps_its_line_numbers() -> None:
    text = "# Login\n\n```python\ndef login():\n    return 1\n```\n\n~~~ts\nlet a = 1\n~~~\n"
    assert code_files(artefact(text)) == (
        File("block_001.py", "\n\n\ndef login():\n    return 1\n"),
        File("block_002.ts", "\n" * 8 + "let a = 1\n"),
    )


def test_blocks_of_tests_lie_in_a_folder_for_tests() -> None:
    for phase in ("tests", "tester"):
        (file,) = code_files(artefact("```py\nassert 1\n```", phase))
        assert file.path == "tests/block_001.py"


def test_a_block_that_was_cut_off_counts_to_the_end() -> None:
    (file,) = code_files(artefact("```go\nfunc Run() {"))
    assert file.text == "\nfunc Run() {\n"


def test_a_longer_fence_holds_shorter_ones() -> None:
    (file,) = code_files(artefact("````py\n'''\n```\n'''\n````\n"))
    assert file.text == "\n'''\n```\n'''\n"


@pytest.mark.parametrize("text", ["```\nx = 1\n```", "```text\nx\n```", "```python\n```", "x = 1"])
def test_what_says_not_what_it_is_is_no_code(text: str) -> None:
    assert code_files(artefact(text)) == ()


def test_files_that_were_reported_are_the_code_and_examples_in_documents_are_not() -> None:
    files = (File("a.py", "a = 1\n"),)
    assert code_files(artefact("```py\nb = 1\n```", files=files)) == files
    assert code_files(artefact("```py\nb = 1\n```", phase="docs")) == ()


@given(st.lists(st.sampled_from(["```", "```py", "````js", "~~~", "~~~ go", "x", "", "    ```"]), max_size=300))
def test_every_line_of_a_block_is_the_same_line_of_the_deliverable(lines: list[str]) -> None:
    files = code_files(artefact("\n".join(lines)))
    assert len(files) <= FILES_LIMIT
    for file in files:
        assert file.path.rpartition(".")[2] in SUFFIXES.values()
        for ours, theirs in zip(file.text.splitlines(), lines, strict=False):
            assert ours in ("", theirs)


def test_every_phase_of_prose_is_one_that_there_is() -> None:
    catalog = ModeCatalog.load(None, Path("/nowhere"))
    text = "A shop with cart, search"
    planned = (*plan_pipeline(catalog, text), *expand_pipeline(catalog, text, ""))
    assert {*catalog.modes, *(task.phase for task in planned), MERGE_PHASE} >= PROSE | TESTS
