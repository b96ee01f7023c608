"""How a provider's model asks for parts that were left out of its prompt, and gets them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from swarmtally.backends.model import ModelBackend
from swarmtally.core.ports import Exchange, Prompt, Reply
from swarmtally.domain.errors import BackendFailure
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire

KEY = "k" * 20
PROMPT = Prompt("sys", ("shared", "the task"), shared_parts=1, left_out=("context:1", "artifact:code/code_1#setup"))
ASKED = ("context:1", "artifact:code/code_1#setup")
TOLD = replace(PROMPT, exchanges=(Exchange(ASKED, "<context n=1>\nthe part\n</context>"),))
LAST = replace(TOLD, left_out=(), exchanges=(*TOLD.exchanges, Exchange(("context:1",), "no more")))


@pytest.fixture
async def backend(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> ModelBackend:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", wire.base_url.removesuffix("/v1"))
    return await ModelBackend.open("anthropic:claude-haiku-4-5", environ={"ANTHROPIC_API_KEY": KEY})


async def executed(wire: OpenAIWire, backend: ModelBackend, prompt: Prompt, answer: w.Answer) -> Reply:
    wire.script(answer)
    try:
        return await backend.execute(prompt)
    finally:
        await backend.aclose()


def body(wire: OpenAIWire) -> dict[str, Any]:
    return wire.requests[-1].body


async def test_the_tool_is_declared_where_something_was_left_out_and_only_there(
    wire: OpenAIWire, backend: ModelBackend
) -> None:
    wire.script(w.anthropic_answer("a"), w.anthropic_answer("b"))
    await backend.execute(PROMPT)
    await backend.execute(replace(PROMPT, left_out=()))
    await backend.aclose()
    (tool,) = wire.requests[0].body["tools"]
    assert (tool["name"], list(tool["input_schema"]["properties"])) == ("read_part", ["references"])
    assert "tools" not in wire.requests[1].body


async def test_a_call_of_the_tool_comes_back_as_what_is_asked_for(wire: OpenAIWire, backend: ModelBackend) -> None:
    answer = w.anthropic_call({"references": list(ASKED)}, said="Let me look.", input_tokens=30, output_tokens=9)
    reply = await executed(wire, backend, PROMPT, answer)
    assert (reply.text, reply.asks) == ("", ASKED)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (30, 9)


async def test_what_was_asked_for_is_the_return_of_that_call_and_everything_before_it_is_as_it_was(
    wire: OpenAIWire, backend: ModelBackend
) -> None:
    wire.script(w.anthropic_answer("a"), w.anthropic_answer("b"))
    await backend.execute(PROMPT)
    await backend.execute(TOLD)
    await backend.aclose()
    first, second = (request.body for request in wire.requests)
    call, back = second.pop("messages")[1:]
    assert call["content"][0]["input"] == {"references": list(ASKED)}
    assert back["content"][0]["tool_use_id"] == call["content"][0]["id"]
    assert back["content"][0]["content"] == [{"type": "text", "text": "<context n=1>\nthe part\n</context>"}]
    assert wire.requests[0].body["messages"] == first.pop("messages")
    # Also the tool: declared no more, all that is cached would have to be written again.
    assert first == second


async def test_who_asked_twice_may_not_call_the_tool_any_more(wire: OpenAIWire, backend: ModelBackend) -> None:
    await executed(wire, backend, LAST, w.anthropic_answer("done"))
    # Providers refuse calls in what was said before when the tool is not declared.
    assert [tool["name"] for tool in body(wire)["tools"]] == ["read_part"]
    assert body(wire)["tool_choice"] == {"type": "none"}
    assert [message["role"] for message in body(wire)["messages"]] == ["user", "assistant"] * 2 + ["user"]


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [
        ({"references": "context:1"}, ("context:1",)),
        ({"references": ["context:1", 7, None]}, ("context:1",)),
        ({"references": ["context:1"], "more": True}, ("context:1",)),
    ],
)
async def test_arguments_that_are_nearly_right_are_understood(
    wire: OpenAIWire, backend: ModelBackend, arguments: dict[str, object], asks: tuple[str, ...]
) -> None:
    reply = await executed(wire, backend, PROMPT, w.anthropic_call(arguments))
    assert reply.asks == asks


@pytest.mark.parametrize("arguments", [{}, {"references": []}, {"references": {"a": 1}}, {"reference": "context:1"}])
async def test_a_call_that_asks_for_nothing_is_no_answer(
    wire: OpenAIWire, backend: ModelBackend, arguments: dict[str, object]
) -> None:
    with pytest.raises(BackendFailure, match="answered without any text") as caught:
        await executed(wire, backend, PROMPT, w.anthropic_call(arguments))
    assert caught.value.usage is not None


async def test_it_works_through_openai_s_responses_too(wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
    backend = await ModelBackend.open("openai:gpt-5-mini", environ={"OPENAI_API_KEY": KEY})
    wire.script(w.responses_call({"references": ["context:1"]}), w.responses_answer("done"))
    assert (await backend.execute(PROMPT)).asks == ("context:1",)
    assert (await backend.execute(TOLD)).text == "done"
    await backend.aclose()
    call, back = body(wire)["input"][-2:]
    assert json.loads(call["arguments"]) == {"references": list(ASKED)}
    assert (back["call_id"], back["output"]) == (call["call_id"], TOLD.exchanges[0].answer)


async def test_a_server_of_one_s_own_gets_no_tool_and_the_parts_at_the_end_of_its_message(wire: OpenAIWire) -> None:
    backend = await ModelBackend.open("openai:m1", environ={}, base_url=wire.base_url)
    await executed(wire, backend, LAST, w.answer("done", w.tokens(5, 1)))
    assert backend.info.fetches == "text"
    assert not {"tools", "tool_choice"} & set(body(wire))
    assert [message["role"] for message in body(wire)["messages"]] == ["system", "user"]
    # What the ledger counts is what was sent.
    assert LAST.text == f"sys\n\n{wire.requests[-1].user_text}"
    assert wire.requests[-1].user_text == (
        "shared\n\nthe task\n\nNEED: context:1\nNEED: artifact:code/code_1#setup\n<context n=1>\nthe part\n</context>"
        "\n\nNEED: context:1\nno more"
    )
