"""Packing long shared context: what all tasks of a pipeline begin with, and what each is shown besides."""

import json
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.planted_project import project
from benchmarks.tokens import stages
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.core.ports import Inputs, Prompt, Separate
from swarmtally.domain.run import Run, RunKind
from swarmtally.sparc import tags
from swarmtally.sparc.context import WHOLE_BYTES
from swarmtally.sparc.jsonparts import json_parts
from swarmtally.sparc.packing import SYSTEM
from swarmtally.sparc.passages import indexed, query, rank, terms
from swarmtally.sparc.sections import outline
from swarmtally.sparc.selection import size
from tests.unit.test_sparc_packing import CATALOG, PACKER, PLENTY, RUN, TASK, artefact, fixed_size, run_with

FIRST = replace(TASK, key="spec", phase="specification", mode="spec-pseudocode", text="Shop", tolerates_failure=False)

FILLER = "".join(f"## Part {number}\n\nNothing is said of number {number} here.\n\n" for number in range(200))
MANUAL = f"# Manual\n\nThe shop.\n\n{FILLER}## Refunds\n\nRefunds of the cart take 41 days. They are paid in cents.\n"

words = st.sampled_from(
    ["# A", "## Cart", "\n\n", "\n", "The cart keeps items. ", "All carts must be empty. ", "- item", "def f(x):",
     "    x = 1", "```", "</context>", "<context n=1>", "errors", "é", "🛒", "word " * 90, "\u3042\u308a"]
)  # fmt: skip
texts = st.lists(st.lists(words, max_size=80).map("".join), max_size=3)


def prompts(run: Run, budget: int) -> Iterator[Prompt]:
    """Of tasks of several waves."""
    code = artefact("```python\ndef cart():\n    return []\n```", 2)
    spec = artefact("# Spec\n\nThe cart must keep 7 items.", 0, "specification", "spec")
    yield PACKER.pack(run, FIRST, Inputs(), budget)
    yield PACKER.pack(run, replace(TASK, text="Code the cart", mode="coder"), Inputs((spec,)), budget)
    yield PACKER.pack(run, TASK, Inputs((code,), (), ("test_1",), (spec,)), budget)


@settings(max_examples=100, deadline=None)
@given(texts, st.sampled_from([PLENTY, 20_000, 6_000]))
def test_all_tasks_of_a_run_begin_alike_and_stay_within_their_budget(context: list[str], budget: int) -> None:
    for kind in (RunKind.PIPELINE, RunKind.BATCH):
        run = replace(run_with(*(text * 40 for text in context)), kind=kind)
        begun = set()
        for prompt, mode in zip(prompts(run, budget), ("spec-pseudocode", "coder", "reviewer"), strict=True):
            assert prompt.size_bytes <= budget
            assert prompt.parts[-2] == CATALOG.get(mode).prompt
            assert prompt.parts[-1].startswith("Task: ")
            if prompt.shared_parts:
                begun.add(prompt.parts[: prompt.shared_parts])
        assert len(begun) <= 1
        if budget == PLENTY:
            expected = 1 if any(map(str.strip, context)) else 0
            assert all(prompt.shared_parts == expected for prompt in prompts(run, budget))


def test_the_first_task_of_a_pipeline_gets_all_of_the_context_once() -> None:
    prompt = PACKER.pack(run_with(MANUAL), FIRST, Inputs(), PLENTY)
    for unit in indexed(MANUAL).units:
        assert prompt.text.count(unit.text) == 1, unit
    assert prompt.size_bytes < fixed_size() + len(MANUAL) * 1.3


def test_later_tasks_get_what_matches_them_and_know_what_there_is() -> None:
    run = run_with(MANUAL)
    prompt = PACKER.pack(run, replace(TASK, text="Refunds"), Inputs((artefact("x"),)), PLENTY)
    assert "Refunds of the cart take 41 days. They are paid in cents." in prompt.text
    assert len(prompt.text) < len(MANUAL) * 0.6
    assert "context:1" in prompt.left_out
    assert "a section: context:1#section" in prompt.text


