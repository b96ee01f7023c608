"""The task graphs of run, batch, concurrent and pipeline. Pure: the same request always makes the same plan.

An artefact is named after its task's key, so `code_1` is found in memory as `sparc/{run}/code/code_1`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import Run, RunKind
from swarmtally.domain.swarm import Topology
from swarmtally.domain.task import MAX_TASKS, TASK_TEXT_LIMIT, Expansion, NewTask, Task
from swarmtally.domain.topology import Shape, decide, shape_of
from swarmtally.sparc.markdown import Line, read_lines
from swarmtally.sparc.modes import Mode, ModeCatalog
from swarmtally.sparc.shape import shaped

MAX_COMPONENTS = 12
"""The most components a pipeline builds; further ones are folded into the last."""

NAME_LIMIT = 120
"""The longest name of one component, in characters."""

FOLDED_LIMIT = 1_000
"""The longest name of the last component when others were folded into it, in characters."""

PIPELINE_TEXT_LIMIT = TASK_TEXT_LIMIT - 2 * FOLDED_LIMIT
"""The longest task of a pipeline: a component's task holds the whole task and the component's name."""

MERGER = "merger"
"""The mode of the merges that a topology puts between the components."""

PIPELINE_MODES = ("spec-pseudocode", "architect", "coder", "tester", "documenter", "reviewer", MERGER, "integration")
"""The modes that a pipeline uses, in the order of a reader; whether it merges depends on its shape."""

_BULLET = re.compile(r"(\s*)(?:[-*+•]|\d{1,3}[.)])\s+(.*)")
_BULLET_CHARS = 400
_BOLD = re.compile(r"\*\*[^*]+\*\*:?|__[^_]+__:?")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CHECKBOX = re.compile(r"\[[ xX]\]\s+")
_NAME_END = re.compile(r":|\s[-–—]\s")
_NUMBERING = re.compile(r"\d{1,3}[.)]?\s+|\d{1,3}(?:\.\d{1,3})+[.)]?\s+")
_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|[\r\n]")
_WITH = re.compile(r"\bwith\b", re.IGNORECASE)
_AND = re.compile(r"and\s+", re.IGNORECASE)
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def artefact_name(task: Task | NewTask) -> str:
    """The name of what `task` delivers: its key, which is unique within its run."""
    return task.key


def plan_run(mode: Mode, task: str) -> tuple[NewTask, ...]:
    """One task in one mode."""
    return plan_batch([mode], [task])


def plan_concurrent(mode: Mode, tasks: Sequence[str]) -> tuple[NewTask, ...]:
    """One mode on every task, all at once."""
    return plan_batch([mode], tasks)


def plan_batch(modes: Sequence[Mode], tasks: Sequence[str]) -> tuple[NewTask, ...]:
    """Every mode on every task, all at once.

    Raises:
        InvalidInput: nothing to do, a mode twice, a text that is empty or too long, or too many tasks.
    """
    if not modes:
        raise InvalidInput("no mode is named; name at least one (see sparc modes)")
    if not tasks:
        raise InvalidInput("there is no task; give at least one")
    if len(modes) * len(tasks) > MAX_TASKS:
        raise InvalidInput(
            f"{len(modes)} modes on {len(tasks)} tasks make {len(modes) * len(tasks)}; a run holds at most {MAX_TASKS}"
        )
    twice = [name for name, count in Counter(mode.name for mode in modes).items() if count > 1]
    if twice:
        raise InvalidInput(f"mode {twice[0]!r} is named twice; name each mode once")
    texts = [checked_text(text, TASK_TEXT_LIMIT) for text in tasks]
    return tuple(
        _new_task(mode, f"{mode.name}_{number}", mode.name, text)
        for mode in modes
        for number, text in enumerate(texts, start=1)
    )


def plan_pipeline(catalog: ModeCatalog, task: str) -> tuple[NewTask, ...]:
    """The first two tasks of a pipeline: the specification, then the architecture, whose result decides what follows.

    Raises:
        InvalidInput: the text is empty or too long.
    """
    text = checked_text(task, PIPELINE_TEXT_LIMIT)
    return (
        _new_task(catalog.get("spec-pseudocode"), "spec", "specification", text),
        _new_task(catalog.get("architect"), "arch", "architecture", text, ("spec",), expands=True),
    )


def expand_pipeline(catalog: ModeCatalog, task_text: str, arch_output: str) -> tuple[NewTask, ...]:
    """What follows from an architecture: code, tests, documents and a review for each component, then completion.

    It is the same for every topology; `swarmtally.sparc.shape` weaves the topology in.
    """
    coder, tester = catalog.get("coder"), catalog.get("tester")
    documenter, reviewer = catalog.get("documenter"), catalog.get("reviewer")
    texts = [_component_text(name, task_text) for name in components(task_text, arch_output)]
    code, tests, docs, reviews = [], [], [], []
    for number, text in enumerate(texts, start=1):
        code_key, test_key = f"code_{number}", f"test_{number}"
        code.append(_new_task(coder, code_key, "code", text, ("arch", "spec")))
        tests.append(_new_task(tester, test_key, "tests", text, (code_key,)))
        docs.append(_new_task(documenter, f"doc_{number}", "docs", text, (code_key,)))
        reviews.append(
            _new_task(reviewer, f"review_{number}", "review", text, (code_key, test_key), tolerates_failure=True)
        )
    last = tuple(task.key for task in (*reviews, *docs))
    done = _new_task(catalog.get("integration"), "done", "completion", task_text.strip(), last, tolerates_failure=True)
    return (*code, *tests, *docs, *reviews, done)


@dataclass(frozen=True, slots=True)
class SparcPlanner:
    """Knows what follows from a pipeline's architecture (`swarmtally.core.ports.Planner`)."""

    catalog: ModeCatalog

    def expand(self, run: Run, task: Task, output: str) -> Expansion:
        """What `task` makes possible; nothing unless it is one that expands. A run without a shape gets one."""
        if not task.expands:
            return Expansion(())
        plan = expand_pipeline(self.catalog, run.task, output)
        merger = self.catalog.get(MERGER)
        if run.shape is not None:
            return Expansion(shaped(plan, run.shape, merger))
        shape, reason = decide(sum(one.phase == "code" for one in plan))
        return Expansion(shaped(plan, shape, merger), shape, reason)


