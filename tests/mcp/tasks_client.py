"""A client that takes handles: what it sends and what it is sent, unchanged."""

from collections.abc import Callable
from typing import Any, Literal

import anyio
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict

from mcp import Client
from swarmtally.mcp.tasks import EXTENSION

WAIT_S = 20
"""How long a test waits for something that must happen."""

FINAL = ("completed", "failed", "cancelled")

State = dict[str, Any]


class Created(Result):
    model_config = ConfigDict(extra="allow")
    result_type: Literal["task"]


class Anything(Result):
    model_config = ConfigDict(extra="allow")


class Asking(RequestParams):
    model_config = ConfigDict(extra="allow")


class TaskRequest(Request[Asking, str]):
    method: str
    params: Asking
    name_param = "taskId"


class TakesTasks(ClientExtension):
    identifier = EXTENSION

    def claims(self) -> tuple[ResultClaim[Any], ...]:
        return (ResultClaim(result_type="task", model=Created, resolve=_unresolved),)


async def _unresolved(_result: Created, _context: ClaimContext) -> CallToolResult:
    raise AssertionError("tests ask for themselves")


async def begin(client: Client, tool: str, **arguments: Any) -> CallToolResult | State:
    """A tool's result, or the handle that came in its place."""
    result = await client.session.call_tool(tool, arguments, allow_claimed=True)
    if isinstance(result, CallToolResult):
        return result
    assert isinstance(result, Created)
    return _plain(result)


async def begun(client: Client, tool: str, **arguments: Any) -> State:
    """The handle that came in place of a result."""
    state = await begin(client, tool, **arguments)
    assert not isinstance(state, CallToolResult), state
    return state


async def ask(client: Client, method: str, **params: Any) -> State:
    """The answer to `method`, as it was sent."""
    request = TaskRequest(method=method, params=Asking(**params))
    return _plain(await client.session.send_request(request, Anything))


async def get(client: Client, task_id: str) -> State:
    return await ask(client, "tasks/get", taskId=task_id)


async def seen(client: Client, task_id: str, right: Callable[[State], bool]) -> State:
    """The call as soon as it is `right`."""
    with anyio.fail_after(WAIT_S):
        while True:
            state = await get(client, task_id)
            if right(state):
                return state
            await anyio.sleep(0.05)


async def ended(client: Client, task_id: str) -> State:
    """The call once it is over."""
    return await seen(client, task_id, lambda state: state["status"] in FINAL)


def _plain(result: Result) -> State:
    sent = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    sent.pop("_meta", None)
    return sent
