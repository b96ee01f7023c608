"""What calls used, cost and saved, in a window of time and by group, from recorded rows and nothing else.

docs/measures.md has the definitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from swarmtally.domain.errors import NotFound
from swarmtally.domain.run import RunKind
from swarmtally.domain.text import counted
from swarmtally.insight.figures import Figure, gone
from swarmtally.insight.window import Window
from swarmtally.store import measures, swarms, tokens
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.measures import Asked
from swarmtally.store.tokens import Counted, Group, Sums

NANOUSD = 1_000_000_000

NO_CALLS = "no call was made in this time"
NO_TOKENS = "no call of this time has reported its tokens"
NO_PRICES = "no price list knows the models of these calls"
NO_BASELINE = "no run with calls in this time has a baseline"
NOT_WHOLE = "of every run that has a baseline some call's tokens are unknown, or an earlier version made it"
NOT_PRICED = "of every run that has a baseline some call has no price, and only prices say what output weighs"
NOT_CACHED = "no price list says what these models' cached input costs"
NO_SEPARATE = "separate requests would have none of these calls"

BASES = ("a", "b")


@dataclass(frozen=True, slots=True)
class Saving:
    """Against what separate requests would have used: shares of the raw and of the billed tokens, and raw tokens."""

    raw: Figure
    billed: Figure
    tokens: Figure


@dataclass(frozen=True, slots=True)
class Spent:
    """What some calls used."""

    calls: int
    raw_tokens: Figure
    billed_tokens: Figure
    cost_usd: Figure
    saved: Mapping[str, Saving]
    """By baseline: a, separate requests; b, the same ones cached."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the calls of a window used, all together and by group."""

    window: Window
    whole: Spent
    groups: Mapping[str, Spent]
    """Those that used most first."""


async def usage(
    database: Database, project: str, swarm_id: str | None, window: Window, kind: RunKind | None, group: Group
) -> Tokens:
    """What the calls used that were opened in the window, of all of the project's runs, or of one kind or swarm.

    Raises:
        NotFound: the project has and had no such swarm.
    """
    asked = Asked(project, swarm_id, window.since_ns, window.until_ns)

    async def unit(tx: Connection) -> tuple[Counted, int]:
        if swarm_id is not None and not await swarms.known(tx, project, swarm_id):
            raise NotFound(f"project {project} has no swarm {swarm_id!r}; list them with run_status")
        forgotten = await measures.forgotten(tx, asked)
        return await tokens.sums(tx, asked, kind, group), forgotten.get("runs", 0)

    found, gone_ns = await database.read(unit)
    if window.since_ns < gone_ns:
        return Tokens(window, _unknown(gone("runs", gone_ns)), {})
    if found.whole is None:
        return Tokens(window, _unknown(NO_CALLS), {})
    most_first = sorted(found.groups.items(), key=lambda item: (-item[1].raw, -item[1].calls, item[0]))
    return Tokens(window, spent(found.whole), {name: spent(sums) for name, sums in most_first})


def spent(sums: Sums) -> Spent:
    """The figures of some calls, at least one."""
    without = [
        _left_out(
            sums.calls - sums.known, "call", "whose tokens are unknown (lost, under way, failed or not reported)"
        ),
        _left_out(sums.known - sums.priced, "call", "of models no price list knows"),
    ]
    whose = f"the figures of {counted(sums.of_clients, 'call')} are their client's" if sums.of_clients else None
    return Spent(
        calls=sums.calls,
        raw_tokens=Figure(sums.raw, sums.known, without[0], basis=whose) if sums.known else Figure(None, 0, NO_TOKENS),
        billed_tokens=_of_priced(sums, sums.billed, _joined(without), _billed_basis(sums)),
        cost_usd=_of_priced(sums, sums.cost_nanousd / NANOUSD, _joined(without), _price_basis(sums)),
        saved={"a": _saved_a(sums), "b": _saved_b(sums)},
    )


def _of_priced(sums: Sums, value: float, without: str | None, basis: str) -> Figure:
    if not sums.priced:
        return Figure(None, 0, NO_PRICES if sums.known else NO_TOKENS)
    return Figure(value, sums.priced, without, basis=basis)


def _billed_basis(sums: Sums) -> str:
    rule = "uncached input + 1.25 × cache writes + 0.1 × cache reads + output × its price over that of input"
    if not sums.unread:
        return rule
    unread = counted(sums.unread, "call")
    return f"{rule}; {unread} did not say what was read from a cache: all that input counts as uncached"


def _price_basis(sums: Sums) -> str:
    dates = sums.last_price if sums.first_price == sums.last_price else f"{sums.first_price} to {sums.last_price}"
    return f"list prices of {dates}"


def _saved_a(sums: Sums) -> Saving:
    raw = _share(sums, sums.saving_runs, (sums.saving_raw, sums.saving_separate), NOT_WHOLE)
    fewer = _fewer(raw, sums.saving_separate - sums.saving_raw)
    billed = _share(sums, sums.weighed_runs, (sums.weighed_billed, sums.weighed_separate), _not_priced(sums))
    return Saving(raw, billed, fewer)


def _saved_b(sums: Sums) -> Saving:
    """Cached tokens count as raw ones too, so only what is billed differs from a."""
    a = _saved_a(sums)
    why = NOT_CACHED if sums.weighed_runs else _not_priced(sums)
    return Saving(a.raw, _share(sums, sums.cached_runs, (sums.cached_billed, sums.cached_separate), why), a.tokens)


def _not_priced(sums: Sums) -> str:
    return NOT_PRICED if sums.saving_runs else NOT_WHOLE


def _share(sums: Sums, runs: int, used: tuple[float, float], none: str) -> Figure:
    """1 − ours / theirs, of so many runs; `none` says why there are none of those that have a baseline."""
    ours, theirs = used
    if not runs:
        return Figure(None, 0, none if sums.based_runs else NO_BASELINE)
    without = _left_out(sums.based_runs - runs, "run", "of which calls are not known well enough")
    if not theirs:
        return Figure(None, runs, NO_SEPARATE)
    return Figure(1 - ours / theirs, runs, without)


def _fewer(raw: Figure, tokens: float) -> Figure:
    """Tokens saved, less than 0 where separate requests would have had none of these calls."""
    return Figure(round(tokens), raw.n, raw.reason if raw.value is not None else None) if raw.n else raw


def _left_out(number: int, noun: str, which: str) -> str | None:
    return f"without {counted(number, noun)} {which}" if number else None


def _joined(reasons: list[str | None]) -> str | None:
    return "; ".join(reason for reason in reasons if reason) or None


def _unknown(reason: str) -> Spent:
    none = Figure(None, 0, reason)
    return Spent(0, none, none, none, dict.fromkeys(BASES, Saving(none, none, none)))