def initial_shape(topology: Topology, kind: RunKind, leaves: int) -> tuple[Shape | None, str | None]:
    """The shape a run starts with, and why; (None, None) for a pipeline that is decided by its architecture.

    Args:
        topology: the swarm's.
        kind: the run's.
        leaves: how many tasks it has that can be done at the same time; of a pipeline it is not asked.
    """
    shape = shape_of(topology)
    if shape is not None:
        return shape, "the swarm's topology"
    return (None, None) if kind is RunKind.PIPELINE else decide(leaves, "task")


def split_tasks(text: str) -> tuple[str, ...]:
    """The tasks in a shell argument: a comma with no space after it separates them, ", " is prose.

    A comma between digits or inside brackets never separates. Empty pieces are dropped.
    """
    separators = [at for at in _commas(text) if not text[at + 1 : at + 2].isspace()]
    return tuple(_pieces(text, separators))


def components(task_text: str, arch_output: str) -> tuple[str, ...]:
    """The components to build: at least one, at most twelve, each a single line of bounded length.

    They are the list under the heading `Components` of the architecture, else the comma list in the task (after "with",
    if it says so), else the task itself.
    """
    names = _distinct(_listed(arch_output)) or _distinct(_enumerated(task_text))
    if not names:
        return (_name(task_text) or "the whole",)
    if len(names) <= MAX_COMPONENTS:
        return tuple(names)
    return (*names[: MAX_COMPONENTS - 1], _folded(names[MAX_COMPONENTS - 1 :]))


def _new_task(
    mode: Mode,
    key: str,
    phase: str,
    text: str,
    depends_on: tuple[str, ...] = (),
    *,
    tolerates_failure: bool = False,
    expands: bool = False,
) -> NewTask:
    return NewTask(
        key=key,
        phase=phase,
        mode=mode.name,
        role=mode.role,
        text=text,
        depends_on=depends_on,
        tolerates_failure=tolerates_failure,
        expands=expands,
    )


