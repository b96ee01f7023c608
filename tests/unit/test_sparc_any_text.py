"""Packing whatever people and models hand over: text that only looks like something, is very long, or pushes."""

import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType

import pytest

from swarmtally.core.ports import Inputs
from swarmtally.domain.run import Run
from swarmtally.sparc.digest import overview, requirements
from swarmtally.sparc.keeping import kept
from swarmtally.sparc.markdown import HEADING_CHARS
from swarmtally.sparc.passages import indexed, query, rank
from swarmtally.sparc.sections import outline, signatures_in
from tests.unit.test_sparc_context import FIRST
from tests.unit.test_sparc_packing import PACKER, PLENTY, TASK, artefact, run_with

YAML = "".join(f"# type of thing {number}\nthing_{number}:\n  value: {number}\n" for number in range(200))
FORM_FEEDS = "def\fone():\n    return 1\n\n\ndef\ftwo():\n    return 2\n" * 100
RULE = "All amounts of money must be integers in cents."


def shared_part(run: Run) -> str:
    return PACKER.pack(run, TASK, Inputs(), PLENTY).parts[0]


@pytest.mark.parametrize("text", [YAML, FORM_FEEDS, "# def old():\n# def older():\n" + "x = 1;\n" * 900])
def test_text_that_has_no_symbols_but_looks_so_is_packed(text: str) -> None:
    for task, inputs in ((FIRST, Inputs()), (TASK, Inputs((artefact(text),)))):
        prompt = PACKER.pack(run_with(text), task, inputs, PLENTY)
        assert PACKER.parts(run_with(text), inputs, prompt.left_out, PLENTY)
    assert outline(text).text(0, len(outline(text).lines) - 1) == text.removesuffix("\n") or not outline(text).code


def test_the_first_task_gets_every_heading_as_it_was_written() -> None:
    headings = [f"## v{number}.0: at most {number}.5 MB (again)" for number in range(1_000)]
    prompt = PACKER.pack(run_with("\n\n".join(headings)), FIRST, Inputs(), PLENTY)
    assert [heading for heading in headings if heading not in prompt.text] == []


def test_a_text_is_whole_only_with_all_its_headings() -> None:
    texts = [indexed("# A\n\nOne.\n\n## B\n\n## C\n\n## D\n")]
    seen = overview(texts, [0], query("one"), 22, fill=True)
    assert "One." in seen.written[0]
    assert "## D" not in seen.written[0]
    assert seen.whole == (False,)
    assert overview(texts, [0], {}, 1_000, fill=True).whole == (True,)


def test_a_page_behind_a_hash_is_no_heading() -> None:
    page = "# " + "Carts hold many things. " * 50
    (section,) = outline(f"{page}\n\nMore.").sections
    assert section.level == 0
    assert outline("# Cart\n\nMore.").sections[0].title == "Cart"


def test_no_title_is_longer_than_a_heading_may_be() -> None:
    code = f"def one({'a, ' * 5_000}):\n    return 1\n\ndef two():\n    return 2\n"
    assert outline(code).code
    assert max(len(section.title) for section in outline(code).sections) == HEADING_CHARS


def steps(work: Callable[[], object]) -> int:
    """How many steps the interpreter takes for it."""
    taken = 0

    def count(frame: FrameType, event: str, _: object) -> object:
        nonlocal taken
        frame.f_trace_opcodes = True
        taken += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return taken


def many_functions(number: int) -> None:
    outline("".join(f"def f{each}():\n    return {each}\n" for each in range(number)))


