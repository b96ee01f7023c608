"""Plans: the task graphs of run, batch, concurrent and pipeline."""

from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import BackendChoice, Run, RunKind, RunStatus
from swarmtally.domain.swarm import Topology
from swarmtally.domain.task import TASK_TEXT_LIMIT, Expansion, NewTask, Task, TaskStatus, remaining_paths
from swarmtally.domain.topology import Shape
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.plan import (
    FOLDED_LIMIT,
    MAX_COMPONENTS,
    NAME_LIMIT,
    PIPELINE_MODES,
    SparcPlanner,
    artefact_name,
    components,
    expand_pipeline,
    initial_shape,
    plan_batch,
    plan_concurrent,
    plan_pipeline,
    plan_run,
    split_tasks,
)
from swarmtally.sparc.shape import shaped

CATALOG = ModeCatalog.load(None, Path("/nowhere"))

SHOP = (
    "E-commerce platform with user authentication, product catalog, shopping cart, payment processing, order "
    "management, admin dashboard, mobile API, comprehensive testing, CI/CD pipeline, monitoring, and documentation"
)
REACT = (
    "React frontend with Node.js backend, PostgreSQL database, JWT authentication, comprehensive testing, "
    "Docker deployment"
)
FULL_STACK = "Full-stack application with authentication, testing, and deployment"

prose = st.text(max_size=200)
markdownish = st.lists(
    st.sampled_from(
        ["# Components", "**Components**", "- ", "1. ", "  - ", "a", "b: c", ", ", "```", "\n", "*", "x" * 130]
    )
    | st.text(max_size=10),
    max_size=60,
).map("".join)


def test_run_makes_one_task_named_after_its_mode() -> None:
    (task,) = plan_run(CATALOG.get("coder"), "  Login implementation\n")
    assert task == NewTask("coder_1", "coder", "coder", "coder", "Login implementation")
    assert artefact_name(task) == "coder_1"


def test_batch_puts_every_mode_on_every_task_without_dependencies() -> None:
    modes = [CATALOG.get(name) for name in ("spec-pseudocode", "architect", "refactor")]
    plan = plan_batch(modes, split_tasks("Feature A,Feature B,Feature C"))
    assert [(task.key, task.phase, task.role, task.text) for task in plan][:4] == [
        ("spec-pseudocode_1", "spec-pseudocode", "specifier", "Feature A"),
        ("spec-pseudocode_2", "spec-pseudocode", "specifier", "Feature B"),
        ("spec-pseudocode_3", "spec-pseudocode", "specifier", "Feature C"),
        ("architect_1", "architect", "architect", "Feature A"),
    ]
    assert len(plan) == 9
    assert not any(task.depends_on or task.expands or task.tolerates_failure for task in plan)


def test_concurrent_puts_one_mode_on_every_task() -> None:
    texts = split_tasks("ETL pipeline,Data validation,Visualization dashboard,Performance monitoring")
    plan = plan_concurrent(CATALOG.get("data-pipeline"), texts)
    assert [task.key for task in plan] == [f"data-pipeline_{number}" for number in range(1, 5)]
    assert [task.text for task in plan] == list(texts)


