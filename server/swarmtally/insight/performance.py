"""The performance report: all figures of a window and their trends, from one consistent state of the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import count, pairwise
from operator import itemgetter

import numpy as np

from swarmtally.core.worker import Step, in_thread
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import InvalidInput, NotFound
from swarmtally.domain.measures import DURATIONS, LATENCY_OF, WITH_ROWS, Durations, durations
from swarmtally.insight.figures import HOST_MODEL, Figure, Figures, Rows, Tally, figures, gone
from swarmtally.insight.predicted import NEWEST, TARGETS, held
from swarmtally.insight.speed import LEAST_CALLS, MOST_CALLS, Alone, fit
from swarmtally.insight.statistics import Ints, percentiles
from swarmtally.insight.window import NS_PER_MS, Window
from swarmtally.store import explanations, measures, swarms
from swarmtally.store.connection import Connection, Row, as_json
from swarmtally.store.database import Database
from swarmtally.store.explanations import Explanation
from swarmtally.store.measures import Asked, RawRows
from swarmtally.store.models import outcomes

TRENDS = {"hour": 3_600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}
"""The windows of the trends, in seconds; each is compared with the one before it."""

FAST_MS = 50
"""Messages faster than this are counted apart: the promise users know."""

LEAST_FOR = {0.5: 1, 0.95: 20, 0.99: 100}
"""How many rows a percentile needs to say more than the largest of them would."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How durations are spread, in ns; a percentile is None where there are too few."""

    n: int
    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int | None
    fast: float | None
    """The share below `FAST_MS`."""


@dataclass(frozen=True, slots=True)
class Report:
    """A window's figures, the spread of its durations (by the names of `Durations`), what was used, and the trends:
    by name of the window its figures and those of the window before."""

    window: Window
    figures: Figures
    spreads: Mapping[str, Spread]
    resources: Row
    trends: Mapping[str, tuple[Figures, Figures]]
    runs: tuple[Row, ...]
    timeline: tuple[Row, ...]
    """Of the newest of `runs`."""
    explained: tuple[Explanation, ...]
    """The queries of the figures asked for, run."""
    predictions: Mapping[str, Figure]
    """How they held, by target; see `swarmtally.insight.predicted`."""
    gone: Mapping[str, str]
    """Why durations of messages and what was used are not known where rows are kept no longer: by `messages` and
    `samples`."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read; computing goes on without the database."""

    rows: Rows
    raw: RawRows
    packed: Sequence[Row]
    lone: Mapping[tuple[str, str], Sequence[Row]]
    resources: Row
    runs: tuple[Row, ...]
    timeline: tuple[Row, ...]
    explained: tuple[Explanation, ...]
    predicted: Mapping[str, Sequence[Row]]
    """By target."""
    forgotten: Mapping[str, int]


async def report(
    database: Database,
    project: str,
    swarm_id: str | None,
    window: Window,
    *,
    explain: Sequence[str] = (),
    runs: int = 0,
    tasks: int = 0,
) -> Report:
    """The report of a project, or of one of its swarms. Ended runs have been measured (`Bookkeeper.measure_ended`), and
    predictions compared with them (`store.models.score`).

    Raises:
        InvalidInput: `explain` names none of the figures.
        NotFound: the project has and had no such swarm.

    Args:
        explain: figures whose query is wanted.
        runs: how many of the runs that ended last are named.
        tasks: how many tasks of the newest of them are shown in time.
    """
    for figure in explain:
        if figure not in explanations.QUERIES:
            raise InvalidInput(
                f"explain: no query gives a figure {figure[:64]!r}; there are {', '.join(explanations.QUERIES)}"
            )
    asked = Asked(project, swarm_id, window.since_ns, window.until_ns)

    async def unit(tx: Connection) -> _Read:
        return await _read(tx, asked, _windows(window), explain, (runs, tasks))

    read = await database.read(unit)
    return await in_thread(lambda step: _compute(read, window, step))


