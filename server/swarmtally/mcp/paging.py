"""Pages of a list, and the cursors between them.

A cursor names its list by a digest of everything that is in it. One that another list gave, or this one before it
changed, is refused: a client that went on with it would miss entries, or have some twice.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, PaginatedRequestParams

PAGE = 100
"""The most entries of one page."""

Entry = TypeVar("Entry")


def page(
    method: str, entries: Sequence[Entry], name: Callable[[Entry], str], params: PaginatedRequestParams | None
) -> tuple[list[Entry], str | None]:
    """The page of `entries` that a request asks for, and the cursor of the next; None after the last.

    Args:
        method: what was called, such as `tools/list`.
        name: tells an entry from the others.

    Raises:
        MCPError: the cursor is none that this list gave.
    """
    cursor = params.cursor if params is not None else None
    digest = hashlib.sha256(json.dumps([method, *map(name, entries)]).encode()).hexdigest()[:16]
    begin = _place(cursor, digest) if cursor is not None else 0
    if cursor is not None and begin not in range(PAGE, len(entries), PAGE):
        raise MCPError(INVALID_PARAMS, f"{method} gave no such cursor, or has changed since; begin without one")
    following = begin + PAGE
    return list(entries[begin:following]), _cursor(following, digest) if following < len(entries) else None


def _cursor(begin: int, digest: str) -> str:
    return base64.urlsafe_b64encode(f"{digest}:{begin}".encode()).decode()


def _place(cursor: str, digest: str) -> int:
    """Where the page begins that `cursor` names; -1 when it is no cursor of the list with that digest."""
    try:
        given, _, begin = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return -1
    return int(begin) if given == digest and begin.isascii() and begin.isdigit() and len(begin) < 10 else -1
