"""Traces over MCP: from the call of a tool to the model's answer, and out of the process."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from structlog.typing import EventDict

from swarmtally import telemetry
from swarmtally.core.tracing import UNTRACED
from tests.backends.wire import Hold, OpenAIWire, answer, held, tokens
from tests.mcp.conftest import RawServer, answered, in_memory, serve_command
from tests.tracing import Recorded, about, belongs


@pytest.fixture(scope="module")
def provided() -> Iterator[Recorded]:
    recorded = Recorded()
    yield recorded
    recorded.provider.shutdown()


@pytest.fixture
def recorded(provided: Recorded, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What the process's own provider keeps. It can be set once in a process; and the SDK keeps the first it meets."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provided.provider)
    provided.clear()
    return provided


async def test_a_trace_leads_from_the_call_to_the_models_answer_and_holds_no_text(
    tmp_path: Path, wire: OpenAIWire, recorded: Recorded
) -> None:
    wire.script(answer("the answer is blue", tokens(120, 30)))
    async with in_memory(tmp_path, model="openai:test", base_url=wire.base_url) as client:
        run = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "paint it red"}))
    (call,) = [span for span in recorded.named("tools/call sparc_run") if span.kind is SpanKind.SERVER]
    workflow, agent, chat = (recorded.one(name) for name in ("invoke_workflow run", "invoke_agent coder", "chat test"))
    assert belongs(workflow, call)
    assert belongs(agent, workflow)
    assert belongs(chat, agent)
    assert about(workflow)["swarmtally.run.id"] == run["run_id"]
    assert about(chat)["gen_ai.provider.name"] == "openai"
    assert about(chat)["gen_ai.usage.input_tokens"] == run["usage"]["input_tokens"]
    everything = "".join(span.to_json() for span in recorded.spans)
    assert "red" not in everything.replace("required", "")
    assert "blue" not in everything


async def test_a_run_belongs_to_its_own_call_also_when_that_is_over_or_another_began_the_work(
    tmp_path: Path, wire: OpenAIWire, recorded: Recorded
) -> None:
    hold = Hold()
    wire.script(held(hold))
    asked = {"mode": "coder", "task": "Login", "wait_s": 0}
    async with in_memory(tmp_path, model="openai:test", base_url=wire.base_url, max_parallel=1) as client:
        runs = [answered(await client.call_tool("sparc_run", asked)) for _ in range(2)]
        hold.release()
        for run in runs:
            answered(await client.call_tool("run_status", {"run_id": run["run_id"], "wait_s": 45}))
    calls = [span for span in recorded.named("tools/call sparc_run") if span.kind is SpanKind.SERVER]
    workflows = {about(span)["swarmtally.run.id"]: span for span in recorded.named("invoke_workflow")}
    agents = {about(span)["swarmtally.run.id"]: span for span in recorded.named("invoke_agent")}
    for run, call in zip(runs, calls, strict=True):
        workflow = workflows[run["run_id"]]
        assert belongs(workflow, call)
        assert belongs(agents[run["run_id"]], workflow)
        assert workflow.end_time is not None
        assert call.end_time is not None
        assert workflow.end_time > call.end_time


def test_where_nobody_asks_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    assert telemetry.tracing() is UNTRACED
    program = (
        "import sys; from swarmtally import telemetry\n"
        "with telemetry.exported({'OTEL_TRACES_EXPORTER': 'none', 'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://x'}): pass\n"
        "with telemetry.exported({'OTEL_SDK_DISABLED': 'true', 'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://x'}): pass\n"
        "telemetry.tracing(); sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_cannot_be_exported_is_a_warning_and_no_end(environ: dict[str, str], logged: list[EventDict]) -> None:
    with telemetry.exported(environ):
        pass
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("tracing.off", "warning")]


def test_without_the_extra_the_log_names_it(monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with telemetry.exported({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}):
        pass
    (entry,) = logged
    assert entry["remedy"] == "pip install 'swarmtally[otel]'"


def test_a_program_that_has_a_provider_of_its_own_keeps_it(recorded: Recorded) -> None:
    with telemetry.exported({"OTEL_TRACES_EXPORTER": "console"}):
        assert trace.get_tracer_provider() is recorded.provider
    assert telemetry.tracing() is not UNTRACED


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what is sent to it."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        self.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_server_sends_its_spans_to_the_collector_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[tuple[str, bytes]] = []
    handler = type("Handler", (Collector,), {"received": received})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        server = RawServer(serve_command(tmp_path), tmp_path)
        try:
            server.shake_hands()
            server.call("swarm_init")
            server.hang_up()
            assert server.ends() == 0
        finally:
            server.clean_up()
            collector.shutdown()
    assert {path for path, _ in received} == {"/v1/traces"}
    sent = b"".join(body for _, body in received)
    for part in (b"tools/call swarm_init", b"service.name", b"swarmtally"):
        assert part in sent
    assert all(json.loads(line) for line in server.lines)


def test_a_collector_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    program = (
        "import os\n"
        "from opentelemetry import trace\n"
        "from swarmtally import telemetry\n"
        "with telemetry.exported(os.environ):\n"
        "    trace.get_tracer('test').start_span('one').end()\n"
    )
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
        }
        # Left to itself the SDK waits for half a minute.
        assert subprocess.run([sys.executable, "-c", program], env=environ, timeout=20, check=False).returncode == 0
