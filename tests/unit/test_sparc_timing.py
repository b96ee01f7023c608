"""Same plan and inputs, same prompts, whatever the timing: a shaped pipeline is executed in many legal orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.core.ports import Inputs, Prompt
from swarmtally.domain.run import BackendChoice, Run, RunKind, RunStatus
from swarmtally.domain.task import Artefact, NewTask, Task, TaskStatus
from swarmtally.domain.topology import Shape
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.packing import ContextPacker
from swarmtally.sparc.plan import artefact_name, expand_pipeline, plan_pipeline
from swarmtally.sparc.shape import shaped

CATALOG = ModeCatalog.load(None, Path("/nowhere"))
PACKER = ContextPacker(CATALOG)
PLENTY, SCARCE = 1_000_000, 12_000

RUN = Run(
    run_id="r_1", project="p", swarm_id="s_1", kind=RunKind.PIPELINE, task="Shop", context=("We sell shoes.",),
    out_dir=None, backend=BackendChoice("local", "m", None, "", None), status=RunStatus.RUNNING, reason=None,
    shape=None, shape_reason=None, created_ns=0, started_ns=0, finished_ns=None, lease_owner="me", lease_epoch=1,
    lease_expires_ns=1,
)  # fmt: skip

counts = st.integers(1, 12)
seeds = st.integers(0, 2**32)


def pipeline(shape: Shape, components: int) -> list[NewTask]:
    listing = "".join(f"- part {number}\n" for number in range(1, components + 1))
    base = expand_pipeline(CATALOG, "Shop", f"## Components\n{listing}")
    return [*plan_pipeline(CATALOG, "Shop"), *shaped(base, shape, CATALOG.get("merger"))]


def output(key: str) -> str:
    """What the task delivers: for some tasks less than a digest, for others several times as much."""
    size = int(sha256(key.encode()).hexdigest(), 16) % 60
    return f"# {key}\n\n" + "".join(f"## Point {number}\n\nOf {key}, part {number}.\n\n" for number in range(size))


@dataclass(frozen=True, slots=True)
class Execution:
    """How a run went: the prompt of every task that was started, and the tasks in the order they ended."""

    prompts: dict[str, Prompt]
    ended: tuple[str, ...]
    artefacts: dict[str, Artefact]


def execute(plan: Sequence[NewTask], failing: frozenset[str], timing: Random, budget: int) -> Execution:
    """Carry the plan out by the rules for tasks: each starts as soon as it may, and they end in a random order."""
    ordinals = {task.key: ordinal for ordinal, task in enumerate(plan)}
    waiting, running = {task.key: task for task in plan}, dict[str, NewTask]()
    prompts: dict[str, Prompt] = {}
    artefacts: dict[str, Artefact] = {}
    ended: list[str] = []
    while waiting or running:
        for task in [task for task in waiting.values() if set(task.depends_on + task.sees) <= set(ended)]:
            del waiting[task.key]
            if task.depends_on and not any(key in artefacts for key in task.depends_on):
                ended.append(task.key)
                break
            prompts[task.key] = PACKER.pack(RUN, stored(task, ordinals), inputs(task, artefacts, timing), budget)
            running[task.key] = task
        else:
            task = running.pop(timing.choice(sorted(running)))
            ended.append(task.key)
            if task.key not in failing:
                artefacts[task.key] = delivered(task, ordinals, timing, len(ended))
        lost = {key for key in ended if key not in artefacts}
        for task in list(waiting.values()):
            if not task.tolerates_failure and lost.intersection(task.depends_on):
                del waiting[task.key]
                ended.append(task.key)
    return Execution(prompts, tuple(ended), artefacts)


def inputs(task: NewTask, artefacts: dict[str, Artefact], timing: Random) -> Inputs:
    def made(keys: Sequence[str]) -> tuple[Artefact, ...]:
        found = [artefacts[key] for key in keys if key in artefacts]
        return tuple(timing.sample(found, len(found)))

    return Inputs(made(task.depends_on), made(task.sees), tuple(key for key in task.depends_on if key not in artefacts))


def stored(task: NewTask, ordinals: dict[str, int]) -> Task:
    ordinal = ordinals[task.key]
    return Task(
        task_id=f"t_1_{ordinal}", run_id="r_1", ordinal=ordinal, key=task.key, phase=task.phase, mode=task.mode,
        role=task.role, text=task.text, priority=0, remaining_path=1, tolerates_failure=task.tolerates_failure,
        expands=task.expands, hub=task.hub, status=TaskStatus.RUNNING, pending=0, attempts=1, not_before_ns=0,
        agent_id=None, created_ns=0, ready_ns=0, finished_ns=None, error=None,
    )  # fmt: skip


def delivered(task: NewTask, ordinals: dict[str, int], timing: Random, now: int) -> Artefact:
    text = output(task.key)
    return Artefact(
        artefact_id=f"f_{timing.getrandbits(40)}", run_id="r_1", task_id=f"t_1_{ordinals[task.key]}",
        ordinal=ordinals[task.key], phase=task.phase, name=artefact_name(task),
        sha256=sha256(text.encode()).hexdigest(), size_bytes=len(text.encode()), path=None, text=text, created_ns=now,
    )  # fmt: skip


def failures(plan: Sequence[NewTask], seed: int, share: float) -> frozenset[str]:
    """Tasks of the components that fail; without specification and architecture there is nothing to compare."""
    draw = Random(seed)
    return frozenset(task.key for task in plan[2:] if draw.random() < share)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(Shape),
    counts,
    seeds,
    seeds,
    seeds,
    st.sampled_from([0, 0.1, 0.5]),
    st.sampled_from([PLENTY, SCARCE]),
)
def test_the_same_plan_and_inputs_give_the_same_prompts_whatever_the_timing(
    shape: Shape, components: int, one: int, other: int, lot: int, share: float, budget: int
) -> None:
    plan = pipeline(shape, components)
    failing = failures(plan, lot, share)
    first, second = (execute(plan, failing, Random(seed), budget) for seed in (one, other))
    assert first.prompts == second.prompts
    assert set(first.artefacts) == set(second.artefacts)


def test_the_orders_that_are_compared_do_differ() -> None:
    plan = pipeline(Shape.MESH, 5)
    assert execute(plan, frozenset(), Random(1), PLENTY).ended != execute(plan, frozenset(), Random(2), PLENTY).ended


@given(st.sampled_from(Shape), counts, seeds, seeds)
@settings(max_examples=40, deadline=None)
def test_every_task_ends_and_one_that_only_sees_what_failed_is_still_done(
    shape: Shape, components: int, timing: int, lot: int
) -> None:
    plan = pipeline(shape, components)
    failing = failures(plan, lot, 0.3)
    run = execute(plan, failing, Random(timing), PLENTY)
    assert sorted(run.ended) == sorted(task.key for task in plan)
    for task in plan:
        made = [key in run.artefacts for key in task.depends_on]
        may = not made or (any(made) if task.tolerates_failure else all(made))
        assert (task.key in run.prompts) == may


@pytest.mark.parametrize(
    ("shape", "key", "seen"),
    [
        (Shape.STAR, "test_2", "merge_code"),
        (Shape.STAR, "review_2", "merge_tests"),
        (Shape.STAR, "done", "merge_review"),
        (Shape.HIERARCHICAL, "done", "merge"),
        (Shape.RING, "code_2", "code_1"),
        (Shape.MESH, "test_2", "code_3"),
        (Shape.MESH, "done", "merge"),
    ],
)
def test_what_a_topology_lets_a_task_see_stands_in_its_prompt_and_goes_missing_without_a_word(
    shape: Shape, key: str, seen: str
) -> None:
    plan = pipeline(shape, 5)
    with_it = execute(plan, frozenset(), Random(1), PLENTY).prompts[key]
    without = execute(plan, frozenset([seen]), Random(1), PLENTY).prompts[key]
    opening = f'name="{seen}"'
    assert opening in "\n".join(with_it.parts)
    assert opening not in "\n".join(without.parts)
    assert "Missing" not in without.parts[-1]
