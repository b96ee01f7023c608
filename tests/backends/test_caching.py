"""What providers are told about the beginnings of prompts, looked at in the bytes that reach them."""

import json
from typing import Any

import pytest
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from swarmtally.backends.caching import Caching, caching_of
from swarmtally.backends.failures import Scrubber
from swarmtally.backends.model import ModelBackend, call_settings
from swarmtally.core.ports import BackendInfo, Prompt
from swarmtally.domain.usage import TokenUsage
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire

KEY = "k" * 20
FIRST = Prompt("You work.", ("what all share", "own artefact", "the task"), shared_parts=1)
SECOND = Prompt("You work.", ("what all share", "another role", "another task"), shared_parts=1)
BREAKS = Caching(caches=True, marks=True, keyed=True, explicit=True)


async def anthropic(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch, model: str = "claude-haiku-4-5") -> ModelBackend:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", wire.base_url.removesuffix("/v1"))
    return await ModelBackend.open(f"anthropic:{model}", environ={"ANTHROPIC_API_KEY": KEY})


async def openai(wire: OpenAIWire, model: type[Any], caching: Caching) -> ModelBackend:
    """A backend for a model of OpenAI's own, except that it is the wire that answers."""
    built = model("gpt-5.6", provider=OpenAIProvider(base_url=wire.base_url, api_key=KEY))
    info = BackendInfo("model", "openai:gpt-5.6", None, 8, True, "latency", 9_000, 100, "tool", caching.caches)
    await built.__aenter__()
    return ModelBackend(built, info, call_settings(built, 100, 20), Scrubber([]), caching)


async def sent(wire: OpenAIWire, backend: ModelBackend, *prompts: Prompt, answer: w.Answer) -> list[dict[str, Any]]:
    wire.script(*[answer] * len(prompts))
    for prompt in prompts:
        await backend.execute(prompt)
    await backend.aclose()
    return [request.body for request in wire.requests]


async def test_anthropic_is_told_to_cache_what_the_run_shares_and_nothing_after_it(
    wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await anthropic(wire, monkeypatch)
    (body,) = await sent(wire, backend, FIRST, answer=w.anthropic_answer("done"))
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what all share", "cache_control": {"type": "ephemeral", "ttl": "5m"}},
                {"type": "text", "text": "\n\nown artefact\n\nthe task"},
            ],
        }
    ]
    assert json.dumps(body).count("cache_control") == 1
    assert "".join(block["text"] for block in body["messages"][0]["content"]) == "\n\n".join(FIRST.parts)


