import asyncio
import inspect
import os
import subprocess
import sys
import warnings
from typing import Any

import pytest

from swarmtally.backends.failures import MESSAGE_LIMIT, Scrubber, translate
from swarmtally.backends.model import DEFAULT_CONTEXT_TOKENS, ModelBackend, api_key, output_limit
from swarmtally.core.ports import Prompt
from swarmtally.domain.errors import BackendFailure, ContextExceeded, InvalidInput
from swarmtally.domain.usage import TokenUsage
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire

KEY = "s3cret-key-of-ours-0123456789"
PROMPT = Prompt("You are brief.", ("shared", "the task"))


async def opened(wire: OpenAIWire, timeout_s: float = 20.0, environ: dict[str, str] | None = None) -> ModelBackend:
    environ = {"SWARMTALLY_API_KEY": KEY} if environ is None else environ
    return await ModelBackend.open("openai:m1", environ=environ, base_url=wire.base_url, timeout_s=timeout_s)


async def failed(wire: OpenAIWire, answer: w.Answer, timeout_s: float = 20.0) -> BackendFailure:
    wire.script(answer)
    backend = await opened(wire, timeout_s)
    try:
        with pytest.raises(BackendFailure) as caught:
            await backend.execute(PROMPT)
    finally:
        await backend.aclose()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) <= MESSAGE_LIMIT
    assert KEY not in text
    return caught.value


async def replied_usage(wire: OpenAIWire, answer: w.Answer) -> TokenUsage:
    wire.script(answer)
    backend = await opened(wire)
    try:
        return (await backend.execute(PROMPT)).usage
    finally:
        await backend.aclose()


async def test_a_prompt_goes_out_as_one_system_and_one_user_message(wire: OpenAIWire) -> None:
    backend = await opened(wire)
    reply = await backend.execute(PROMPT)
    await backend.aclose()
    body = wire.requests[0].body
    assert body["messages"] == [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "shared\n\nthe task"},
    ]
    assert body["model"] == "m1"
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 4096
    assert reply.text == w.default_text("shared\n\nthe task")


async def test_an_empty_system_prompt_is_left_out(wire: OpenAIWire) -> None:
    backend = await opened(wire)
    await backend.execute(Prompt("", ("task",)))
    await backend.aclose()
    assert [message["role"] for message in wire.requests[0].body["messages"]] == ["user"]


async def test_info_is_complete_once_opened(wire: OpenAIWire) -> None:
    backend = await opened(wire)
    info = backend.info
    await backend.aclose()
    assert (info.name, info.model, info.base_url) == ("model", "openai:m1", wire.base_url)
    assert (info.max_parallel, info.bound, info.reports_tokens) == (8, "latency", True)
    assert (info.context_tokens, info.max_output_tokens) == (DEFAULT_CONTEXT_TOKENS, 4096)


async def test_a_known_model_states_its_own_context() -> None:
    backend = await ModelBackend.open("openai:gpt-5-mini", environ={"OPENAI_API_KEY": KEY}, max_output_tokens=9)
    await backend.aclose()
    assert backend.info.context_tokens > 100_000
    assert backend.info.max_output_tokens == 9


@pytest.mark.parametrize("asked", [DEFAULT_CONTEXT_TOKENS, 400_000])
async def test_an_output_limit_that_leaves_no_room_for_a_prompt_is_refused(wire: OpenAIWire, asked: int) -> None:
    with pytest.raises(InvalidInput, match=f"--max-output-tokens {asked} leaves no room for a prompt: openai:m1 has"):
        await ModelBackend.open("openai:m1", environ={}, base_url=wire.base_url, max_output_tokens=asked)


def test_the_usual_output_limit_leaves_half_of_a_small_context() -> None:
    assert output_limit(None, 4_096, 32_768, "m") == 4_096
    assert output_limit(None, 4_096, 2_048, "m") == 1_024
    assert output_limit(2_047, 96, 2_048, "m") == 2_047
    with pytest.raises(InvalidInput, match="m has 2048 tokens of context in all; lower it"):
        output_limit(2_048, 96, 2_048, "m")


async def test_usage_is_mapped_as_reported(wire: OpenAIWire) -> None:
    usage = await replied_usage(wire, w.answer("hi", w.tokens(100, 20, cached=80, reasoning=5)))
    assert usage == TokenUsage(100, 20, cache_read_tokens=80, reasoning_tokens=5)


