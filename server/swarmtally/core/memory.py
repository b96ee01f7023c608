"""The shared memory as its callers see it: bounds checked, errors in one line, time taken from the clock."""

import difflib
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import InvalidInput, NotFound
from swarmtally.domain.memory import (
    KEY_LIMIT,
    PATTERN_LIMIT,
    SEARCH_LIMIT,
    TAG_LIMIT,
    TAGS_LIMIT,
    VALUE_LIMIT_BYTES,
    MemoryEntry,
    MemoryPage,
    MemoryStats,
)
from swarmtally.store import artefacts, runs
from swarmtally.store import memory as entries
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database

SearchMode = Literal["auto", "glob", "text"]

TTL_LIMIT_S = 10 * 365.25 * 24 * 3600
"""The longest time to live: ten years, in seconds."""

DEPTH_LIMIT = 190
"""The deepest nesting of a value that every JSON reader on the way to a client takes: the SDK's gives up at 200, the
message's own levels included."""

_VERSION_LIMIT = 2**53
_NEIGHBOURS = 50


ARTEFACTS = "sparc/"
"""Where the deliverables of runs are; nothing can be stored there."""

CONTEXT = "context"
"""Where the texts of a run's shared context are, in place of a phase."""


class Memory:
    """Versioned entries under (project, namespace, key), in one database shared by every process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def store(
        self,
        project: str,
        namespace: str,
        key: str,
        value: Any,
        *,
        tags: Sequence[str] = (),
        ttl_s: float | None = None,
        if_version: int | None = None,
    ) -> MemoryEntry:
        """Store any JSON value, replacing the entry and counting its version up.

        Args:
            ttl_s: seconds after which it is gone; None keeps it. A store without one ends an earlier one.
            if_version: the version it must be at, 0 when it must not exist.

        Raises:
            InvalidInput: something is not as it must be, or too large.
            VersionConflict: it is at another version.
        """
        _check_version(if_version, least=0)
        entry = checked(project, namespace, key, value, tags)
        lifetime_ns = _lifetime_ns(ttl_s)

        async def unit(tx: Connection) -> MemoryEntry:
            now_ns = self._clock.now_ns()
            expires_ns = None if lifetime_ns is None else now_ns + lifetime_ns
            return await entries.store(tx, replace(entry, expires_ns=expires_ns), if_version, now_ns)

        return await self._database.write(unit)

    async def retrieve(self, project: str, namespace: str, key: str) -> MemoryEntry:
        """The entry; where there is none, `sparc/{run_id}/{phase}/{name}` is a run's artefact, in any namespace, and
        `sparc/{run_id}/context/{n}` a text of its shared context.

        Raises:
            InvalidInput: the namespace or the key is none.
            NotFound: there is neither.
        """
        _check_place(namespace, key)

        async def unit(tx: Connection) -> MemoryEntry:
            now_ns = self._clock.now_ns()
            entry = await entries.retrieve(tx, project, namespace, key, now_ns)
            if entry is not None:
                return entry
            made = await _of_run(tx, project, key)
            if made is not None:
                return made
            raise await _not_found(tx, project, namespace, key, now_ns)

        return await self._database.read(unit)

    async def delete(self, project: str, namespace: str, key: str, *, if_version: int | None = None) -> None:
        """Remove an entry.

        Raises:
            InvalidInput: the namespace, the key or the version is none.
            NotFound: there is no such entry.
            VersionConflict: `if_version` is given and it is at another version, or not there.
        """
        _check_place(namespace, key)
        _check_version(if_version, least=1)

        async def unit(tx: Connection) -> None:
            now_ns = self._clock.now_ns()
            if not await entries.delete(tx, project, namespace, key, if_version, now_ns):
                raise await _not_found(tx, project, namespace, key, now_ns)

        await self._database.write(unit)

    async def list(
        self, project: str, namespace: str | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> MemoryPage:
        """The entries of a namespace (None: of all) in order of key, a page at a time. See `search` for the cursor.

        Raises:
            InvalidInput: the namespace, the limit or the cursor is none.
        """
        return await self._find(entries.Query(project, namespace, "list", "*"), limit, cursor)

    async def search(
        self,
        project: str,
        pattern: str,
        *,
        namespace: str | None = None,
        mode: SearchMode = "auto",
        limit: int = 10,
        cursor: str | None = None,
    ) -> MemoryPage:
        """Entries whose key matches a glob pattern, or that have every word of it as the beginning of a word.

        Args:
            namespace: None searches all of the project's.
            mode: `auto` is `glob` when the pattern has `*`, `?` or `[`, else `text` over key, value and tags.
            limit: the most hits on this page.
            cursor: `next_cursor` of the page before, of the same search.

        Raises:
            InvalidInput: the pattern, the mode, the limit or the cursor is none.
        """
        if mode not in get_args(SearchMode):
            raise InvalidInput(f"mode is {mode!r}; it must be auto, glob or text")
        _check_pattern(pattern)
        chosen: entries.Mode = _mode_of(pattern) if mode == "auto" else mode
        if chosen == "glob" and "\0" in pattern:
            raise InvalidInput("pattern holds a NUL, which no key can; remove it")
        return await self._find(entries.Query(project, namespace, chosen, pattern), limit, cursor)

    async def stats(self, project: str) -> MemoryStats:
        """How much the project's memory holds; `expired` entries are gone for every caller and not yet removed."""
        return await self._database.read(lambda tx: entries.stats(tx, project, self._clock.now_ns()))

    async def _find(self, query: entries.Query, limit: int, cursor: str | None) -> MemoryPage:
        if query.namespace is not None:
            _check_name("namespace", query.namespace)
        if not 1 <= limit <= SEARCH_LIMIT:
            raise InvalidInput(f"limit is {limit}; it must be from 1 to {SEARCH_LIMIT}")
        return await self._database.read(
            lambda tx: entries.search(tx, query, limit, cursor, self._clock.now_ns()),
        )