async def lone_calls(database: Database, project: str, run_id: str, now_ns: int) -> tuple[int, str | None]:
    """How many calls of the run's model are known to have run alone, and what a call takes alone, told in a line; None
    when they are too few to say."""

    async def unit(tx: Connection) -> tuple[str, Sequence[Row]]:
        key = await measures.called(tx, run_id)
        asked = Asked(project, None, 0, now_ns)
        return ("", []) if key is None else (key[1], await measures.lone_calls(tx, asked, *key, limit=MOST_CALLS))

    model, rows = await database.read(unit)
    return len(rows), _fit(rows).told(model) if len(rows) >= LEAST_CALLS else None


def _windows(window: Window) -> list[Window]:
    found = [window]
    for seconds in TRENDS.values():
        found += _pair(window.until_ns, seconds)
    return found


def _pair(until_ns: int, seconds: int) -> tuple[Window, Window]:
    length = seconds * NS_PER_S
    return Window(until_ns - length, until_ns), Window(until_ns - 2 * length, until_ns - length)


async def _read(
    tx: Connection, asked: Asked, windows: Sequence[Window], explain: Sequence[str], shown: tuple[int, int]
) -> _Read:
    project, swarm_id, until_ns = asked.project, asked.swarm_id, asked.until_ns
    if swarm_id is not None and not await swarms.known(tx, project, swarm_id):
        raise NotFound(f"project {project} has no swarm {swarm_id!r}; list them with run_status")
    edges = sorted({edge for each in windows for edge in (each.since_ns, each.until_ns)})
    widest = Asked(project, swarm_id, edges[0], until_ns)
    raw_runs = sorted({*await measures.under_way(tx, asked), *await measures.straddling(tx, widest, edges)})
    raw = await measures.raw(tx, raw_runs)
    tallies = [_tally(row) for row in await measures.tallies(tx, widest, edges, raw_runs)]
    forgotten = await measures.forgotten(tx, asked)
    alive: dict[Window, int] = {}
    present: set[str] = set()
    for each in windows:
        alive[each], present = await measures.alive_ns(tx, Asked(project, swarm_id, each.since_ns, each.until_ns))
    models = {(tally.backend, tally.model) for tally in tallies if tally.backend != HOST_MODEL}
    lone = {key: await measures.lone_calls(tx, asked, *key, limit=MOST_CALLS) for key in sorted(models)}
    newest = await measures.newest_runs(tx, asked, shown[0]) if shown[0] else []
    return _Read(
        rows=Rows(
            edges=tuple(edges),
            tallies=tuple(tallies),
            listed=await _listed(tx, widest, edges),
            attempts=raw.attempts,
            cancelled=raw.cancelled,
            alive_ns=alive,
            swarms=frozenset(present),
            gone_ns=forgotten.get("runs", 0),
        ),
        raw=raw,
        packed=await measures.durations(tx, asked, raw_runs),
        lone=lone,
        resources=await measures.resources(tx, asked),
        runs=tuple(newest),
        timeline=tuple(await measures.timeline(tx, newest[0]["run_id"], until_ns, shown[1])) if newest else (),
        explained=tuple([await explanations.explain(tx, figure, asked, _weights(lone)) for figure in explain]),
        predicted={target: await outcomes(tx, asked, target, NEWEST) for target in TARGETS},
        forgotten=forgotten,
    )


def _weights(lone: Mapping[tuple[str, str], Sequence[Row]]) -> str:
    """The fits as `explanations.QUERIES` take them."""
    return as_json([(*key, *fit.weights.tolist()) for key, fit in _fits(lone).items()])


_COLUMNS = itemgetter(*(field.name for field in fields(Tally)))


def _tally(row: Row) -> Tally:
    return Tally(*_COLUMNS(row))


async def _listed(tx: Connection, asked: Asked, edges: Sequence[int]) -> dict[str, dict[int, Ints]]:
    found: dict[str, dict[int, Ints]] = {name: {} for name in measures.LISTED}
    for segment, (since_ns, until_ns) in enumerate(pairwise(edges), start=1):
        row = await measures.listed(tx, replace(asked, since_ns=since_ns, until_ns=until_ns))
        for name, values in found.items():
            if row[name] is not None:
                values[segment] = np.fromstring(row[name], dtype=np.int64, sep=",")
    return found


