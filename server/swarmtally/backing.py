"""Who does the work of one process: which backend that is and why, and those it has opened."""

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from swarmtally.domain.errors import NoBackend
from swarmtally.domain.run import HOST, SAMPLING, BackendChoice
from swarmtally.settings import Settings

if TYPE_CHECKING:
    from swarmtally.core.ports import Backend
    from swarmtally.domain.health import Finding


class Backing:
    """Chooses and opens backends. Their libraries are imported with the first call that needs one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[BackendChoice, Backend] = {}
        self._opening = anyio.Lock()

    def after_cancel(self, choice: BackendChoice) -> str:
        """How long the slots of a backend stay busy when its calls are cancelled."""
        from swarmtally.backends.choice import after_cancel

        return after_cancel(choice)

    def choose(self, model: str | None) -> BackendChoice:
        """Which backend does the work, and why; `model` when a call or a swarm names one. Reads the file system.

        Raises:
            NoBackend, ModelMissing, InvalidInput: nothing can do it; the text names the remedy.
        """
        from swarmtally.backends.choice import choose
        from swarmtally.backends.own import choose_own

        settings = self._settings
        own = choose_own(settings.backends, model or settings.model)
        if own is not None:
            return own
        return choose(
            settings.front,
            model=model or settings.model,
            # The process's own server is not where a call goes that names the client itself.
            base_url=None if model in (HOST, SAMPLING) else settings.base_url,
            max_output_tokens=settings.max_output_tokens,
            max_parallel=settings.max_parallel,
            environ=settings.environ,
            data_dir=settings.data_dir,
        )

    async def open(self, choice: BackendChoice) -> "Backend":
        """The opened backend of a choice; runs with the same choice share it."""
        from swarmtally.backends.choice import open_backend
        from swarmtally.backends.own import OWN, find_own

        if choice.name == OWN:
            return find_own(self._settings.backends, choice)
        async with self._opening:
            if choice not in self._opened:
                self._opened[choice] = await open_backend(
                    choice, environ=self._settings.environ, data_dir=self._settings.data_dir
                )
            return self._opened[choice]

    async def reach(self) -> "Finding":
        """Whether the backend that this process would use is there; no call that costs tokens is made.

        Raises:
            SwarmError: it cannot be used at all.
        """
        from swarmtally.backends.reach import reach
        from swarmtally.domain.health import Finding, Status

        try:
            choice = await anyio.to_thread.run_sync(self.choose, None)
        except NoBackend as error:
            # Memory and swarms work without one.
            return Finding.of(error, Status.DEGRADED)
        return await reach(choice, environ=self._settings.environ, data_dir=self._settings.data_dir)

    async def check(self, choice: BackendChoice) -> None:
        """Open a provider's model, which takes no call; the embedded one, whose file is there, is not loaded for this.

        Raises:
            SwarmError: it cannot be opened: its provider is unknown, its SDK or its key is missing.
        """
        if choice.name == "model":
            await self.open(choice)

    async def close(self) -> None:
        """Close all that were opened."""
        for backend in self._opened.values():
            await backend.aclose()
        self._opened.clear()