def checked(project: str, namespace: str, key: str, value: Any, tags: Sequence[str]) -> entries.NewEntry:
    """An entry that may be stored, without an expiry.

    Raises:
        InvalidInput: something is not as it must be, or too large.
    """
    _check_place(namespace, key)
    _check_own(key)
    _check_tags(tags)
    text = _searchable(value)
    dumped, size_bytes = _dump(value)
    return entries.NewEntry(project, namespace, key, dumped, size_bytes, text, tuple(tags), expires_ns=None)


def _mode_of(pattern: str) -> Literal["glob", "text"]:
    return "glob" if re.search(r"[*?\[]", pattern) else "text"


async def _of_run(tx: Connection, project: str, key: str) -> MemoryEntry | None:
    """What a run made, or was given, by its key."""
    parts = key.split("/", 3)
    if len(parts) < 4 or parts[0] != "sparc":
        return None
    _, run_id, phase, name = parts
    artefact = await artefacts.by_name(tx, project, run_id, phase, name)
    if artefact is not None:
        return _entry(key, artefact.whole, "artefact", artefact.created_ns)
    run = await runs.get(tx, project, run_id) if phase == CONTEXT and name.isascii() and name.isdigit() else None
    if run is None:
        return None
    # Numbered as prompts number them: from 1, without those that hold nothing.
    texts = dict(enumerate(filter(str.strip, run.context), start=1))
    text = texts.get(int(name))
    return None if text is None else _entry(key, text, CONTEXT, run.created_ns)


def _entry(key: str, text: str, tag: str, created_ns: int) -> MemoryEntry:
    return MemoryEntry(
        memory_id=0,
        namespace=None,
        key=key,
        value=text,
        tags=(tag,),
        version=1,
        size_bytes=len(text.encode()),
        created_ns=created_ns,
        updated_ns=created_ns,
        expires_ns=None,
    )


async def _not_found(tx: Connection, project: str, namespace: str, key: str, now_ns: int) -> NotFound:
    known = await entries.neighbours(tx, project, namespace, key, _NEIGHBOURS, now_ns)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    remedy = f"did you mean {close[0]!r}?" if close else "see its keys with memory_usage --action list"
    return NotFound(f"no entry {key!r} in namespace {namespace!r}; {remedy}")


def _check_place(namespace: str, key: str) -> None:
    _check_name("namespace", namespace)
    _check_name("key", key)


