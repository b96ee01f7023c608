"""What makes a typed async function a tool.

A tool is `async def name(app: App, argument: Annotated[Type, Field(description=...)] = default, ...) -> SomeView`. Its
signature and docstring are the only definition: the argument model, both JSON schemas, the shell options and the
documentation page are made from them.
"""

import difflib
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from swarmtally.app import App
from swarmtally.domain.errors import InvalidInput
from swarmtally_tools.faults import first_fault

DESCRIPTION_LIMIT = 400
"""The longest tool description, in characters."""


UNSET: Any = object()
"""Default of an argument whose absence differs from null."""


class View(BaseModel):
    """Base of every result: frozen, every property described."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


Item = TypeVar("Item", bound=View)


def that_fit(items: Sequence[Item], room: int) -> list[Item]:
    """As many of the first `items` as take at most `room` bytes."""
    kept: list[Item] = []
    for item in items:
        room -= len(item.model_dump_json().encode()) + 1
        if room < 0:
            break
        kept.append(item)
    return kept


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and all that its faces need."""

    name: str
    title: str
    description: str
    function: Callable[..., Awaitable[View]]
    arguments: type[BaseModel]
    results: tuple[type[View], ...]
    """What it can return; the first is what it returns as a rule."""
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool

    async def call(self, app: App, arguments: Mapping[str, Any]) -> View:
        """Check `arguments` and run the tool.

        Raises:
            InvalidInput: an argument is unknown, missing, of the wrong type or out of range.
            SwarmError: what the tool itself meets.
        """
        checked = self.check(arguments)
        return await self.function(app, **{name: getattr(checked, name) for name in self.arguments.model_fields})

    def check(self, arguments: Mapping[str, Any]) -> BaseModel:
        """The arguments as the function takes them; camelCase spellings of their names are accepted."""
        fields = self.arguments.model_fields
        named: dict[str, Any] = {}
        for given, value in arguments.items():
            name = given if given in fields else _snake(given)
            if name not in fields:
                raise InvalidInput(f"{self.name} has no argument {given[:64]!r}{_nearest(name, list(fields))}")
            if name in named:
                raise InvalidInput(f"{self.name} got argument {name!r} twice, as {given[:64]!r} too; give it once")
            named[name] = value
        try:
            return self._validated(named)
        except ValidationError as error:
            raise InvalidInput(f"{self.name}: {first_fault(error)}") from None

    def _validated(self, named: dict[str, Any]) -> BaseModel:
        try:
            checked = self.arguments.model_validate(named)
        except ValidationError as error:
            meant = {**named, **_written_out(error)}
            if meant == named:
                raise
            checked, named = self.arguments.model_validate(meant), meant
        for path, number in _booleans_taken(named, checked):
            kind = "a whole number" if isinstance(number, int) else "a number"
            raise InvalidInput(f"{self.name}: {path} must be {kind}, got {bool(number)}")
        return checked

    @property
    def input_schema(self) -> dict[str, Any]:
        brief: dict[str, Any] = _brief(_plain_schema(self.arguments.model_json_schema()))
        return brief

    @property
    def output_schema(self) -> dict[str, Any]:
        schemas = [_plain_schema(result.model_json_schema(mode="serialization")) for result in self.results]
        if len(schemas) == 1:
            return schemas[0]
        # One object with the properties of all: clients want an object, and not all of them understand alternatives.
        properties: dict[str, Any] = {}
        for schema in reversed(schemas):
            for name, field in schema["properties"].items():
                properties[name] = _either(field, properties[name]) if name in properties else field
        always = [name for name in properties if all(name in schema["required"] for schema in schemas)]
        return {**schemas[0], "properties": properties, "required": always}


