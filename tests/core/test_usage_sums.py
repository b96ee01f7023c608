"""What the calls of a run add up to: only what was reported, and a figure that a call left out is not known."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.text import counted
from swarmtally.domain.usage import FIGURE_LIMIT, TokenUsage, UsageTotals
from swarmtally_tools.usage_views import SUMS, UsageView, usage_view
from tests.core.harness import ScriptedBackend, swarmed, task
from tests.core.hosted import Hosted, hosted, made


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Hosted]:
    async with hosted(tmp_path) as host:
        yield host


async def used(host: Hosted, *calls: TokenUsage | None) -> UsageTotals:
    """What a run has used after its packets were reported with `calls`; None is one that is still out."""
    run_id = await host.start(*(task(f"t{number}") for number in range(len(calls))))
    for call in calls:
        packet = await host.claim_one()
        if call is not None:
            await host.report(packet, made(usage=call))
    return (await host.runs.show(run_id)).usage


UNPRICED = {"cost_usd": "no price list knows the model"}


def figures(view: UsageView) -> Sequence[float | None]:
    return [getattr(view, name) for name in SUMS]


async def test_a_figure_that_no_call_reported_is_unknown_and_never_zero(host: Hosted) -> None:
    totals = await used(host, TokenUsage(10, 5), TokenUsage(10, 5))
    assert (totals.cache_read_tokens, totals.cache_write_tokens, totals.reasoning_tokens) == (None, None, None)
    view = usage_view(totals)
    assert figures(view) == [30, 20, 10, None, None, None]
    assert view.reasons == {
        "cache_read_tokens": "reported by 0 of the 2 calls that reported tokens",
        "cache_write_tokens": "reported by 0 of the 2 calls that reported tokens",
        **UNPRICED,
    }


async def test_a_figure_that_one_call_left_out_is_unknown_for_all(host: Hosted) -> None:
    totals = await used(host, TokenUsage(10, 5, 4, 0), TokenUsage(10, 5, None, 2))
    view = usage_view(totals)
    assert (totals.cache_read_calls, totals.cache_write_calls, totals.reasoning_calls) == (1, 2, 0)
    assert figures(view) == [30, 20, 10, None, 2, None]
    assert view.reasons == {"cache_read_tokens": "reported by 1 of the 2 calls that reported tokens", **UNPRICED}


async def test_a_reported_zero_is_a_zero(host: Hosted) -> None:
    view = usage_view(await used(host, TokenUsage(10, 5, 0, 0), TokenUsage(10, 5, 0, 0)))
    assert (figures(view), view.reasons) == ([30, 20, 10, 0, 0, None], UNPRICED)


async def test_a_call_counted_as_unknown_is_in_no_sum_and_every_sum_says_so(host: Hosted) -> None:
    view = usage_view(await used(host, TokenUsage(10, 5, 0, 0), TokenUsage(input_tokens=7, cache_read_tokens=3)))
    assert (view.calls, view.unknown_calls, figures(view)) == (2, 1, [15, 10, 5, 0, 0, None])
    assert set(view.reasons) == set(SUMS)
    assert "without 1 call whose tokens are unknown" in view.reasons["input_tokens"]


async def test_half_a_figure_is_unknown_with_the_reason(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(usage=TokenUsage(output_tokens=7))) as swarm:
        await swarm.run(task("a"))
        (row,) = await swarm.rows("SELECT status, output_tokens, reason FROM usage")
    assert tuple(row) == ("unknown", 7, "its input or its output tokens were not reported")


async def test_without_any_figure_every_sum_is_unknown_with_the_reason(host: Hosted) -> None:
    totals = await used(host, TokenUsage(), None)
    view = usage_view(totals)
    assert (totals.input_tokens, totals.output_tokens) == (None, None)
    assert (view.open_calls, view.unknown_calls, figures(view)) == (1, 1, [None] * 6)
    assert view.reasons == dict.fromkeys(SUMS, "no call has reported its tokens")


async def test_a_run_that_made_no_call_knows_no_sum(host: Hosted) -> None:
    run_id = await host.start(task("a"))
    view = usage_view((await host.runs.show(run_id)).usage)
    assert (view.calls, figures(view)) == (0, [None] * 6)
    assert view.reasons == dict.fromkeys(SUMS, "no call was made yet")


FIGURES = st.none() | st.integers(-1, 5) | st.sampled_from([FIGURE_LIMIT, FIGURE_LIMIT + 1])


@given(FIGURES, FIGURES, FIGURES, FIGURES, FIGURES)
def test_only_figures_that_can_be_are_believed(
    put_in: int | None, out: int | None, read: int | None, written: int | None, reasoning: int | None
) -> None:
    usage = TokenUsage(put_in, out, read, written, reasoning)
    known = [figure for figure in (put_in, out, read, written, reasoning) if figure is not None]
    can_be = (
        all(0 <= figure <= FIGURE_LIMIT for figure in known)
        and (put_in is None or (read or 0) + (written or 0) <= put_in)
        and (out is None or (reasoning or 0) <= out)
    )
    believed = usage.credible()
    assert believed == (usage if can_be else TokenUsage(reason="the provider reported a figure that cannot be"))


def test_one_is_counted_as_one() -> None:
    assert [counted(number, "call") for number in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]
