"""The tokens of a pipeline's prompts over a real project, beside three ways to do the same work: separate requests with
everything in each (a), the same with the provider's cache well used (b), and one session of a single agent (c). Recall:
how many of the facts that a stage needs, planted in the context, are in its prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean

from benchmarks.planted_project import COMPONENTS, EVERYWHERE, TASK, Fact, Project, deliverables, project
from swarmtally.core.ports import Inputs, Prompt
from swarmtally.domain.run import BackendChoice, Run, RunKind, RunStatus
from swarmtally.domain.task import Artefact, NewTask, Task, TaskStatus
from swarmtally.domain.topology import Shape
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.packing import SYSTEM, ContextPacker
from swarmtally.sparc.plan import expand_pipeline, plan_pipeline
from swarmtally.sparc.shape import shaped

SIZES = (("5k", 20_000), ("20k", 80_000), ("60k", 240_000))
"""Names and bytes of the contexts: four bytes a token."""

READ, WRITE, OUTPUT = 0.1, 1.25, 5.0
"""What cached and written input and output weigh, as Anthropic prices Claude Haiku 4.5."""

CACHED_LEAST_BYTES = 1_024 * 4
"""A shorter beginning is not cached."""

ROOM_BYTES = 200_000 * 3
GOALS = {"raw": 0.60, "billed": 0.80, "recall": 0.99}
CATALOG = ModeCatalog.load(None, Path("/nowhere"))
PACKER = ContextPacker(CATALOG)


@dataclass(frozen=True)
class Stage:
    """A task's prompt and what it delivered."""

    task: NewTask
    prompt: Prompt
    output: str
    upstream_bytes: int
    """Of everything it builds on, whole."""


def run(smoke: bool) -> list[str]:
    lines = []
    for name, size_bytes in SIZES[:1] if smoke else SIZES:
        seeds = range(1) if smoke else range(10)
        results = [_compared(project(size_bytes, seed), seed) for seed in seeds]
        for key in results[0]:
            value = fmean(result[key] for result in results)
            goal = next((goal for word, goal in GOALS.items() if key.startswith(word) and "against a" in key), None)
            if key == "recall":
                goal = GOALS["recall"]
            verdict = "" if goal is None else f" (goal {goal:.0%}{'' if value >= goal else ', MISSED'})"
            lines.append(f"context {name:>3}  {key:42} {value:7.1%}{verdict}")
    return lines


def stages(given: Project, seed: int) -> Iterator[Stage]:
    """The stages of the pipeline in order, as the packer sees them."""
    run_ = Run(
        run_id="r_1", project="p", swarm_id="s_1", kind=RunKind.PIPELINE, task=TASK, context=given.context,
        out_dir=None, backend=BackendChoice("model", "m", None, "", None), status=RunStatus.RUNNING, reason=None,
        shape=Shape.STAR, shape_reason=None, created_ns=0, started_ns=0, finished_ns=None, lease_owner=None,
        lease_epoch=1, lease_expires_ns=0,
    )  # fmt: skip
    outputs = deliverables(seed)
    plan = [*plan_pipeline(CATALOG, TASK)]
    components = "\n".join(f"- {name}" for name in COMPONENTS)
    following = expand_pipeline(CATALOG, TASK, f"{outputs['architecture']}\n\n## Components\n\n{components}\n")
    plan += shaped(following, Shape.STAR, CATALOG.get("merger"))
    needs = {task.key: set(task.depends_on) for task in plan}
    made: dict[str, Artefact] = {}
    for ordinal, new in enumerate(plan):
        before: set[str] = set()
        todo = set(new.depends_on)
        while todo:
            before |= todo
            todo = set().union(*(needs[key] for key in todo)) - before
        chosen = [made[key] for key in made if key in before]
        inputs = Inputs(
            needed=tuple(one for one in chosen if one.name in new.depends_on),
            seen=tuple(made[key] for key in new.sees),
            earlier=tuple(one for one in chosen if one.name not in (*new.depends_on, *new.sees)),
        )
        output = f"# {new.key}\n\n{outputs[new.phase]}"
        prompt = PACKER.pack(run_, _task(new, ordinal), inputs, ROOM_BYTES)
        yield Stage(new, prompt, output, sum(one.size_bytes for one in chosen))
        made[new.key] = _artefact(new, ordinal, output)


