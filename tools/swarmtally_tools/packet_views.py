"""Packets as tools return them, and what a client does with them."""

from swarmtally.core.packets import Packet
from swarmtally.domain.clock import iso
from swarmtally_tools.definition import View

WORK = (
    "Do each packet now: follow its prompt, then call work_report with its task_id, its lease and what you made as "
    "output; code goes into files (path to text) instead of fenced blocks, not twice. With claim 1 the answer brings "
    "the next packet. Go on until the run is over. Sub-agents can share the work: each calls work_claim with this "
    "run_id."
)
"""What a client that holds packets does."""


class PacketView(View):
    task_id: str
    """Name it in work_report."""
    lease: str
    """Name it in work_report; it is yours until expires_at."""
    prompt: str
    """All that is needed to do the task."""
    deliverable: str
    """What the prompt asks for."""
    cut_contexts: int
    """Texts of the shared context that the prompt had no room for whole; it shows where they are cut."""
    role: str
    """The kind of agent the task wants."""
    key: str
    """The task's name within its run."""
    run_id: str
    """The run it belongs to."""
    expires_at: str
    """From then on others may claim it (UTC)."""


def packet_view(packet: Packet) -> PacketView:
    return PacketView(
        task_id=packet.task.task_id,
        lease=packet.lease,
        prompt=packet.prompt.text,
        deliverable=packet.prompt.deliverable,
        cut_contexts=packet.prompt.cut_contexts,
        role=packet.task.role,
        key=packet.task.key,
        run_id=packet.run.run_id,
        expires_at=iso(packet.expires_ns),
    )
