"""Change notices: clients are told when a resource they subscribed to, or the list of resources, has changed.

Clients of the protocol before 2026-07-28 name one address at a time and get notices on their connection; a client that
has asked for the list is told when it changed. Clients of 2026-07-28 open streams that say what they carry. For both
the database is the only source, for what changes is as often written by another process: while somebody is subscribed,
`Database.changes` is polled, and when anything was written the version of each watched thing is compared. A notice
says that something changed, not what: the client reads again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ServerEvent
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionFilter,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from swarmtally.app import App
from swarmtally.core.published import TheList, Watched
from swarmtally.domain.addresses import FORMS, address_of
from swarmtally.domain.errors import SwarmError
from swarmtally.mcp.calling import Context, OpenApp
from swarmtally.mcp.resources import RESOURCE_NOT_FOUND

log = structlog.get_logger(__name__)

POLL_S = 0.1
"""How often the database is asked whether anybody has written, while somebody is subscribed."""

APART_S = 0.5
"""The least time between two notices of one resource: what happens meanwhile is told with the second."""

SHARE = 0.1
"""The most of the time that comparing may take; with very many subscriptions notices are further apart."""

AT_LATEST_S = 5.0
"""How often versions are compared though nobody has written: entries expire, and leases run out, by themselves."""

AGAIN_S = 5.0
"""How long after the database could not be read it is tried again."""

URIS_LIMIT = 100
"""The most addresses one client, or one stream of a client of 2026-07-28, is subscribed to."""

STREAMS_LIMIT = 1_024
"""The most open streams."""

WATCHED_LIMIT = 2_000
"""The most different addresses that are watched for all clients."""

_LIST = ""
"""What stands for the list where addresses stand: no address is empty."""


class Subscriptions:
    """Those of one server: of a process over stdio or streamable HTTP, of one connection over SSE."""

    def __init__(self, open_app: OpenApp, group: TaskGroup) -> None:
        self._open_app = open_app
        self._group = group
        self._bus = InMemorySubscriptionBus()
        self._streams = ListenHandler(self._bus, max_subscriptions=STREAMS_LIMIT)
        self._clients: dict[Connection, _Client] = {}
        self._wanted: Counter[str] = Counter()
        self._seen: dict[str, str | None] = {}
        self._someone = anyio.Event()

    async def subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        """Tell the client from now on when what it names changes; it may be something that is yet to come."""
        client, uri = self._client(ctx), params.uri
        if address_of(uri) is None:
            raise MCPError(
                RESOURCE_NOT_FOUND, f"no resource has that address; there are {', '.join(FORMS)}", {"uri": uri}
            )
        if uri not in client.wanted:
            _check_number(len(client.wanted - {_LIST}) + 1)
            self._want([uri])
            client.wanted.add(uri)
            await self._note([uri])
        return EmptyResult()

    async def unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell it no more; nothing happens where it was not subscribed."""
        client = self._clients.get(_connection(ctx))
        if client is not None and params.uri in client.wanted:
            client.wanted.discard(params.uri)
            self._forget([params.uri])
        return EmptyResult()

    async def heed_list(self, ctx: Context) -> None:
        """The client has been given the list: of the older protocol it is told from now on when that changes."""
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return
        client = self._client(ctx)
        if _LIST not in client.wanted:
            self._want([_LIST])
            client.wanted.add(_LIST)
            await self._note([_LIST])

    async def listen(self, ctx: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """A stream of the notices asked for, until its client goes or the server ends. What can never change (tools,
        prompts) and addresses of no resource are left out of what the client is told it gets."""
        asked = params.notifications
        uris = list(dict.fromkeys(uri for uri in asked.resource_subscriptions or () if address_of(uri) is not None))
        _check_number(len(uris))
        honoured = SubscriptionFilter(
            resources_list_changed=asked.resources_list_changed, resource_subscriptions=uris or None
        )
        wanted = [*uris, *([_LIST] if asked.resources_list_changed else [])]
        self._want(wanted)
        try:
            await self._note(wanted)
            return await self._streams(ctx, params.model_copy(update={"notifications": honoured}))
        finally:
            self._forget(wanted)

    def close(self) -> None:
        """End every stream in order: its client is told that it was the server's wish."""
        self._streams.close()

    async def watch(self) -> None:
        """Compare while somebody is subscribed, and tell; until cancelled."""
        while True:
            await self._someone.wait()
            try:
                await self._watch()
            except SwarmError as error:
                log.warning("subscriptions.unwatched", error=str(error))
                await anyio.sleep(AGAIN_S)
            except Exception:
                # The app may have been closed under it; notices must not end the server.
                log.exception("subscriptions.failed")
                await anyio.sleep(AGAIN_S)

    async def _watch(self) -> None:
        seen, compared_at = None, 0.0
        while self._wanted:
            # Asked each time: when the database failed it is another one now.
            app = await self._open_app()
            now = await app.database.changes()
            if now == seen and anyio.current_time() - compared_at < AT_LATEST_S:
                await anyio.sleep(POLL_S)
                continue
            seen, began = now, anyio.current_time()
            told = await self._compare(app)
            compared_at = anyio.current_time()
            await anyio.sleep(max(APART_S if told else POLL_S, (compared_at - began) / SHARE))

    async def _compare(self, app: App) -> bool:
        """Tell of what changed since the last time, each once; returns whether anything did."""
        told = False
        now = await _versions(app, self._wanted)
        for uri, version in now.items():
            # Its last subscriber may have left meanwhile.
            if uri not in self._wanted:
                continue
            changed = uri in self._seen and self._seen[uri] != version
            self._seen[uri] = version
            if changed:
                told = True
                await self._bus.publish(ResourcesListChanged() if uri == _LIST else ResourceUpdated(uri))
        return told

    async def _note(self, uris: Iterable[str]) -> None:
        """Remember how things are before the client is told that it is subscribed: it hears of all later changes."""
        new = [uri for uri in uris if uri not in self._seen]
        if not new:
            return
        try:
            now = await _versions(await self._open_app(), new)
        except SwarmError as error:
            # The first comparison that succeeds takes its place.
            log.warning("subscriptions.unwatched", error=str(error))
            return
        for uri, version in now.items():
            if uri in self._wanted:
                self._seen.setdefault(uri, version)

    def _want(self, uris: list[str]) -> None:
        if len(self._wanted) + sum(uri not in self._wanted for uri in uris) > WATCHED_LIMIT:
            raise MCPError(
                INVALID_REQUEST,
                f"the server watches {WATCHED_LIMIT} resources for its clients and takes no more; ask again later",
            )
        self._wanted.update(uris)
        if self._wanted:
            self._someone.set()

    def _forget(self, uris: Iterable[str]) -> None:
        self._wanted.subtract(uris)
        for uri in [uri for uri, number in self._wanted.items() if number <= 0]:
            del self._wanted[uri]
            self._seen.pop(uri, None)
        if not self._wanted and self._someone.is_set():
            self._someone = anyio.Event()

    def _client(self, ctx: Context) -> "_Client":
        """The connection's notices, which end with it."""
        connection = _connection(ctx)
        client = self._clients.get(connection)
        if client is None:
            client = self._clients[connection] = _Client(ctx.session, self._group)
            connection.exit_stack.callback(self._leave, connection, self._bus.subscribe(client.deliver))
        return client

    def _leave(self, connection: Connection, unsubscribe: Any) -> None:
        unsubscribe()
        self._forget(self._clients.pop(connection).wanted)


class _Client:
    """A client of the older protocol, and what it is to be told of. One that does not read keeps nobody waiting: what
    it was not told yet is kept once."""

    def __init__(self, session: ServerSession, group: TaskGroup) -> None:
        self.wanted: set[str] = set()
        self._session = session
        self._group = group
        self._untold: dict[ServerEvent, None] = {}
        self._telling = False

    def deliver(self, event: ServerEvent) -> None:
        """Have it told, where it wants that."""
        if (event.uri if isinstance(event, ResourceUpdated) else _LIST) not in self.wanted:
            return
        self._untold[event] = None
        if not self._telling:
            self._telling = True
            self._group.start_soon(self._tell)

    async def _tell(self) -> None:
        try:
            while self._untold:
                event = next(iter(self._untold))
                del self._untold[event]
                if isinstance(event, ResourceUpdated):
                    await self._session.send_resource_updated(event.uri)
                else:
                    await self._session.send_resource_list_changed()
        except (MCPError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            # It has gone.
            log.debug("notice.unsent", error=type(error).__name__)
        finally:
            self._telling = False


class Subscribing:
    """Gives each server its subscriptions, as what the SDK calls its lifespan, and can end them all."""

    def __init__(self, open_app: OpenApp) -> None:
        self._open_app = open_app
        self._open: set[Subscriptions] = set()

    def lifespan(self, _server: Server[Any]) -> AbstractAsyncContextManager[Subscriptions]:
        """The subscriptions of one server, while it runs."""
        return self._subscriptions()

    @asynccontextmanager
    async def _subscriptions(self) -> AsyncIterator[Subscriptions]:
        async with anyio.create_task_group() as group:
            subscriptions = Subscriptions(self._open_app, group)
            group.start_soon(subscriptions.watch)
            self._open.add(subscriptions)
            try:
                yield subscriptions
            finally:
                self._open.discard(subscriptions)
                group.cancel_scope.cancel()

    def close(self) -> None:
        """End the streams of all in order."""
        for subscriptions in self._open:
            subscriptions.close()


async def _versions(app: App, uris: Iterable[str]) -> dict[str, str | None]:
    """How things are: a text for each, None where there is nothing."""
    watched: dict[str, Watched] = {}
    for uri in uris:
        address = TheList() if uri == _LIST else address_of(uri)
        if address is not None:
            watched[uri] = address
    found = await app.published().versions(set(watched.values()))
    return {uri: found.get(each) for uri, each in watched.items()}


def _check_number(wanted: int) -> None:
    if wanted > URIS_LIMIT:
        raise MCPError(
            INVALID_PARAMS, f"a client is subscribed to at most {URIS_LIMIT} resources; unsubscribe from some first"
        )


def _connection(ctx: Context) -> Connection:
    # The SDK gives handlers a session per request; only its connection lasts, and knows when its client goes.
    return ctx.session._connection  # noqa: SLF001 - there is no public way to it
