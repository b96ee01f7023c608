"""Host-driven work: the calling client claims packets, does them, and reports what it made."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from swarmtally.app import App
from swarmtally.core.packets import CLAIM_LIMIT, Claimed, Report
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.files import FILES_LIMIT, checked_files
from swarmtally.domain.text import counted, one_line, storable
from swarmtally.domain.usage import FIGURE_LIMIT, TokenUsage
from swarmtally_tools.definition import Tool, View, tool
from swarmtally_tools.packet_views import WORK, PacketView, packet_view
from swarmtally_tools.run_views import TaskCounts, task_counts

OUTPUT_LIMIT = 1_000_000
"""The longest text of a report, in characters."""

ERROR_LIMIT = 500

NEXT = (
    "Recorded. Do the next the same way: follow its prompt, then work_report with its task_id and lease, and claim 1."
)
"""What a client does that reported a packet and got another; it knows the rest."""

# The limit is left out of the schema, where it would take more than what the fields mean.
Tokens = Annotated[int, Field(ge=0, le=FIGURE_LIMIT, json_schema_extra=lambda schema: schema.pop("maximum", None))]
Limit = Annotated[int, Field(description="Packets at most; fewer when prompts are long", ge=1, le=CLAIM_LIMIT)]
SwarmId = Annotated[str | None, Field(description="Only this swarm's", max_length=100)]
TaskId = Annotated[str, Field(description="The packet's", min_length=1, max_length=100)]
LeaseName = Annotated[str, Field(description="The packet's", min_length=1, max_length=100)]


class ReportedUsage(BaseModel):
    """Tokens a packet took, where the client knows them: cached ones are in the input, reasoning in the output."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    input_tokens: Tokens
    """all read"""
    output_tokens: Tokens
    """all written"""
    cache_read_tokens: Tokens | None = None
    """of input"""
    cache_write_tokens: Tokens | None = None
    """of input"""
    reasoning_tokens: Tokens | None = None
    """of output"""


class WorkView(View):
    packets: list[PacketView]
    """Yours to do, each until its expires_at."""
    ready: int
    """Further packets that could be claimed now."""
    out: int
    """Packets that are with somebody now, yours too."""
    next_expiry_at: str | None
    """When the next of those may be claimed by others (UTC)."""
    next_step: str
    """What to do now."""
    as_of: str
    """When this was read (UTC)."""


class ReportedView(View):
    task_id: str
    """The task reported."""
    task_status: str
    """Its status now: succeeded or failed."""
    memory_key: str | None
    """What was made is retrieved under this key; null when it failed."""
    path: str | None
    """Where it lies on disk, its files in the folder beside it; null without out_dir, or as `trouble` says."""
    trouble: str | None
    """What could not be done besides recording it, such as writing its files, and why; null when all was done."""
    run_id: str
    """Its run."""
    run_status: str
    """The run's status now."""
    tasks: TaskCounts
    """How many of the run's tasks are in each state now."""
    packets: list[PacketView]
    """Yours to do next, when claim was given."""
    next_step: str
    """What to do now."""
    as_of: str
    """When this was read (UTC)."""


@tool(title="Claim work packets")
async def work_claim(
    app: App,
    role: Annotated[str | None, Field(description="Only tasks for this role", max_length=200)] = None,
    limit: Limit = 1,
    swarm_id: SwarmId = None,
    run_id: Annotated[str | None, Field(description="Only this run's", max_length=100)] = None,
    task_id: Annotated[str | None, Field(description="To renew a packet: its task", max_length=100)] = None,
    lease: Annotated[str | None, Field(description="To renew a packet: its lease", max_length=100)] = None,
) -> WorkView:
    """Take tasks of host-driven runs to do yourself: each packet holds a whole prompt and is yours for 15 minutes. Do
    it, then work_report. With task_id and lease: renew that packet instead. Sub-agents may claim in parallel."""
    packets = await app.packets()
    if (task_id is None) != (lease is None):
        raise InvalidInput("work_claim renews a packet by task_id and lease together; give both or neither")
    if task_id is not None and lease is not None:
        renewed = await packets.renew(task_id, lease)
        end = iso(renewed.expires_ns)
        return WorkView(
            packets=[],
            ready=renewed.rest.ready,
            out=renewed.rest.out,
            next_expiry_at=_iso(renewed.rest.next_expiry_ns),
            next_step=f"The packet is yours until {end}: go on with it, then work_report.",
            as_of=iso(app.clock.now_ns()),
        )
    claimed = await packets.claim(limit, role=role, swarm_id=swarm_id, run_id=run_id)
    return WorkView(
        packets=[packet_view(packet) for packet in claimed.packets],
        ready=claimed.rest.ready,
        out=claimed.rest.out,
        next_expiry_at=_iso(claimed.rest.next_expiry_ns),
        next_step=_next_step(claimed, role),
        as_of=iso(app.clock.now_ns()),
    )


