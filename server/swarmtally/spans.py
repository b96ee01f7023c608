"""Runs, attempts and model calls as OpenTelemetry's spans.

Names and attributes are those of its semantic conventions for generative AI (1.41, in development) where they have one:
a run is an `invoke_workflow`, an attempt an `invoke_agent`, a model call a `chat`. What they lack begins with
`swarmtally.`. No attribute holds a prompt, an answer, a task's text or an error's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind, StatusCode

from swarmtally.core.ports import BackendInfo
from swarmtally.core.tracing import AttemptTrace, CallTrace, RunTrace
from swarmtally.domain.errors import FailureCause
from swarmtally.domain.run import Run, RunStatus
from swarmtally.domain.task import Claim, Outcome
from swarmtally.domain.usage import TokenUsage
from swarmtally.version import __version__

Attributes = dict[str, str | int | tuple[str, ...]]

PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "google-cloud": "gcp.vertex_ai",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "grok": "x_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""The conventions' names of providers, where `provider:model` has another."""

CANCELLED = "cancelled"


class Spans:
    """`core.tracing.Tracing` over a tracer."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("swarmtally", __version__)

    def run(self, run: Run) -> RunTrace:
        """A child of the call that began it, which it may outlive."""
        about: Attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": str(run.kind),
            "swarmtally.run.id": run.run_id,
            "swarmtally.swarm.id": run.swarm_id,
        }
        return _Run(self._tracer.start_span(f"invoke_workflow {run.kind}", attributes=about))

    @contextmanager
    def attempt(self, within: RunTrace, claim: Claim) -> Iterator[AttemptTrace]:
        task = claim.task
        about: Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": claim.agent_id,
            "swarmtally.run.id": task.run_id,
            "swarmtally.task.id": task.task_id,
            "swarmtally.task.mode": task.mode,
            "swarmtally.task.role": task.role,
            "swarmtally.attempt.number": claim.number,
        }
        parent = within.context if isinstance(within, _Run) else None
        with self._tracer.start_as_current_span(
            f"invoke_agent {task.role}", parent, attributes=about, record_exception=False, set_status_on_exception=False
        ) as span:
            told = _Attempt(span)
            try:
                yield told
            finally:
                if not told.over:
                    span.set_attribute("swarmtally.outcome", CANCELLED)

    @contextmanager
    def call(self, info: BackendInfo) -> Iterator[CallTrace]:
        provider, model = _named(info)
        about: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": info.max_output_tokens,
            **_server(info.base_url),
        }
        with self._tracer.start_as_current_span(
            f"chat {model}", None, SpanKind.CLIENT, about, record_exception=False, set_status_on_exception=False
        ) as span:
            told = _Call(span)
            try:
                yield told
            finally:
                if not told.over:
                    span.set_attribute("swarmtally.outcome", CANCELLED)

    @contextmanager
    def apart(self) -> Iterator[None]:
        token = attach(Context())
        try:
            yield
        finally:
            detach(token)


class _Run:
    def __init__(self, span: Span) -> None:
        self._span = span
        self.context = trace.set_span_in_context(span, Context())

    def end(self, outcome: str) -> None:
        self._span.set_attribute("swarmtally.outcome", outcome)
        if outcome == RunStatus.FAILED:
            _failed(self._span, "task_failed")
        self._span.end()


class _Attempt:
    def __init__(self, span: Span) -> None:
        self._span = span
        self.over = False

    def came(self, outcome: Outcome) -> None:
        self.over = True
        if outcome.error is None:
            self._span.set_attribute("swarmtally.outcome", "succeeded")
            return
        again = outcome.retry_at_ns is not None
        self._span.set_attribute("swarmtally.outcome", "failed_to_be_retried" if again else "failed")
        _failed(self._span, outcome.cause or FailureCause.OTHER)


class _Call:
    def __init__(self, span: Span) -> None:
        self._span = span
        self.over = False

    def answered(self, usage: TokenUsage, truncated: bool, failed: FailureCause | None) -> None:
        self.over = True
        figures = {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
        # What nobody knows is left out.
        self._span.set_attributes({name: figure for name, figure in figures.items() if figure is not None})
        if failed is not None:
            _failed(self._span, failed)
        else:
            self._span.set_attribute("gen_ai.response.finish_reasons", ("length" if truncated else "stop",))


def _failed(span: Span, cause: str) -> None:
    span.set_attribute("error.type", str(cause))
    span.set_status(StatusCode.ERROR)


def _named(info: BackendInfo) -> tuple[str, str]:
    """The provider and the model's own name."""
    provider, separator, model = info.model.partition(":")
    if info.name != "model" or not separator:
        return info.name, info.model
    return PROVIDERS.get(provider, provider), model


def _server(base_url: str | None) -> Attributes:
    """Where calls go, without what a URL may hold of a secret."""
    if base_url is None:
        return {}
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        return {}
    host: Attributes = {"server.address": parts.hostname} if parts.hostname else {}
    return host | ({"server.port": port} if port is not None else {})
