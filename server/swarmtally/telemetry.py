"""Traces, for who asks for them: by OpenTelemetry's own environment variables, or by a program around this one.

Nobody asks in most processes, and then nothing of OpenTelemetry is imported here.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from swarmtally.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from swarmtally.core.tracing import Tracing

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

FLUSH_S = 0.3
"""How long the last spans may take to be sent at the end. What is not sent by then is lost: a collector that does not
answer must hold up nobody."""


def tracing() -> "Tracing":
    """Where runs are told of: OpenTelemetry, when somebody has given it a provider."""
    from swarmtally.core.tracing import UNTRACED

    # A program that gives it one has imported it, and so has `opentelemetry-instrument`.
    if "opentelemetry.trace" not in sys.modules:
        return UNTRACED
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return UNTRACED
    from swarmtally.spans import Spans

    return Spans(provider)


@contextmanager
def exported(environ: Mapping[str, str]) -> Iterator[None]:
    """Spans made while this is open go where `environ` says, if it does. Blocking: it may import the SDK (0.1 s).

    A wrong or missing piece is a warning in the log: these variables are often set for a whole machine.
    """
    wanted = _wanted(environ)
    if wanted is None:
        yield
        return
    end = _begin(wanted, environ)
    try:
        yield
    finally:
        if end is not None:
            # A daemon: it may wait for a collector for as long as it likes.
            ending = threading.Thread(target=end, name="last spans", daemon=True)
            ending.start()
            ending.join(FLUSH_S)


def _wanted(environ: Mapping[str, str]) -> str | None:
    """The exporter that `environ` asks for."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = environ.get(EXPORTER, "").strip().lower()
    if named:
        return None if named == "none" else named
    return "otlp" if any(environ.get(name) for name in ENDPOINTS) else None


def _begin(wanted: str, environ: Mapping[str, str]) -> Callable[[], None] | None:
    """Give OpenTelemetry a provider; returns what ends it."""
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), "http/protobuf")
    if wanted not in ("otlp", "console") or (wanted == "otlp" and protocol != "http/protobuf"):
        _off(exporter=wanted, protocol=protocol, takes="otlp over http/protobuf, console, none")
        return None
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(wanted)
    except ImportError as error:
        _off(missing=str(error.name), remedy="pip install 'swarmtally[otel]'")
        return None
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # Who runs us under `opentelemetry-instrument` has set it up already.
        return None
    provider = TracerProvider(resource=Resource.create(_about_us(environ)), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _off(**about: str) -> None:
    import structlog

    structlog.get_logger(__name__).warning("tracing.off", **about)


def _exporter(wanted: str) -> "SpanExporter":
    if wanted == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        # stdout is for results and the protocol.
        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _about_us(environ: Mapping[str, str]) -> dict[str, str]:
    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {"service.version": __version__} | ({} if named else {"service.name": "swarmtally"})