@pytest.mark.parametrize(
    ("modes", "tasks", "message"),
    [
        ([], ["a"], "no mode is named"),
        (["coder"], [], "there is no task"),
        (["coder"], ["a", " \n"], "text is empty"),
        (["coder", "tester", "coder"], ["a"], "mode 'coder' is named twice"),
        (["coder"], ["x" * (TASK_TEXT_LIMIT + 1)], "at most 100000 fit"),
        (["coder", "tester"], ["x"] * 5_001, "2 modes on 5001 tasks make 10002; a run holds at most 10000"),
        (["coder"], ["\ud800"], "not valid Unicode at character 0"),
    ],
)
def test_a_request_out_of_bounds_is_refused_in_one_line(modes: list[str], tasks: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        plan_batch([CATALOG.get(name) for name in modes], tasks)
    assert "\n" not in str(caught.value)


def test_the_bounds_themselves_are_allowed() -> None:
    assert len(plan_batch([CATALOG.get("coder"), CATALOG.get("tester")], ["x"] * 5_000)) == 10_000
    assert plan_run(CATALOG.get("coder"), "x" * TASK_TEXT_LIMIT)


def test_a_pipeline_begins_with_specification_and_an_architecture_that_expands() -> None:
    spec, arch = plan_pipeline(CATALOG, FULL_STACK)
    assert (spec.key, spec.phase, spec.mode, spec.depends_on, spec.expands) == (
        "spec", "specification", "spec-pseudocode", (), False,
    )  # fmt: skip
    assert (arch.key, arch.phase, arch.mode, arch.depends_on, arch.expands) == (
        "arch", "architecture", "architect", ("spec",), True,
    )  # fmt: skip


def test_the_expansion_is_the_graph_of_the_semantics_page() -> None:
    plan = {
        task.key: task for task in expand_pipeline(CATALOG, SHOP, "# A\n## Components\n- shopping cart\n- orders\n")
    }
    assert list(plan) == [
        "code_1", "code_2", "test_1", "test_2", "doc_1", "doc_2", "review_1", "review_2", "done",
    ]  # fmt: skip
    assert {key: task.depends_on for key, task in plan.items() if key.endswith(("2", "e"))} == {
        "code_2": ("arch", "spec"),
        "test_2": ("code_2",),
        "doc_2": ("code_2",),
        "review_2": ("code_2", "test_2"),
        "done": ("review_1", "review_2", "doc_1", "doc_2"),
    }
    assert [key for key, task in plan.items() if task.tolerates_failure] == ["review_1", "review_2", "done"]
    assert [(plan[key].phase, plan[key].role) for key in ("code_1", "test_1", "doc_1", "review_1", "done")] == [
        ("code", "coder"),
        ("tests", "tester"),
        ("docs", "documenter"),
        ("review", "reviewer"),
        ("completion", "integrator"),
    ]
    assert plan["code_1"].text == f"Component 'shopping cart' of: {SHOP}"
    assert plan["review_2"].text == f"Component 'orders' of: {SHOP}"
    assert plan["done"].text == SHOP


def test_a_pipeline_of_one_component_gives_the_task_as_it_is() -> None:
    assert expand_pipeline(CATALOG, "Fix the login", "no list here")[0].text == "Fix the login"


def test_the_longest_pipeline_task_leaves_room_for_the_component_names() -> None:
    bullets = "\n".join(f"- {'n' * 110}{number}" for number in range(40))
    text = "y" * (TASK_TEXT_LIMIT - 2 * FOLDED_LIMIT)
    plan_pipeline(CATALOG, text)
    assert all(len(task.text) <= TASK_TEXT_LIMIT for task in expand_pipeline(CATALOG, text, f"# Components\n{bullets}"))
    with pytest.raises(InvalidInput, match="shorten it"):
        plan_pipeline(CATALOG, text + "y")


def a_run(task: str) -> Run:
    return Run(
        run_id="r_1", project="p", swarm_id="s_1", kind=RunKind.PIPELINE, task=task, context=(), out_dir=None,
        backend=BackendChoice("local", "m", None, "", None), status=RunStatus.RUNNING, reason=None, shape=None,
        shape_reason=None, created_ns=0,
        started_ns=0, finished_ns=None, lease_owner="me", lease_epoch=1, lease_expires_ns=1,
    )  # fmt: skip


def a_task(key: str, *, expands: bool) -> Task:
    return Task(
        task_id="t_1_1", run_id="r_1", ordinal=1, key=key, phase="architecture", mode="architect", role="architect",
        text="x", priority=0, remaining_path=1, tolerates_failure=False, expands=expands, hub=False,
        status=TaskStatus.RUNNING, pending=0, attempts=1, not_before_ns=0, agent_id=None, created_ns=0,
        ready_ns=0, finished_ns=None, error=None,
    )  # fmt: skip


def test_the_planner_expands_only_tasks_that_expand() -> None:
    planner = SparcPlanner(CATALOG)
    assert planner.expand(a_run(FULL_STACK), a_task("spec", expands=False), "") == Expansion(())
    solo = replace(a_run(FULL_STACK), shape=Shape.SOLO)
    assert planner.expand(solo, a_task("arch", expands=True), "").tasks == expand_pipeline(CATALOG, FULL_STACK, "")


def listing(count: int) -> str:
    return "## Components\n" + "".join(f"- part {number}\n" for number in range(1, count + 1))


@pytest.mark.parametrize("shape", Shape)
def test_the_planner_keeps_the_shape_that_a_run_has(shape: Shape) -> None:
    expansion = SparcPlanner(CATALOG).expand(replace(a_run("x"), shape=shape), a_task("arch", expands=True), listing(5))
    plan = expand_pipeline(CATALOG, "x", listing(5))
    assert expansion == Expansion(shaped(plan, shape, CATALOG.get("merger")), None, None)


@pytest.mark.parametrize(
    ("count", "shape", "reason"),
    [
        (1, Shape.SOLO, "1 component: a chain, so one agent"),
        (8, Shape.STAR, "8 components: at most 8, so star"),
        (11, Shape.HIERARCHICAL, "11 components: more than 8, so hierarchical"),
        (20, Shape.HIERARCHICAL, "12 components: more than 8, so hierarchical"),
    ],
)
def test_the_planner_decides_the_shape_of_a_run_without_one(count: int, shape: Shape, reason: str) -> None:
    expansion = SparcPlanner(CATALOG).expand(a_run("x"), a_task("arch", expands=True), listing(count))
    plan = expand_pipeline(CATALOG, "x", listing(count))
    assert expansion == Expansion(shaped(plan, shape, CATALOG.get("merger")), shape, reason)


@pytest.mark.parametrize(
    ("topology", "kind", "leaves", "expected"),
    [
        (Topology.MESH, RunKind.PIPELINE, 2, (Shape.MESH, "the swarm's topology")),
        (Topology.STAR, RunKind.RUN, 1, (Shape.STAR, "the swarm's topology")),
        (Topology.ADAPTIVE, RunKind.PIPELINE, 2, (None, None)),
        (Topology.ADAPTIVE, RunKind.RUN, 1, (Shape.SOLO, "1 task: a chain, so one agent")),
        (Topology.ADAPTIVE, RunKind.BATCH, 6, (Shape.STAR, "6 tasks: at most 8, so star")),
        (Topology.ADAPTIVE, RunKind.CONCURRENT, 9, (Shape.HIERARCHICAL, "9 tasks: more than 8, so hierarchical")),
    ],
)
def test_a_run_starts_with_the_shape_of_its_swarm_or_of_its_size(
    topology: Topology, kind: RunKind, leaves: int, expected: tuple[Shape | None, str | None]
) -> None:
    assert initial_shape(topology, kind, leaves) == expected


@given(prose, markdownish)
def test_every_expansion_is_a_graph_without_circles_whose_dependencies_exist(task: str, output: str) -> None:
    text = task if task.strip() else "x"
    plan = (*plan_pipeline(CATALOG, text), *expand_pipeline(CATALOG, text, output))
    keys = [task.key for task in plan]
    assert len(set(keys)) == len(keys) <= 3 + 4 * MAX_COMPONENTS
    assert all(set(task.depends_on) <= set(keys) for task in plan)
    assert list(TopologicalSorter({task.key: task.depends_on for task in plan}).static_order())[-1] == "done"
    assert remaining_paths(plan)["spec"] == 6
    assert all(task.text.strip() for task in plan)
    assert (*dict.fromkeys(task.mode for task in plan),) == tuple(mode for mode in PIPELINE_MODES if mode != "merger")
    assert expand_pipeline(CATALOG, text, output) == plan[2:]


@given(prose, markdownish)
def test_there_are_one_to_twelve_components_each_a_bounded_line(task: str, output: str) -> None:
    names = components(task, output)
    assert 1 <= len(names) <= MAX_COMPONENTS
    assert len({name.casefold() for name in names}) == len(names)
    for name in names[:11]:
        assert 1 <= len(name) <= NAME_LIMIT
    for name in names:
        assert 1 <= len(name) <= FOLDED_LIMIT
        assert name.isprintable() or "\xa0" in name or not name.isascii()
        assert len(name.splitlines()) == 1


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (FULL_STACK, ("authentication", "testing", "deployment")),
        (REACT, ("Node.js backend", "PostgreSQL database", "JWT authentication", "comprehensive testing",
                 "Docker deployment")),
        (SHOP, ("user authentication", "product catalog", "shopping cart", "payment processing", "order management",
                "admin dashboard", "mobile API", "comprehensive testing", "CI/CD pipeline", "monitoring",
                "documentation")),
        ("a, b, And c", ("a", "b", "c")),
        ("Blog with comments", ("Blog with comments",)),
        ("Service for 10,000 users, search (text, image), Cart, cart", ("Service for 10,000 users",
                                                                       "search (text, image)", "Cart")),
        ("App with: auth, cart. Use Python, not Java", ("auth", "cart")),
        ("\u200b", ("the whole",)),
        ("", ("the whole",)),
    ],
)  # fmt: skip
def test_without_a_list_the_components_come_from_the_task(task: str, expected: tuple[str, ...]) -> None:
    assert components(task, "## Overview\n- not, this\n") == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("## Components\n- Cart\n* Orders\n+ Users\n", ("Cart", "Orders", "Users")),
        ("#### 3. COMPONENTS:\n1. Cart\n2) Orders\n", ("Cart", "Orders")),
        ("**Components**\n\nThese:\n\n- Cart\n", ("Cart",)),
        ("__Components:__\n- Cart\n", ("Cart",)),
        ("# Components ##\n- **Cart**: holds items\n- `Orders` - places\n- _Users_ — knows\n- [Pay](http://x)\n",
         ("Cart", "Orders", "Users", "Pay")),
        ("## Components\n- **Cart:** holds\n  - nested detail\n- [ ] Orders\n", ("Cart", "Orders")),
        ("## Components\n- Cart\n- CART\n- ***\n- Orders\n## Next\n- no\n", ("Cart", "Orders")),
        ("```md\n## Components\n- no\n```\n## Components\n```\n- no\n```\n- Cart\n", ("Cart",)),
        ("## Components\n\n## Other\n- no\n**Components**\n- Cart\n**After**\n- no", ("Cart",)),
        ("## Components\r\n- Cart\r\n- Or\x1bders\x00\r\n", ("Cart", "Orders")),
        (f"## Components\n- {'x' * 300}\n", ("x" * 119 + "…",)),
    ],
)  # fmt: skip
def test_components_are_the_list_under_the_heading(output: str, expected: tuple[str, ...]) -> None:
    assert components(SHOP, output) == expected