async def test_a_reported_zero_stays_a_zero(wire: OpenAIWire) -> None:
    usage = await replied_usage(wire, w.answer("hi", w.tokens(100, 20, cached=0, reasoning=0)))
    assert usage.cache_read_tokens == 0
    assert usage.reasoning_tokens == 0


async def test_cache_figures_that_were_not_sent_are_none(wire: OpenAIWire) -> None:
    usage = await replied_usage(wire, w.answer("hi", w.tokens(100, 20)))
    assert usage == TokenUsage(100, 20)


async def test_a_total_need_not_be_sent(wire: OpenAIWire) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 4}}
    assert await replied_usage(wire, w.answer("hi", usage)) == TokenUsage(100, 20, cache_read_tokens=4)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 7},
        {"prompt_tokens": 7, "total_tokens": 9},
        {"completion_tokens": 2, "total_tokens": 9},
        {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": "seven", "completion_tokens": 2},
        {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": "none"},
        {},
        [],
        "unknown",
    ],
    ids=str,
)
async def test_an_answer_whose_usage_is_not_whole_is_taken_and_its_tokens_are_unknown(
    wire: OpenAIWire, usage: Any
) -> None:
    wire.script(w.answer("a good answer", usage))
    backend = await opened(wire)
    reply = await backend.execute(PROMPT)
    await backend.aclose()
    assert reply.text == "a good answer"
    assert not reply.usage.known
    assert reply.usage.reason == "the provider did not report both its input and its output tokens"


@pytest.mark.parametrize("usage", [None, w.tokens(0, 0)], ids=["none", "zeros"])
async def test_a_reply_without_usage_has_none_and_a_reason_and_never_zero(
    wire: OpenAIWire, usage: dict[str, object] | None
) -> None:
    found = await replied_usage(wire, w.answer("hi", usage))
    assert not found.known
    assert found.reason
    assert (found.input_tokens, found.output_tokens, found.cache_read_tokens) == (None, None, None)


async def test_a_reply_cut_off_at_the_token_limit_is_a_reply(wire: OpenAIWire) -> None:
    wire.script(w.answer("half a sen", w.tokens(5, 4), finish_reason="length"))
    backend = await opened(wire)
    reply = await backend.execute(PROMPT)
    await backend.aclose()
    assert reply.text == "half a sen"


@pytest.mark.parametrize(
    "answer",
    [
        w.failure(500),
        w.failure(502),
        w.failure(503),
        w.failure(529),
        w.failure(408),
        w.failure(409),
        w.malformed(),
        w.truncated(),
        w.dropped(),
        w.Answer(body=b'{"surprise": 1}'),
    ],
    ids=["500", "502", "503", "529", "408", "409", "malformed", "truncated", "dropped", "not a completion"],
)
async def test_passing_troubles_are_transient_and_tried_once(wire: OpenAIWire, answer: w.Answer) -> None:
    failure = await failed(wire, answer)
    assert failure.transient
    assert len(wire.requests) == 1


async def test_a_rate_limit_tells_how_long_to_wait(wire: OpenAIWire) -> None:
    failure = await failed(wire, w.rate_limited(7))
    assert failure.transient
    assert failure.retry_after_s == 7.0
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (w.failure(401), "SWARMTALLY_API_KEY"),
        (w.failure(403), "key"),
        (w.failure(404), "not found"),
        (w.failure(400), "rejected"),
        (w.failure(422), "rejected"),
        (w.out_of_quota(), "quota"),
    ],
)
async def test_lasting_troubles_are_final(wire: OpenAIWire, answer: w.Answer, said: str) -> None:
    failure = await failed(wire, answer)
    assert not failure.transient
    assert said in str(failure)


@pytest.mark.parametrize("answer", [w.context_exceeded(), w.context_exceeded_llama()], ids=["openai", "llama.cpp"])
async def test_a_prompt_that_does_not_fit_is_context_exceeded(wire: OpenAIWire, answer: w.Answer) -> None:
    assert isinstance(await failed(wire, answer), ContextExceeded)


async def test_an_empty_reply_is_transient_and_keeps_its_usage(wire: OpenAIWire) -> None:
    failure = await failed(wire, w.empty(w.tokens(50, 1)))
    assert failure.transient
    assert failure.usage == TokenUsage(50, 1)


async def test_an_empty_reply_at_the_token_limit_says_what_to_raise(wire: OpenAIWire) -> None:
    failure = await failed(wire, w.empty(w.tokens(50, 96), finish_reason="length"))
    assert "--max-output-tokens" in str(failure)
    assert not failure.transient


