"""What calls used, cost and saved: each figure is the one that a hand gives."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import NotFound
from swarmtally.insight import tokens
from swarmtally.insight.tokens import Saving, Spent
from swarmtally.insight.window import Window
from swarmtally.store.tokens import Group
from tests.insight.calls import ALWAYS, BEGUN_NS, UNKNOWN, UNPRICED, a_call, a_run, a_task, counted, past
from tests.insight.history import History, database_of, reported


def the_known_run(made: History) -> None:
    """Three tasks that separate requests would have too, a failed attempt, and a merge, which they would not have.

    |       | at  | in, out, read, written | raw | billed                    | a: raw, billed | b: billed          |
    |-------|-----|------------------------|-----|---------------------------|----------------|--------------------|
    | t1    | 0   | 50, 10, 20, 10         | 60  | 50 + 2.5 - 18 + 50 = 84.5 | 210, 250       | 250 + 37.5 = 287.5 |
    | t2    | 100 | 30, 0: failed          | 30  | 30                        |                |                    |
    | t2    | 299 | 100, 20                | 120 | 200                       | 320, 400       | 400 - 135 = 265    |
    | merge | 310 | 40, 2                  | 42  | 50                        |                |                    |
    | t3    | 600 | 100, 1                 | 101 | 105                       | 101, 105       | 105 + 12.5 = 117.5 |
    |       |     |                        | 353 | 469.5                     | 631, 755       | 670                |

    Half a token a byte, but of t3 one. What separate requests share is 150 tokens of t1 and t2, and 50 of t3, which
    begins 301 s after t2 and writes it again.
    """
    a_run(made, "r")
    for task_id, mode in (("t1", "architect"), ("t2", "coder"), ("t3", "coder"), ("merge", "merger")):
        a_task(made, task_id, "r", mode)
    half = {"prompt_bytes": 100, "baseline_bytes": 400, "baseline_shared_bytes": 300}
    a_call(
        made, "r", "t1", 0, agent_id="a1", input_tokens=50, output_tokens=10, cache_read_tokens=20,
        cache_write_tokens=10, **half,
    )  # fmt: skip
    a_call(made, "r", "t2", 100, input_tokens=30, output_tokens=0, cache_read_tokens=0, **half | {"delivered": 0})
    twice = {"prompt_bytes": 200, "baseline_bytes": 600, "baseline_shared_bytes": 300, "number": 2}
    a_call(made, "r", "t2", 299, input_tokens=100, output_tokens=20, price_date="2026-11-10", **twice)
    a_call(made, "r", "merge", 310, input_tokens=40, output_tokens=2, cache_read_tokens=0)
    whole = {"prompt_bytes": 100, "baseline_bytes": 100, "baseline_shared_bytes": 50}
    a_call(made, "r", "t3", 600, input_tokens=100, output_tokens=1, cache_read_tokens=0, **whole)


def shares(saving: Saving) -> tuple[float | None, float | None, float | None]:
    return saving.raw.value, saving.billed.value, saving.tokens.value


def about(*values: float | None) -> tuple[object, ...]:
    return tuple(None if value is None else pytest.approx(value, rel=1e-12) for value in values)


def spent(found: Spent) -> tuple[float | None, ...]:
    return found.calls, found.raw_tokens.value, found.billed_tokens.value, found.cost_usd.value


async def test_every_figure_of_a_known_run(empty: Path) -> None:
    made = past()
    the_known_run(made)
    whole = (await counted(made, empty)).whole
    assert spent(whole) == about(5, 353, 469.5, 5e-6)
    assert shares(whole.saved["a"]) == about(1 - 353 / 631, 1 - 469.5 / 755, 631 - 353)
    assert shares(whole.saved["b"]) == about(1 - 353 / 631, 1 - 469.5 / 670, 631 - 353)
    assert (whole.raw_tokens.n, whole.billed_tokens.n, whole.saved["a"].raw.n, whole.saved["b"].billed.n) == (
        5,
        5,
        1,
        1,
    )
    assert (whole.raw_tokens.reason, whole.cost_usd.reason, whole.saved["a"].billed.reason) == (None, None, None)
    assert whole.cost_usd.basis == "list prices of 2026-11-09 to 2026-11-10"
    assert str(whole.billed_tokens.basis).endswith(
        "; 1 call did not say what was read from a cache: all that input counts as uncached"
    )


async def test_groups_share_the_calls_among_them(empty: Path) -> None:
    made = past()
    the_known_run(made)
    by_mode = (await counted(made, empty, group=Group.MODE)).groups
    assert {name: found.raw_tokens.value for name, found in by_mode.items()} == {
        "coder": 251,
        "architect": 60,
        "merger": 42,
    }
    assert list(by_mode) == ["coder", "architect", "merger"]
    assert shares(by_mode["architect"].saved["b"]) == about(1 - 60 / 210, 1 - 84.5 / 287.5, 150)
    assert shares(by_mode["coder"].saved["a"]) == about(1 - 251 / 421, 1 - 335 / 505, 170)
    merger = by_mode["merger"].saved["a"]
    assert shares(merger) == (None, None, -42)
    assert merger.raw.reason == tokens.NO_SEPARATE
    for group, keys in (
        (Group.OPERATION, {"pipeline"}),
        (Group.AGENT, {"a1", "a"}),
        (Group.MODEL, {"m"}),
        (Group.RUN, {"r"}),
        (Group.DAY, {"2023-11-14"}),
    ):
        assert set((await counted(made, empty, group=group)).groups) == keys


async def test_a_run_of_which_a_call_is_unknown_is_left_out_of_savings_only(empty: Path) -> None:
    made = past()
    the_known_run(made)
    a_run(made, "lost")
    a_task(made, "t4", "lost", "coder")
    a_call(made, "lost", "t4", 1, input_tokens=7, output_tokens=1, baseline_bytes=900, baseline_shared_bytes=0)
    a_call(made, "lost", "t4", 2, **UNKNOWN)
    whole = (await counted(made, empty)).whole
    assert spent(whole) == about(7, 361, 481.5, 6e-6)
    assert shares(whole.saved["a"])[0] == pytest.approx(1 - 353 / 631)
    assert (whole.raw_tokens.n, whole.saved["a"].raw.n) == (6, 1)
    assert str(whole.raw_tokens.reason).startswith("without 1 call whose tokens are unknown")
    assert str(whole.saved["a"].raw.reason).startswith("without 1 run")
    alone = (await counted(made, empty, group=Group.RUN)).groups["lost"]
    assert shares(alone.saved["a"]) == (None, None, None)
    assert alone.saved["a"].raw.reason == tokens.NOT_WHOLE


async def test_a_run_whose_provider_reports_no_tokens_is_left_out_and_said_so(empty: Path) -> None:
    made = past()
    a_run(made, "silent")
    a_task(made, "t5", "silent", "coder")
    a_call(made, "silent", "t5", 1, **{**UNKNOWN, "delivered": 1}, baseline_bytes=900, baseline_shared_bytes=0)
    alone = (await counted(made, empty)).whole
    assert (alone.saved["a"].raw.reason, alone.saved["a"].billed.reason) == (tokens.NOT_WHOLE, tokens.NOT_WHOLE)
    the_known_run(made)
    whole = (await counted(made, empty)).whole
    assert shares(whole.saved["a"])[0] == pytest.approx(1 - 353 / 631)
    assert str(whole.saved["a"].raw.reason).startswith("without 1 run")


async def test_a_run_that_an_earlier_version_began_is_not_compared(empty: Path) -> None:
    made = past()
    a_run(made, "begun")
    for number, task_id in enumerate(("old", "new")):
        a_task(made, task_id, "begun", "coder")
        made.attempt(task_id, 1, "succeeded", BEGUN_NS, committed_ns=BEGUN_NS + (number + 1) * NS_PER_S, final=1)
    a_call(made, "begun", "old", 1, delivered=None)
    a_call(made, "begun", "new", 2, baseline_bytes=400, baseline_shared_bytes=0)
    made.ended["begun"] = ("succeeded", BEGUN_NS + 10 * NS_PER_S)
    whole = (await counted(made, empty)).whole
    assert (whole.raw_tokens.n, shares(whole.saved["a"]), shares(whole.saved["b"])) == (2, (None,) * 3, (None,) * 3)
    assert {whole.saved[base].billed.reason for base in "ab"} == {tokens.NOT_WHOLE}
    with tempfile.TemporaryDirectory() as folder:
        async with database_of(made, empty, Path(folder, "swarm.db")) as database:
            report = await reported(database, explain=["token_efficiency"])
    assert (report.figures["token_efficiency"].value, report.explained[0].value) == (None, None)


async def test_without_a_price_only_raw_figures_are_known(empty: Path) -> None:
    made = past()
    a_run(made, "r")
    a_task(made, "t", "r", "coder")
    a_call(made, "r", "t", 0, baseline_bytes=400, baseline_shared_bytes=10, **UNPRICED)
    whole = (await counted(made, empty)).whole
    assert spent(whole) == (1, 110, None, None)
    assert whole.cost_usd.reason == whole.billed_tokens.reason == tokens.NO_PRICES
    assert shares(whole.saved["a"]) == about(1 - 110 / 410, None, 300)
    assert whole.saved["a"].billed.reason == whole.saved["b"].billed.reason == tokens.NOT_PRICED


async def test_baseline_b_needs_a_price_of_cached_input(empty: Path) -> None:
    made = past()
    a_run(made, "r")
    a_task(made, "t", "r", "coder")
    a_call(made, "r", "t", 0, baseline_bytes=400, baseline_shared_bytes=10, cache_read_weight=None)
    whole = (await counted(made, empty)).whole
    assert whole.saved["a"].billed.value == pytest.approx(1 - 150 / 450)
    assert (whole.saved["b"].billed.value, whole.saved["b"].billed.reason) == (None, tokens.NOT_CACHED)
    assert whole.saved["b"].raw.value == whole.saved["a"].raw.value is not None


async def test_each_model_has_a_cache_of_its_own(empty: Path) -> None:
    made = past()
    a_run(made, "r")
    baseline = {"baseline_bytes": 100, "baseline_shared_bytes": 100, "output_tokens": 0}
    for number, model in enumerate(("m", "other", "m")):
        a_task(made, f"t{number}", "r", "coder")
        a_call(made, "r", f"t{number}", number, model=model, **baseline)
    whole = (await counted(made, empty)).whole
    assert whole.saved["b"].billed.value == pytest.approx(1 - 300 / (125 + 125 + 10))


async def test_without_calls_or_baselines_everything_is_null_with_its_reason(empty: Path) -> None:
    made = past()
    found = await counted(made, empty)
    assert (found.groups, spent(found.whole)) == ({}, (0, None, None, None))
    assert found.whole.raw_tokens.reason == tokens.NO_CALLS
    a_run(made, "r")
    a_task(made, "t", "r", "coder")
    a_call(made, "r", "t", 0, **UNKNOWN)
    whole = (await counted(made, empty)).whole
    assert spent(whole) == (1, None, None, None)
    assert whole.raw_tokens.reason == whole.cost_usd.reason == tokens.NO_TOKENS
    a_call(made, "r", "t", 1)
    whole = (await counted(made, empty)).whole
    assert shares(whole.saved["a"]) == shares(whole.saved["b"]) == (None, None, None)
    assert whole.saved["a"].raw.reason == tokens.NO_BASELINE


async def test_a_client_that_counts_itself_is_named(empty: Path) -> None:
    made = past()
    a_run(made, "r")
    a_task(made, "t", "r", "coder")
    a_call(made, "r", "t", 0, source="client", **UNPRICED)
    whole = (await counted(made, empty)).whole
    assert (whole.raw_tokens.value, whole.raw_tokens.basis) == (110, "the figures of 1 call are their client's")


async def test_the_same_moment_gives_the_same_figures_whatever_came_later(empty: Path) -> None:
    made = past()
    the_known_run(made)
    a_call(made, "r", "t3", 700, **UNKNOWN)
    window = Window(0, BEGUN_NS + 800 * NS_PER_S)
    before = await counted(made, empty, window=window, group=Group.MODE)
    # The lost call is answered late after all, and another one follows.
    table, lost = made.rows.pop()
    late = {"input_tokens": 9, "output_tokens": 9, "status": "reported", "closed_ns": BEGUN_NS + 900 * NS_PER_S}
    made.add(table, **{**lost, **late})
    a_call(made, "r", "t3", 850)
    made.ended["r"] = ("succeeded", BEGUN_NS + 950 * NS_PER_S)
    assert await counted(made, empty, window=window, group=Group.MODE) == before
    assert before.whole.saved["a"].raw.reason == tokens.NOT_WHOLE


async def test_a_call_counts_where_it_was_opened(empty: Path) -> None:
    made = past()
    the_known_run(made)
    window = Window(BEGUN_NS, BEGUN_NS + 299 * NS_PER_S)
    found = await counted(made, empty, window=window)
    assert found.whole.calls == 2, "one at the very end, and not the one at the very beginning"
    closed = await counted(made, empty, window=replace(window, until_ns=BEGUN_NS + 300 * NS_PER_S))
    assert (found.whole.raw_tokens.value, closed.whole.raw_tokens.value) == (30, 150)
    # The request before the window keeps baseline b's cache warm.
    assert closed.whole.saved["b"].billed.value == pytest.approx(1 - 230 / 265)


async def test_what_is_kept_no_longer_is_null(empty: Path) -> None:
    made = past()
    the_known_run(made)
    made.add("forgotten", project="p", swarm_id="s_p", what="runs", until_ns=BEGUN_NS)
    assert "are kept no longer" in str((await counted(made, empty)).whole.cost_usd.reason)
    since = replace(ALWAYS, since_ns=BEGUN_NS)
    assert (await counted(made, empty, window=since)).whole.raw_tokens.value == 293


async def test_an_unknown_swarm_is_refused(empty: Path) -> None:
    with pytest.raises(NotFound, match="no swarm 's_x'"):
        await counted(past(), empty, swarm_id="s_x")


async def test_the_report_says_what_was_saved_of_raw_tokens(empty: Path) -> None:
    made = past()
    the_known_run(made)
    a_run(made, "without")
    a_task(made, "t", "without", "coder")
    a_call(made, "without", "t", 0)
    for run_id, task_id in (("r", "t1"), ("without", "t")):
        made.attempt(task_id, 1, "succeeded", BEGUN_NS, committed_ns=BEGUN_NS + NS_PER_S, final=1)
        made.ended[run_id] = ("succeeded", BEGUN_NS + 1_000 * NS_PER_S)
    with tempfile.TemporaryDirectory() as folder:
        async with database_of(made, empty, Path(folder, "swarm.db")) as database:
            report = await reported(database, explain=["token_efficiency"])
    figure = report.figures["token_efficiency"]
    assert (figure.value, figure.n, figure.reason) == (pytest.approx(1 - 353 / 631), 1, None)
    assert str(figure.basis).startswith("counts 1 of 2 runs")
    assert (report.explained[0].value, report.explained[0].rows) == (pytest.approx(figure.value), 1)