def test_the_thirteenth_component_and_further_ones_are_folded_into_the_last() -> None:
    listed = "## Components\n" + "".join(f"- part {number}\n" for number in range(1, 15))
    names = components("x", listed)
    assert len(names) == 12
    assert names[10] == "part 11"
    assert names[11] == "part 12, part 13 and part 14"


def test_what_does_not_fit_the_last_component_is_counted() -> None:
    listed = "## Components\n" + "".join(f"- {number:03}{'n' * 115}\n" for number in range(40))
    last = components("x", listed)[11]
    assert len(last) <= FOLDED_LIMIT
    assert last.endswith(" and 22 more")
    assert last.count("nnn") // 38 == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Feature A,Feature B", ("Feature A", "Feature B")),
        ("RESTful API with auth, rate limiting, caching", ("RESTful API with auth, rate limiting, caching",)),
        ("RESTful API with authentication, rate limiting, caching, monitoring",
         ("RESTful API with authentication, rate limiting, caching, monitoring",)),
        ("serve 10,000 users,fast", ("serve 10,000 users", "fast")),
        ("f(a,b),g[c,d],{e,f}", ("f(a,b)", "g[c,d]", "{e,f}")),
        ("open (a,b", ("open (a", "b")),
        ("close) a,b ]", ("close) a", "b ]")),
        (",a,,b ,", ("a", "b")),
        ("1,a,2", ("1", "a", "2")),
        ("(a,(b,c),d),e", ("(a,(b,c),d)", "e")),
        ("", ()),
    ],
)  # fmt: skip
def test_a_comma_with_no_space_after_it_separates_tasks(text: str, expected: tuple[str, ...]) -> None:
    assert split_tasks(text) == expected


@given(st.lists(st.from_regex(r"[a-z]+(, [a-z]+| \([a-z],[a-z]\)| 1,000)*", fullmatch=True), max_size=6))
def test_what_was_joined_with_bare_commas_is_split_again(texts: list[str]) -> None:
    assert split_tasks(",".join(texts)) == tuple(texts)


@given(st.text(alphabet="a1,()[] \n", max_size=60))
def test_splitting_loses_nothing_but_commas_and_blanks(text: str) -> None:
    blank = str.maketrans("", "", ", \n")
    assert "".join(split_tasks(text)).translate(blank) == text.translate(blank)
