"""Whether the server can do its work, for whoever starts, restarts and feeds it: GET /healthz.

It needs no token, so it tells nothing but that: no path, no name, no figure.
"""

import time
from collections.abc import Callable

import anyio
import anyio.to_thread
import structlog

from swarmtally.domain.errors import SwarmError
from swarmtally.mcp.calling import OpenApp
from swarmtally.store.migrations import version

log = structlog.get_logger(__name__)

PATH = "/healthz"

FRESH_S = 1.0
"""How long what was found is told again, so that asking often costs nothing."""

ANSWER_S = 2.0
"""How long the database may take to answer."""


class Healthz:
    """Looks whether the database answers; whoever asks meanwhile shares the look.

    Args:
        open_app: gives the app; when it could not be opened before, asking tries again.
        monotonic_s: the clock.
    """

    def __init__(self, open_app: OpenApp, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._open_app = open_app
        self._now_s = monotonic_s
        self._looking = anyio.Lock()
        self._looked_s: float | None = None
        self._trouble: str | None = None

    async def trouble(self) -> str | None:
        """Why no call can be done now; None when they can."""
        async with self._looking:
            if self._looked_s is None or self._now_s() - self._looked_s >= FRESH_S:
                self._trouble = await self._look()
                self._looked_s = self._now_s()
            return self._trouble

    async def _look(self) -> str | None:
        try:
            with anyio.fail_after(ANSWER_S):
                app = await self._open_app()
                await app.database.read(version)
                if await anyio.to_thread.run_sync(app.database.moved):
                    return "the database's file is gone or another; restart the server"
        except TimeoutError:
            return f"the database did not answer within {ANSWER_S:g} s"
        except SwarmError as error:
            # Its text names the file.
            return f"the database cannot be used ({type(error).__name__}); the server's log says more"
        except Exception:
            log.exception("healthz.failed")
            return "internal error; the server's log says more"
        return None
