"""Divides JSON into parts that each say where they stand: `paths./orders.get: {"summary": "…"}`."""

import json
from collections.abc import Iterator
from itertools import chain

DEPTH = 8
"""What lies deeper is not divided by its keys."""


def json_parts(text: str, limit_chars: int) -> list[str] | None:
    """The parts of a JSON object or array, of about `limit_chars` characters each where its values are no longer; None
    when the text is no such thing."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return list(_divided(value, "", limit_chars, 0))


def _divided(value: object, path: str, limit: int, depth: int) -> Iterator[str]:
    written = _written(value)
    if len(written) <= limit or depth == DEPTH or not isinstance(value, dict | list):
        yield f"{path}: {written}" if path else written
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    short: list[tuple[str | int, object]] = []
    length = 0
    for key, child in chain(pairs, [(None, None)]):
        size = len(_written(child))
        if short and (key is None or length + size > limit):
            yield _group(path, short, isinstance(value, dict))
            short, length = [], 0
        if key is None:
            return
        if size > limit:
            yield from _divided(child, _below(path, key), limit, depth + 1)
        else:
            short.append((key, child))
            length += size + len(str(key))


def _group(path: str, pairs: list[tuple[str | int, object]], named: bool) -> str:
    """Neighbouring values of one object or array."""
    if named:
        return f"{path}: {_written(dict(pairs))}" if path else _written(dict(pairs))
    return f"{path}[{pairs[0][0]}…]: {_written([child for _, child in pairs])}"


def _below(path: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    name = _written(key)[1:-1]
    return f"{path}.{name}" if path else name


def _written(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        # JSON can name half a character, which no UTF-8 holds.
        return json.dumps(value)
    return written
