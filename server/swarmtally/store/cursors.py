"""Where the next page of a search of memory begins, as the text that a caller passes on."""

import base64
import binascii
import itertools
import json
import zlib
from dataclasses import dataclass

from swarmtally.domain.errors import InvalidInput

_UNPACKED_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """How far the pages have come: what the first page saw, and either the last key or the entries already shown."""

    snapshot: int
    total: int | None
    after: tuple[str, str] = ("", "")
    shown: tuple[int, ...] = ()


def encode(place: Place, digest: str) -> str:
    """The cursor of a place in the search that `digest` names: at most `domain.memory.CURSOR_LIMIT` characters."""
    shown = sorted(place.shown)
    steps = [later - earlier for earlier, later in itertools.pairwise([0, *shown])]
    text = json.dumps([digest, place.snapshot, place.total, *place.after, steps], separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def decode(cursor: str, digest: str) -> Place:
    """The place a cursor names.

    Raises:
        InvalidInput: it is none of this search's.
    """
    refused = InvalidInput(
        "cursor belongs to no page of this search; pass next_cursor as it was given, or leave it out"
    )
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        given, snapshot, total, key, namespace, steps = json.loads(
            zlib.decompressobj().decompress(packed, _UNPACKED_LIMIT)
        )
        numbers = [snapshot, *([] if total is None else [total]), *steps]
        f"{key}{namespace}".encode()
    except (binascii.Error, zlib.error, ValueError, TypeError, RecursionError):
        raise refused from None
    known = isinstance(key, str) and isinstance(namespace, str) and all(type(number) is int for number in numbers)
    if not known or given != digest or not all(0 <= number < 2**62 for number in numbers):
        raise refused
    return Place(snapshot, total, (key, namespace), tuple(itertools.accumulate(steps)))
