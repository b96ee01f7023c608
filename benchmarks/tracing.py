"""What traces cost: processor time of the seam that a task passes while nobody asks for any, as a share of the whole
task; limit 1 %. Beside it the same tasks with a provider that keeps every span in memory."""

import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import anyio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks import durable_tasks
from swarmtally.core.ports import BackendInfo
from swarmtally.core.tracing import UNTRACED, Tracing
from swarmtally.domain.budget import UNLIMITED
from swarmtally.domain.usage import TokenUsage
from swarmtally.spans import Spans

LIMIT = 0.01

AGENTS = 100


def run(smoke: bool) -> list[str]:
    tasks, rounds = (400, 1) if smoke else (4_000, 5)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    took: dict[str, list[float]] = {"nobody asks": [], "spans kept": []}
    for _ in range(rounds):
        for name, tracing in (("nobody asks", UNTRACED), ("spans kept", Spans(provider))):
            took[name].append(_task_s(tasks, tracing))
    provider.shutdown()
    off, on = (min(seconds) for seconds in took.values())
    seam = min(_seam_s(20_000) for _ in range(rounds))
    share = seam / off
    line = (
        f"{AGENTS} agents, {tasks} tasks: {off * 1e6:.0f} µs of processor time a task while nobody asks, of which the"
        f" seam takes {seam * 1e6:.2f} µs ({share:.2%}; {'within' if share <= LIMIT else 'ABOVE'} {LIMIT:.0%});"
        f" {on * 1e6:.0f} µs with every span kept ({on / off:.2f} times)"
    )
    return [line]


def _task_s(tasks: int, tracing: Tracing) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "swarm.db")
        before = time.process_time()
        anyio.run(durable_tasks.through, path, tasks, AGENTS, UNLIMITED, tracing)
        return (time.process_time() - before) / tasks


def _seam_s(times: int) -> float:
    """What one task passes of it: an attempt and a call."""
    shop, info, usage = UNTRACED, BackendInfo("null", "null", None, 1, True, "latency", 1, 1), TokenUsage()
    made: AbstractContextManager[object] = nullcontext()
    before = time.process_time()
    for _ in range(times):
        with shop.attempt(UNTRACED, info) as attempt:  # type: ignore[arg-type] # nobody looks at it
            with shop.call(info) as call, made:
                call.answered(usage, False, None)
            attempt.came(None)  # type: ignore[arg-type] # nor at this
    passed = time.process_time() - before
    before = time.process_time()
    for _ in range(times):
        with made:
            pass
    return (passed - (time.process_time() - before)) / times
