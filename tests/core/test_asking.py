"""Parts that were left out of a prompt: asked for once, shown within the room there is, and recorded call by call."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.backends.model import ModelBackend
from swarmtally.core import asking
from swarmtally.core.ports import BackendInfo, Inputs, Packer, Prompt, Reply, Separate
from swarmtally.domain.errors import BackendFailure, ContextExceeded
from swarmtally.domain.run import Run
from swarmtally.domain.task import Task
from swarmtally.domain.usage import TokenUsage
from swarmtally.sparc.packing import ContextPacker
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task
from tests.core.hosted import CATALOG


@pytest.fixture
def wire() -> Iterator[OpenAIWire]:
    with OpenAIWire() as wire:
        yield wire


CONTEXT = ("The first text.", "# Limits\nAt most 7 carts.\n\n# Names\nCarts have names.")


@dataclass
class SparingPacker:
    """Leaves the whole shared context out, and shows what is asked for."""

    rooms: list[int] = field(default_factory=list)
    known: Packer = field(default_factory=lambda: ContextPacker(CATALOG))

    def pack(self, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
        left_out = tuple(f"context:{number}" for number in range(1, len(run.context) + 1))
        return Prompt("system", (task.key,), left_out=left_out, separate=Separate(900, 500))

    def parts(self, run: Run, inputs: Inputs, references: Sequence[str], budget_bytes: int) -> str:
        self.rooms.append(budget_bytes)
        return self.known.parts(run, inputs, references, budget_bytes)


@dataclass
class AskingBackend(ScriptedBackend):
    """Gives its replies in order, and keeps what it was sent."""

    replies: list[Reply | Exception] = field(default_factory=list)
    sent: list[Prompt] = field(default_factory=list)
    fetches: Any = "tool"

    @property
    def info(self) -> BackendInfo:
        return replace(super().info, fetches=self.fetches)

    async def execute(self, prompt: Prompt) -> Reply:
        self.sent.append(prompt)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def asks(*references: str, tokens: int = 10) -> Reply:
    return Reply("", TokenUsage(tokens, 1, 0, 0, 0), asks=references)


def says(text: str, tokens: int = 20) -> Reply:
    return Reply(text, TokenUsage(tokens, 2, 0, 0, 0))


@asynccontextmanager
async def run_over(
    folder: Path, backend: Any, context: Sequence[str] = CONTEXT, packer: Packer | None = None
) -> AsyncIterator[tuple[Swarmed, dict[str, Any]]]:
    """One task over `context`, done; with its attempt's row."""
    async with swarmed(folder, backend, packer=packer or SparingPacker()) as swarm:
        run_id = await swarm.start(task("a"), context=context)
        with anyio.fail_after(20):
            await swarm.runs.wait(run_id, None)
        (attempt,) = await swarm.rows("SELECT attempt.*, artefact.text FROM attempt LEFT JOIN artefact USING (task_id)")
        yield swarm, dict(attempt)


async def calls_of(swarm: Swarmed) -> list[dict[str, Any]]:
    return [dict(row) for row in await swarm.rows("SELECT * FROM usage ORDER BY usage_id")]


