"""What the store adds up of a run is what one gets row by row."""

import random
from dataclasses import fields, replace
from pathlib import Path

import pytest

from swarmtally.domain.measures import DURATIONS, RunSums
from swarmtally.store import measures
from swarmtally.store.connection import Connection
from swarmtally.store.run_sums import run_sums
from tests.insight.by_hand import measure, rows_of
from tests.insight.history import NOW_NS, History, MadeUp, database_of


def comparable(sums: RunSums) -> dict[str, object]:
    """The sums with each list of durations in ascending order."""
    given = {field.name: getattr(sums, field.name) for field in fields(sums) if field.name != "durations"}
    given |= {name: sorted(getattr(sums.durations, name)) for name in DURATIONS}
    if sums.separate_tokens is not None:
        given["separate_tokens"] = pytest.approx(sums.separate_tokens)
    return given


@pytest.mark.parametrize("seed", range(12))
async def test_a_run_adds_up_to_what_its_rows_add_up_to_one_by_one(seed: int, tmp_path: Path, empty: Path) -> None:
    made_up = MadeUp(random.Random(seed))

    async def compare(tx: Connection) -> int:
        compared = 0
        for ended in await measures.unmeasured(tx, 1_000):
            for since_ns in (ended.since_ns, 0):
                stretch = replace(ended, since_ns=since_ns)
                found = await run_sums(tx, stretch)
                by_hand = measure(await rows_of(tx, stretch, found.places), ended.ended_ns)
                assert comparable(found) == comparable(by_hand)
                compared += 1
        return compared

    async with database_of(made_up.before, empty, tmp_path / "swarm.db") as database:
        compared = await database.read(compare)
    assert compared or not made_up.before.ended


HOUR_NS = 3_600 * 10**9

BEGUN_NS = NOW_NS - HOUR_NS


async def sums_of(history: History, empty: Path, folder: Path) -> RunSums:
    """The sums of its run, which ends now."""
    history.project("p")
    history.run("r", "p", "s", BEGUN_NS)
    history.ended["r"] = ("succeeded", NOW_NS)

    async def sums(tx: Connection) -> RunSums:
        (ended,) = await measures.unmeasured(tx, 9)
        return await run_sums(tx, ended)

    async with database_of(history, empty, folder / "swarm.db") as database:
        return await database.read(sums)


def one_task(**given: int | None) -> History:
    """A task that took from 10 to 20 ns after the run's beginning."""
    history = History()
    history.task("t", "r", "succeeded")
    times = {name: None if value is None else BEGUN_NS + value for name, value in given.items()}
    whole: dict[str, int | None] = {"committed_ns": BEGUN_NS + 20, **times}
    history.attempt("t", 1, "succeeded", BEGUN_NS + 10, exec_ns=5, final=1, **whole)
    return history


async def test_a_run_one_of_whose_calls_has_no_figures_says_so(tmp_path: Path, empty: Path) -> None:
    # A prompt that did not fit and was sent again, shorter.
    history = one_task()
    history.call("r", "t", 1, BEGUN_NS + 18, input_tokens=None, output_tokens=None, exec_ns=3, status="unknown")
    history.call("r", "t", 1, BEGUN_NS + 19, input_tokens=100, output_tokens=10, exec_ns=3)
    sums = await sums_of(history, empty, tmp_path)
    assert (sums.calls, sums.calls_unknown, sums.fresh_tokens, sums.output_tokens) == (1, 1, 100, 10)


async def test_a_task_without_any_call_has_no_figures(tmp_path: Path, empty: Path) -> None:
    assert (await sums_of(one_task(), empty, tmp_path)).calls_unknown == 1


@pytest.mark.parametrize(
    ("given", "busy"), [({}, 10), ({"expires_ns": 15}, 5), ({"committed_ns": 10}, 0), ({"expires_ns": 99}, 10)]
)
async def test_an_attempt_keeps_its_agent_busy_until_it_or_its_lease_is_over(
    given: dict[str, int | None], busy: int, tmp_path: Path, empty: Path
) -> None:
    sums = await sums_of(one_task(**given), empty, tmp_path)
    assert (sums.busy_ns, sums.attempts) == (busy, int(busy > 0))


async def test_a_task_called_for_twice_is_one_task(tmp_path: Path, empty: Path) -> None:
    history = one_task()
    for tokens in (70, 30):
        history.call("r", "t", 1, BEGUN_NS + 19, input_tokens=tokens, output_tokens=10, exec_ns=3)
    sums = await sums_of(history, empty, tmp_path)
    assert (sums.calls, sums.calls_unknown, sums.fresh_tokens, sums.output_tokens) == (2, 0, 100, 20)


@pytest.mark.parametrize(("delivered", "raw", "separate"), [(1, 110, 210.0), (0, None, None), (None, None, None)])
async def test_what_separate_requests_would_have_used_is_known_or_not(
    delivered: int | None, raw: int | None, separate: float | None, tmp_path: Path, empty: Path
) -> None:
    history = one_task()
    history.call("r", "t", 1, BEGUN_NS + 19, delivered=delivered, baseline_bytes=200)
    sums = await sums_of(history, empty, tmp_path)
    assert (sums.raw_tokens, sums.separate_tokens) == (raw, separate)


async def test_one_call_of_which_that_was_not_noted_leaves_it_open(tmp_path: Path, empty: Path) -> None:
    history = one_task()
    history.call("r", "t", 1, BEGUN_NS + 18, delivered=None, baseline_bytes=200)
    history.call("r", "t", 1, BEGUN_NS + 19, delivered=1, baseline_bytes=200)
    assert (await sums_of(history, empty, tmp_path)).raw_tokens is None
