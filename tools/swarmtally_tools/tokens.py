"""What calls used, cost and saved."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from swarmtally.analysis import TokensRequest
from swarmtally.app import App
from swarmtally.domain.clock import iso
from swarmtally.domain.run import RunKind
from swarmtally.insight.figures import Figure
from swarmtally.insight.tokens import Saving, Spent
from swarmtally.store.tokens import Group
from swarmtally_tools.definition import Tool, View, tool

GROUPS_SHOWN = 50

SHARE_DIGITS = 6


class Operation(StrEnum):
    ALL = "all"
    RUN = "run"
    BATCH = "batch"
    PIPELINE = "pipeline"
    CONCURRENT = "concurrent"


class SavingView(View):
    raw: float | None
    """The share of raw tokens saved; below 0 where more were used."""
    billed: float | None
    """The share of billed tokens saved."""
    tokens: int | None
    """Raw tokens saved."""


class SpentView(View):
    calls: int
    """Calls made, failed and lost ones too."""
    raw_tokens: int | None
    """Input (cached too) and output (reasoning too) of the calls that reported them."""
    billed_tokens: float | None
    """The same as they weigh in the bill, in tokens of uncached input; see basis."""
    cost_usd: float | None
    """US dollars by list prices."""
    saved: dict[str, SavingView]
    """Against separate requests with full context (a), and the same ones well ordered and cached (b); all calls of the
    runs compared are on our side."""
    n: dict[str, int]
    """Calls behind each figure; of savings runs."""
    reasons: dict[str, str]
    """Why a figure is null, or what it is without."""


class TokenGroupView(SpentView):
    key: str
    """What the group is: a kind of run, an agent_id, a mode, a model, a run_id or a day (UTC)."""


class TokensView(SpentView):
    as_of: str
    """Give it again to get the same figures."""
    since: str
    """Counted are calls sent after this, UTC,"""
    until: str
    """up to this, as far as they had been answered by then."""
    project: str
    """Whose calls are counted."""
    swarm_id: str | None
    """Whose of them; null: of all swarms."""
    database: str
    """Where the rows are."""
    operation: Operation
    """As asked."""
    group_by: Group
    """As asked."""
    groups: list[TokenGroupView]
    """Those that used most first, at most 50."""
    groups_total: int
    """How many there are."""
    basis: dict[str, str]
    """What a figure rests on."""


@tool(title="Count tokens, cost and savings", read_only=True, idempotent=True)
async def token_usage(
    app: App,
    operation: Annotated[Operation, Field(description="Kind of run")] = Operation.ALL,
    timeframe: Annotated[str, Field(description="As in performance_report", max_length=100)] = "7d",
    group_by: Annotated[Group, Field(description="Groups")] = Group.OPERATION,
    swarm_id: Annotated[str | None, Field(description="Only its calls", max_length=200)] = None,
    as_of: Annotated[str | None, Field(description="ISO 8601; omitted: now", max_length=100)] = None,
) -> TokensView:
    """Raw and billed tokens, list-price cost, and savings against separate requests with full context (a) and those
    cached (b). Unknown is null with a reason."""
    found = await app.analysis.tokens(
        TokensRequest(
            timeframe=timeframe,
            kind=None if operation is Operation.ALL else RunKind(operation),
            group=group_by,
            swarm_id=swarm_id,
            as_of=as_of,
        )
    )
    return TokensView(
        **_spent(found.whole).model_dump(),
        as_of=iso(found.window.until_ns),
        since=iso(found.window.since_ns),
        until=iso(found.window.until_ns),
        project=app.settings.project,
        swarm_id=swarm_id,
        database=str(app.database.path),
        operation=operation,
        group_by=group_by,
        groups=[
            TokenGroupView(key=key, **_spent(spent).model_dump())
            for key, spent in list(found.groups.items())[:GROUPS_SHOWN]
        ],
        groups_total=len(found.groups),
        basis={name: figure.basis for name, figure in _figures(found.whole) if figure.basis},
    )


def _spent(spent: Spent) -> SpentView:
    return SpentView(
        calls=spent.calls,
        raw_tokens=_whole(spent.raw_tokens),
        billed_tokens=_rounded(spent.billed_tokens, 1),
        cost_usd=_rounded(spent.cost_usd, 9),
        saved={name: _saving(saving) for name, saving in spent.saved.items()},
        n={name: figure.n for name, figure in _figures(spent)},
        reasons={name: figure.reason for name, figure in _figures(spent) if figure.reason},
    )


def _saving(saving: Saving) -> SavingView:
    return SavingView(
        raw=_rounded(saving.raw, SHARE_DIGITS),
        billed=_rounded(saving.billed, SHARE_DIGITS),
        tokens=_whole(saving.tokens),
    )


def _figures(spent: Spent) -> Iterator[tuple[str, Figure]]:
    yield "raw_tokens", spent.raw_tokens
    yield "billed_tokens", spent.billed_tokens
    yield "cost_usd", spent.cost_usd
    for name, saving in spent.saved.items():
        yield f"saved.{name}.raw", saving.raw
        yield f"saved.{name}.billed", saving.billed
        yield f"saved.{name}.tokens", saving.tokens


def _rounded(figure: Figure, digits: int) -> float | None:
    return None if figure.value is None else round(figure.value, digits)


def _whole(figure: Figure) -> int | None:
    return None if figure.value is None else round(figure.value)


TOOLS: tuple[Tool, ...] = (token_usage,)
