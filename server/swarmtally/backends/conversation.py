"""A prompt as pydantic-ai's messages.

What a model asked for comes back to it as the call of a tool and its return, so that everything before stays as it was
sent and cached; where it cannot call tools, at the end of the one message it gets.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from swarmtally.core.ports import BackendInfo, Exchange, Prompt

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, UserContent
    from pydantic_ai.models import ModelRequestParameters

READ_PART = "read_part"
"""The tool that gives parts that were left out."""

_WHAT_IT_DOES = (
    "Shows parts that were left out of the message, by their references. Call it once, before anything else, and only "
    "if the task cannot be done without them."
)
_ARGUMENTS: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "references": {
            "type": "array",
            "items": {"type": "string"},
            "description": "At most 8 references, such as artifact:code/code_1#setup or context:2.",
        }
    },
    "required": ["references"],
    "additionalProperties": False,
}

_SEPARATOR = "\n\n"


def messages(prompt: Prompt, info: BackendInfo, *, marks: bool) -> list["ModelMessage"]:
    """The prompt as a conversation; `marks` sets a breakpoint for the provider's cache after what the run shares."""
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    appended = () if info.fetches == "tool" else prompt.exchanges
    parts = (*prompt.parts, *(exchange.text for exchange in appended))
    user = UserPromptPart(_content(parts, prompt.shared_parts if marks else 0))
    first = ModelRequest(parts=[SystemPromptPart(prompt.system), user] if prompt.system else [user])
    if info.fetches != "tool":
        return [first]
    turns = [turn for number, exchange in enumerate(prompt.exchanges) for turn in _called(exchange, number)]
    return [first, *turns]


def _content(parts: tuple[str, ...], shared: int) -> "str | list[UserContent]":
    from pydantic_ai.messages import CachePoint

    if not shared:
        return _SEPARATOR.join(parts)
    rest = parts[shared:]
    # The pieces of a message are read as one text, so the first must not end with what separates it from the next.
    own: list[UserContent] = [_SEPARATOR + _SEPARATOR.join(rest)] if rest else []
    return [_SEPARATOR.join(parts[:shared]), CachePoint(), *own]


def _called(exchange: Exchange, number: int) -> "list[ModelMessage]":
    from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart

    # Nine letters and digits: what the strictest provider takes.
    call_id = f"readpart{number + 1}"
    called = ToolCallPart(READ_PART, {"references": list(exchange.asked)}, tool_call_id=call_id)
    return [
        ModelResponse(parts=[called]),
        ModelRequest(parts=[ToolReturnPart(READ_PART, exchange.answer, tool_call_id=call_id)]),
    ]


def offers_tool(prompt: Prompt, info: BackendInfo) -> bool:
    """Whether the request declares the tool: also where it was called before and may not be again."""
    return info.fetches == "tool" and bool(prompt.left_out or prompt.exchanges)


def parameters(prompt: Prompt, info: BackendInfo) -> "ModelRequestParameters":
    """What the model may do besides answering."""
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    if not offers_tool(prompt, info):
        return ModelRequestParameters()
    tool = ToolDefinition(name=READ_PART, parameters_json_schema=dict(_ARGUMENTS), description=_WHAT_IT_DOES)
    return ModelRequestParameters(function_tools=[tool])


def asks(response: "ModelResponse") -> tuple[str, ...]:
    """The references that the model asked for by calling the tool, in all of its calls."""
    return tuple(
        reference for call in response.tool_calls if call.tool_name == READ_PART for reference in _references(call.args)
    )


def _references(args: object) -> list[str]:
    """The references in a call's arguments, which a model wrote: they may be anything."""
    if isinstance(args, str):
        try:
            args = json.loads(args)
        except ValueError:
            return []
    given = args.get("references") if isinstance(args, dict) else None
    if isinstance(given, str):
        return [given]
    return [reference for reference in given if isinstance(reference, str)] if isinstance(given, list) else []