def test_short_context_goes_to_every_task_whole() -> None:
    text = "All must be. " * (WHOLE_BYTES // 14)
    assert text in PACKER.pack(run_with(text), TASK, Inputs((artefact("x"),)), PLENTY).text


def test_tasks_that_are_no_pipeline_get_the_whole_context() -> None:
    run = replace(run_with(MANUAL), kind=RunKind.BATCH)
    prompt = PACKER.pack(run, TASK, Inputs(), PLENTY)
    assert MANUAL in prompt.text
    assert prompt.left_out == ()


def test_what_dependencies_were_made_from_is_shown_where_it_matches_and_named() -> None:
    spec = artefact(f"{FILLER}\n\n## Limits\n\nA cart to review holds 99 items.\n", 0, "specification", "spec")
    prompt = PACKER.pack(RUN, TASK, Inputs((artefact("x"),), earlier=(spec,)), PLENTY)
    assert "[#limits]\nA cart to review holds 99 items." in prompt.text
    assert "[… not shown whole: artifact:specification/spec]" in prompt.text
    assert prompt.left_out == ("artifact:specification/spec",)


def test_rules_for_everything_reach_every_task() -> None:
    rules = "## Conventions\n\n- Amounts are integers in cents.\n- Nothing is deleted.\n"
    prompt = PACKER.pack(run_with(MANUAL + rules), replace(TASK, text="Zzz"), Inputs((artefact("x"),)), PLENTY)
    assert "- Amounts are integers in cents." in prompt.text
    assert "- Nothing is deleted." in prompt.text


def test_a_block_that_stands_in_two_artefacts_stands_once() -> None:
    block = "The cart keeps items until they are paid for, however long that takes. " * 4
    first, second = artefact(f"# A\n\n{block}\n\nOne.", 1), artefact(f"# B\n\n{block}\n\nTwo.", 2)
    prompt = PACKER.pack(RUN, TASK, Inputs((first, second)), PLENTY)
    assert prompt.text.count(block.strip()) == 1
    assert "[stands above: The cart keeps items until they are paid for" in prompt.text
    assert "Two." in prompt.text
    assert prompt.digested == ()


def test_a_digest_never_hides_an_error() -> None:
    cut_off = replace(artefact("# Code\n\nfine", 1), truncated=True)
    bad = artefact(f"# Tests\n\n{FILLER}Fine.\n\nTwo of the tests failed with a KeyError.\n{FILLER}", 2)
    prompt = PACKER.pack(RUN, TASK, Inputs((cut_off, bad, artefact(" \n", 3))), fixed_size() + 2_000)
    assert 'name="code_1" phase="code" state="not whole: cut off at the output limit">' in prompt.text
    assert "Two of the tests failed with a KeyError." in prompt.text
    assert 'name="code_3" phase="code" state="empty: the task delivered no text">' in prompt.text


def test_planted_facts_reach_the_stages_that_need_them() -> None:
    given_ = project(20_000, 3)
    missing = [
        (stage.task.key, fact)
        for stage in stages(given_, 3)
        for fact in given_.facts
        if fact.kind == "rule" and fact.mark not in stage.prompt.text
    ]
    assert missing == []


def test_code_is_kept_whole_by_symbol() -> None:
    symbols = (f"@cached\ndef f{n}(x: int) -> int:\n    y = {n}\n\n    return y" for n in range(9))
    code = "\n\n".join(["import os", *symbols])
    whole = outline(code)
    assert whole.code
    assert [section.slug for section in whole.sections] == ["top", *(f"f{n}" for n in range(9))]
    units = [unit.text for unit in indexed(code).units if "y = 3" in unit.text]
    assert [text.strip() for text in units] == ["@cached\ndef f3(x: int) -> int:\n    y = 3\n\n    return y"]


def test_what_is_said_of_code_in_code_is_part_of_it() -> None:
    said = "\n".join(f"Sentence {n} says what it is for and why it is so." for n in range(9))
    whole = outline(f'"""A module.\n\n{said}\n"""\n\nimport os\n\n\ndef only(x: int) -> int:\n    return x\n')
    assert whole.code
    assert [section.slug for section in whole.sections] == ["top", "only"]
    assert not outline(f"{said}\n\ndef only(x)\n").code


def test_a_large_class_is_divided_into_its_methods() -> None:
    body = "".join(f"    def m{n}(self):\n        return '{'x' * 400}'\n\n" for n in range(12))
    slugs = [section.slug for section in outline(f"class Big:\n{body}\n\ndef after():\n    return 1\n").sections]
    assert slugs == ["big", *(f"m{n}" for n in range(12)), "after"]


def test_words_are_found_in_other_forms_and_scripts() -> None:
    assert set(terms("leaseMonitor monitoring MONITORS")) == {"lease", "monito"}
    assert list(terms("ありがとう")) == ["あり", "りが", "がと", "とう"]
    text = indexed("One. The payments dashboard. Dashboards of dashboards.")
    (best, *_) = rank([text], query("payment dashboards"))
    assert text.units[best.number].text == "The payments dashboard."


def test_a_part_of_json_says_where_it_stands() -> None:
    operations = {f"/thing{n}": {"get": {"summary": f"Reads thing {n}", "note": "x" * 150}} for n in range(60)}
    operations["/refunds"] = {"post": {"summary": "Pays the cart back", "limit_days": 41, "note": "y" * 150}}
    described = json.dumps({"openapi": "3.1.0", "info": {"title": "Shop"}, "paths": operations})
    prompt = PACKER.pack(run_with(described), replace(TASK, text="Refunds"), Inputs((artefact("x"),)), PLENTY)
    (line,) = [line for line in prompt.text.splitlines() if "limit_days" in line]
    assert line.startswith('paths: {"/refunds": {"post": {"summary": "Pays the cart back", "limit_days": 41')
    first = PACKER.pack(run_with(described), FIRST, Inputs(), PLENTY)
    assert all(f'Reads thing {n}"' in first.text for n in range(60))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=40,
)


