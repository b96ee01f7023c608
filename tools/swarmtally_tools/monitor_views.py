"""A sample of a swarm at work as swarm_monitor shows it."""

from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.resources import ResourceUse
from swarmtally.insight.monitor import Executor, Latency, RunProgress, Sample
from swarmtally_tools.definition import View

KINDS = ("task_assignment", "status_update", "data_transfer", "coordination", "error_handling")

RESOURCES = {
    "process.cpu_percent": "cpu_ns",
    "process.rss_bytes": "rss_bytes",
    "process.read_bytes_per_s": "read_bytes",
    "process.written_bytes_per_s": "written_bytes",
    "process.children": "children",
    "machine.network_sent_bytes_per_s": "net_sent_bytes",
    "machine.network_received_bytes_per_s": "net_received_bytes",
    "machine.memory_stall_percent": "memory_stall_ns",
}
"""Figure of a sample → what it is made from."""

RATES = (
    *("elapsed_s", "succeeded", "failed", "throughput_per_s"),
    *(figure for figure, name in RESOURCES.items() if name not in ("rss_bytes", "children")),
)
"""Figures that need a sample before."""

FIRST = "the first sample: there is none before it to compare with"


class AgentStates(View):
    idle: int
    """Without a task."""
    busy: int
    """On a task."""
    leaving: int
    """On their last task; not counted as busy."""


class QueueView(View):
    ready: int
    """Tasks that could start now: the queue's depth."""
    oldest_s: float | None
    """How long the oldest of them has been ready."""
    retrying: int
    """Waiting for their next attempt's time."""
    held: int
    """Ready, but their run is paused."""
    blocked: int
    """Waiting for other tasks."""
    running: int
    """Under way."""


class ProcessView(View):
    cpu_percent: float | None
    """Since the sample before; 100 is one processor."""
    rss_bytes: int | None
    """Resident memory; pages that processes share are counted for each."""
    read_bytes_per_s: float | None
    """From disks."""
    written_bytes_per_s: float | None
    """To disks."""
    children: int | None
    """Child processes, theirs too."""


class MachineView(View):
    network_sent_bytes_per_s: float | None
    """By everything on this machine."""
    network_received_bytes_per_s: float | None
    """By everything on this machine."""
    memory_stall_percent: float | None
    """Share of the time in which some task of the machine waited for memory (Linux)."""


class LatencyView(View):
    n: int
    """Messages measured."""
    p50: float | None
    """Milliseconds, sent to received; half took at most this."""
    p95: float | None
    """Milliseconds; 95 % took at most this."""


class TimeView(View):
    store: float
    """A statement ran or waited for a lock."""
    scheduling: float
    """The scheduler's turns, without their statements."""
    backends: float
    """Calls were under way, and none of the above went on."""
    rest: float
    """None of these."""
    lock_wait: float
    """Of store: waiting for other processes' locks."""


class ExecutorView(View):
    owner: str
    """host:pid:start."""
    covers_s: float
    """Time its rows cover; they come once a second."""
    cpu_percent: float | None
    """In that time, children included; 100 is one processor."""
    rss_bytes: int | None
    """Resident memory, children included."""
    calls: int
    """Backend calls under way."""
    lag_ms: float
    """The longest its event loop kept a due timer waiting."""
    time_share: TimeView
    """Where that time went; store, scheduling, backends and rest add up to 1."""


class SampleView(View):
    as_of: str
    """When this was read (UTC)."""
    elapsed_s: float | None
    """Since the sample before."""
    agents: AgentStates
    """The swarm's agents by state."""
    queue: QueueView
    """Tasks of its unfinished runs."""
    succeeded: int | None
    """Tasks that ended so since the sample before."""
    failed: int | None
    """Tasks that ended so since the sample before."""
    throughput_per_s: float | None
    """Those two together, a second."""
    process: ProcessView
    """This process (the server, or the shell command) and its children."""
    machine: MachineView
    """The whole machine since the sample before: systems do not count these by process."""
    latency_ms: dict[str, LatencyView]
    """By kind of message, of attempts that ended since the sample before (first sample: in the interval before it)."""
    executors: list[ExecutorView]
    """Processes that executed the project's runs meanwhile, as they recorded it; at most 5."""
    reasons: dict[str, str]
    """Why a figure is null, or why there are no executors."""


class RunProgressView(View):
    run_id: str
    """The run."""
    kind: str
    """run, batch, concurrent or pipeline."""
    status: str
    """As run_status shows it."""
    ended: int
    """Tasks that ended."""
    known: int
    """Tasks known so far."""


