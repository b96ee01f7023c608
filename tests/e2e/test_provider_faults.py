"""A provider that is slow, refuses, breaks or lies: retried or failed with its reason, counted, nothing hangs."""

from typing import Any

import anyio
import anyio.to_thread
import pytest

from swarmtally.app import App
from swarmtally.domain.retry import RetryPolicy
from swarmtally_tools.run_views import RunView, TaskView, UsageView
from swarmtally_tools.sparc import sparc_run
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire
from tests.e2e.conftest import OpenTestApp


async def run(app: App, **more: Any) -> tuple[RunView, TaskView, UsageView]:
    """One task; its run, its only task and its usage."""
    with anyio.fail_after(30):
        view = await sparc_run.call(app, {"mode": "coder", "task": "A cart", **more})
    assert isinstance(view, RunView)
    assert view.timeline is not None
    assert view.usage is not None
    return view, view.timeline[0], view.usage


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (w.rate_limited(0), "429"),
        (w.failure(500), "500"),
        (w.failure(503), "503"),
        (w.malformed(), "test"),
        (w.truncated(), "test"),
        (w.dropped(), "test"),
        (w.empty(), "without any text"),
    ],
    ids=["429", "500", "503", "malformed", "truncated", "dropped", "empty"],
)
async def test_a_passing_fault_is_tried_again_and_every_call_is_counted(
    open_test_app: OpenTestApp, wire: OpenAIWire, fault: w.Answer, reason: str
) -> None:
    wire.script(fault, w.answer("the cart", w.tokens(10, 5)))
    async with open_test_app() as app:
        view, task, usage = await run(app)
        assert (view.status, task.attempts, task.error) == ("succeeded", 2, None)
        assert (usage.calls, usage.unknown_calls, usage.raw_tokens) == (2, 1, 15)
        assert "without 1 call" in usage.reasons["raw_tokens"]
        # One figure with no room for a reason: half of what the task took must not pass for it.
        assert task.raw_tokens is None
        rows = await app.database.read(lambda tx: tx.rows("SELECT error FROM attempt WHERE status = 'failed'"))
        assert reason in rows[0]["error"]


async def test_retry_after_is_obeyed(open_test_app: OpenTestApp, wire: OpenAIWire) -> None:
    wire.script(w.rate_limited(2), w.answer("the cart"))
    async with open_test_app(retry=RetryPolicy()) as app:
        await run(app)
        rows = await app.database.read(lambda tx: tx.rows("SELECT claimed_ns, ended_ns FROM attempt ORDER BY number"))
        assert rows[1]["claimed_ns"] - rows[0]["ended_ns"] >= 2_000_000_000


async def test_a_fault_that_stays_fails_the_run_with_its_reason_after_the_last_attempt(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    wire.script(w.failure(500), w.failure(500), w.failure(500), w.answer("never asked for"))
    async with open_test_app() as app:
        view, task, usage = await run(app)
        assert (view.status, view.reason, task.attempts) == ("failed", "1 of 1 tasks failed", 3)
        assert "500" in (task.error or "")
        assert (usage.raw_tokens, usage.unknown_calls) == (None, 3)
        assert usage.reasons["raw_tokens"] == "no call has reported its tokens"
        assert len(wire.requests) == 3


@pytest.mark.parametrize("fault", [w.failure(400), w.failure(401), w.out_of_quota()], ids=["400", "401", "quota"])
async def test_a_refusal_is_final(open_test_app: OpenTestApp, wire: OpenAIWire, fault: w.Answer) -> None:
    wire.script(fault, w.answer("never asked for"))
    async with open_test_app() as app:
        view, task, _ = await run(app)
        assert (view.status, task.attempts) == ("failed", 1)
        assert len(wire.requests) == 1


async def test_a_prompt_that_is_too_long_is_packed_smaller_and_sent_again(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    wire.script(w.context_exceeded_llama(), w.answer("it fits"))
    async with open_test_app() as app:
        view, task, usage = await run(app, context=["word " * 20_000])
        assert (view.status, task.attempts, usage.calls) == ("succeeded", 1, 2)
        first, second = (len(request.user_text) for request in wire.requests)
        assert second < first


async def test_a_slow_answer_is_waited_for_while_other_calls_go_on(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    hold = w.Hold()
    wire.script(w.held(hold), w.answer("other"))
    async with open_test_app() as app:
        runs = await app.runs()
        async with anyio.create_task_group() as group:
            group.start_soon(run, app)
            await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
            assert (await run(app))[0].status == "succeeded"
            assert sorted(status for _, status, _ in await runs.newest(2)) == ["running", "succeeded"]
            hold.release()


async def test_tokens_are_what_the_provider_reported(open_test_app: OpenTestApp, wire: OpenAIWire) -> None:
    wire.script(w.answer("ok", w.tokens(120, 30, cached=80)))
    async with open_test_app() as app:
        _, task, usage = await run(app)
        assert (usage.raw_tokens, usage.input_tokens, usage.output_tokens) == (150, 120, 30)
        assert (usage.cache_read_tokens, task.raw_tokens) == (80, 150)


async def test_a_provider_that_reports_nothing_leaves_tokens_unknown_never_zero(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    wire.script(w.answer("ok"))
    async with open_test_app() as app:
        view, task, usage = await run(app)
        assert (view.status, usage.raw_tokens, usage.input_tokens, task.raw_tokens) == ("succeeded", None, None, None)
        assert "raw_tokens" in usage.reasons


@pytest.mark.parametrize(
    "answer",
    [
        w.answer("half a pair: \ud83d.", w.tokens(3, 4)),
        w.answer("impossible", w.tokens(2**63, 1)),
    ],
    ids=["surrogate", "huge"],
)
async def test_an_answer_that_cannot_be_written_down_as_it_is_ends_nothing_else(
    open_test_app: OpenTestApp, wire: OpenAIWire, answer: w.Answer
) -> None:
    wire.script(answer, w.answer("fine", w.tokens(3, 4)))
    async with open_test_app() as app:
        view, task, usage = await run(app)
        assert (view.status, task.attempts) == ("succeeded", 1)
        assert usage.raw_tokens in (None, 7)
        assert (await run(app))[0].status == "succeeded"


async def test_an_error_that_holds_control_characters_is_kept_as_one_plain_line(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    wire.script(w.failure(400, {"message": "\x1b[2Jbad\u202e \ud800\nrequest" + "x" * 5_000}))
    async with open_test_app() as app:
        _, task, _ = await run(app)
        assert task.error is not None
        assert task.error.isprintable()
        assert len(task.error) <= 500


async def test_an_answer_cut_off_at_the_limit_says_so(open_test_app: OpenTestApp, wire: OpenAIWire) -> None:
    wire.script(w.answer("half a sen", w.tokens(3, 4), finish_reason="length"))
    async with open_test_app() as app:
        view, _, _ = await run(app)
        assert view.artefacts is not None
        assert view.artefacts[0].truncated
        assert "1 deliverable was cut off at the model's output limit" in view.next_step
