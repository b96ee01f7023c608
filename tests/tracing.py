"""Spans that a test looks at."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Recorded:
    """A provider that keeps what has ended."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))

    def clear(self) -> None:
        self._kept.clear()

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._kept.get_finished_spans()

    def named(self, beginning: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith(beginning)]

    def one(self, beginning: str) -> ReadableSpan:
        (span,) = self.named(beginning)
        return span


def about(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def belongs(child: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether `parent` is the span above `child`, in one trace."""
    ours = child.context.trace_id == parent.context.trace_id
    return ours and child.parent is not None and child.parent.span_id == parent.context.span_id