def _compute(read: _Read, window: Window, step: Step) -> Report:
    windows = count()

    def counted(each: Window) -> Figures:
        done, total = next(windows), 1 + 2 * len(TRENDS)
        step(done, total, f"{done} of {total} windows counted")
        return figures(rows, each)

    rows = replace(read.rows, alone=_fits(read.lone), lone={key: len(rows) for key, rows in read.lone.items()})
    spreads = _spreads(read, window)
    reasons = {what: gone(what, at_ns) for what, at_ns in read.forgotten.items() if window.since_ns < at_ns}
    if "runs" in reasons:
        spreads = dict.fromkeys(spreads, NONE_KNOWN)
    if "messages" in reasons:
        spreads |= {LATENCY_OF[kind]: NONE_KNOWN for kind in WITH_ROWS}
    return Report(
        window=window,
        figures=counted(window),
        spreads=spreads,
        resources=read.resources,
        trends={
            name: (counted(now), counted(before))
            for name, (now, before) in ((name, _pair(window.until_ns, seconds)) for name, seconds in TRENDS.items())
        },
        runs=read.runs,
        timeline=read.timeline,
        explained=tuple(_still_known(each, reasons) for each in read.explained),
        predictions={
            target: Figure(None, 0, reasons["runs"]) if "runs" in reasons else held(target, rows)
            for target, rows in read.predicted.items()
        },
        gone=reasons,
    )


def _still_known(each: Explanation, gone: Mapping[str, str]) -> Explanation:
    """Without its value where rows it should count are gone."""
    kind, _, name = each.figure.partition(".")
    rows = {"samples"} if kind == "resources" else {"runs", "messages"} if name in WITH_ROWS else {"runs"}
    return replace(each, value=None, rows=0) if rows & gone.keys() else each


def _fits(lone: Mapping[tuple[str, str], Sequence[Row]]) -> dict[tuple[str, str], Alone]:
    return {key: _fit(rows) for key, rows in lone.items() if len(rows) >= LEAST_CALLS}


def _fit(rows: Sequence[Row]) -> Alone:
    features = np.array([(row["uncached"], row["output_tokens"]) for row in rows], dtype=np.float64)
    return fit(features, np.array([row["exec_ns"] for row in rows], dtype=np.float64) / NS_PER_S)


def _spreads(read: _Read, window: Window) -> dict[str, Spread]:
    raw = _raw_durations(read.raw, window)
    found = {}
    for name in DURATIONS:
        blob = b"".join(row[name] for row in read.packed if row[name] is not None)
        values = np.concatenate([np.frombuffer(blob, dtype="<i8"), np.array(getattr(raw, name), dtype=np.int64)])
        found[name] = spread(values.astype(np.int64))
    return found


def _raw_durations(raw: RawRows, window: Window) -> Durations:
    return durations(
        (attempt for _, attempt in raw.attempts if window.holds(attempt.committed_ns)),
        (message for message in raw.messages if window.holds(message.received_ns)),
    )


NONE_KNOWN = Spread(0, None, None, None, None, None)


def spread(values: Ints) -> Spread:
    """The spread of durations in ns; their order may change."""
    if not values.size:
        return NONE_KNOWN
    shares = [share for share, least in LEAST_FOR.items() if values.size >= least]
    found = dict(zip(shares, percentiles(values, tuple(shares)), strict=True))
    return Spread(
        n=int(values.size),
        p50_ns=found.get(0.5),
        p95_ns=found.get(0.95),
        p99_ns=found.get(0.99),
        max_ns=int(values.max()),
        fast=float(np.count_nonzero(values < FAST_MS * NS_PER_MS)) / values.size,
    )


__all__ = ["FAST_MS", "LATENCY_OF", "LEAST_FOR", "TRENDS", "Report", "Spread", "report", "spread"]
