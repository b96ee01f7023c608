"""A packet as a sampling request, and what a client answered as its report."""

from collections.abc import Sequence
from contextlib import suppress

import anyio
import structlog
from mcp_types import CreateMessageRequest, CreateMessageRequestParams, SamplingMessage, TextContent
from pydantic import BaseModel

from swarmtally.core.packets import CLAIM_LIMIT, LEASE_NS, Packet, Packets, Report
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import NotFound, PacketRefused, StoreError, SwarmError
from swarmtally.domain.run import Run
from swarmtally.domain.text import one_line, storable
from swarmtally.domain.usage import TokenUsage
from swarmtally.store.packets import Outstanding
from swarmtally_tools.work import ERROR_LIMIT, OUTPUT_LIMIT

log = structlog.get_logger(__name__)

LEASE_S = LEASE_NS / NS_PER_S

MAX_TOKENS = 4_096
"""How much a client's model may write unless --max-output-tokens says otherwise, as for a provider's model."""

MODEL_LIMIT = 200
"""The longest name of a model that is kept, in characters."""

UNTOLD = TokenUsage(reason="the client's model did the work, and sampling reports no tokens")


def question(packet: Packet) -> CreateMessageRequest:
    """What a client is asked, in every protocol: the prompt that any other model would get, and nothing of the client's
    own context."""
    prompt = packet.prompt
    text = "\n\n".join(prompt.pieces[1:])
    return CreateMessageRequest(
        params=CreateMessageRequestParams(
            messages=[SamplingMessage(role="user", content=TextContent(text=text))],
            system_prompt=prompt.system,
            include_context="none",
            max_tokens=packet.run.backend.max_output_tokens or MAX_TOKENS,
        )
    )


def answer(given: BaseModel) -> Report:
    """What came of a packet by the answer to its question. An answer is data; one that is none fails the packet."""
    content = getattr(given, "content", None)
    blocks = content if isinstance(content, list) else [content]
    texts = [block.text for block in blocks if isinstance(block, TextContent)]
    text = storable("\n\n".join(texts))
    model = one_line(str(getattr(given, "model", "")), MODEL_LIMIT) or None
    if len(text) > OUTPUT_LIMIT:
        return failed(f"the client's model answered {len(text)} characters; at most {OUTPUT_LIMIT} are taken", model)
    if not text.strip():
        kinds = sorted({str(getattr(block, "type", "nothing")) for block in blocks} - {"text"})
        return failed(f"the client's model answered no text, but {' and '.join(kinds) or 'an empty one'}", model)
    return Report(text, (), None, UNTOLD, truncated=getattr(given, "stop_reason", None) == "maxTokens", model=model)


def failed(why: str, model: str | None = None) -> Report:
    return Report("", (), one_line(why, ERROR_LIMIT), UNTOLD, model=model)


async def deliver(packets: Packets, task_id: str, lease: str, report: Report) -> None:
    """Record an answer. One that comes twice, or too late, counts no more.

    Raises:
        StoreError: the database cannot be written.
    """
    try:
        await packets.report(task_id, lease, report)
    except (PacketRefused, NotFound, StoreError) as error:
        if isinstance(error, StoreError):
            raise
        log.info("sampling.answer_refused", task_id=task_id, why=str(error))
    except SwarmError as error:
        # It was answered, and nothing can be made of that; to ask again would be one question more than tasks.
        with suppress(PacketRefused, NotFound):
            await packets.report(task_id, lease, failed(str(error), report.model))


async def take(packets: Packets, run: Run, most: int) -> tuple[list[Packet], Outstanding]:
    """Claim up to `most` packets of the run, and what else it has. A claim's answer is bounded for clients that put it
    before a model; here each packet goes by itself."""
    found: list[Packet] = []
    try:
        while True:
            limit = min(CLAIM_LIMIT, most - len(found))
            claimed = await packets.claim(limit, run_id=run.run_id, lent=True)
            found += claimed.packets
            if not claimed.packets or len(found) >= most:
                return found, claimed.rest
    except BaseException:
        await give_back(packets, [packet.lease for packet in found])
        raise


async def give_back(packets: Packets, leases: Sequence[str]) -> None:
    """Let others have packets that will not be answered, also while the call that claimed them is being cancelled."""
    if not leases:
        return
    with anyio.CancelScope(shield=True):
        try:
            await packets.give_back(leases)
        except StoreError as error:
            # Their time ends all the same.
            log.warning("sampling.not_given_back", packets=len(leases), error=str(error))
