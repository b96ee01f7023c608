"""Rows that somebody gives to learn from: a JSON list, an object, or lines of JSON; docs/learning.md has the schema.

Each row is taken or refused by itself, with its place and the reason.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, TypeAlias

from swarmtally.learning.rows import TrainingRow

ROWS_LIMIT = 100_000
"""The most rows one call takes."""

WORD_LIMIT = 200
"""The longest name of a mode, topology, strategy, backend or model, in characters."""

TEXT_LIMIT = 2_000
"""What is kept of a row's text, in characters, as of the project's own tasks."""

SHORTEST_S = 1e-9
"""The shortest duration, in seconds: shorter ones would be an infinite throughput."""

LONGEST_S = 31_536_000
"""The longest duration, in seconds: a year."""

BYTES_PER_TOKEN = 4
"""Prompt sizes given in tokens are counted so."""

_MOST = 10**15

_DIGIT = re.compile("[0-9]")
_UNCOUNTED = re.compile(r"[^\s0{}()\[\]<>=_;]+")
"""What `swarmtally.learning.features.COUNTS` does not count by itself."""

_NS_PER_US = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2201, 1, 1, tzinfo=UTC) - _EPOCH


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not taken: its line or element, from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Given:
    """What became of rows that were given."""

    batch: str
    """sha256 of the rows taken."""
    rows: tuple[tuple[int, TrainingRow], ...]
    """Each with its line or element, from 1. `at_ns` is that too where the row does not say when it ended."""
    refused: tuple[Refused, ...]
    ignored: Mapping[str, int]
    """Names that mean nothing here, and in how many rows they were."""


class RowRefused(Exception):
    """Why a row is not taken."""


Document: TypeAlias = str | Sequence[Any] | Mapping[str, Any]


def read(document: Document) -> Given:
    """The rows of what was given: a list of objects, one object, or a text that holds either or a line for each."""
    rows: list[tuple[int, TrainingRow]] = []
    refused: list[Refused] = []
    ignored: Counter[str] = Counter()
    for line, value in _values(document):
        try:
            if isinstance(value, RowRefused):
                raise value
            if len(rows) >= ROWS_LIMIT:
                raise RowRefused(f"it comes after {ROWS_LIMIT} rows; give the rest in another call")
            row, unknown = _row(value, line)
        except RowRefused as why:
            refused.append(Refused(line, str(why)))
        else:
            rows.append((line, row))
            ignored.update(unknown)
    return Given(digest(row for _, row in rows), tuple(rows), tuple(refused), dict(ignored.most_common()))


def digest(rows: Iterable[TrainingRow]) -> str:
    """sha256 of rows in their order."""
    made = hashlib.sha256()
    for row in rows:
        made.update(encoded(row))
    return made.hexdigest()


def encoded(row: TrainingRow) -> bytes:
    """The JSON of `as_list`, on one line: what the digest is of, and the process that trains reads."""
    return json.dumps(as_list(row), ensure_ascii=False).encode(errors="surrogatepass")


def as_list(row: TrainingRow) -> list[Any]:
    """The values of a row, in the order of its fields."""
    return list(_FIELDS(row))


_FIELDS = attrgetter(*TrainingRow.__dataclass_fields__)


def _values(document: Document) -> Iterator[tuple[int, Any]]:
    """Each row with its place from 1; what is no JSON as the reason to refuse it."""
    if isinstance(document, str):
        yield from _of_text(document)
    elif isinstance(document, Mapping):
        yield 1, document
    else:
        yield from enumerate(document, 1)


def _of_text(text: str) -> Iterator[tuple[int, Any]]:
    try:
        whole = _loads(text)
    except RowRefused:
        yield from _of_lines(text)
    else:
        yield from enumerate(whole, 1) if isinstance(whole, list) else [(1, whole)]


def _of_lines(text: str) -> Iterator[tuple[int, Any]]:
    for line, part in enumerate(text.split("\n"), 1):
        if part.strip():
            try:
                yield line, _loads(part)
            except RowRefused as why:
                yield line, why


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise RowRefused("it is nested too deep") from None
    except json.JSONDecodeError as error:
        raise RowRefused(f"it is not JSON: {error.msg} at column {error.colno}") from None
    except ValueError:
        raise RowRefused("it holds a number with too many digits") from None


def _row(value: Any, line: int) -> tuple[TrainingRow, list[str]]:
    """The row that an object says, and the names in it that mean nothing.

    Raises:
        RowRefused: it is none.
    """
    if not isinstance(value, Mapping):
        raise RowRefused(f'it is {_kind(value)}; a row is an object such as {{"duration_s": 12.5, "agents": 4}}')
    said = {
        name: _READERS[name](name, found) for name, found in value.items() if name in _READERS and found is not None
    }
    unknown = [str(name)[:WORD_LIMIT] for name in value if name not in _READERS]
    at_ns = said.get("at")
    mode = said.get("mode", said.get("role"))
    return TrainingRow(
        at_ns=line if at_ns is None else at_ns,
        source="given",
        level=said.get("level", "run" if mode is None else "task"),
        duration_s=_duration(said),
        success=said.get("success"),
        tokens=_tokens(said),
        mode=mode,
        topology=said.get("topology"),
        strategy=said.get("strategy"),
        backend=said.get("backend"),
        model=said.get("model"),
        agents=said.get("agents"),
        concurrency=said.get("concurrency"),
        prompt_bytes=_prompt_bytes(said),
        tasks=said.get("tasks"),
        text=said.get("text", ""),
    ), unknown


def _duration(said: Mapping[str, Any]) -> float:
    if "duration_s" in said:
        return float(said["duration_s"])
    if "duration_ms" in said:
        return float(said["duration_ms"]) / 1_000
    raise RowRefused("it has no duration_s")


def _tokens(said: Mapping[str, Any]) -> int | None:
    if "tokens" in said:
        return int(said["tokens"])
    parts = (said.get("input_tokens", said.get("prompt_tokens")), said.get("output_tokens"))
    return None if None in parts else sum(part for part in parts if part is not None)


def _prompt_bytes(said: Mapping[str, Any]) -> int | None:
    if "prompt_bytes" in said:
        return int(said["prompt_bytes"])
    tokens = said.get("prompt_tokens", said.get("input_tokens"))
    return None if tokens is None else max(1, tokens * BYTES_PER_TOKEN)


Reader: TypeAlias = Callable[[str, Any], Any]


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > WORD_LIMIT:
        raise RowRefused(f"{name} is {_shown(value)}; it takes a name of at most {WORD_LIMIT} characters")
    return _writable(value.strip())


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RowRefused(f"{name} is {_kind(value)}; it takes a text")
    return _outline(value[:TEXT_LIMIT])


def _outline(text: str) -> str:
    """`text` with an x for each stretch of what is not counted and a 0 for each digit: all that is learned from it is
    how many words, digits, signs and lines it has, so nothing that somebody wrote need be kept."""
    return _UNCOUNTED.sub("x", _DIGIT.sub("0", text))


def _writable(text: str) -> str:
    """`text`, with what is no character of any encoding replaced."""
    return text.encode(errors="replace").decode()


def _level(name: str, value: Any) -> str:
    if value not in ("task", "run"):
        raise RowRefused(f"{name} is {_shown(value)}; it takes task or run")
    return str(value)


def _success(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise RowRefused(f"{name} is {_shown(value)}; it takes true or false")
    return value


def _seconds(name: str, value: Any) -> float:
    unit = 1_000 if name == "duration_ms" else 1
    shortest, longest = SHORTEST_S * unit, LONGEST_S * unit
    if not _is_number(value) or not shortest <= value <= longest:
        raise RowRefused(
            f"{name} is {_shown(value)}; it takes a number above 0 (from {shortest:g} on), at most {longest}"
        )
    return float(value)


def _whole(least: int, most: int) -> Reader:
    def read_whole(name: str, value: Any) -> int:
        if not _is_number(value) or not least <= value <= most or value != int(value):
            raise RowRefused(f"{name} is {_shown(value)}; it takes a whole number from {least} to {most}")
        return int(value)

    return read_whole


def _moment(name: str, value: Any) -> int:
    try:
        named = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
        if named is not None:
            since = (named if named.tzinfo else named.replace(tzinfo=UTC)) - _EPOCH
            if timedelta() <= since < _LATEST:
                return since // timedelta(microseconds=1) * _NS_PER_US
    except (ValueError, OverflowError):
        pass
    raise RowRefused(f"{name} is {_shown(value)}; it takes a moment in ISO 8601, from 1970 to 2200")


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _shown(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float | bool) else _kind(value)


_AMOUNT = _whole(1, _MOST)
_COUNT = _whole(0, _MOST)

_READERS: Mapping[str, Reader] = {
    "duration_s": _seconds,
    "duration_ms": _seconds,
    "at": _moment,
    "level": _level,
    "success": _success,
    "tokens": _AMOUNT,
    "input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "prompt_tokens": _COUNT,
    "prompt_bytes": _AMOUNT,
    "mode": _word,
    "role": _word,
    "topology": _word,
    "strategy": _word,
    "backend": _word,
    "model": _word,
    "agents": _whole(1, 1_000_000),
    "concurrency": _whole(1, 1_000_000),
    "tasks": _whole(1, 1_000_000),
    "text": _text,
}
"""What a row may say, and who reads it."""
