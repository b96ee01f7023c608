"""Tools, resources and prompts that a validator of the protocol wants to find, beside ours.

`@modelcontextprotocol/conformance` calls them by these names and knows what each has to answer: pictures, sounds, log
messages, questions to the client, in the way of either era. They say nothing about our tools; they let the validator
reach what our front (HTTP, guard, calls) has to carry.
"""

import json
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import (
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListRootsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    RootsCapability,
    SamplingCapability,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    Tool,
    UnsubscribeRequestParams,
)

from swarmtally.mcp.calling import Context
from tests.validators.task_fixtures import SCHEMAS

warnings.simplefilter("ignore", MCPDeprecationWarning)  # what the older era has, and its validator asks for

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}

_TITLED = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
_PLAIN = ["option1", "option2", "option3"]
ENUMS = {
    "untitledSingle": {"type": "string", "enum": _PLAIN},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _PLAIN}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}

Made = TypeVar("Made", bound=Server[Any])

Answer = CallToolResult | InputRequiredResult
Tools = Mapping[str, Callable[[Context, CallToolRequestParams], Awaitable[Answer]]]


def text(line: str) -> TextContent:
    return TextContent(text=line)


def said(*content: Any) -> CallToolResult:
    return CallToolResult(content=[text(part) if isinstance(part, str) else part for part in content])


def embedded(uri: str, mime_type: str, content: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=content))


def form(message: str, properties: Mapping[str, Any], *required: str) -> ElicitRequest:
    schema = {"type": "object", "properties": dict(properties), "required": list(required)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def question(prompt: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


NAME = {"name": {"type": "string"}}
ASKS_NAME = form("What is your name?", NAME, "name")
ASKS_OK = form("Please confirm", {"ok": {"type": "boolean"}}, "ok")
CAN_SAMPLE = ClientCapabilities(sampling=SamplingCapability())
CAN_ELICIT = ClientCapabilities(elicitation=ElicitationCapability())
CAN_ROOTS = ClientCapabilities(roots=RootsCapability())


# The older era: requests of the server's own, while a call is under way.


async def with_logging(ctx: Context, _params: CallToolRequestParams) -> Answer:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", line, related_request_id=ctx.request_id)
    return said("Tool with logging executed successfully")


async def with_progress(ctx: Context, _params: CallToolRequestParams) -> Answer:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
    return said("Tool with progress executed successfully")


async def sampling(ctx: Context, params: CallToolRequestParams) -> Answer:
    prompt = str((params.arguments or {}).get("prompt", "Hello"))
    message = SamplingMessage(role="user", content=text(prompt))
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return said(f"LLM response: {getattr(answer.content, 'text', None)}")


async def _elicited(ctx: Context, message: str, properties: Mapping[str, Any]) -> ElicitResult:
    schema = {"type": "object", "properties": dict(properties)}
    return await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)


def eliciting(properties: Mapping[str, Any]) -> Callable[[Context, CallToolRequestParams], Awaitable[Answer]]:
    async def elicit(ctx: Context, params: CallToolRequestParams) -> Answer:
        message = str((params.arguments or {}).get("message", "Please answer"))
        answer = await _elicited(ctx, message, properties)
        return said(f"User response: action={answer.action}, content={json.dumps(answer.content)}")

    return elicit


# The newer era: a result that asks, and the call again with the answers.


def asking(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def once(
    finish: str, state: str | None = None, **requests: InputRequest
) -> Callable[[Context, CallToolRequestParams], Awaitable[Answer]]:
    """Ask `requests` until all are answered, each by what it asks for, and then say `finish` with the answers."""

    async def ask(_ctx: Context, params: CallToolRequestParams) -> Answer:
        answers = params.input_responses or {}
        if any(not _answers(request, answers.get(key)) for key, request in requests.items()):
            return asking(state, **requests)
        if params.request_state != state:
            raise MCPError(INVALID_PARAMS, "requestState is not what was given")
        return said(finish.format(**{key: answers[key].model_dump_json(by_alias=True) for key in requests}))

    return ask


def _answers(request: InputRequest, answer: Any) -> bool:
    if not isinstance(request, ElicitRequest):
        return answer is not None
    if not isinstance(answer, ElicitResult) or answer.action != "accept" or answer.content is None:
        return False
    schema = request.params.model_dump(by_alias=True)["requestedSchema"]
    return all(key in answer.content for key in schema["required"])


async def multi_round(_ctx: Context, params: CallToolRequestParams) -> Answer:
    answers = params.input_responses or {}
    if params.request_state == "second" and "step2" in answers:
        return said("Two rounds are done")
    if params.request_state == "first" and "step1" in answers:
        colour = form("Step 2: What is your favorite color?", {"color": {"type": "string"}}, "color")
        return asking("second", step2=colour)
    return asking("first", step1=form("Step 1: What is your name?", NAME, "name"))


async def capable(ctx: Context, params: CallToolRequestParams) -> Answer:
    if params.input_responses:
        return said("answered")
    can = ctx.session.check_client_capability
    requests: dict[str, InputRequest] = {}
    if can(CAN_ELICIT):
        requests["user_name"] = ASKS_NAME
    if can(CAN_SAMPLE):
        requests["greeting"] = question("Generate a greeting", 50)
    if can(CAN_ROOTS):
        requests["client_roots"] = ListRootsRequest()
    return asking(None, **requests) if requests else said("nothing to ask with")


async def missing_capability(ctx: Context, _params: CallToolRequestParams) -> Answer:
    if not ctx.session.check_client_capability(CAN_SAMPLE):
        told = "this tool needs a client that declares sampling"
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, told, {"requiredCapabilities": {"sampling": {}}})
    return said("sampling is declared")


def always(*content: Any) -> Callable[[Context, CallToolRequestParams], Awaitable[Answer]]:
    async def answer(_ctx: Context, _params: CallToolRequestParams) -> Answer:
        return said(*content)

    return answer


async def failing(_ctx: Context, _params: CallToolRequestParams) -> Answer:
    return CallToolResult(content=[text("This tool intentionally returns an error for testing")], is_error=True)


IMAGE = ImageContent(data=PNG, mime_type="image/png")
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}

