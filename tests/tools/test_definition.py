"""A typed async function is a tool: its arguments are checked, and its schemas say what they are."""

from enum import StrEnum
from typing import Annotated, Any, cast

import pytest
from pydantic import BaseModel, Field

from swarmtally.app import App
from swarmtally.domain.errors import InvalidInput
from swarmtally_tools.definition import View, tool

NO_APP = cast("App", None)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Painted(View):
    colour: str
    title: str
    """A property may be called title."""
    layers: int
    note: Any = None


class Wall(View):
    parts: list[Painted]


@tool(title="Paint a wall", idempotent=True)
async def paint_wall(
    app: App,
    title: Annotated[str, Field(description="What to call it", max_length=5)],
    wall_colour: Annotated[Colour, Field(description="In which colour")] = Colour.RED,
    layers: Annotated[int, Field(description="How often", ge=1, le=9)] = 1,
) -> Painted:
    """Paint a wall,
    all of it."""
    assert app is NO_APP
    return Painted(colour=wall_colour, title=title, layers=layers)


@tool(title="Build", read_only=True)
async def build(app: App) -> Wall:
    """Build."""
    return Wall(parts=[])


async def test_a_tool_is_called_with_checked_arguments() -> None:
    view = await paint_wall.call(NO_APP, {"title": "north", "wallColour": "blue", "layers": 2})
    assert view == Painted(colour="blue", title="north", layers=2)


async def test_what_is_not_given_has_its_default() -> None:
    assert await paint_wall.call(NO_APP, {"title": "north"}) == Painted(colour="red", title="north", layers=1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"title": "n", "wall_color": "red"}, "paint_wall has no argument 'wall_color'; did you mean 'wall_colour'?"),
        ({"title": "n", "zzz": 1}, "paint_wall has no argument 'zzz'; it takes title, wall_colour, layers"),
        ({"title": "n", "wallColour": "red", "wall_colour": "red"}, "got argument 'wall_colour' twice"),
        ({}, "paint_wall: title is missing"),
        ({"title": "n", "layers": 0}, "paint_wall: layers must be at least 1, got 0"),
        ({"title": "n", "layers": "x"}, "paint_wall: layers must be a whole number, got 'x'"),
        ({"title": "northern"}, "paint_wall: title must be at most 5 characters long, got 'northern'"),
        ({"title": "n", "wall_colour": "pink"}, "wall_colour must be one of 'red' or 'blue', got 'pink'"),
        ({"layers": 10, "title": 5}, "paint_wall: title must be text, got 5 (and 1 more)"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        paint_wall.check(arguments)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tool_without_arguments_says_so() -> None:
    with pytest.raises(InvalidInput, match="build has no argument 'x'; it takes none"):
        build.check({"x": 1})


def test_the_docstring_is_the_description_in_one_line() -> None:
    assert (paint_wall.name, paint_wall.description) == ("paint_wall", "Paint a wall, all of it.")
    assert (paint_wall.idempotent, paint_wall.read_only, build.read_only) == (True, False, True)


def test_the_input_schema_is_plain() -> None:
    assert paint_wall.input_schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["title"],
        "properties": {
            "title": {"description": "What to call it", "maxLength": 5, "type": "string"},
            "wall_colour": {
                "description": "In which colour",
                "enum": ["red", "blue"],
                "type": "string",
                "default": "red",
            },
            "layers": {"description": "How often", "minimum": 1, "maximum": 9, "type": "integer", "default": 1},
        },
    }


def test_the_output_schema_names_what_nested_views_hold() -> None:
    part = build.output_schema["properties"]["parts"]["items"]
    assert part["properties"]["title"] == {"type": "string", "description": "A property may be called title."}


class Size(BaseModel):
    width: int


@tool(title="Build a wall")
async def build_wall(
    app: App,
    parts: Annotated[list[str] | None, Field(description="What of")] = None,
    plan: Annotated[dict[str, str] | None, Field(description="Where")] = None,
    size: Annotated[Size | None, Field(description="How wide")] = None,
    note: Annotated[str | None, Field(description="A text")] = None,
) -> Painted:
    """Build a wall."""
    return Painted(colour=str(plan), title=str(parts), layers=size.width if size else 0, note=note)


async def test_a_list_or_object_sent_as_its_json_text_is_taken_for_what_it_is() -> None:
    given = {"parts": '["a, b", "c"]', "plan": '{"a": "left"}', "size": '{"width": 3}', "note": '["a"]'}
    view = await build_wall.call(NO_APP, given)
    assert view == Painted(colour="{'a': 'left'}", title="['a, b', 'c']", layers=3, note='["a"]')


@tool(title="Measure a wall")
async def measure_wall(
    app: App,
    size: Annotated[Size | None, Field(description="How wide")] = None,
    heights: Annotated[list[float] | None, Field(description="How high, from left to right")] = None,
    dry: Annotated[bool, Field(description="Whether it is")] = False,
    mark: Annotated[Any, Field(description="Anything")] = None,
) -> Painted:
    """Measure a wall."""
    return Painted(colour=str(mark), title=str(heights), layers=size.width if size else 0, note=str(dry))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"size": {"width": True}}, "measure_wall: size.width must be a whole number, got True"),
        ({"size": '{"width": false}'}, "measure_wall: size.width must be a whole number, got False"),
        ({"heights": [1, False]}, "measure_wall: heights.1 must be a number, got False"),
        ({"heights": ["nan"]}, "measure_wall: heights.0 must be a finite number, got 'nan'"),
        ({"heights": [float("inf")]}, "measure_wall: heights.0 must be a finite number, got inf"),
    ],
)
def test_what_is_no_number_is_refused(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        measure_wall.check(arguments)
    assert str(caught.value) == line


async def test_true_and_false_stay_where_they_may_stand() -> None:
    view = await measure_wall.call(NO_APP, {"dry": True, "mark": {"deep": [True, 1]}, "heights": ["2.5", 1]})
    assert (view.note, view.colour, view.title) == ("True", "{'deep': [True, 1]}", "[2.5, 1.0]")


@pytest.mark.parametrize(
    ("given", "said"), [("a,b", "parts"), ('{"a": 1}', "parts"), ("[1]", "parts.0"), ("7", "parts")]
)
def test_a_text_that_is_no_such_json_is_refused(given: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^build_wall: {said} "):
        build_wall.check({"parts": given})
