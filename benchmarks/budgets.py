"""What a budget costs: tasks that do nothing through the whole path, in a run with a budget beside one without."""

import tempfile
from pathlib import Path

import anyio

from benchmarks.durable_tasks import through
from swarmtally.domain.budget import UNLIMITED, Budget


def run(smoke: bool) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for tasks in (100, 200) if smoke else (1_000, 10_000):
            taken = []
            for name, budget in (("without", UNLIMITED), ("with", Budget(10**12))):
                taken.append(anyio.run(through, Path(folder, f"{name}{tasks}.db"), tasks, 100, budget))
            without, held = taken
            lines.append(
                f"{tasks:6} tasks, 100 agents: {1 / without:6.0f} tasks/s without a budget, {1 / held:6.0f} with one;"
                f" ratio {held / without:5.2f}"
            )
    return lines