async def test_what_is_asked_for_is_shown_and_the_call_made_again(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:2#limits"), says("seven")])
    async with run_over(tmp_path, backend) as (_, attempt):
        assert (attempt["status"], attempt["text"]) == ("succeeded", "seven")
    first, second = backend.sent
    assert second == replace(first, exchanges=second.exchanges, separate=None)
    (exchange,) = second.exchanges
    assert exchange.asked == ("context:2#limits",)
    assert exchange.answer == (
        f'<context n="2" section="limits">\n# Limits\nAt most 7 carts.\n\n</context>\n{asking.ANSWER_NOW}'
    )


async def test_each_call_is_a_row_of_its_own_and_the_attempt_took_both(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:1", "context:2", tokens=10), says("done", tokens=20)])
    async with run_over(tmp_path, backend) as (swarm, attempt):
        first, second = await calls_of(swarm)
    assert (first["asked"], second["asked"]) == ('["context:1","context:2"]', None)
    assert [(row["status"], row["input_tokens"]) for row in (first, second)] == [("reported", 10), ("reported", 20)]
    assert first["closed_ns"] <= second["opened_ns"]
    assert attempt["exec_ns"] == first["exec_ns"] + second["exec_ns"]
    for row, prompt in zip((first, second), backend.sent, strict=True):
        assert row["prompt_sha256"] == hashlib.sha256(prompt.text.encode()).hexdigest()
        assert row["prompt_bytes"] == len(prompt.text.encode())
        assert len(json.loads(row["prefix"])) == len(prompt.pieces)
    # Both begin alike, so the second may read what the first wrote.
    assert json.loads(second["prefix"])[: len(json.loads(first["prefix"]))] == json.loads(first["prefix"])
    # A separate request has everything: it would never ask.
    assert (first["baseline_bytes"], second["baseline_bytes"]) == (900, None)


async def test_a_second_ask_is_told_that_there_is_no_more_and_can_only_be_answered(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:1"), asks("context:2"), says("done")])
    async with run_over(tmp_path, backend) as (swarm, attempt):
        assert (attempt["status"], attempt["text"]) == ("succeeded", "done")
        assert [row["asked"] for row in await calls_of(swarm)] == ['["context:1"]', '["context:2"]', None]
    assert [prompt.left_out == () for prompt in backend.sent] == [False, False, True]
    assert backend.sent[2].exchanges[:1] == backend.sent[1].exchanges
    assert backend.sent[2].exchanges[1].answer == asking.ANSWER_NOW


async def test_who_asks_a_third_time_has_failed_and_was_still_paid_for(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:1")] * 3)
    async with run_over(tmp_path, backend) as (swarm, attempt):
        assert attempt["status"] == "failed"
        assert "asked for parts of what was left out again" in attempt["error"]
        assert [row["input_tokens"] for row in await calls_of(swarm)] == [10, 10, 10]
    assert len(backend.sent) == 3


async def test_nobody_can_ask_where_nothing_was_left_out(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:1")])
    async with run_over(tmp_path, backend, context=()) as (_, attempt):
        assert attempt["status"] == "failed"
    assert len(backend.sent) == 1


async def test_at_most_eight_parts_are_shown_and_the_rest_is_said_to_be_missing(tmp_path: Path) -> None:
    context = [f"text {number}" for number in range(1, 11)]
    backend = AskingBackend(replies=[asks(*(f"context:{number}" for number in range(1, 11))), says("done")])
    async with run_over(tmp_path, backend, context):
        answer = backend.sent[1].exchanges[0].answer
    assert answer.count("<context n=") == 8
    assert asking.MORE_ASKED in answer


async def test_what_is_shown_stays_within_the_room_that_was_kept(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:1"), says("done")])
    async with run_over(tmp_path, backend, ["word " * 100_000]):
        shown = backend.sent[1]
    room = 3 * (backend.context_tokens - 100)
    assert room * 0.99 < shown.size_bytes <= room
    assert "[… cut here: it has 500000 bytes]" in shown.exchanges[0].answer


async def test_parts_that_do_not_fit_after_all_are_shown_shorter(tmp_path: Path) -> None:
    too_long = ContextExceeded("too long")
    backend = AskingBackend(replies=[asks("context:1"), too_long, too_long, says("done")])
    packer = SparingPacker()
    async with run_over(tmp_path, backend, ["word " * 100_000], packer) as (swarm, attempt):
        assert attempt["text"] == "done"
        assert [row["asked"] for row in await calls_of(swarm)] == ['["context:1"]', None, None, None]
    first, second, third = packer.rooms
    assert second * 1.4 < first
    assert third * 1.4 < second
    assert all(prompt.parts == backend.sent[0].parts for prompt in backend.sent)


async def test_a_failure_after_asking_is_the_attempt_s(tmp_path: Path) -> None:
    backend = AskingBackend(replies=[asks("context:1"), BackendFailure("out of order", transient=False)])
    async with run_over(tmp_path, backend) as (swarm, attempt):
        assert (attempt["status"], attempt["error"]) == ("failed", "out of order")
        first, second = await calls_of(swarm)
    assert (first["status"], first["input_tokens"]) == ("reported", 10)
    assert (second["status"], second["input_tokens"]) == ("unknown", None)


@pytest.mark.parametrize("wrong", [["context:1"], ("context:1", 7), "context:1"], ids=str)
async def test_asks_that_are_none_are_a_fault_of_the_backend(tmp_path: Path, wrong: Any) -> None:
    backend = AskingBackend(replies=[Reply("", TokenUsage(1, 1), asks=wrong)])
    async with run_over(tmp_path, backend) as (_, attempt):
        assert "asks are" in attempt["error"]


async def test_over_http_a_model_asks_in_words_and_the_ledger_is_what_the_server_reported(
    tmp_path: Path, wire: OpenAIWire
) -> None:
    wire.script(
        w.answer("NEED: context:2#limits\n\nNEED: nothing", w.tokens(50, 6)),
        w.answer("At most seven.", w.tokens(90, 4, cached=48)),
    )
    backend = await ModelBackend.open("openai:m1", environ={}, base_url=wire.base_url)
    async with run_over(tmp_path, backend) as (swarm, attempt):
        assert attempt["text"] == "At most seven."
        rows = await calls_of(swarm)
    await backend.aclose()
    assert [(row["input_tokens"], row["output_tokens"], row["cache_read_tokens"]) for row in rows] == [
        (50, 6, None),
        (90, 4, 48),
    ]
    for row, request in zip(rows, wire.requests, strict=True):
        sent = "\n\n".join(message["content"] for message in request.body["messages"])
        assert row["prompt_sha256"] == hashlib.sha256(sent.encode()).hexdigest()
    first, second = (request.user_text for request in wire.requests)
    assert first == f"{asking.HOW}\n\na"
    assert second.startswith(f"{first}\n\nNEED: context:2#limits\nNEED: nothing\n")
    assert "At most 7 carts." in second
    assert "[… nothing names nothing here" in second


async def test_a_program_s_own_backend_may_let_its_model_ask_in_words(tmp_path: Path) -> None:
    backend = AskingBackend(fetches="text", replies=[says("NEED: context:1"), says("done")])
    async with run_over(tmp_path, backend) as (_, attempt):
        assert attempt["text"] == "done"
    assert "The first text." in backend.sent[1].text


@pytest.mark.parametrize(
    "text",
    [
        "NEED: context:9",
        "NEED: context:1\nThe work.",
        "You NEED: context:1",
        "need: context:1",
        "NEED context:1",
        "Done.",
    ],
)
async def test_anything_else_is_the_deliverable(tmp_path: Path, text: str) -> None:
    backend = AskingBackend(fetches="text", replies=[says(text)])
    async with run_over(tmp_path, backend) as (_, attempt):
        assert attempt["text"] == text


async def test_where_nothing_can_be_asked_for_a_line_that_asks_is_the_deliverable(tmp_path: Path) -> None:
    for folder, context, fetches in (("a", (), "text"), ("b", CONTEXT, None)):
        backend = AskingBackend(fetches=fetches, replies=[says("NEED: context:1")])
        (tmp_path / folder).mkdir()
        async with run_over(tmp_path / folder, backend, context) as (_, attempt):
            assert attempt["text"] == "NEED: context:1"
        assert asking.HOW not in backend.sent[0].text


@pytest.mark.parametrize("shared", [0, 1, 2])
async def test_how_to_ask_stands_before_the_task_and_after_what_the_run_shares(shared: int) -> None:
    prompt = Prompt("", ("context", "task")[2 - max(shared, 1) :], shared_parts=shared, left_out=("context:1",))

    async def pack(room: int) -> Prompt:
        return prompt

    told = await asking.packed(pack, 10_000, replace(ScriptedBackend().info, fetches="text"))
    assert told.parts[:shared] == prompt.parts[:shared]
    assert [part for part in told.parts if part != asking.HOW] == list(prompt.parts)
    assert told.parts.index(asking.HOW) == max(shared, len(prompt.parts) - 1)


async def packed_by(sizes: dict[str, int], budget: int, fetches: Any) -> Prompt:
    info = replace(ScriptedBackend().info, fetches=fetches)

    async def pack(room: int) -> Prompt:
        if room < sizes["least"]:
            raise ContextExceeded("too long")
        return Prompt("", ("x" * min(room, sizes["whole"]),), left_out=("context:1",) if room < sizes["whole"] else ())

    return await asking.packed(pack, budget, info)


@given(least=st.integers(0, 3_000), more=st.integers(0, 3_000), budget=st.integers(0, 4_000), tool=st.booleans())
def test_the_prompt_and_how_to_ask_never_exceed_the_budget(least: int, more: int, budget: int, tool: bool) -> None:
    sizes = {"least": least, "whole": least + more}

    async def check() -> None:
        try:
            prompt = await packed_by(sizes, budget, "tool" if tool else "text")
        except ContextExceeded:
            # Only what does not fit without room for asking is refused.
            assert budget < least
            return
        assert prompt.size_bytes <= budget
        assert (asking.HOW in prompt.parts) == (bool(prompt.left_out) and not tool)
        if prompt.left_out:
            assert budget - prompt.size_bytes >= budget // asking.KEPT_SHARE

    anyio.run(check)


@given(asked=st.lists(st.text(max_size=400), min_size=1, max_size=12), budget=st.integers(0, 3_000))
def test_the_room_for_parts_is_what_the_rest_leaves(asked: list[str], budget: int) -> None:
    prompt = Prompt("system", ("the task",), left_out=("context:1",))
    room = asking.room_for(prompt, tuple(asked), budget)
    assert room >= 0
    if room:
        assert asking.answered(prompt, tuple(asked), "x" * room).size_bytes == budget