@given(st.dictionaries(st.text(max_size=8), json_values) | st.lists(json_values), st.integers(5, 200))
def test_parts_of_json_hold_all_of_its_texts(value: object, limit: int) -> None:
    parts = json_parts(json.dumps(value), limit)
    assert parts is not None

    def texts(inner: object) -> Iterator[str]:
        if isinstance(inner, str):
            yield json.dumps(inner, ensure_ascii=False)
        for child in inner.values() if isinstance(inner, dict) else inner if isinstance(inner, list) else ():
            yield from texts(child)

    whole = "\n".join(parts)
    assert all(text in whole for text in texts(value))


def test_what_only_looks_like_json_is_read_as_prose() -> None:
    for text in ("{not json", "[1, 2", "[" * 100_000, "just prose"):
        assert json_parts(text, 100) is None


def test_half_a_character_in_json_does_no_harm() -> None:
    half = '{"\\ud800": ["\\udfff a", 1], "b\\n": {"c": "' + "x" * 9_000 + '"}}'
    parts = json_parts(half, 10)
    assert parts is not None
    assert "\n" not in "".join(parts)
    assert PACKER.pack(run_with(half), TASK, Inputs((artefact("x"),)), PLENTY).text.encode()


@given(texts, texts)
def test_a_separate_prompt_is_as_long_as_one_that_is_written_out(context: list[str], made: list[str]) -> None:
    run, artefacts = run_with(*context), [artefact(text, number) for number, text in enumerate(made)]
    apart = PACKER.pack(run, TASK, Inputs(tuple(artefacts[:1]), earlier=tuple(artefacts[1:])), PLENTY)
    whole = tags.joined_whole(tags.contexts(run.context))
    upstream = tags.joined_whole([tags.artefact(one) for one in artefacts])
    shared = "\n\n".join(filter(None, (SYSTEM, whole)))
    written = "\n\n".join(filter(None, (shared, upstream, *apart.parts[-2:])))
    assert apart.separate == Separate(size(written), size(shared))