async def test_two_tasks_of_a_run_send_anthropic_the_same_bytes_up_to_the_breakpoint(
    wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await anthropic(wire, monkeypatch)
    first, second = await sent(wire, backend, FIRST, SECOND, answer=w.anthropic_answer("done"))
    for name in ("system", "model", "tools", "tool_choice", "max_tokens"):
        assert first.get(name) == second.get(name)
    assert first["messages"][0]["content"][0] == second["messages"][0]["content"][0]
    assert first["messages"][0]["content"][1] != second["messages"][0]["content"][1]


async def test_where_nothing_is_shared_nothing_is_marked(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = await anthropic(wire, monkeypatch)
    (body,) = await sent(wire, backend, Prompt("sys", ("a", "b")), answer=w.anthropic_answer("done"))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a\n\nb"}]}]
    assert "cache_control" not in json.dumps(body)


async def test_all_of_a_prompt_can_be_what_the_run_shares(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = await anthropic(wire, monkeypatch)
    (body,) = await sent(wire, backend, Prompt("sys", ("a",), shared_parts=1), answer=w.anthropic_answer("done"))
    assert [block["text"] for block in body["messages"][0]["content"]] == ["a"]


async def test_what_anthropic_wrote_and_read_is_counted(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = await anthropic(wire, monkeypatch)
    wire.script(w.anthropic_answer("done", input_tokens=11, output_tokens=7, read=4_000, written=900))
    usage = (await backend.execute(FIRST)).usage
    await backend.aclose()
    assert usage == TokenUsage(4_911, 7, cache_read_tokens=4_000, cache_write_tokens=900)


@pytest.mark.parametrize("model", [OpenAIChatModel, OpenAIResponsesModel])
async def test_openai_gets_a_breakpoint_and_a_key_that_all_tasks_of_the_run_have_in_common(
    wire: OpenAIWire, model: type[Any]
) -> None:
    backend = await openai(wire, model, BREAKS)
    answer = w.answer("done", w.tokens(9, 1)) if model is OpenAIChatModel else w.responses_answer("done")
    other = Prompt("You work.", ("what another run shares", "the task"), shared_parts=1)
    first, second, third = await sent(wire, backend, FIRST, SECOND, other, answer=answer)
    shared, own = first["messages" if "messages" in first else "input"][-1]["content"]
    assert (shared["text"], own["text"]) == ("what all share", "\n\nown artefact\n\nthe task")
    assert "prompt_cache_breakpoint" in shared
    assert "prompt_cache_breakpoint" not in own
    # Nothing but the breakpoint is written: the rest of a prompt is read by nobody again.
    assert first["prompt_cache_options"] == {"mode": "explicit"}
    assert first["prompt_cache_key"] == second["prompt_cache_key"] != third["prompt_cache_key"]
    assert first["prompt_cache_key"].startswith("swarmtally-")
    assert len(first["prompt_cache_key"]) <= 64


async def test_an_earlier_model_of_openai_gets_only_the_key(wire: OpenAIWire) -> None:
    backend = await openai(wire, OpenAIChatModel, Caching(caches=True, keyed=True))
    (body,) = await sent(wire, backend, FIRST, answer=w.answer("done", w.tokens(9, 1)))
    assert body["messages"][-1]["content"] == "\n\n".join(FIRST.parts)
    assert {name for name in body if "cache" in name} == {"prompt_cache_key"}


@pytest.mark.parametrize("name", ["m1", "gpt-5.6", "claude-haiku-4-5"])
async def test_a_server_of_one_s_own_is_told_nothing_of_caches(wire: OpenAIWire, name: str) -> None:
    backend = await ModelBackend.open(f"openai:{name}", environ={}, base_url=wire.base_url)
    (body,) = await sent(wire, backend, FIRST, answer=w.answer("done", w.tokens(9, 1)))
    assert "cache" not in json.dumps(body)
    assert body["messages"][-1]["content"] == "\n\n".join(FIRST.parts)
    assert not backend.info.caches


async def test_nothing_is_known_of_where_openai_base_url_leads(
    wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
    backend = await ModelBackend.open("openai:gpt-5.6", environ={"OPENAI_API_KEY": KEY})
    (body,) = await sent(wire, backend, FIRST, answer=w.responses_answer("done"))
    assert not [name for name in body if "cache" in name]
    assert "cache" not in json.dumps(body["input"])
    assert not backend.info.caches


@pytest.mark.parametrize(
    ("model", "caching"),
    [
        ("anthropic:claude-haiku-4-5", Caching(True, 4_096, marks=True)),
        ("anthropic:claude-sonnet-4-5", Caching(True, 1_024, marks=True)),
        ("anthropic:claude-opus-4-1", Caching(True, 1_024, marks=True)),
        ("anthropic:claude-opus-4-20250514", Caching(True, 1_024, marks=True)),
        ("anthropic:claude-opus-4-6", Caching(True, 4_096, marks=True)),
        ("anthropic:claude-3-5-haiku-latest", Caching(True, 2_048, marks=True)),
        ("openai:gpt-5-mini", Caching(True, keyed=True)),
        ("openai-chat:gpt-5-mini", Caching(True, keyed=True)),
        ("openai:gpt-5.6", BREAKS),
        ("deepseek:deepseek-chat", Caching(True)),
        ("openrouter:anthropic/claude-haiku-4.5", Caching(True, 4_096, marks=True)),
        ("openrouter:meta-llama/llama-4", Caching()),
        ("ollama:qwen3", Caching()),
    ],
)
async def test_each_provider_is_used_as_it_caches(
    monkeypatch: pytest.MonkeyPatch, model: str, caching: Caching
) -> None:
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:9/v1")
    backend = await ModelBackend.open(model, environ={"SWARMTALLY_API_KEY": KEY})
    await backend.aclose()
    assert caching_of(model.split(":")[0], backend._model) == caching
    assert (backend.info.caches, backend.info.cache_least_tokens) == (caching.caches, caching.least_tokens)
