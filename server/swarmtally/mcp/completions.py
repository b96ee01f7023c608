"""Completions: what an argument of a prompt or a variable of a resource template can be, while it is typed."""

from collections.abc import Mapping, Sequence
from typing import Final

from mcp_types import CompleteRequestParams, CompleteResult, Completion, PromptReference

from swarmtally.app import App
from swarmtally.core.suggesting import suggested
from swarmtally.domain.addresses import DELIVERABLE_TEMPLATE, MEMORY_TEMPLATE, RUN_TEMPLATE, TIMELINE_TEMPLATE
from swarmtally.domain.errors import InvalidInput
from swarmtally.mcp.calling import Context, OpenApp
from swarmtally.mcp.prompts import Prompts
from swarmtally.mcp.refusals import told
from swarmtally.mcp.scripts import Argument, Kind
from swarmtally_tools.definition import nearest_name

MOST = 100
"""The most values of one answer: the protocol's own limit."""

TEMPLATES: Final[Mapping[str, Mapping[str, Kind]]] = {
    RUN_TEMPLATE: {"id": "run"},
    DELIVERABLE_TEMPLATE: {"id": "run", "name": "artefact"},
    TIMELINE_TEMPLATE: {"id": "run"},
    MEMORY_TEMPLATE: {"namespace": "namespace", "key": "key"},
}
"""Templates of resources, and what their variables name."""

_WITHIN: Mapping[Kind, tuple[str, ...]] = {"artefact": ("id", "run_id"), "key": ("namespace",)}
"""Which of the arguments known already says whose names are meant."""


class Completions:
    """Answers completion/complete."""

    def __init__(self, open_app: OpenApp, prompts: Prompts) -> None:
        self._open_app = open_app
        self._prompts = prompts

    async def __call__(self, _ctx: Context, params: CompleteRequestParams) -> CompleteResult:
        with told("completion/complete"):
            argument = await self._argument(params)
            known = (params.context.arguments if params.context else None) or {}
            typed = params.argument.value
            before, comma, last = typed.rpartition(",") if argument.many else ("", "", typed)
            values, total = await self._values(argument, last.lstrip(), known)
            if comma:
                values = [f"{before}, {value}" for value in values]
            found = Completion(values=list(values[:MOST]), total=total, has_more=total is None or total > MOST)
            return CompleteResult(completion=found)

    async def _argument(self, params: CompleteRequestParams) -> Argument:
        """What is being typed.

        Raises:
            InvalidInput: there is no such prompt, template, argument or variable.
        """
        name = params.argument.name
        if isinstance(params.ref, PromptReference):
            script = await self._prompts.script(params.ref.name)
            arguments = {argument.name: argument for argument in script.arguments}
            whose = f"prompt {script.name}"
        else:
            variables = TEMPLATES.get(params.ref.uri)
            if variables is None:
                near = nearest_name(params.ref.uri[:200], list(TEMPLATES))
                raise InvalidInput(f"no resource template {params.ref.uri[:200]!r}{near}")
            arguments = {variable: Argument(variable, "", kind=kind) for variable, kind in variables.items()}
            whose = f"template {params.ref.uri}"
        if name not in arguments:
            raise InvalidInput(f"{whose} has no argument {name[:64]!r}{nearest_name(name[:64], list(arguments))}")
        return arguments[name]

    async def _values(
        self, argument: Argument, typed: str, known: Mapping[str, str]
    ) -> tuple[Sequence[str], int | None]:
        kind = argument.kind
        if kind is None:
            return _among(argument.choices, typed)
        app = await self._open_app()
        if kind == "mode" or kind == "role":
            return _among(await _of_catalog(app, kind), typed)
        within = next((known[name] for name in _WITHIN.get(kind, ()) if known.get(name)), None)
        found = await suggested(app.database, app.clock, app.settings.project, kind, typed, within)
        return found.names, found.total


async def _of_catalog(app: App, kind: Kind) -> list[str]:
    modes = (await app.catalog()).modes.values()
    return sorted({mode.name if kind == "mode" else mode.role for mode in modes})


def _among(choices: Sequence[str], typed: str) -> tuple[list[str], int]:
    """The choices that begin with what was typed, then those that hold it."""
    part = typed.lower()
    begin = [choice for choice in choices if choice.lower().startswith(part)]
    hold = [choice for choice in choices if part in choice.lower() and choice not in begin]
    return [*begin, *hold], len(begin) + len(hold)
