"""A pipeline whose model asks for what was left out of its prompts, over HTTP, with the real packer."""

import json
import re

import anyio

from swarmtally.core.asking import HOW
from swarmtally_tools.memory import MemoryView, memory_usage
from swarmtally_tools.run_views import RunView
from swarmtally_tools.sparc import sparc_pipeline
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire, Received
from tests.e2e.conftest import OpenTestApp

FACT = "A cart holds at most 7 goods."
FILLING = "".join(f"## Part {number}\n\nPlain words on subject {number} for a while. " * 3 for number in range(300))
CONTEXT = f"# Manual\n\n{FILLING}\n## Odd ends\n\n{FACT}\n"
ASKED = "context:1#odd-ends"


async def test_a_model_that_asks_gets_the_part_and_every_call_is_in_the_ledger(
    open_test_app: OpenTestApp, wire: OpenAIWire
) -> None:
    reported: list[tuple[int, int]] = []

    def respond(request: Received) -> w.Answer:
        asks = HOW in request.user_text and "[Nothing more" not in request.user_text
        reported.append((len(request.user_text) // 4, 5))
        return w.answer(f"NEED: {ASKED}" if asks else "The work.", w.tokens(*reported[-1]))

    wire.respond = respond
    async with open_test_app() as app:
        with anyio.fail_after(60):
            view = await sparc_pipeline.call(app, {"task": "A shop with catalog, cart", "context": [CONTEXT]})
        assert isinstance(view, RunView)
        assert view.status == "succeeded"
        rows = await app.database.read(lambda tx: tx.rows("SELECT * FROM usage ORDER BY usage_id"))
        kept = await memory_usage.call(app, {"action": "retrieve", "key": f"sparc/{view.run_id}/context/1"})
    assert isinstance(kept, MemoryView)
    assert kept.value == CONTEXT
    asking = [row for row in rows if row["asked"]]
    assert len(asking) >= len(rows) // 3
    assert {row["asked"] for row in asking} == {json.dumps([ASKED])}
    # Token for token what the server reported.
    assert sorted((row["input_tokens"], row["output_tokens"]) for row in rows) == sorted(reported)
    given = [request.user_text for request in wire.requests if "[Nothing more" in request.user_text]
    assert len(given) == len(asking)
    for text in given:
        part = re.search(r'<context n="1" section="odd-ends">\n(.*?)\n</context>', text, re.DOTALL)
        assert part is not None
        assert FACT in part[1]
        # The call again begins as the first did, so a cache has all of that.
        assert any(text.startswith(request.user_text) for request in wire.requests if request.user_text != text)
