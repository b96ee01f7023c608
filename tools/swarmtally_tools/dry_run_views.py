"""A run that was planned, packed and estimated, and not started, as tools return it."""

from collections.abc import Sequence

from swarmtally.core.dryrun import DryRun, PlannedTask
from swarmtally.domain.budget import NANO, Budget, fits, usd
from swarmtally.domain.text import counted
from swarmtally_tools.definition import View, that_fit
from swarmtally_tools.run_views import LIST_BYTES, BackendView, backend_view

LISTED = 100
"""The most tasks that are listed."""

_CLIENTS = "clients do the work: what their calls cost and may write is theirs"


class PlannedTaskView(View):
    key: str
    """Its name within the run."""
    phase: str
    """The stage it belongs to."""
    mode: str
    """How it is done."""
    role: str
    """The kind of agent it wants."""
    prompt_bytes: int | None
    """Of its packed prompt; null where that is not known."""
    estimated_input_tokens: int | None
    """Of the same prompt."""
    reason: str | None
    """Why they are null."""


class EstimateView(View):
    tasks: int
    """Tasks the figures are over: those whose prompts are known now."""
    unknown_tasks: int
    """Tasks known now whose prompts depend on later results; nothing of them is in the figures."""
    input_tokens: int | None
    """Estimated input of those prompts, none of it cached."""
    error: float | None
    """What 95 % of the calls it was learned from do not exceed of |estimate - reported| / reported."""
    n: int | None
    """Calls the estimate was learned from."""
    basis: str | None
    """How it was estimated."""
    input_usd: float | None
    """What that input would cost."""
    reserved_tokens: int | None
    """What a budget would hold for these calls: 1.2 times the estimate and the whole output limit."""
    reserved_usd: float | None
    """The same in dollars."""
    reasons: dict[str, str]
    """Why a figure is null, or what it leaves out, by its name."""


class DryRunView(View):
    dry_run: bool
    """Nothing was stored, started or called."""
    status: str
    """planned."""
    kind: str
    """run, batch, concurrent or pipeline."""
    project: str
    """What it would belong to."""
    swarm_id: str | None
    """The swarm that would do it; null: `default` would be made for it."""
    backend: BackendView
    """What would do the work."""
    estimate: EstimateView
    """What its calls would take, as far as that is known."""
    planned: list[PlannedTaskView]
    """The first tasks known now, at most 100."""
    next_step: str
    """What to do now."""


def dry_run_view(dry: DryRun) -> DryRunView:
    note = dry.note or ""
    if len(dry.tasks) > LISTED:
        note += f"Only the first {LISTED} tasks are listed. "
    return DryRunView(
        dry_run=True,
        status="planned",
        kind=dry.new.kind,
        project=dry.project,
        swarm_id=dry.swarm_id,
        backend=backend_view(dry.new.backend),
        estimate=_estimate(dry),
        planned=that_fit([_task(item) for item in dry.tasks[:LISTED]], LIST_BYTES),
        next_step=f"{note}{_too_small(dry)}Nothing was started; do the same without dry_run to start it.",
    )


def _too_small(dry: DryRun) -> str:
    """That the budget has room for none of the calls, not even alone; empty where it has."""
    needed = [Budget(item.held.tokens, item.held.nanousd) for item in dry.tasks if item.held]
    if not needed or any(fits(each, dry.new.budget) for each in needed):
        return ""
    least = min(needed, key=lambda each: each.tokens or 0)
    dollars = f", or {usd(least.nanousd)}" if least.nanousd is not None else ""
    return f"It would pause before its first call: the least that is held for one is {least.tokens} tokens{dollars}. "


def _task(item: PlannedTask) -> PlannedTaskView:
    return PlannedTaskView(
        key=item.task.key,
        phase=item.task.phase,
        mode=item.task.mode,
        role=item.task.role,
        prompt_bytes=item.prompt_bytes,
        estimated_input_tokens=item.estimate.tokens if item.estimate else None,
        reason=item.reason,
    )


def _estimate(dry: DryRun) -> EstimateView:
    known = [item for item in dry.tasks if item.estimate is not None]
    first = known[0].estimate if known else None
    input_nanousd = _sum([item.input_nanousd for item in known])
    held_tokens = _sum([item.held.tokens if item.held else None for item in known])
    held_nanousd = _sum([item.held.nanousd if item.held else None for item in known])
    return EstimateView(
        tasks=len(known),
        unknown_tasks=len(dry.tasks) - len(known),
        input_tokens=_sum([item.estimate.tokens if item.estimate else None for item in known]),
        error=None if first is None or first.error is None else round(first.error, 4),
        n=first.n if first else None,
        basis=first.basis if first else None,
        input_usd=_usd(input_nanousd),
        reserved_tokens=held_tokens,
        reserved_usd=_usd(held_nanousd),
        reasons=_reasons(dry, known, input_nanousd),
    )


def _reasons(dry: DryRun, known: Sequence[PlannedTask], input_nanousd: int | None) -> dict[str, str]:
    figures = ("input_tokens", "error", "n", "basis", "input_usd", "reserved_tokens", "reserved_usd")
    if not known:
        return dict.fromkeys(figures, "no task has a prompt that is known now")
    reasons = {}
    later = len(dry.tasks) - len(known)
    if later:
        reasons["input_tokens"] = f"without {counted(later, 'task')} whose prompts are not known now"
    if dry.new.kind == "pipeline":
        reasons["input_tokens"] = f"{reasons['input_tokens']}, and without the tasks that its architecture will make"
    first = known[0].estimate
    if first is not None and first.reason is not None:
        reasons["error"] = first.reason
    if first is not None and first.n is None:
        reasons["n"] = "nothing was learned: a tokenizer counted"
    if dry.info is None:
        reasons |= dict.fromkeys(("input_usd", "reserved_tokens", "reserved_usd"), _CLIENTS)
    elif input_nanousd is None:
        reasons |= dict.fromkeys(("input_usd", "reserved_usd"), f"no price of {dry.info.model} is known")
    return reasons


def _sum(figures: Sequence[int | None]) -> int | None:
    """The sum of figures that are all known."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known and len(known) == len(figures) else None


def _usd(nanousd: int | None) -> float | None:
    return None if nanousd is None else nanousd / NANO
