"""Prompts: one for each SPARC mode, one for each exercise of the tutorial, and those for who works in a swarm.

Their steps are checked against the tools' own definitions before a prompt is given, so that no client's model is told
to make a call that will be refused.
"""

import difflib
from collections.abc import Mapping

import anyio.to_thread
from mcp_types import (
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

from swarmtally.domain.errors import InvalidInput
from swarmtally.mcp.calling import Context, OpenApp
from swarmtally.mcp.exercises import EXERCISES
from swarmtally.mcp.paging import page
from swarmtally.mcp.refusals import told
from swarmtally.mcp.scripts import WORKING, Script, of_mode
from swarmtally_tools import registry
from swarmtally_tools.definition import nearest_name
from swarmtally_tools.toolsets import Offer


class Prompts:
    """Answers prompts/list and prompts/get, for the tools of `offer`."""

    def __init__(self, open_app: OpenApp, offer: Offer) -> None:
        self._open_app = open_app
        self._offer = offer

    async def listed(self, _ctx: Context, params: PaginatedRequestParams | None) -> ListPromptsResult:
        with told("prompts/list"):
            offered = [_entry(script) for script in (await self._scripts()).values() if self._has(script)]
            prompts, following = page("prompts/list", offered, lambda prompt: prompt.name, params)
            return ListPromptsResult(prompts=prompts, next_cursor=following)

    async def got(self, _ctx: Context, params: GetPromptRequestParams) -> GetPromptResult:
        with told("prompts/get"):
            script = await self.script(params.name)
            given = _checked(script, params.arguments or {})
            await anyio.to_thread.run_sync(_check_steps, script, given)
            message = PromptMessage(role="user", content=TextContent(text=script.text(given)))
            return GetPromptResult(description=script.description, messages=[message])

    async def script(self, name: str) -> Script:
        """What the prompt called `name` is.

        Raises:
            InvalidInput: there is none, or it needs a tool that is not offered.
        """
        scripts = await self._scripts()
        script = scripts.get(name)
        if script is None:
            known = [each.name for each in scripts.values() if self._has(each)]
            close = difflib.get_close_matches(name[:64], known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else "prompts/list names them all"
            raise InvalidInput(f"no prompt {name[:64]!r}; {meant}")
        for tool in sorted(script.needs):
            if not self._offer.has(tool):
                raise InvalidInput(f"prompt {name} cannot be used: {self._offer.why_not(tool)}")
        return script

    def _has(self, script: Script) -> bool:
        return self._offer.has(*script.needs)

    async def _scripts(self) -> dict[str, Script]:
        catalog = await (await self._open_app()).catalog()
        modes = (of_mode(mode) for mode in catalog.modes.values())
        return {script.name: script for script in (*modes, *EXERCISES, *WORKING)}


def _entry(script: Script) -> Prompt:
    arguments = [
        PromptArgument(name=each.name, description=each.description, required=each.required)
        for each in script.arguments
    ]
    return Prompt(name=script.name, title=script.title, description=script.description, arguments=arguments)


def _checked(script: Script, given: Mapping[str, str]) -> dict[str, str]:
    """The arguments that say something. Clients send the fields of a form that was left empty as empty texts."""
    names = [argument.name for argument in script.arguments]
    for name in given:
        if name not in names:
            raise InvalidInput(f"prompt {script.name} has no argument {name[:64]!r}{nearest_name(name[:64], names)}")
    said = {name: value for name, value in given.items() if value.strip()}
    for argument in script.arguments:
        if argument.required and argument.name not in said:
            raise InvalidInput(f"prompt {script.name} needs argument {argument.name!r}: {argument.description}")
    return said


def _check_steps(script: Script, given: Mapping[str, str]) -> None:
    """Check what the steps will call. In a thread: the first time it imports the tools.

    Raises:
        InvalidInput: an argument is none that its tool takes.
    """
    for step in script.steps(given):
        if step.arguments is not None:
            registry.load(step.tool).check(step.arguments)
