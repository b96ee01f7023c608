"""Arguments made from a tool's own schema: ones it allows, and ones it refuses.

Of JSON Schema only what our schemas use; another keyword is an error, so that none is ignored unseen.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]

_KNOWN = {
    *("type", "enum", "const", "anyOf", "oneOf", "default", "description", "examples", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("items", "properties", "required", "additionalProperties", "propertyNames", "maxProperties", "discriminator"),
}

_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["coder", "24h", "default", "*", "../x", "r_1", "1.5", "[]", "e-commerce with cart, search", "\0", "é" * 80]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)

_USUALLY_WRONG: list[Any] = [True, False, -1, 1.5, 10**18, -(10**18), 1e300, [], [[]], [None], {}, {"a": 1}, [{"a": 1}]]


def allowed(schema: Schema) -> st.SearchStrategy[Any]:
    """Values `schema` allows."""
    if unknown := schema.keys() - _KNOWN:
        raise NotImplementedError(f"these keywords are not generated from: {sorted(unknown)}")
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return st.one_of([allowed(one) for one in schema[choice]])
    if "type" not in schema:
        return ANY
    return _OF_TYPE[schema["type"]](schema)


@st.composite
def arguments(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    """Arguments a tool's input schema allows, at most two more than it needs: with all of them one is refused for what
    it says nearly always, and the tool never gets to work."""
    optional = [name for name in schema["properties"] if name not in schema.get("required", ())]
    further = draw(st.lists(st.sampled_from(optional), max_size=2, unique=True)) if optional else []
    names = (*schema.get("required", ()), *further)
    return {name: draw(allowed(schema["properties"][name])) for name in names}


@st.composite
def wrong_arguments(draw: st.DrawFn, schema: Schema) -> tuple[str, dict[str, Any]]:
    """Arguments of which one is refused by the schema, and its name."""
    given = draw(arguments(schema))
    properties: Schema = schema["properties"]
    required = schema.get("required", ())
    # One without any keyword refuses nothing.
    refusing = [name for name, inner in properties.items() if inner.keys() & {"type", "enum", "anyOf"}]
    name = draw(st.sampled_from([*refusing, "no_such_argument"]))
    if name in required and draw(st.booleans()):
        return name, {key: value for key, value in given.items() if key != name}
    refuses = Draft202012Validator(properties.get(name, False))
    # Null is what an argument that may be left out is by default, which the schema does not spend words on. A text may
    # hold the JSON of what was wanted, or a number's digits, and 0 and 1 stand for a boolean: some clients send those.
    values = st.sampled_from(_USUALLY_WRONG) | ANY
    wrong = values.filter(lambda value: not _often_meant(value) and (value is not None or name in required))
    return name, given | {name: draw(wrong.filter(lambda value: not refuses.is_valid(value)))}


def _often_meant(value: Any) -> bool:
    return isinstance(value, str) or (value in (0, 1) and not isinstance(value, bool))


def _integers(schema: Schema) -> st.SearchStrategy[Any]:
    return st.integers(schema.get("minimum", -(2**53)), schema.get("maximum", 2**53))


def _numbers(schema: Schema) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    return st.floats(
        low,
        high,
        exclude_min="exclusiveMinimum" in schema,
        allow_nan=False,
        allow_infinity=False,
        allow_subnormal=False,
    )


def _texts(schema: Schema) -> st.SearchStrategy[Any]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 10**9)
    return _TEXTS.filter(lambda text: least <= len(text) <= most)


def _lists(schema: Schema) -> st.SearchStrategy[Any]:
    most = min(schema.get("maxItems", 3), 3)
    return st.lists(allowed(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=most)


def _objects(schema: Schema) -> st.SearchStrategy[Any]:
    properties: Schema = schema.get("properties", {})
    required = schema.get("required", ())
    named = st.fixed_dictionaries(
        {name: allowed(properties[name]) for name in required},
        optional={name: allowed(inner) for name, inner in properties.items() if name not in required},
    )
    further = schema.get("additionalProperties", not properties)
    if not further:
        return named
    inner = allowed({} if further is True else further)
    return st.builds(lambda more, known: more | known, st.dictionaries(_TEXTS, inner, max_size=2), named)


_OF_TYPE = {
    "integer": _integers,
    "number": _numbers,
    "string": _texts,
    "array": _lists,
    "object": _objects,
    "boolean": lambda _: st.booleans(),
    "null": lambda _: st.none(),
}
