"""A backend whose machine is short of memory, without bringing a machine down: it stands still, and says so where the
kernel would."""

import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from swarmtally import BackendInfo, Prompt, Reply, TokenUsage


@dataclass(frozen=True)
class Squeezed:
    """Works on one call at a time. Short of memory it stands still after each piece for as long as that took."""

    pieces: int
    """What the work of a call is made of."""
    piece_s: float
    pressure: Path
    """A file of the form of `/proc/pressure/memory`, which tells how long it has stood still."""
    short: bool

    info = BackendInfo("squeezed", "squeezed-1", None, 1, False, "compute", 10_000, 100)

    def __post_init__(self) -> None:
        self._tell(0)

    async def execute(self, prompt: Prompt) -> Reply:
        for _ in range(self.pieces):
            await anyio.sleep(self.piece_s)
            if self.short:
                since_ns = time.monotonic_ns()
                await anyio.sleep(self.piece_s)
                self._tell(self._told() + (time.monotonic_ns() - since_ns) // 1_000)
        return Reply("Done.", TokenUsage(reason="no model was asked"))

    async def aclose(self) -> None:
        """Nothing is held."""

    def _told(self) -> int:
        return int(self.pressure.read_text("ascii").splitlines()[0].rpartition("total=")[2])

    def _tell(self, stood_us: int) -> None:
        written = self.pressure.with_suffix(".new")
        averages = "avg10=0.00 avg60=0.00 avg300=0.00"
        written.write_text(f"some {averages} total={stood_us}\nfull {averages} total=0\n", "ascii")
        # As a whole: whoever reads meanwhile finds the old figures or the new ones.
        written.replace(self.pressure)