def one_long_text_and_many_short(number: int) -> None:
    texts = [indexed("A.\n\n" * number), *(indexed(f"B{each}.") for each in range(number // 4))]
    overview(texts, [10] * len(texts), {}, 100_000, fill=True)


@pytest.mark.parametrize("work", [many_functions, one_long_text_and_many_short])
def test_work_grows_with_the_text_and_no_faster(work: Callable[[int], None]) -> None:
    assert steps(lambda: work(403)) < 5.5 * steps(lambda: work(101))


def test_what_was_made_of_texts_is_kept_up_to_a_length_of_all_together() -> None:
    asked = []

    @kept(10)
    def made(text: str) -> str:
        asked.append(text)
        return text.upper()

    for text in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb", "x" * 20, "x" * 20, "cccc"):
        assert made(text) == text.upper()
    # The third pushed out the one asked for longest ago, the long one all others, and the last the long one.
    assert asked == ["aaaa", "bbbb", "cccc", "bbbb", "x" * 20, "cccc"]


@pytest.mark.parametrize(
    "pushing",
    [
        "# Conventions\n\n" + "".join(f"- All things must be red in case {number}.\n" for number in range(5_000)),
        "".join(f"Every thing must always be red in case {number}.\n\n" for number in range(5_000)),
    ],
)
@pytest.mark.parametrize("heading", ["## Conventions", "## Money"])
def test_a_text_full_of_rules_does_not_hide_those_of_others(pushing: str, heading: str) -> None:
    notes = f"# Notes\n\nOf the shop.\n\n{heading}\n\nWe sell much. {RULE}\n"
    for context in ((pushing, notes), (notes, pushing)):
        assert RULE in shared_part(run_with(*context))


def test_rules_of_a_short_list_come_before_those_that_only_sound_so() -> None:
    sounding = [indexed(f"# Text {number}\n\nAll of it must be read to its end {number}.") for number in range(50)]
    texts = [*sounding, indexed("# Style\n\n## Conventions\n\n- Amounts in cents.\n- Names in English.\n")]
    first = requirements(texts, rank(texts, query("Shop")), 1_000, general=True)[:2]
    assert [piece.text for piece in first] == ["- Amounts in cents.", "- Names in English."]


def test_what_many_texts_say_alike_is_shown_once() -> None:
    same = "# Log\n\n" + "The cart failed again with error seven.\n\n" * 400
    other = "# Carts\n\nA cart holds nine things.\n"
    made = Inputs((artefact("Nothing yet."),))
    prompt = PACKER.pack(run_with(same, same, same, other), replace(TASK, text="Test the cart"), made, PLENTY)
    assert prompt.text.count("The cart failed again") == 1
    assert "A cart holds nine things." in prompt.text


def test_no_text_waits_for_the_whole_outline_of_another() -> None:
    def code(name: str, count: int) -> str:
        return "".join(f"def {name}_{number}(a, b):\n    return a + b\n\n\n" for number in range(count))

    part = shared_part(run_with(code("long", 2_000), code("short", 3)))
    assert "def short_2(a, b):" in part


def test_a_signature_is_shown_with_the_parameters_below_it() -> None:
    one = "def one(\n    first: int,\n    second: str = '(',\n) -> str:\n    return second\n"
    code = f"{one}\nclass Two(Base):\n    x = 1\n"
    assert signatures_in(code, 300) == ["def one(first: int, second: str = '(') -> str:", "class Two(Base):"]
    assert signatures_in(f"def wide(\n    {'a' * 500},\n)", 20) == [f"def wide({'a' * 11}"]


def test_the_head_of_a_table_is_not_shown_for_its_section() -> None:
    table = "| what | limit |\n|---|---|\n" + "".join(f"| item {number} | {number} |\n" for number in range(900))
    part = shared_part(run_with(f"# Limits\n\n{table}"))
    assert "# Limits" in part
    assert "| what | limit |" not in part


def test_a_name_is_compared_letter_by_letter_with_a_bounded_number_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    real = difflib.get_close_matches

    def close(word: str, names: Sequence[str], n: int, cutoff: float) -> list[str]:
        compared.append(len(names))
        return real(word, names, n, cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", close)
    run = run_with("".join(f"## Part {number}\n" for number in range(5_000)) + "## Refunds of carts\n")
    assert "context:1#refunds-of-carts" in PACKER.parts(run, Inputs(), ["context:1#refund-of-cart"], PLENTY)
    assert max(compared) <= 200
