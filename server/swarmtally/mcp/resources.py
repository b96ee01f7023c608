"""Resources: what a project holds, under addresses that clients list, attach and read.

What a resource holds is what the tool of the same matter returns, or the text itself; nothing is worked out here.

**Bounds.** A page of the list has at most `PAGE` resources. What is read has at most `READ_LIMIT_BYTES`; only a
deliverable can be larger, and is then read file by file, or retrieved with memory_usage.

**Errors.** An address that names nothing: -32602 with the address in `data` since 2026-07-28, -32002 before. A cursor
that is none of ours: -32602.
"""

import base64
import binascii
import json
import secrets
import time
from typing import Any
from zlib import crc32

import anyio.to_thread
import structlog
from mcp.server.caching import CacheHint
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    Annotations,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)
from mcp_types.methods import CacheableMethod
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from swarmtally.app import App
from swarmtally.core.published import Listed, Place
from swarmtally.domain.addresses import (
    CURRENT_URI,
    DELIVERABLE_TEMPLATE,
    FORMS,
    MEMORY_TEMPLATE,
    REPORT_URI,
    RUN_TEMPLATE,
    TIMELINE_TEMPLATE,
    Address,
    CurrentSwarm,
    DeliverableAddress,
    MemoryAddress,
    PerformanceReport,
    RunAddress,
    TimelineAddress,
    address_of,
    uri_of,
)
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import InvalidInput, NoSwarm, NotFound, SwarmError
from swarmtally.domain.memory import VALUE_LIMIT_BYTES
from swarmtally.mcp.calling import Context, OpenApp
from swarmtally.store.published import ListedRun
from swarmtally_tools import registry

log = structlog.get_logger(__name__)

PAGE = 100
"""The most resources on a page of the list."""

READ_LIMIT_BYTES = VALUE_LIMIT_BYTES
"""The largest text that is read, in UTF-8: that of a memory value, 1 MiB."""

RESOURCE_NOT_FOUND = -32002
"""What the protocol's versions before 2026-07-28 say of an address that names nothing."""

CACHE_HINTS: dict[CacheableMethod, CacheHint] = {
    "resources/list": CacheHint(1_000, "private"),
    "resources/templates/list": CacheHint(3_600_000, "private"),
    "resources/read": CacheHint(1_000, "private"),
}
"""How long a client may keep an answer, in ms; the templates are the program's own and change with it."""

JSON = "application/json"
_PLAIN = "text/plain"
_MARKDOWN = "text/markdown"


class Resources:
    """Answers the requests about resources."""

    def __init__(self, open_app: OpenApp) -> None:
        self._open_app = open_app

    async def list(self, _ctx: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """A page of what there is: the current swarm, the report, and runs with what they delivered, newest first."""
        cursor = params.cursor if params is not None else None
        after = None if cursor is None else _place(cursor)
        try:
            app = await self._open_app()
            page = await app.published().page(after, PAGE)
        except SwarmError as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from error
        found = [_listed(item) for item in page.items]
        if after is None:
            found = [*([_CURRENT] if page.current_swarm else []), _REPORT, *found]
        following = None if page.following is None else _cursor(page.following)
        return ListResourcesResult(resources=found, next_cursor=following)

    async def templates(self, _ctx: Context, params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        """The forms of all other addresses, on one page."""
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "unknown cursor: resources/templates/list has one page and gives none")
        return ListResourceTemplatesResult(resource_templates=list(_TEMPLATES))

    async def read(self, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """What an address names, and one line of log for it."""
        started = time.perf_counter()
        outcome, address = "cancelled", address_of(params.uri)
        try:
            if address is None:
                raise NotFound(f"no resource has that address; there are {', '.join(FORMS)}")
            text, kind = await _content(await self._open_app(), address)
            outcome = "ok"
        except SwarmError as error:
            outcome = type(error).__name__
            raise _refusal(ctx, params.uri, error) from error
        except Exception as error:
            outcome, error_id = type(error).__name__, secrets.token_hex(4)
            log.exception("resource.failed", id=error_id)
            raise MCPError(INTERNAL_ERROR, f"internal error, id {error_id}; see the server's log") from error
        finally:
            # Nothing of the address is logged but its kind: what a caller wrote may be anything.
            log.info(
                "resource.read",
                kind=type(address).__name__ if address else None,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                outcome=outcome,
            )
        return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, mime_type=kind, text=text)])


async def _content(app: App, address: Address) -> tuple[str, str]:
    """What an address names: its text and its type.

    Raises:
        SwarmError: there is nothing, or it is too large.
    """
    match address:
        case CurrentSwarm():
            return await _view(app, "swarm_monitor"), JSON
        case PerformanceReport():
            return await _view(app, "performance_report"), JSON
        case RunAddress(run_id):
            return await _view(app, "run_status", run_id=run_id), JSON
        case TimelineAddress(run_id):
            # Imported in a thread, as the tools are: it takes a while, and others wait for the event loop.
            views = await anyio.to_thread.run_sync(_timeline_views)
            return (await views.run_timeline(app, run_id)).model_dump_json(), JSON
        case DeliverableAddress(run_id, path):
            return await _deliverable(app, run_id, path)
        case MemoryAddress(namespace, key):
            entry = await app.memory.retrieve(app.settings.project, namespace, key)
            if isinstance(entry.value, str):
                return entry.value, _PLAIN
            return json.dumps(entry.value, ensure_ascii=False, allow_nan=False, separators=(",", ":")), JSON