async def test_a_filtered_reply_is_final_and_keeps_its_usage(wire: OpenAIWire) -> None:
    failure = await failed(wire, w.empty(w.tokens(50, 1), finish_reason="content_filter"))
    assert not failure.transient
    assert failure.usage == TokenUsage(50, 1)


async def test_a_call_that_takes_too_long_is_transient(wire: OpenAIWire) -> None:
    hold = w.Hold()
    failure = await failed(wire, w.held(hold), timeout_s=0.2)
    hold.release()
    assert failure.transient
    assert "0.2 s" in str(failure)


async def test_a_server_that_is_not_there_is_transient() -> None:
    with OpenAIWire() as gone:
        url = gone.base_url
    backend = await ModelBackend.open("openai:m1", environ={}, base_url=url)
    with pytest.raises(BackendFailure) as caught:
        await backend.execute(PROMPT)
    await backend.aclose()
    assert caught.value.transient


async def test_cancelling_a_call_closes_its_request(wire: OpenAIWire) -> None:
    hold = w.Hold()
    wire.script(w.held(hold))
    backend = await opened(wire)
    call = asyncio.create_task(backend.execute(PROMPT))
    await asyncio.to_thread(wire.wait_for_requests, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(wire.wait_for_disconnects, 1)
    assert (await backend.execute(PROMPT)).text
    await backend.aclose()


async def test_calls_run_beside_each_other(wire: OpenAIWire) -> None:
    holds = [w.Hold() for _ in range(8)]
    wire.script(*(w.held(hold) for hold in holds))
    backend = await opened(wire)
    calls = [asyncio.create_task(backend.execute(Prompt("", (f"task {n}",)))) for n in range(8)]
    await asyncio.to_thread(wire.wait_for_requests, 8)
    for hold in holds:
        hold.release()
    texts = [reply.text for reply in await asyncio.gather(*calls)]
    await backend.aclose()
    assert texts == [w.default_text(f"task {n}") for n in range(8)]


async def test_a_closed_backend_refuses_and_closes_twice(wire: OpenAIWire) -> None:
    backend = await opened(wire)
    await backend.aclose()
    await backend.aclose()
    with pytest.raises(BackendFailure, match="closed"):
        await backend.execute(PROMPT)
    assert wire.requests == []


async def test_only_our_own_key_goes_to_a_base_url(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-belongs-to-openai")
    for environ in ({"SWARMTALLY_API_KEY": KEY}, {"OPENAI_API_KEY": "sk-belongs-to-openai"}):
        backend = await opened(wire, environ=environ)
        await backend.execute(PROMPT)
        await backend.aclose()
    sent = [request.headers["authorization"] for request in wire.requests]
    assert sent == [f"Bearer {KEY}", "Bearer no-key-needed"]


async def test_a_key_quoted_by_the_server_is_not_shown_nor_kept_as_the_cause(wire: OpenAIWire) -> None:
    text = f"bad key {KEY}; also sk-proj-abcdef123456 and sk-ab***wxyz " + "x" * 500
    failure = await failed(wire, w.failure(401, {"message": text, "type": "auth"}))
    for secret in (KEY, "abcdef123456", "wxyz"):
        assert secret not in str(failure)
    assert failure.__cause__ is None
    assert failure.__suppress_context__


def test_half_a_key_is_not_left_where_a_long_text_is_cut() -> None:
    scrub = Scrubber([KEY, None, "", "abc"])
    for before in range(MESSAGE_LIMIT - 40, MESSAGE_LIMIT + 1):
        assert KEY[:8] not in scrub("y" * before + KEY + "z" * 80)
    assert scrub("abc\n  def") == "abc def"


@pytest.mark.parametrize("name", ["nosuch:model", "nosuch", "anthropc:claude-haiku-4-5"])
async def test_an_unknown_provider_is_final(name: str) -> None:
    with pytest.raises(BackendFailure, match="cannot be used") as caught:
        await ModelBackend.open(name, environ={})
    assert not caught.value.transient


async def test_a_missing_sdk_says_what_to_install() -> None:
    for model, remedy in (
        ("mistral:mistral-small-latest", "pip install 'pydantic-ai-slim[mistral]'"),
        ("groq:llama", "pip install 'pydantic-ai-slim[groq]'"),
    ):
        with pytest.raises(BackendFailure) as caught:
            await ModelBackend.open(model, environ={})
        assert remedy in str(caught.value)
        assert not caught.value.transient


async def test_a_missing_key_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BackendFailure, match="OPENAI_API_KEY"):
        await ModelBackend.open("openai:gpt-5-mini", environ={})


@pytest.mark.parametrize(
    ("provider", "environ", "key"),
    [
        ("google", {"GEMINI_API_KEY": "b"}, "b"),
        ("google", {"GEMINI_API_KEY": "b", "GOOGLE_API_KEY": "a"}, "a"),
        ("openai", {"OPENAI_API_KEY": "a", "SWARMTALLY_API_KEY": "ours"}, "ours"),
        ("groq", {"GROQ_API_KEY": "a"}, None),
        ("openai", {"OPENAI_API_KEY": ""}, None),
    ],
)
def test_where_a_key_comes_from(provider: str, environ: dict[str, str], key: str | None) -> None:
    assert api_key(provider, environ) == key


def _public_errors() -> list[type[Exception]]:
    from pydantic_ai import exceptions

    found = [getattr(exceptions, name) for name in exceptions.__all__]
    roots = (exceptions.AgentRunError, exceptions.UserError)
    return [kind for kind in found if inspect.isclass(kind) and issubclass(kind, roots)]


def _made(kind: type[Exception]) -> Exception:
    """An instance, by whichever of the four constructor shapes the library uses."""
    from pydantic_ai import exceptions as ai

    if issubclass(kind, ai.ModelHTTPError):
        return kind(418, "m")
    if issubclass(kind, ai.ModelRequestTimeout):
        return kind("m", 3.0)
    if issubclass(kind, ai.ModelAPIError):
        return kind("m", "said")
    if issubclass(kind, ai.UndrainedPendingMessagesError):
        return kind.__new__(kind, "said")
    return kind("said")


@pytest.mark.parametrize("kind", _public_errors(), ids=lambda kind: kind.__name__)
def test_every_public_error_of_pydantic_ai_is_translated(kind: type[Exception]) -> None:
    failure = translate(_made(kind), "openai:m1", Scrubber([]))
    assert isinstance(failure, BackendFailure)
    assert "openai:m1" in str(failure)


TRANSIENT = set(
    """
    ConcurrencyLimitExceeded IncompleteToolCall ModelAPIError ModelConnectionError ModelOverloadedError
    ModelRateLimitError ModelRequestTimeout ModelServerError ModelTimeoutError
    ModelUnavailableError OutputTokenLimitExceeded RunTimedOut UnexpectedModelBehavior
    """.split()  # noqa: SIM905
)


def test_which_errors_are_transient_is_written_down() -> None:
    failures = {kind.__name__: translate(_made(kind), "m:1", Scrubber([])) for kind in _public_errors()}
    assert {name for name, found in failures.items() if isinstance(found, BackendFailure) and found.transient} == (
        TRANSIENT
    )


def test_raw_transport_errors_are_transient() -> None:
    import httpx2

    for error in (httpx2.ReadError(""), ConnectionResetError("reset"), TimeoutError(), EOFError()):
        failure = translate(error, "m:1", Scrubber([]))
        assert isinstance(failure, BackendFailure)
        assert failure.transient


async def test_an_unforeseen_error_is_not_translated(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic_ai.models.openai import OpenAIChatModel

    async def broken(*_args: object) -> None:
        raise ZeroDivisionError

    backend = await opened(wire)
    monkeypatch.setattr(OpenAIChatModel, "request", broken)
    with pytest.raises(ZeroDivisionError):
        await backend.execute(PROMPT)
    await backend.aclose()
    monkeypatch.setattr(OpenAIChatModel, "__init__", lambda *_args, **_named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await opened(wire)


def test_importing_the_backends_imports_no_model_library() -> None:
    code = (
        "import sys, swarmtally.backends.choice; "
        "sys.exit(bool({'pydantic_ai', 'openai', 'xllamacpp', 'httpx2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0


async def test_a_setting_a_provider_lacks_is_not_sent() -> None:
    from pydantic_ai.models.test import TestModel

    from swarmtally.backends.model import call_settings

    class Lacking(TestModel):
        unsupported_settings = frozenset({"max_retries"})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "max_retries" not in call_settings(Lacking(), 10, 1.0)
    assert call_settings(TestModel(), 10, 1.0) == {"max_tokens": 10, "request_timeout": 1.0, "max_retries": 0}
