"""What a text of the command line means for an argument of a given kind."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, NoReturn

from swarmtally.domain.errors import InvalidInput

READ_LIMIT_BYTES = 16 * 1024 * 1024
"""The most that is read from a file or stdin for one argument."""

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DIGITS = 300
"""The longest whole number that is read exactly; Python itself ends at 4,300."""

_PROSE = frozenset({"tasks", "context"})
"""Lists of texts in which ", " is prose."""


class Kind(Enum):
    """What an argument holds, as its JSON schema says."""

    WORD = auto()
    """A number or one of several words: handed on as it is."""
    TEXT = auto()
    FLAG = auto()
    NAMES = auto()
    """A list of short texts, separated by commas."""
    PROSE = auto()
    """A list of texts, separated by a comma with no space after it."""
    JSON = auto()
    """An object or a list of objects."""
    VALUE = auto()
    """Any JSON value, a text among them."""


def kind_of(name: str, schema: Mapping[str, Any]) -> Kind:
    """The kind of the argument `name`, whose JSON schema is `schema`."""
    choices = [item for item in schema.get("anyOf", [schema]) if item.get("type") != "null"]
    types = {item.get("type") for item in choices}
    if types == {"array"} and choices[0].get("items", {}).get("type") in ("string", "integer", "number"):
        return Kind.PROSE if name in _PROSE else Kind.NAMES
    if types <= {"array", "object"}:
        return Kind.JSON
    if len(types) > 1 or None in types:
        return Kind.VALUE
    if types == {"string"} and "enum" not in choices[0]:
        return Kind.TEXT
    return Kind.FLAG if types == {"boolean"} else Kind.WORD


def parse(kind: Kind, name: str, given: Sequence[str]) -> Any:
    """The value of the argument `name`, given once or, for a list, several times.

    Raises:
        InvalidInput: a file cannot be read, or what should be JSON is not.
    """
    if kind is Kind.PROSE:
        return [piece for text in given for piece in _prose(name, text)]
    if kind is Kind.NAMES:
        pieces = [piece.strip() for text in given for piece in _text(name, text).split(",")]
        return [piece for piece in pieces if piece]
    (text,) = given
    if kind is Kind.WORD:
        return _number(name, text)
    if kind is Kind.TEXT:
        return _text(name, text)
    whole = _read_stdin(name) if text == "-" else _text(name, text)
    return _json(name, whole) if kind is Kind.JSON else json_or_text(name, whole)


def named_file(text: str | None) -> str | None:
    """The path in `@FILE`, or `-` for stdin; None: `text` is the value itself."""
    if text == "-":
        return text
    if text is None or not text.startswith("@") or text.startswith("@@"):
        return None
    # A file of that name, which is not stdin.
    return "./-" if text == "@-" else text[1:]


def json_or_text(name: str, text: str) -> Any:
    """The object or list that `text` writes down; what is neither is the text itself, exactly as given."""
    if not text.strip().startswith(("{", "[")):
        return text
    try:
        return _loads(name, text)
    except json.JSONDecodeError:
        return text


def _json(name: str, text: str) -> Any:
    try:
        return _loads(name, text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"--{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}; "
            f"give JSON, @FILE or - for stdin"
        ) from None


def _loads(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise InvalidInput(f"--{name} is nested too deep; flatten it") from None
    except ValueError:
        raise InvalidInput(f"--{name} holds a number with too many digits; write it as a text") from None


def _refuse_constant(word: str) -> NoReturn:
    # NaN and Infinity, which Python reads and JSON has not.
    raise json.JSONDecodeError(f"{word} is no JSON value", word, 0)


def _prose(name: str, text: str) -> Sequence[str]:
    if text.startswith("@") and not text.startswith("@@"):
        # A file is one text: its commas are its own.
        return (_text(name, text),)
    from swarmtally.sparc.plan import split_tasks

    return split_tasks(_text(name, text))


def _text(name: str, text: str) -> str:
    """`text`, or for `@FILE` what the file holds; `@@` stands for one @."""
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@"):
        return _read_file(name, text[1:])
    return text


def _number(name: str, text: str) -> Any:
    if _WHOLE.fullmatch(text) and len(text) <= _DIGITS:
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    try:
        float(text)
    except ValueError:
        return text
    # What Python takes for a number besides: 1_0, nan, digits of other scripts.
    raise InvalidInput(f"--{name} is {text!r}; write the number in plain digits, such as 10 or 2.5")


def _read_file(name: str, path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(READ_LIMIT_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(
            f"--{name}: file {path!r} cannot be read ({reason}); write @@ for a text that begins with @"
        ) from None
    return _decoded(name, f"file {path!r}", content)


def _read_stdin(name: str) -> str:
    content = b"" if sys.stdin is None else sys.stdin.buffer.read(READ_LIMIT_BYTES + 1)
    return _decoded(name, "stdin", content)


def _decoded(name: str, source: str, content: bytes) -> str:
    if len(content) > READ_LIMIT_BYTES:
        raise InvalidInput(f"--{name}: {source} holds more than {READ_LIMIT_BYTES} bytes; shorten it")
    try:
        # PowerShell begins its files with a mark that is no part of the text.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"--{name}: {source} is not UTF-8 (byte {error.start}); convert it") from None
