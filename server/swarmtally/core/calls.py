"""The attempts under way in this process: a task each, cancelled singly, and never left behind.

An anyio task group does the same and more for each of its tasks (a handle, an event, a scope of its own), which is most
of what starting a task of no length costs here.
"""

import asyncio
from collections.abc import Callable, Coroutine

import anyio


class Calls:
    """`on_end` is told of each that ended, with the error where it should not have."""

    def __init__(self, on_end: Callable[[BaseException | None], None]) -> None:
        self._on_end = on_end
        self._scopes: dict[asyncio.Task[None], anyio.CancelScope] = {}

    def start(self, work: Coroutine[None, None, None]) -> anyio.CancelScope:
        """Begin `work` soon; what is returned cancels it, also before it has begun."""
        scope = anyio.CancelScope()
        task = asyncio.create_task(_within(scope, work))
        self._scopes[task] = scope
        task.add_done_callback(self._ended)
        return scope

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._scopes[task]
        self._on_end(None if task.cancelled() else task.exception())

    async def aclose(self) -> None:
        """Cancel all that are under way and wait for their ends."""
        with anyio.CancelScope(shield=True):
            while self._scopes:
                for scope in self._scopes.values():
                    scope.cancel()
                await asyncio.wait(list(self._scopes))


async def _within(scope: anyio.CancelScope, work: Coroutine[None, None, None]) -> None:
    with scope:
        await work
