"""Pydantic's findings in one line that a caller can act on."""

from typing import Any

from pydantic import ValidationError

_SHOWN = 60
"""The longest piece of a wrong value that is shown, in characters."""


def first_fault(error: ValidationError) -> str:
    """The first fault, and how many more there are: `max_agents must be at most 10000, got 20000`."""
    faults = error.errors(include_url=False)
    first = faults[0]
    more = len({fault["loc"][:1] for fault in faults}) - 1
    text = _sentence(".".join(str(part) for part in first["loc"]), first["type"], first["msg"], first.get("ctx", {}))
    if first["type"] != "missing":
        text += f", got {_shown(first['input'])}"
    return f"{text} (and {more} more)" if more else text


def _sentence(name: str, kind: str, message: str, context: dict[str, Any]) -> str:
    limits = {
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "greater_than": "must be more than {gt}",
        "less_than": "must be less than {lt}",
        "string_too_long": "must be at most {max_length} characters long",
        "string_too_short": "must be at least {min_length} character long",
        "too_long": "must have at most {max_length} items",
        "too_short": "must have at least {min_length} item",
        "enum": "must be one of {expected}",
        "literal_error": "must be one of {expected}",
        "missing": "is missing",
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "string_type": "must be text",
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "list_type": "must be a list",
        "extra_forbidden": "is not known here",
    }
    template = limits.get(kind)
    if template is None:
        return f"{name}: {message[:1].lower()}{message[1:]}"
    return f"{name} {template.format(**context)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
