"""Every figure of a report is what its own query gives, straight from the rows, whatever the rows are."""

import random
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swarmtally.domain.clock import iso
from swarmtally.domain.measures import LATENCY_OF
from swarmtally.insight.performance import Report
from tests.insight.history import NOW_NS, MadeUp, reported

TIMEFRAMES = ("all", "30d", "24h", "1h", "2023-11-01/2023-11-10T12:00:00Z", "2023-09-01/2023-11-14")

RANDOMS = st.integers(0, 2**32).map(random.Random)
"""Chance of hypothesis's own kind makes pasts in which too little happens."""

SOURCES = {"durations_s.wait": "waits", "durations_s.exec": "execs", "durations_s.overhead": "overheads"}
SOURCES |= {f"latency_ms.{kind}": name for kind, name in LATENCY_OF.items()}

TAKEN_FROM = {
    "cpu_cores": ("cpu_ns", 1.0),
    "rss_mib_max": ("rss_bytes", 2**-20),
    "read_mib_per_s": ("read_bytes", 1e9 / 2**20),
    "written_mib_per_s": ("written_bytes", 1e9 / 2**20),
    "machine_sent_mib_per_s": ("net_sent_bytes", 1e9 / 2**20),
    "machine_received_mib_per_s": ("net_received_bytes", 1e9 / 2**20),
    "lock_wait_s": ("lock_wait_ns", 1e-9),
    "loop_lag_ms_max": ("lag_ns", 1e-6),
}


def edges(draw: random.Random, past: MadeUp) -> str:
    """A timeframe that begins and ends when something happened, so that it cuts through runs and attempts."""
    happened = sorted(
        {
            value // 1_000_000
            for _, given in past.before.rows + past.retried.rows
            for name, value in given.items()
            if name.endswith("_ns") and isinstance(value, int) and 10**18 < value <= NOW_NS
        }
    )
    if len(happened) < 2:
        return "all"
    since_ms, until_ms = sorted(draw.sample(happened, 2))
    return f"{iso(since_ms * 1_000_000)}/{iso(until_ms * 1_000_000)}"


def shown(report: Report, figure: str) -> tuple[float | None, int]:
    """What the report says of a figure, and how many rows it counted."""
    if figure in report.figures:
        return report.figures[figure].value, report.figures[figure].n
    if figure in SOURCES:
        spread = report.spreads[SOURCES[figure]]
        unit = 1e9 if figure.startswith("durations_s") else 1e6
        return None if spread.p50_ns is None else spread.p50_ns / unit, spread.n
    kind, _, name = figure.partition(".")
    if kind == "predictions":
        return report.predictions[name].value, report.predictions[name].n
    assert kind == "resources"
    row = report.resources
    if name.startswith("time."):
        part = row[f"{name.partition('.')[2]}_ns"]
        return None if part is None else part / row["interval_ns"], row["n"]
    column, factor = TAKEN_FROM[name]
    return None if row[column] is None else row[column] * factor, row["n"]


def assert_agree(report: Report) -> None:
    assert report.explained
    for each in report.explained:
        value, n = shown(report, each.figure)
        # Of resources some samples may lack a column; their n is of those that have it.
        if not each.figure.startswith("resources"):
            assert n == each.rows, (each, value)
        expected = None if each.value is None else pytest.approx(each.value, rel=1e-9, abs=1e-12)
        assert value == expected, each


@settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(draw=RANDOMS, fixed=st.sampled_from((None, None, *TIMEFRAMES)), swarm=st.booleans())
def test_every_figure_is_what_its_query_gives(draw: random.Random, fixed: str | None, swarm: bool, empty: Path) -> None:
    past = MadeUp(draw)
    timeframe = fixed or edges(draw, past)

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with past.database(empty, Path(folder, "swarm.db")) as database:
                known = await database.read(lambda tx: tx.rows("SELECT 1 FROM swarm WHERE swarm_id = 'p0'"))
                assert_agree(await reported(database, swarm_id="p0" if swarm and known else None, timeframe=timeframe))

    anyio.run(check)