async def _view(app: App, tool: str, **arguments: Any) -> str:
    """What a tool returns, as JSON."""
    loaded = await anyio.to_thread.run_sync(registry.load, tool)
    return (await loaded.call(app, arguments)).model_dump_json()


def _timeline_views() -> Any:
    from swarmtally_tools import timeline_views

    return timeline_views


async def _deliverable(app: App, run_id: str, path: str) -> tuple[str, str]:
    found = await app.published().deliverable(run_id, path)
    size = len(found.text.encode())
    if size > READ_LIMIT_BYTES:
        files = f"; read its files, such as {path}/{found.files[0]}" if found.files else ""
        raise InvalidInput(
            f"it has {size} bytes, and a resource at most {READ_LIMIT_BYTES}: retrieve {found.memory_key} with "
            f"memory_usage{files}"
        )
    return found.text, found.media_type


def _refusal(ctx: Context, uri: str, error: SwarmError) -> MCPError:
    # A name may hold bytes that are no UTF-8, and would come back as halves of surrogate pairs.
    line = str(error).encode(errors="replace").decode()
    if isinstance(error, NotFound | NoSwarm):
        modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        return MCPError(INVALID_PARAMS if modern else RESOURCE_NOT_FOUND, line, {"uri": uri})
    return MCPError(INVALID_PARAMS if isinstance(error, InvalidInput) else INTERNAL_ERROR, line)


_ALL = ["user", "assistant"]

_CURRENT = Resource(
    uri=CURRENT_URI,
    name="current",
    title="Current swarm",
    description="One sample of the current swarm at work: agents by state, queue, latencies, resources, runs.",
    mime_type=JSON,
    annotations=Annotations.model_validate({"audience": _ALL, "priority": 0.8}),
)

_REPORT = Resource(
    uri=REPORT_URI,
    name="performance",
    title="Performance report",
    description="How the project's work of the last 24 hours went, every figure counted from recorded rows.",
    mime_type=JSON,
    annotations=Annotations.model_validate({"audience": _ALL, "priority": 0.6}),
)

_TEMPLATES = (
    ResourceTemplate(
        uri_template=RUN_TEMPLATE,
        name="run",
        title="Run",
        description="A run as run_status shows it: progress, timeline, deliverables, token usage.",
        mime_type=JSON,
    ),
    ResourceTemplate(
        uri_template=TIMELINE_TEMPLATE,
        name="timeline",
        title="Timeline of a run",
        description="Its tasks and every attempt at them, with their recorded times.",
        mime_type=JSON,
    ),
    ResourceTemplate(
        uri_template=DELIVERABLE_TEMPLATE,
        name="artifact",
        title="Deliverable of a run",
        description="What a task delivered: name is the task's key, such as code_2, or PHASE/KEY; KEY/PATH is one of "
        "the files that came with it.",
    ),
    ResourceTemplate(
        uri_template=MEMORY_TEMPLATE,
        name="memory",
        title="Entry of shared memory",
        description="The value as it was stored: a text, or JSON.",
    ),
)


def _listed(item: Listed) -> Resource:
    if isinstance(item, ListedRun):
        return Resource(
            uri=uri_of(RunAddress(item.run_id)),
            name=item.run_id,
            title=f"{item.kind} {item.run_id}",
            description=" ".join(item.task.split()),
            mime_type=JSON,
            annotations=_modified(item.finished_ns or item.created_ns),
        )
    return Resource(
        uri=uri_of(DeliverableAddress(item.run_id, item.name)),
        name=f"{item.run_id}/{item.name}",
        title=f"{item.phase}: {item.name}",
        description=f"What task {item.name} of run {item.run_id} delivered.",
        mime_type=_MARKDOWN,
        size=item.size_bytes,
        annotations=_modified(item.created_ns),
    )


def _modified(ns: int) -> Annotations:
    return Annotations.model_validate({"audience": _ALL, "lastModified": iso(ns)})


def _cursor(place: Place) -> str:
    """The cursor of a place: opaque, and with a sum by which one that was made up or cut off is told."""
    text = json.dumps([place.created_ns, place.run_id, place.ordinal], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(crc32(text).to_bytes(4, "big") + text).decode().rstrip("=")


def _place(cursor: str) -> Place:
    refused = MCPError(INVALID_PARAMS, "cursor belongs to no page of this list; pass nextCursor as it was given")
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = Place(*json.loads(packed[4:]))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise refused from None
    if _cursor(place) != cursor:
        raise refused
    return place