def _check_own(key: str) -> None:
    if key.startswith(ARTEFACTS):
        raise InvalidInput(f"keys that begin with {ARTEFACTS} belong to the deliverables of runs; choose another")


def _check_name(what: str, name: str) -> None:
    _check_text(what, name, KEY_LIMIT)
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise InvalidInput(f"{what} holds a control character; remove it")


def _check_text(what: str, text: str, limit: int) -> None:
    if not text:
        raise InvalidInput(f"{what} is empty; give at least one character")
    if len(text) > limit:
        raise InvalidInput(f"{what} has {len(text)} characters; shorten it to {limit}")
    _encoded(what, text)


def _encoded(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} holds half of a surrogate pair, which is no character; remove it") from None


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise InvalidInput("pattern is empty; give a word, or * for every key")
    _check_text("pattern", pattern, PATTERN_LIMIT)


def _check_tags(tags: Sequence[str]) -> None:
    if isinstance(tags, str):
        raise InvalidInput("tags is one text; give a list of texts")
    if len(tags) > TAGS_LIMIT:
        raise InvalidInput(f"there are {len(tags)} tags; give at most {TAGS_LIMIT}")
    for tag in tags:
        _check_text("a tag", tag, TAG_LIMIT)
        if "\0" in tag:
            raise InvalidInput("a tag holds a NUL; remove it")


def _check_version(if_version: int | None, *, least: int) -> None:
    if if_version is not None and not least <= if_version <= _VERSION_LIMIT:
        raise InvalidInput(f"if_version is {if_version}; it must be {least} or more, as retrieve shows it")


def _lifetime_ns(ttl_s: float | None) -> int | None:
    if ttl_s is None:
        return None
    # Written so that NaN is refused too.
    if not 0 < ttl_s <= TTL_LIMIT_S:
        raise InvalidInput(f"ttl is {ttl_s} s; it must be above 0 and at most {TTL_LIMIT_S:.0f} (ten years)")
    return max(1, round(ttl_s * NS_PER_S))


def _dump(value: Any) -> tuple[str, int]:
    """`value`, through which `_leaves` has walked, as JSON text; and its size in bytes of UTF-8."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    size_bytes = len(_encoded("value", text))
    if size_bytes > VALUE_LIMIT_BYTES:
        raise InvalidInput(
            f"value has {size_bytes} bytes as JSON; the limit is {VALUE_LIMIT_BYTES}: store it in parts, or in a file"
        )
    return text, size_bytes


def _searchable(value: Any) -> str:
    """What full text search reads of `value`: its keys and leaves, without JSON's syntax."""
    return " ".join(_leaves(value)).replace("\0", " ")


def _leaves(value: Any) -> Iterator[str]:
    """Every key and leaf of `value` in order, walked without recursion.

    Raises:
        InvalidInput: it is not JSON, or nested deeper than `DEPTH_LIMIT`.
    """
    open_containers: list[Iterator[Any]] = [iter((value,))]
    while open_containers:
        # The value itself is held by an iterator that is no level of its own.
        if len(open_containers) - 1 > DEPTH_LIMIT:
            raise InvalidInput(f"value is nested deeper than {DEPTH_LIMIT} levels; flatten it, or store it as text")
        for item in open_containers[-1]:
            if isinstance(item, dict | list | tuple):
                open_containers.append(_inside(item))
                break
            yield _leaf(item)
        else:
            open_containers.pop()


def _inside(container: dict[Any, Any] | Sequence[Any]) -> Iterator[Any]:
    if not isinstance(container, dict):
        return iter(container)
    for key in container:
        if not isinstance(key, str):
            raise InvalidInput(f"value has the key {key!r}, and JSON's keys are texts; make it one")
    return itertools.chain.from_iterable(container.items())


def _leaf(item: object) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, float) and not math.isfinite(item):
        raise InvalidInput(f"value holds {item}, which JSON has no form for; use null or a text")
    if item is None or isinstance(item, bool | int | float):
        return _number(item)
    raise InvalidInput(f"value holds a {type(item).__name__}, which JSON has no form for; use a text")


def _number(item: float | None) -> str:
    try:
        return json.dumps(item)
    except ValueError:
        raise InvalidInput("value holds a number with too many digits; store it as text") from None
