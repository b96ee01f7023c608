"""The tokens of a pipeline's prompts over a real project, beside three ways to do the same work: separate requests with
everything in each (a), the same with the provider's cache well used (b), and one session of a single agent (c). Recall:
how many of the facts that a stage needs, planted in the context, are in its prompt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean

from benchmarks.embedded_tokenizer import embedded_counter
from benchmarks.planted_project import COMPONENTS, EVERYWHERE, TASK, Fact, Project, deliverables, project
from swarmtally.backends.gguf import find_model
from swarmtally.core.ports import Inputs, Prompt
from swarmtally.domain.run import BackendChoice, Run, RunKind, RunStatus
from swarmtally.domain.task import Artefact, NewTask, Task, TaskStatus
from swarmtally.domain.topology import Shape
from swarmtally.settings import data_dir
from swarmtally.sparc import tags
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.packing import SYSTEM, ContextPacker
from swarmtally.sparc.plan import expand_pipeline, plan_pipeline
from swarmtally.sparc.shape import shaped

SIZES = (("5k", 20_000), ("20k", 80_000), ("60k", 240_000))
"""Names and bytes of the contexts: four bytes a token."""

READ, WRITE, OUTPUT = 0.1, 1.25, 5.0
"""What cached and written input and output weigh, as Anthropic prices Claude Haiku 4.5."""

CACHED_LEAST = 1_024
"""Tokens; a shorter beginning is not cached."""

BYTES_PER_TOKEN = 4

ROOM_BYTES = 200_000 * 3
GOALS = {
    "raw input saved against a": 0.60,
    "billed input saved against a": 0.80,
    "billed with output saved against a": 0.80,
    "recall": 0.99,
}
CATALOG = ModeCatalog.load(None, Path("/nowhere"))
PACKER = ContextPacker(CATALOG)


Count = Callable[[str], int]


@dataclass(frozen=True)
class Stage:
    """A task's prompt, what it delivered, and what a separate request for it would send."""

    task: NewTask
    prompt: Prompt
    output: str
    upstream: str
    """Everything it builds on, whole, as a separate request shows it."""

    @property
    def shared(self) -> str:
        """The beginning that all prompts of the run share."""
        return self.prompt.text.encode()[: self.prompt.prefix()[self.prompt.shared_parts][0]].decode()

    @property
    def asked(self) -> str:
        """Role and task."""
        return "\n\n".join(self.prompt.parts[-2:])


def run(smoke: bool) -> list[str]:
    lines = []
    for name, size_bytes in SIZES[:1] if smoke else SIZES:
        seeds = range(1) if smoke else range(10)
        results = [_compared(project(size_bytes, seed), seed, _bytes) for seed in seeds]
        lines += _lines(name, "bytes", results)
    if smoke:
        return lines
    model = find_model(data_dir())
    if model is None:
        return [*lines, "no tokens were counted: the embedded model was not pulled"]
    with embedded_counter(model.path) as count:
        for name, size_bytes in SIZES:
            results = [_compared(project(size_bytes, seed), seed, count) for seed in range(2)]
            lines += [line for line in _lines(name, "tokens", results) if "recall" not in line]
    return lines


def _lines(name: str, counted: str, results: Sequence[Mapping[str, float]]) -> Iterator[str]:
    for key in results[0]:
        value = fmean(result[key] for result in results)
        goal = next((goal for words, goal in GOALS.items() if key == words), None)
        verdict = "" if goal is None else f" (goal {goal:.0%}{'' if value >= goal else ', MISSED'})"
        yield f"context {name:>3}, {counted:6} {key:50} {value:6.1%}{verdict}"


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
    # First, or half a block of code above it would hide the list.
    listed = "\n".join(f"- {name}" for name in COMPONENTS)
    outputs["architecture"] = f"## Components\n\n{listed}\n\n{outputs['architecture']}"
    following = expand_pipeline(CATALOG, TASK, outputs["architecture"])
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
        yield Stage(new, prompt, output, tags.joined_whole([tags.artefact(one) for one in chosen]))
        made[new.key] = _artefact(new, ordinal, output)


def _compared(given: Project, seed: int, count: Count) -> dict[str, float]:
    done = list(stages(given, seed))
    least = CACHED_LEAST * (BYTES_PER_TOKEN if count is _bytes else 1)
    context = "\n".join(f'<context n="{n}">\n{text}\n</context>' for n, text in enumerate(given.context, start=1))
    ours = [(count(stage.prompt.text), count(stage.shared)) for stage in done]
    output = [count(stage.output) for stage in done]
    apart = [stage for stage in done if stage.prompt.separate]
    beginning = count(f"{SYSTEM}\n\n{context}")
    separate = [(beginning + count(stage.upstream) + count(stage.asked), beginning) for stage in apart]
    raw, a = sum(size for size, _ in ours), sum(size for size, _ in separate)
    billed, b = _billed(ours, least), _billed(separate, least)
    said = OUTPUT * sum(output)
    said_apart = OUTPUT * sum(count(stage.output) for stage in apart)
    c_raw, c = _session(beginning, apart, count)
    shown = sum(count(stage.prompt.text) - count(stage.asked) for stage in apart)
    made = sum(count(part) for stage in apart for part in stage.prompt.parts if part.startswith("<artefact id"))
    upstream = sum(count(stage.upstream) for stage in apart)
    saved = {
        "raw input saved against a": 1 - raw / a,
        "raw with output saved against a": 1 - (raw + said / OUTPUT) / (a + said_apart / OUTPUT),
        "billed input saved against a": 1 - billed / a,
        "billed with output saved against a": 1 - (billed + said) / (a + said_apart),
        "billed input saved against b": 1 - billed / b,
        "billed with output saved against b": 1 - (billed + said) / (b + said_apart),
        "raw input saved against c": 1 - raw / c_raw,
        "billed input saved against c": 1 - billed / c,
        "lever alone: context as digest and passages": (beginning * len(apart) - (shown - made)) / a,
        "lever alone: artefacts only where needed": (upstream - made) / a,
        "lever alone: order and cache (billed input)": 1 - b / a,
    }
    found = [(fact.kind, fact.mark in stage.prompt.text) for stage in done for fact in _needed(given, stage)]
    recall = {"recall": fmean(there for kind, there in found if kind != "other words")}
    for kind in ("prose", "code", "rule", "other words"):
        recall[f"recall of {kind}"] = fmean(there for one, there in found if one == kind)
    return {**saved, **recall}


def _billed(prompts: Sequence[tuple[int, int]], least: int) -> float:
    """Prompts one after the other with their shared beginnings: the first writes it, the others read it."""
    total = 0.0
    written = False
    for size, shared in prompts:
        cached = shared if shared >= least else 0
        total += size - cached + cached * (READ if written else WRITE)
        written = written or cached > 0
    return total


def _session(beginning: int, apart: Sequence[Stage], count: Count) -> tuple[int, float]:
    """One agent that does stage after stage in one conversation: raw input, and input as billed, its history cached."""
    raw, billed, cached, history = 0, 0.0, 0, beginning
    for stage in apart:
        request = history + count(stage.asked)
        raw += request
        billed += cached * READ + (request - cached) * WRITE
        cached = request
        history = request + count(stage.output)
    return raw, billed


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
