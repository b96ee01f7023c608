"""Handles as their callers see them: made, found, renewed, ended, from any process on the database."""

import secrets

import anyio.to_thread

from swarmtally.core import owner
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import NotFound
from swarmtally.domain.handle import KEPT_NS, Handle, HandleStatus
from swarmtally.domain.run import LEASE_NS
from swarmtally.store import handles
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database

_ID_BYTES = 24
"""192 bits: knowing the name is all that is asked of who wants to see or cancel a call."""


class Handles:
    """The handles of one project, as `this_process` makes them."""

    def __init__(self, database: Database, clock: Clock, project: str, this_process: str) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._this_process = this_process

    async def make(self, tool: str, message: str, run_id: str | None = None, notes: str = "") -> Handle:
        """A handle that goes on; it is in the database when this returns. Those kept no longer are deleted first."""
        now_ns = self._clock.now_ns()
        made = Handle(
            handle_id=secrets.token_urlsafe(_ID_BYTES),
            project=self._project,
            tool=tool,
            run_id=run_id,
            notes=notes,
            owner=self._this_process,
            lease_expires_ns=now_ns + LEASE_NS,
            status=HandleStatus.WORKING,
            message=message,
            result=None,
            created_ns=now_ns,
            updated_ns=now_ns,
            expires_ns=now_ns + KEPT_NS,
        )

        async def unit(tx: Connection) -> None:
            await handles.delete_expired(tx, now_ns)
            await handles.insert(tx, made)

        await self._database.write(unit)
        return made

    async def find(self, handle_id: str) -> Handle:
        """
        Raises:
            NotFound: the project has none of that name, or it is kept no longer.
        """
        now_ns = self._clock.now_ns()
        found = await self._database.read(lambda tx: handles.get(tx, self._project, handle_id, now_ns))
        if found is None:
            raise NotFound(
                "no such task: it is kept no longer, or belongs to another project; its run, if any, is not "
                "gone: list runs with run_status"
            )
        return found

    async def renew(self, handle_id: str, message: str) -> bool:
        """Note that a call goes on and how far it is; False when it is to go on no longer."""
        now_ns = self._clock.now_ns()
        return await self._database.write(lambda tx: handles.renew(tx, handle_id, message, now_ns + LEASE_NS, now_ns))

    async def settle(self, handle: Handle, status: HandleStatus, message: str, result: str | None = None) -> Handle:
        """End it, unless it has ended: then it stays as it is. Returns how it ended.

        Raises:
            NotFound: it is there no more.
        """
        now_ns = self._clock.now_ns()
        await self._database.write(lambda tx: handles.settle(tx, handle.handle_id, status, message, result, now_ns))
        return await self.find(handle.handle_id)

    async def abandoned(self, handle: Handle) -> bool:
        """Whether nobody works on it any more: its process is gone, or has not renewed its lease."""
        if handle.lease_expires_ns <= self._clock.now_ns():
            return True
        return await anyio.to_thread.run_sync(owner.is_dead, handle.owner)

    async def last_change_ns(self, run_id: str) -> int | None:
        """When something last happened to a run."""
        return await self._database.read(lambda tx: handles.last_change_ns(tx, run_id))