def checked_text(text: str, limit: int) -> str:
    """A task's text without space around it.

    Raises:
        InvalidInput: it is empty, too long or not valid Unicode.
    """
    stripped = text.strip()
    if not stripped:
        raise InvalidInput("a task's text is empty; say what is to be done")
    if len(stripped) > limit:
        raise InvalidInput(f"a task's text has {len(stripped)} characters; at most {limit} fit, so shorten it")
    try:
        stripped.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"a task's text is not valid Unicode at character {error.start}; remove it") from error
    return stripped


def _component_text(name: str, task_text: str) -> str:
    whole = task_text.strip()
    return whole if name == _name(whole) else f"Component '{name}' of: {whole}"


def _listed(markdown: str) -> list[str]:
    """The first list that stands under a heading `Components`."""
    names: list[str] = []
    under, indent = False, 0
    for line in read_lines(markdown):
        heading = _heading(line)
        if heading is not None:
            if names:
                return names
            under = heading == "components"
        elif under and line.plain and (bullet := _BULLET.fullmatch(line.text[:_BULLET_CHARS])):
            # Bullets further in than the first are details of a component, not components.
            indent = indent if names else len(bullet[1])
            name = _bullet_name(bullet[2])
            if name and len(bullet[1]) <= indent + 1:
                names.append(name)
    return names


def _heading(line: Line) -> str | None:
    """A heading's words without numbering and emphasis. A line that is bold as a whole is one too."""
    if not line.level and not (line.plain and _BOLD.fullmatch(line.text.strip())):
        return None
    return _NUMBERING.sub("", line.text.strip("*_: "), count=1).strip("*_: ").casefold()


def _bullet_name(text: str) -> str:
    text = _CHECKBOX.sub("", _LINK.sub(r"\1", text), count=1)
    return _name(_NAME_END.split(text, maxsplit=1)[0])


def _enumerated(task_text: str) -> list[str]:
    """The comma list in the task; it ends with its sentence. One piece is no list."""
    given = task_text.strip()
    start = _WITH.search(given)
    listed = _SENTENCE_END.split(given[start.end() :].lstrip(": ") if start else given, maxsplit=1)[0]
    names = [_name(_AND.sub("", piece, count=1) if _AND.match(piece) else piece) for piece in _all_pieces(listed)]
    return names if len(names) > 1 else []


def _all_pieces(text: str) -> Iterator[str]:
    return _pieces(text, list(_commas(text)))


def _name(text: str) -> str:
    """`text` as a component's name: one line, no control characters, no emphasis, bounded."""
    visible = "".join(char for char in " ".join(text.split()) if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return _shortened(" ".join(visible.replace("*", "").replace("`", "").split()).strip("_ "), NAME_LIMIT)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _distinct(names: Iterable[str]) -> list[str]:
    first: dict[str, str] = {}
    for name in names:
        if name:
            first.setdefault(name.casefold(), name)
    return list(first.values())


def _folded(names: Sequence[str]) -> str:
    """Several components as one: `x, y and z`; when that is too long, as many as fit and how many more."""
    whole = f"{', '.join(names[:-1])} and {names[-1]}"
    if len(whole) <= FOLDED_LIMIT:
        return whole
    kept = FOLDED_LIMIT // (NAME_LIMIT + 2) - 1
    return f"{', '.join(names[:kept])} and {len(names) - kept} more"


def _commas(text: str) -> Iterator[int]:
    """Where a comma may separate: outside brackets that are closed, and not between two digits."""
    closed = _closing(text)
    at = 0
    while at < len(text):
        if at in closed:
            at = closed[at]
        elif text[at] == "," and not (text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()):
            yield at
        at += 1


def _closing(text: str) -> dict[int, int]:
    """For each bracket that is closed, where. One that is never closed protects nothing."""
    open_at: list[int] = []
    closed: dict[int, int] = {}
    for at, char in enumerate(text):
        if char in "([{":
            open_at.append(at)
        elif char in _BRACKETS and open_at and text[open_at[-1]] == _BRACKETS[char]:
            closed[open_at.pop()] = at
    return closed


def _pieces(text: str, separators: Sequence[int]) -> Iterator[str]:
    start = 0
    for end in (*separators, len(text)):
        if piece := text[start:end].strip():
            yield piece
        start = end + 1