TOOLS: Tools = {
    "test_simple_text": always("This is a simple text response for testing."),
    "test_image_content": always(IMAGE),
    "test_audio_content": always(AudioContent(data=WAV, mime_type="audio/wav")),
    "test_embedded_resource": always(
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": always(
        "Multiple content types test:",
        IMAGE,
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ),
    "test_tool_with_logging": with_logging,
    "test_logging_tool": with_logging,
    "test_tool_with_progress": with_progress,
    "test_error_handling": failing,
    "test_sampling": sampling,
    "test_elicitation": eliciting({"response": {"type": "string"}}),
    "test_elicitation_sep1034_defaults": eliciting(DEFAULTS),
    "test_elicitation_sep1330_enums": eliciting(ENUMS),
    "test_streaming_elicitation": once("Hello, {user_name}!", user_name=ASKS_NAME),
    "test_missing_capability": missing_capability,
    "test_input_required_result_elicitation": once("Hello, {user_name}!", user_name=ASKS_NAME),
    "test_input_required_result_sampling": once(
        "{capital_question}", capital_question=question("What is the capital of France?", 100)
    ),
    "test_input_required_result_list_roots": once("{client_roots}", client_roots=ListRootsRequest()),
    "test_input_required_result_request_state": once("state-ok {confirm}", "kept", confirm=ASKS_OK),
    "test_input_required_result_tampered_state": once("state-ok {confirm}", "kept", confirm=ASKS_OK),
    "test_input_required_result_multiple_inputs": once(
        "{user_name} {greeting} {client_roots}",
        "kept",
        user_name=ASKS_NAME,
        greeting=question("Generate a greeting", 50),
        client_roots=ListRootsRequest(),
    ),
    "test_input_required_result_multi_round": multi_round,
    "test_input_required_result_capabilities": capable,
    "json_schema_2020_12_tool": always("checked"),
}

RESOURCES: Mapping[str, TextResourceContents | BlobResourceContents] = {
    "test://static-text": TextResourceContents(
        uri="test://static-text", mime_type="text/plain", text="This is the content of the static text resource."
    ),
    "test://static-binary": BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG),
    "test://watched-resource": TextResourceContents(
        uri="test://watched-resource", mime_type="text/plain", text="Watched resource content"
    ),
}
TEMPLATE = "test://template/{id}/data"

PROMPTS: Mapping[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}
"""By name, the arguments it takes."""


