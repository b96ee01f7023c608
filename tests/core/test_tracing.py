"""Runs, attempts and model calls as spans, through the real scheduler."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from swarmtally.core.ports import BackendInfo
from swarmtally.domain.errors import BackendFailure, FailureCause
from swarmtally.domain.usage import TokenUsage
from swarmtally.spans import Spans
from tests.core.harness import ScriptedBackend, swarmed, task
from tests.tracing import Recorded, about, belongs


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    recorded = Recorded()
    yield recorded
    recorded.provider.shutdown()


async def test_each_attempt_belongs_to_its_run_and_each_call_to_its_attempt(tmp_path: Path, recorded: Recorded) -> None:
    backend = ScriptedBackend(together=2, usage=TokenUsage(10, 5, 4, 3, 2))
    async with swarmed(tmp_path, backend, tracing=Spans(recorded.provider)) as swarm:
        run_ids = [await swarm.start(task("a"), task("b")) for _ in range(2)]
        for run_id in run_ids:
            await swarm.runs.wait(run_id, None)
    runs = {about(span)["swarmtally.run.id"]: span for span in recorded.named("invoke_workflow")}
    attempts, calls = recorded.named("invoke_agent"), recorded.named("chat")
    assert (set(runs), len(attempts), len(calls)) == (set(run_ids), 4, 4)
    for attempt in attempts:
        assert belongs(attempt, runs[about(attempt)["swarmtally.run.id"]])
        assert sum(belongs(call, attempt) for call in calls) == 1
        assert about(attempt)["swarmtally.outcome"] == "succeeded"
    assert {about(span)["swarmtally.outcome"] for span in runs.values()} == {"succeeded"}
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    assert about(calls[0]) == known


async def test_what_a_provider_did_not_report_is_left_out(tmp_path: Path, recorded: Recorded) -> None:
    backend = ScriptedBackend(usage=TokenUsage(reason="it said nothing"))
    async with swarmed(tmp_path, backend, tracing=Spans(recorded.provider)) as swarm:
        await swarm.run(task("a"))
    assert not [name for name in about(recorded.one("chat")) if "usage" in name]


async def test_a_failure_is_one_without_its_text(tmp_path: Path, recorded: Recorded) -> None:
    def script(key: str, asked: int) -> BackendFailure:
        return BackendFailure("the prompt was: secret", transient=asked == 0, cause=FailureCause.SERVER)

    async with swarmed(tmp_path, ScriptedBackend(script), tracing=Spans(recorded.provider)) as swarm:
        await swarm.run(task("a"))
    first, last = recorded.named("invoke_agent")
    assert [about(span)["swarmtally.outcome"] for span in (first, last)] == ["failed_to_be_retried", "failed"]
    assert [about(span)["swarmtally.attempt.number"] for span in (first, last)] == [1, 2]
    run = recorded.one("invoke_workflow")
    assert (about(run)["swarmtally.outcome"], about(run)["error.type"]) == ("failed", "task_failed")
    for span in (first, last, *recorded.named("chat")):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert about(span)["error.type"] == "server"
    assert "secret" not in "".join(span.to_json() for span in recorded.spans)


async def test_what_is_cancelled_ends_and_says_so(tmp_path: Path, recorded: Recorded) -> None:
    backend = ScriptedBackend(gate=anyio.Event())
    async with swarmed(tmp_path, backend, tracing=Spans(recorded.provider)) as swarm:
        run_id = await swarm.start(task("a"))
        await backend.met.wait()
        await swarm.runs.cancel(run_id)
        await swarm.runs.wait(run_id, None)
        while not recorded.named("invoke_workflow"):
            await anyio.lowlevel.checkpoint()
    assert about(recorded.one("invoke_workflow"))["swarmtally.outcome"] == "let_go"
    for name in ("invoke_agent", "chat"):
        span = recorded.one(name)
        assert (about(span)["swarmtally.outcome"], span.status.status_code) == ("cancelled", StatusCode.UNSET)


async def test_a_run_that_its_process_lets_go_of_ends_here(tmp_path: Path, recorded: Recorded) -> None:
    backend = ScriptedBackend(gate=anyio.Event())
    async with swarmed(tmp_path, backend, tracing=Spans(recorded.provider)) as swarm:
        await swarm.start(task("a"))
        await backend.met.wait()
    assert about(recorded.one("invoke_workflow"))["swarmtally.outcome"] == "let_go"
    assert about(recorded.one("chat"))["swarmtally.outcome"] == "cancelled"


@pytest.mark.parametrize(
    ("name", "model", "base_url", "known"),
    [
        ("model", "anthropic:claude-x", None, ("anthropic", "claude-x", None, None)),
        ("model", "google-vertex:gemini", None, ("gcp.vertex_ai", "gemini", None, None)),
        ("model", "openai:a:b", "https://user:key@host.lan:8000/v1?token=x", ("openai", "a:b", "host.lan", 8_000)),
        ("model", "openai:a", "http://[::1/v1", ("openai", "a", None, None)),
        ("local", "smollm2", "http://127.0.0.1:4000/v1", ("local", "smollm2", "127.0.0.1", 4_000)),
    ],
)
def test_a_call_names_its_model_and_its_server_and_no_secret(
    recorded: Recorded, name: str, model: str, base_url: str | None, known: tuple[object, ...]
) -> None:
    info = BackendInfo(name, model, base_url, 1, True, "latency", 1_000, 100)
    with Spans(recorded.provider).call(info):
        pass
    told = about(recorded.one("chat"))
    names = ("gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port")
    assert tuple(told.get(name) for name in names) == known
    assert "key" not in str(told)
    assert "token=x" not in str(told)


def test_what_serves_all_calls_belongs_to_none(recorded: Recorded) -> None:
    tracer = recorded.provider.get_tracer("test")
    with tracer.start_as_current_span("call") as call:
        with Spans(recorded.provider).apart():
            tracer.start_span("background").end()
        assert trace.get_current_span() is call
    assert recorded.one("background").parent is None