@tool(title="Report a work packet")
async def work_report(
    app: App,
    task_id: TaskId,
    lease: LeaseName,
    output: Annotated[
        str | None, Field(description="What you made: the deliverable itself, as text", max_length=OUTPUT_LIMIT)
    ] = None,
    files: Annotated[
        dict[str, str] | None,
        Field(
            description="Files you made, instead of fenced blocks in output: relative path to text",
            max_length=FILES_LIMIT,
        ),
    ] = None,
    error: Annotated[
        str | None, Field(description="Instead: why it cannot be done", min_length=1, max_length=10_000)
    ] = None,
    usage: Annotated[ReportedUsage | None, Field(description="Tokens it took, where you know them")] = None,
    claim: Annotated[int, Field(description="Packets to claim next from the same run", ge=0, le=CLAIM_LIMIT)] = 0,
) -> ReportedView:
    """Deliver a packet: output and/or files, or error. Accepted once; refused when another client has claimed the
    packet since its lease ended. With claim the answer brings the next packets."""
    report = _report(output, files, error, usage)
    packets, runs = await app.packets(), await app.runs()
    reported = await packets.report(task_id, lease, report, claim)
    run, made, claimed = reported.run, reported.artefact, reported.claimed
    state = await runs.show(run.run_id)
    given = claimed.packets if claimed else ()
    return ReportedView(
        task_id=task_id,
        task_status="failed" if error is not None else "succeeded",
        memory_key=made.memory_key if made else None,
        path=made.path if made else None,
        trouble=reported.trouble,
        run_id=run.run_id,
        run_status=state.status,
        tasks=task_counts(state.counts),
        packets=[packet_view(packet) for packet in given],
        next_step=_told(reported.trouble) + _after_report(state.status, run.run_id, claimed),
        as_of=iso(state.as_of_ns),
    )


def _report(output: str | None, files: dict[str, str] | None, error: str | None, used: ReportedUsage | None) -> Report:
    if error is not None and not error.strip():
        raise InvalidInput("work_report's error is empty; say why it cannot be done")
    if error is not None and (output or files):
        raise InvalidInput("work_report takes output and files, or error, not both; leave error out if it is done")
    if error is None and not (output or "").strip() and not files:
        raise InvalidInput("work_report needs what was made, as output or files, or else error with the reason")
    tokens = TokenUsage(**used.model_dump(), source="client") if used else TokenUsage()
    if tokens.credible() is not tokens:
        raise InvalidInput(
            "work_report's usage cannot be: input_tokens is with what was read from and written to a cache, "
            "output_tokens with reasoning_tokens; correct it or leave usage out"
        )
    return Report(
        output=storable(output or ""),
        files=checked_files(files or {}),
        error=None if error is None else one_line(error, ERROR_LIMIT),
        usage=tokens,
    )


def _next_step(claimed: Claimed, role: str | None) -> str:
    if claimed.packets:
        return WORK
    if not claimed.runs:
        return "Nothing is left to do: no host-driven run is unfinished. A sparc_ tool starts one."
    run_id, rest = claimed.runs[0].run_id, claimed.rest
    if all(run.status == "paused" for run in claimed.runs):
        return f"The run is paused: continue it with run_control, run_id {run_id}, action resume."
    if rest.ready and role:
        return f"{_are(rest.ready)} ready, but none that role {role} can take now: call work_claim without role."
    if rest.ready:
        return (
            f"{_are(rest.ready)} ready, but every agent of the swarm has one: report those you hold (claim 1 "
            "brings the next), or raise the swarm's size with swarm_scale. A sub-agent that holds none can end."
        )
    return (
        f"{_are(rest.out)} out and what follows waits for them: report those you hold. If you hold none, wait "
        f"with run_status, run_id {run_id}, wait_s 45, include [], then call work_claim again."
    )


def _told(trouble: str | None) -> str:
    return f"Accepted; do not report it again. But: {trouble}. " if trouble else ""


def _are(packets: int) -> str:
    return f"{counted(packets, 'packet')} {'is' if packets == 1 else 'are'}"


def _after_report(status: str, run_id: str, claimed: Claimed | None) -> str:
    if status not in ("waiting_for_host", "paused"):
        return f"The run is over ({status}): see what came of it with run_status, run_id {run_id}."
    if claimed is not None and claimed.packets:
        return NEXT
    if claimed is None:
        return f"Recorded. Go on with work_claim, run_id {run_id}, until the run is over."
    return _next_step(claimed, None)


def _iso(ns: int | None) -> str | None:
    return None if ns is None else iso(ns)


TOOLS: tuple[Tool, ...] = (work_claim, work_report)