async def read_resource(_ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    if params.uri in RESOURCES:
        return ReadResourceResult(contents=[RESOURCES[params.uri]])
    before, after = TEMPLATE.split("{id}")
    number = params.uri.removeprefix(before).removesuffix(after)
    if f"{before}{number}{after}" != params.uri:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": params.uri})
    found = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
    return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, mime_type="application/json", text=found)])


async def get_prompt(_ctx: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    if params.name == "test_input_required_result_prompt" and "user_context" not in (params.input_responses or {}):
        asked = form("What context should the prompt use?", {"context": {"type": "string"}}, "context")
        return asking(None, user_context=asked)
    uri = given.get("resourceUri", "test://example-resource")
    contents: Mapping[str, tuple[Any, ...]] = {
        "test_simple_prompt": (text("This is a simple prompt for testing."),),
        "test_prompt_with_arguments": (
            text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"),
        ),
        "test_prompt_with_embedded_resource": (
            embedded(uri, "text/plain", "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ),
        "test_prompt_with_image": (IMAGE, text("Please analyze the image above.")),
        "test_input_required_result_prompt": (text("A prompt with the context that was asked for."),),
    }
    if params.name not in contents:
        raise MCPError(INVALID_PARAMS, f"there is no prompt {params.name!r}")
    return GetPromptResult(messages=[PromptMessage(role="user", content=part) for part in contents[params.name]])


def entry(name: str) -> Tool:
    schema = SCHEMA_2020 if name == "json_schema_2020_12_tool" else SCHEMAS.get(name, EMPTY)
    return Tool(name=name, description=f"What a validator calls {name}.", input_schema=schema)


def fixed(server: Made) -> Made:
    """`server`, with the validator's tools beside its own, and with the resources and prompts the validator knows."""
    ours = {method: server.get_request_handler(method) for method in ("tools/list", "tools/call")}

    async def list_tools(ctx: Context, params: PaginatedRequestParams) -> ListToolsResult:
        listed = await _handler(ours, "tools/list")(ctx, params)
        return ListToolsResult(tools=[*listed.tools, *(entry(name) for name in (*TOOLS, *SCHEMAS))])

    async def call_tool(ctx: Context, params: CallToolRequestParams) -> Answer:
        if params.name in TOOLS:
            return await TOOLS[params.name](ctx, params)
        answer: Answer = await _handler(ours, "tools/call")(ctx, params)
        return answer

    async def list_resources(_ctx: Context, _params: PaginatedRequestParams) -> ListResourcesResult:
        return ListResourcesResult(
            resources=[
                Resource(uri=uri, name=uri.removeprefix("test://"), mime_type=known.mime_type)
                for uri, known in RESOURCES.items()
            ]
        )

    async def list_templates(_ctx: Context, _params: PaginatedRequestParams) -> ListResourceTemplatesResult:
        template = ResourceTemplate(uri_template=TEMPLATE, name="template", mime_type="application/json")
        return ListResourceTemplatesResult(resource_templates=[template])

    async def list_prompts(_ctx: Context, _params: PaginatedRequestParams) -> ListPromptsResult:
        return ListPromptsResult(
            prompts=[
                Prompt(name=name, description=f"What a validator calls {name}.", arguments=_required(arguments))
                for name, arguments in PROMPTS.items()
            ]
        )

    async def complete(_ctx: Context, _params: CompleteRequestParams) -> CompleteResult:
        return CompleteResult(completion=Completion(values=["paris", "park"], total=2, has_more=False))

    async def nothing(_ctx: Context, _params: Any) -> EmptyResult:
        return EmptyResult()

    server.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    server.add_request_handler("resources/list", PaginatedRequestParams, list_resources)
    server.add_request_handler("resources/templates/list", PaginatedRequestParams, list_templates)
    server.add_request_handler("resources/read", ReadResourceRequestParams, read_resource)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, nothing)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, nothing)
    server.add_request_handler("prompts/list", PaginatedRequestParams, list_prompts)
    server.add_request_handler("prompts/get", GetPromptRequestParams, get_prompt)
    server.add_request_handler("completion/complete", CompleteRequestParams, complete)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, nothing)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server


def _required(names: Sequence[str]) -> list[PromptArgument]:
    return [PromptArgument(name=name, description=f"The {name}.", required=True) for name in names]


def _handler(ours: Mapping[str, Any], method: str) -> Callable[[Context, Any], Awaitable[Any]]:
    handler: Callable[[Context, Any], Awaitable[Any]] = ours[method].handler
    return handler