class MonitorView(View):
    swarm_id: str
    """The swarm."""
    project: str
    """What it belongs to."""
    database: str
    """The file that holds everything."""
    interval_s: float
    """As asked for."""
    duration_s: float
    """As asked for."""
    watched_s: float
    """From the first sample to the last."""
    remaining_s: float
    """What is left of duration."""
    next_step: str | None
    """How to go on when something is left."""
    samples: list[SampleView]
    """Oldest first; the newest 20."""
    samples_taken: int
    """All of them, also those not kept."""
    runs: list[RunProgressView]
    """Unfinished runs at the last sample, newest first, at most 10."""
    unfinished_runs: int
    """How many there are."""
    as_of: str
    """When the last sample was read (UTC)."""


def throughput_per_s(sample: Sample) -> float | None:
    """Tasks that ended a second since the sample before."""
    if sample.succeeded is None or sample.failed is None:
        return None
    return _per_s(sample.succeeded + sample.failed, sample.elapsed_ns)


def sample_view(sample: Sample) -> SampleView:
    """A sample, with the reason for each figure it does not have."""
    elapsed_ns = sample.elapsed_ns
    use = sample.process
    process = ProcessView(
        cpu_percent=_percent(use.cpu_ns, elapsed_ns),
        rss_bytes=use.rss_bytes,
        read_bytes_per_s=_per_s(use.read_bytes, elapsed_ns),
        written_bytes_per_s=_per_s(use.written_bytes, elapsed_ns),
        children=use.children,
    )
    machine = MachineView(
        network_sent_bytes_per_s=_per_s(use.net_sent_bytes, elapsed_ns),
        network_received_bytes_per_s=_per_s(use.net_received_bytes, elapsed_ns),
        memory_stall_percent=_percent(use.memory_stall_ns, elapsed_ns),
    )
    latency = {kind: _latency(sample.latencies.get(kind)) for kind in KINDS}
    return SampleView(
        as_of=iso(sample.as_of_ns),
        elapsed_s=_seconds(elapsed_ns),
        agents=AgentStates(idle=sample.agents.idle, busy=sample.agents.busy, leaving=sample.agents.leaving),
        queue=QueueView(
            ready=sample.queue.ready,
            oldest_s=_seconds(sample.queue.oldest_ns),
            retrying=sample.queue.retrying,
            held=sample.queue.held,
            blocked=sample.queue.blocked,
            running=sample.queue.running,
        ),
        succeeded=sample.succeeded,
        failed=sample.failed,
        throughput_per_s=throughput_per_s(sample),
        process=process,
        machine=machine,
        latency_ms=latency,
        executors=[_executor(item) for item in sample.executors],
        reasons=_reasons(sample, use),
    )


def _reasons(sample: Sample, use: ResourceUse) -> dict[str, str]:
    """By figure that is null; `executors` when there are none."""
    first = sample.elapsed_ns is None
    reasons = dict.fromkeys(RATES, FIRST) if first else {}
    for figure, name in RESOURCES.items():
        if getattr(use, name) is None and figure not in reasons:
            reasons[figure] = "this system does not tell it"
    if sample.queue.oldest_ns is None:
        reasons["queue.oldest_s"] = "no task is ready"
    since = "in the interval before" if first else "since the sample before"
    for kind in KINDS:
        if kind not in sample.latencies:
            reasons[f"latency_ms.{kind}"] = f"none of an attempt that ended {since}"
    if not sample.executors:
        reasons["executors"] = f"no process recorded that it executed runs of this project {since}"
    return reasons


def _latency(found: Latency | None) -> LatencyView:
    if found is None:
        return LatencyView(n=0, p50=None, p95=None)
    return LatencyView(n=found.n, p50=round(found.p50_ns / 1e6, 3), p95=round(found.p95_ns / 1e6, 3))


def _executor(found: Executor) -> ExecutorView:
    total_ns = found.covers_ns or 1
    spent = found.spent
    return ExecutorView(
        owner=found.owner,
        covers_s=round(found.covers_ns / NS_PER_S, 3),
        cpu_percent=_percent(found.cpu_ns, found.covers_ns),
        rss_bytes=found.rss_bytes,
        calls=found.calls,
        lag_ms=round(found.lag_ns / 1e6, 3),
        time_share=TimeView(
            store=round(spent.store_ns / total_ns, 4),
            scheduling=round(spent.scheduling_ns / total_ns, 4),
            backends=round(spent.backends_ns / total_ns, 4),
            rest=round(spent.rest_ns / total_ns, 4),
            lock_wait=round(spent.lock_wait_ns / total_ns, 4),
        ),
    )


def run_view(item: RunProgress) -> RunProgressView:
    return RunProgressView(
        run_id=item.run.run_id, kind=item.run.kind, status=item.status, ended=item.ended, known=item.known
    )


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else round(ns / NS_PER_S, 3)


def _per_s(number: int | None, elapsed_ns: int | None) -> float | None:
    return None if number is None or not elapsed_ns else round(number * NS_PER_S / elapsed_ns, 3)


def _percent(ns: int | None, elapsed_ns: int | None) -> float | None:
    return None if ns is None or not elapsed_ns else round(100 * ns / elapsed_ns, 2)