def tool(
    *,
    title: str,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
) -> Callable[[Callable[..., Awaitable[View]]], Tool]:
    """Make a function a tool. The flags are MCP's annotations: what a client may assume before it calls."""

    def make(function: Callable[..., Awaitable[View]]) -> Tool:
        hints = get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        fields: dict[str, Any] = {
            parameter.name: (hints[parameter.name], _default(parameter.default)) for parameter in parameters
        }
        name = getattr(function, "__name__", "")
        return Tool(
            name=name,
            title=title,
            description=" ".join((function.__doc__ or "").split()),
            function=function,
            arguments=create_model(f"{name}_arguments", __config__=_STRICT, **fields),
            results=get_args(hints["return"]) or (hints["return"],),
            read_only=read_only,
            destructive=destructive,
            idempotent=idempotent,
            open_world=open_world,
        )

    return make


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


def _written_out(error: ValidationError) -> dict[str, Any]:
    """The lists and objects that a client sent as their JSON text: several do so where null is allowed besides."""
    meant: dict[str, Any] = {}
    for fault in error.errors(include_url=False):
        name, given = str(fault["loc"][0]), fault["input"]
        if fault["type"] in _CONTAINER_FAULTS and len(fault["loc"]) == 1 and isinstance(given, str):
            with suppress(ValueError):
                value = json.loads(given)
                if isinstance(value, list | dict):
                    meant[name] = value
    return meant


def _booleans_taken(given: Any, taken: Any, path: str = "") -> Iterator[tuple[str, int | float]]:
    """Where a number was taken from true or false, which to pydantic are 1 and 0, and the number."""
    if isinstance(given, bool):
        if isinstance(taken, int | float) and not isinstance(taken, bool):
            yield path, taken
    elif isinstance(given, Mapping):
        for name, value in given.items():
            inner = taken.get(name) if isinstance(taken, Mapping) else getattr(taken, str(name), None)
            yield from _booleans_taken(value, inner, f"{path}.{name}" if path else str(name))
    elif isinstance(given, list) and isinstance(taken, list | tuple):
        for number, (value, inner) in enumerate(zip(given, taken, strict=False)):
            yield from _booleans_taken(value, inner, f"{path}.{number}")


_CONTAINER_FAULTS = ("list_type", "dict_type", "model_type")


def _default(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return ...
    # A factory keeps the sentinel out of the JSON schema, where it could not be written.
    return Field(default_factory=lambda: UNSET) if default is UNSET else default


def nearest_name(wrong: str, known: list[str]) -> str:
    """`; did you mean 'x'?` with the nearest of `known`, else the list of them all."""
    return _nearest(wrong, known)


def _nearest(wrong: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(known) or 'none'}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).replace("-", "_").lower()


def _either(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A property of two results: as the first has it, and where the second allows more, that too."""
    allowed = [{key: value for key, value in each.items() if key != "description"} for each in (one, other)]
    if allowed[0] == allowed[1]:
        return one
    choices = [choice for each in allowed for choice in each.get("anyOf", [each])]
    distinct = [choice for number, choice in enumerate(choices) if choice not in choices[:number]]
    return {"anyOf": distinct, "description": one["description"]}


def _brief(node: Any) -> Any:
    """The schema, in which what may be left out does not say that null means the same: a third of the definitions'
    length."""
    if isinstance(node, list):
        return [_brief(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _brief(value) for key, value in node.items()}
    choices = node.get("anyOf", [])
    if node.get("default", ...) is None and len(choices) == 2 and choices[1] == {"type": "null"}:
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        return {**choices[0], **rest}
    return node


def _plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without pydantic's titles and with `$ref`s replaced by what they name: shorter, and every client
    understands it."""
    definitions = schema.pop("$defs", {})

    def plain(node: Any, *, names: bool = False) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
            return plain({**target, **{key: value for key, value in node.items() if key != "$ref"}})
        # Under `properties` the keys are the arguments' own names, and one may be called title.
        return {
            key: plain(value, names=key == "properties")
            for key, value in node.items()
            if names or not (key == "title" and isinstance(value, str))
        }

    result: dict[str, Any] = plain(schema)
    return result
