"""The app behind the server: opened while the client shakes hands, and opened again when that failed.

A server that exits because its database is damaged or read-only leaves a client with "server disconnected". This one
stays, and each call answers with the one line that names the remedy, until the database can be opened.
"""

from dataclasses import dataclass, field

import anyio
import structlog

from swarmtally.app import App, open_app
from swarmtally.domain.errors import SwarmError
from swarmtally.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Attempt:
    settled: anyio.Event = field(default_factory=anyio.Event)
    app: App | None = None
    failure: Exception | None = None


class Opening:
    """Holds the app. `run` is its task; `app` is what calls wait for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._attempt = _Attempt()
        self._again = anyio.Event()
        self._leave = anyio.Event()

    async def app(self) -> App:
        """The opened app; when it could not be opened before, that is tried once more.

        Raises:
            StoreError: it cannot be opened.
        """
        if self._attempt.failure is not None:
            self._attempt = _Attempt()
            self._again.set()
        attempt = self._attempt
        if not attempt.settled.is_set():
            await attempt.settled.wait()
        if attempt.app is None:
            assert attempt.failure is not None
            raise attempt.failure
        return attempt.app

    async def run(self) -> None:
        """Open the app and keep it open until `close`."""
        while not self._leave.is_set():
            self._again = anyio.Event()
            attempt = self._attempt
            try:
                async with open_app(self._settings) as app:
                    attempt.app = app
                    attempt.settled.set()
                    await self._leave.wait()
            except SwarmError as error:
                log.error("app.unavailable", error=str(error))
                attempt.failure = error
            except Exception as error:
                # A task of the app's own died. What it held can be resumed; the next call gets a new app.
                log.exception("app.died")
                attempt.failure = error
            attempt.app = None
            attempt.settled.set()
            await self._again.wait()

    def close(self) -> None:
        """Let go of the app: its runs under way show as interrupted."""
        self._leave.set()
        self._again.set()