def _compared(given: Project, seed: int) -> dict[str, float]:
    done = list(stages(given, seed))
    ours = [_bytes(stage.prompt.text) for stage in done]
    output = [_bytes(stage.output) for stage in done]
    shared = [stage.prompt.prefix()[stage.prompt.shared_parts][0] for stage in done]
    apart = [stage.prompt.separate for stage in done]
    separate = [(one.size_bytes, one.shared_bytes) for one in apart if one]
    asked = [size for size, one in zip(output, apart, strict=True) if one]
    billed = _billed(list(zip(ours, shared, strict=True)), output)
    a, a_out = sum(size for size, _ in separate), sum(asked)
    b = _billed(separate, asked)
    c_raw, c_billed = _session(given, done)
    found = [(fact.kind, fact.mark in stage.prompt.text) for stage in done for fact in _needed(given, stage)]
    plain = [there for kind, there in found if kind != "other words"]
    other = [there for kind, there in found if kind == "other words"]
    saved = {
        "raw input saved against a": 1 - sum(ours) / a,
        "raw with output saved against a": 1 - (sum(ours) + sum(output)) / (a + a_out),
        "billed input saved against a": 1 - (billed - OUTPUT * sum(output)) / a,
        "billed with output saved against a": 1 - billed / (a + OUTPUT * a_out),
        "input billed, saved against b": 1 - (billed - OUTPUT * sum(output)) / (b - OUTPUT * a_out),
        "raw input, saved against c": 1 - sum(ours) / c_raw,
        "input billed, saved against c": 1 - (billed - OUTPUT * sum(output)) / c_billed,
    }
    levers = {f"lever alone: {name}": 1 - size / a for name, size in _levers(done, a).items()}
    recall = {"recall": fmean(plain), "recall of facts in other words": fmean(other)}
    for kind in ("prose", "code", "rule"):
        recall[f"recall of {kind}"] = fmean(there for one, there in found if one == kind)
    return {**saved, **levers, **recall}


def _billed(prompts: Sequence[tuple[int, int]], output: Sequence[int]) -> float:
    """Prompts one after the other with their shared beginnings: the first writes it, the others read it."""
    total = OUTPUT * sum(output)
    written = False
    for size, shared in prompts:
        cached = shared if shared >= CACHED_LEAST_BYTES else 0
        total += size - cached + cached * (READ if written else WRITE)
        written = written or cached > 0
    return total


def _session(given: Project, done: Sequence[Stage]) -> tuple[int, float]:
    """One agent that does stage after stage in one conversation: raw input, and input as billed, its history cached."""
    history = _bytes(SYSTEM) + sum(map(_bytes, given.context))
    raw, billed, cached = 0, 0.0, 0
    for stage in done:
        if stage.prompt.separate is None:
            continue
        request = history + sum(map(_bytes, stage.prompt.parts[-2:]))
        raw += request
        billed += cached * READ + (request - cached) * WRITE
        cached = request
        history = request + _bytes(stage.output)
    return raw, billed


def _levers(done: Sequence[Stage], a: int) -> dict[str, float]:
    """Input with one lever only, everything else as in separate requests."""
    asked = [stage for stage in done if stage.prompt.separate]
    context = artefacts = 0
    for stage in asked:
        assert stage.prompt.separate is not None
        shown = [_bytes(part) for part in stage.prompt.parts]
        made = sum(
            size for part, size in zip(stage.prompt.parts, shown, strict=True) if part.startswith("<artefact id")
        )
        material = sum(shown[:-2])
        context += stage.prompt.separate.shared_bytes - _bytes(SYSTEM) - (material - made)
        artefacts += stage.upstream_bytes - made
    separate = [(one.size_bytes, one.shared_bytes) for one in (stage.prompt.separate for stage in asked) if one]
    return {
        "shared context as digest and passages": a - context,
        "artefacts: only what is needed": a - artefacts,
        "order and cache (billed input)": _billed(separate, []),
    }


def _needed(given: Project, stage: Stage) -> Iterator[Fact]:
    """The facts a stage's deliverable needs: of its component, or of all before there are components."""
    if stage.prompt.separate is None:
        return
    for fact in given.facts:
        whole = stage.task.key in ("spec", "arch")
        if fact.component == EVERYWHERE or whole or f"'{fact.component}'" in stage.task.text:
            yield fact


def _task(new: NewTask, ordinal: int) -> Task:
    return Task(
        task_id=f"t_1_{ordinal}", run_id="r_1", ordinal=ordinal, key=new.key, phase=new.phase, mode=new.mode,
        role=new.role, text=new.text, priority=0, remaining_path=1, tolerates_failure=new.tolerates_failure,
        expands=new.expands, hub=new.hub, status=TaskStatus.RUNNING, pending=0, attempts=0, not_before_ns=0,
        agent_id=None, created_ns=0, ready_ns=0, finished_ns=None, error=None,
    )  # fmt: skip


def _artefact(new: NewTask, ordinal: int, text: str) -> Artefact:
    return Artefact(
        artefact_id=f"f_1_{ordinal}", run_id="r_1", task_id=f"t_1_{ordinal}", ordinal=ordinal, phase=new.phase,
        name=new.key, sha256=sha256(text.encode()).hexdigest(), size_bytes=_bytes(text), path=None, text=text,
        created_ns=0,
    )  # fmt: skip


def _bytes(text: str) -> int:
    return len(text.encode())
