"""Shaped pipelines: what each topology makes a task see besides what it needs, and which merges it has."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.task import TASK_TEXT_LIMIT, NewTask, remaining_paths
from swarmtally.domain.topology import Shape
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.plan import PIPELINE_TEXT_LIMIT, expand_pipeline, plan_pipeline
from swarmtally.sparc.shape import shaped

CATALOG = ModeCatalog.load(None, Path("/nowhere"))
MERGER = CATALOG.get("merger")

WAVES = [
    r"spec", r"arch", r"code_\d+", r"merge_code", r"(test|doc)_\d+", r"merge_tests", r"review_\d+",
    r"merge_(review|group_\d+)", r"merge", r"done",
]  # fmt: skip
"""The waves of every shape, earliest first."""

counts = st.integers(1, 12)


def base(components: int, text: str = "Shop") -> tuple[NewTask, ...]:
    listing = "".join(f"- part {number}\n" for number in range(1, components + 1))
    return expand_pipeline(CATALOG, text, f"## Components\n{listing}")


def pipeline(shape: Shape, components: int) -> dict[str, NewTask]:
    """The whole plan by key, in order."""
    plan = (*plan_pipeline(CATALOG, "Shop"), *shaped(base(components), shape, MERGER))
    found = {task.key: task for task in plan}
    assert len(found) == len(plan), "a key stands twice"
    return found


def merges(plan: dict[str, NewTask]) -> dict[str, str]:
    """What each merge needs, and `hub` when the hub does it."""
    return {
        task.key: " ".join((*(("hub:",) if task.hub else ()), *task.depends_on))
        for task in plan.values()
        if task.phase == "merge"
    }


def sight(plan: dict[str, NewTask]) -> dict[str, str]:
    """What each task sees that sees anything."""
    return {task.key: " ".join(task.sees) for task in plan.values() if task.sees}


def keys(kind: str, *numbers: int) -> str:
    return " ".join(f"{kind}_{number}" for number in numbers)


@pytest.mark.parametrize("shape", [shape for shape in Shape if shape is not Shape.MESH])
def test_a_single_component_is_built_alike_in_every_shape_but_a_mesh(shape: Shape) -> None:
    assert shaped(base(1), shape, MERGER) == base(1)


@pytest.mark.parametrize("components", [1, 3, 5, 12])
def test_solo_adds_nothing(components: int) -> None:
    assert shaped(base(components), Shape.SOLO, MERGER) == base(components)


def test_in_a_star_of_three_the_hub_merges_each_wave_and_the_next_wave_sees_it() -> None:
    plan = pipeline(Shape.STAR, 3)
    assert " ".join(plan) == (
        "spec arch code_1 code_2 code_3 merge_code test_1 test_2 test_3 doc_1 doc_2 doc_3 merge_tests "
        "review_1 review_2 review_3 merge_review done"
    )
    assert merges(plan) == {
        "merge_code": "hub: code_1 code_2 code_3",
        "merge_tests": "hub: test_1 test_2 test_3 doc_1 doc_2 doc_3",
        "merge_review": "hub: review_1 review_2 review_3",
    }
    assert sight(plan) == {
        **dict.fromkeys(["test_1", "test_2", "test_3", "doc_1", "doc_2", "doc_3"], "merge_code"),
        **dict.fromkeys(["review_1", "review_2", "review_3"], "merge_tests"),
        "done": "merge_review",
    }


@pytest.mark.parametrize("components", [5, 12])
def test_a_star_has_three_merges_however_many_components_there_are(components: int) -> None:
    plan = pipeline(Shape.STAR, components)
    numbers = range(1, components + 1)
    assert merges(plan) == {
        "merge_code": f"hub: {keys('code', *numbers)}",
        "merge_tests": f"hub: {keys('test', *numbers)} {keys('doc', *numbers)}",
        "merge_review": f"hub: {keys('review', *numbers)}",
    }
    assert len(plan) == 2 + 4 * components + 3 + 1


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        (3, {"merge_group_1": "review_1 review_2 review_3 doc_1 doc_2 doc_3"}),
        (4, {"merge_group_1": "review_1 review_2 review_3 review_4 doc_1 doc_2 doc_3 doc_4"}),
        (
            5,
            {
                "merge_group_1": "review_1 review_2 review_3 review_4 doc_1 doc_2 doc_3 doc_4",
                "merge_group_2": "review_5 doc_5",
                "merge": "hub: merge_group_1 merge_group_2",
            },
        ),
        (
            12,
            {
                "merge_group_1": "review_1 review_2 review_3 review_4 doc_1 doc_2 doc_3 doc_4",
                "merge_group_2": "review_5 review_6 review_7 review_8 doc_5 doc_6 doc_7 doc_8",
                "merge_group_3": "review_9 review_10 review_11 review_12 doc_9 doc_10 doc_11 doc_12",
                "merge": "hub: merge_group_1 merge_group_2 merge_group_3",
            },
        ),
    ],
)
def test_a_hierarchy_merges_groups_of_four_and_then_the_groups(components: int, expected: dict[str, str]) -> None:
    plan = pipeline(Shape.HIERARCHICAL, components)
    assert merges(plan) == expected
    assert sight(plan) == {"done": list(expected)[-1]}
    assert list(plan)[-1 - len(expected) :] == [*expected, "done"]


def test_the_merge_of_a_group_names_its_components() -> None:
    plan = pipeline(Shape.HIERARCHICAL, 9)
    assert plan["merge_group_2"].text == "Merge components 5 to 8 of: Shop"
    assert plan["merge_group_3"].text == "Merge component 9 of: Shop"
    assert plan["merge"].text == "Merge the groups of components of: Shop"


@pytest.mark.parametrize("components", [3, 5, 12])
def test_in_a_ring_each_component_sees_the_code_of_the_one_before_and_nothing_is_merged(components: int) -> None:
    plan = pipeline(Shape.RING, components)
    assert sight(plan) == {f"code_{number}": f"code_{number - 1}" for number in range(2, components + 1)}
    assert [task.key for task in plan.values()] == ["spec", "arch", *(task.key for task in base(components))]


def test_in_a_mesh_of_three_a_task_sees_all_that_earlier_waves_made() -> None:
    plan = pipeline(Shape.MESH, 3)
    assert merges(plan) == {"merge": "review_1 review_2 review_3 doc_1 doc_2 doc_3"}
    seen = sight(plan)
    assert "code_2" not in seen, "the only earlier tasks are those it needs"
    assert seen["test_2"] == seen["doc_2"] == "arch spec code_1 code_3"
    assert seen["review_2"] == "arch spec code_1 code_3 test_1 test_3 doc_1 doc_2 doc_3"
    assert seen["merge"] == "arch spec code_1 code_2 code_3 test_1 test_2 test_3"
    assert seen["done"] == "arch spec code_1 code_2 code_3 test_1 test_2 test_3 merge"
    assert list(plan)[-2:] == ["merge", "done"]


def test_in_a_mesh_of_one_there_is_no_merge_but_the_waves_see_what_came_before() -> None:
    plan = pipeline(Shape.MESH, 1)
    assert merges(plan) == {}
    assert sight(plan) == {
        "test_1": "arch spec",
        "doc_1": "arch spec",
        "review_1": "arch spec doc_1",
        "done": "arch spec code_1 test_1",
    }


@pytest.mark.parametrize(("components", "last"), [(5, 2 + 5 + 5), (12, 2 + 12 + 12)])
def test_the_merge_of_a_larger_mesh_sees_code_and_tests_of_all(components: int, last: int) -> None:
    plan = pipeline(Shape.MESH, components)
    assert len(plan["merge"].sees) == last
    assert len(plan["merge"].depends_on) == 2 * components


@given(st.sampled_from(Shape), counts)
def test_a_shaped_plan_is_the_plan_with_merges_between(shape: Shape, components: int) -> None:
    plan = shaped(base(components), shape, MERGER)
    woven = {task.key: task for task in plan}
    for task in base(components):
        assert (woven[task.key].depends_on, woven[task.key].text) == (task.depends_on, task.text)
        assert not woven[task.key].hub
    added = [task for task in plan if task.key not in {task.key for task in base(components)}]
    assert len(added) <= 4
    for task in added:
        assert (task.phase, task.mode, task.role, task.tolerates_failure, task.expands) == (
            "merge", "merger", "integrator", True, False,
        )  # fmt: skip


@given(st.sampled_from(Shape), counts)
def test_what_a_task_waits_for_stands_before_it_in_the_plan(shape: Shape, components: int) -> None:
    before: set[str] = set()
    for task in pipeline(shape, components).values():
        assert before.issuperset(task.depends_on + task.sees), f"{task.key} waits for what is not there"
        assert not set(task.depends_on) & set(task.sees), f"{task.key} sees what it needs"
        assert len(set(task.sees)) == len(task.sees)
        before.add(task.key)


def wave(key: str) -> int:
    (found,) = (number for number, pattern in enumerate(WAVES) if re.fullmatch(pattern, key))
    return found


@given(st.sampled_from([shape for shape in Shape if shape is not Shape.RING]), counts)
def test_what_a_task_sees_is_of_an_earlier_wave(shape: Shape, components: int) -> None:
    for task in pipeline(shape, components).values():
        assert all(wave(key) < wave(task.key) for key in task.sees)


@pytest.mark.parametrize(
    ("shape", "components", "longest"),
    [
        (Shape.SOLO, 12, 6),
        (Shape.STAR, 1, 6),
        (Shape.STAR, 12, 9),
        (Shape.HIERARCHICAL, 4, 7),
        (Shape.HIERARCHICAL, 12, 8),
        (Shape.RING, 12, 6 + 11),
        (Shape.MESH, 1, 6),
        (Shape.MESH, 12, 7),
    ],
)
def test_the_longest_chain_of_a_pipeline_counts_merges_and_hops(shape: Shape, components: int, longest: int) -> None:
    assert remaining_paths(list(pipeline(shape, components).values()))["spec"] == longest


@given(st.sampled_from(Shape), counts)
def test_nothing_comes_after_the_completion(shape: Shape, components: int) -> None:
    plan = list(pipeline(shape, components).values())
    paths = remaining_paths(plan)
    assert [task.key for task in plan if paths[task.key] == 1] == ["done"]


@pytest.mark.parametrize("shape", Shape)
def test_the_text_of_a_merge_is_no_longer_than_a_task_may_be(shape: Shape) -> None:
    plan = shaped(base(12, "y" * PIPELINE_TEXT_LIMIT), shape, MERGER)
    assert max(len(task.text) for task in plan) <= TASK_TEXT_LIMIT
