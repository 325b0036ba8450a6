"""An app whose requests are traced, and whose spans have left before the platform freezes the instance."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider
from starlette.types import Message, Receive, Scope, Send

from lib.telemetry import tracing
from lib.telemetry.collector import Collector

UNSAID: Final = {"url.path", "url.query", "http.request.method_original"}
"""What FastAPI would tell of a request, and we do not: what a query holds, a method that the caller made up, and an id
in a path, which may open a guest's conversation. `http.route` says which path it was."""


class TracedApp(FastAPI):
    """FastAPI with its own instrumentation on, its spans and those of the work below them sent to a collector.

    The last chunk of a response is sent at once, and the mark of its end once the spans are on their way, `FLUSH`
    seconds later at most: on that mark the web adapter of AWS tells Lambda that the invocation is over.
    """

    def __init__(self, collector: Collector, **options: Any) -> None:
        """Make an app with FastAPI's `options`."""
        super().__init__(telemetry=_telemetry(collector), **options)
        self._collector = collector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        tracing.trace_with(self._collector.tracer)
        has_ended = False

        async def send_without_end(message: Message) -> None:
            nonlocal has_ended
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                has_ended = True
                message = {**message, "more_body": True}
            await send(message)

        try:
            await super().__call__(scope, receive, send_without_end)
        finally:
            await self._collector.flush()
            if has_ended:
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _telemetry(collector: Collector) -> TelemetryConfig:
    return {
        "tracer_provider": _Discreet(collector.provider),
        "operation_spans": False,
        "metrics": False,
        "logs": False,  # they hold the words of exceptions
        "auto_configure": False,
    }


class _Discreet(TracerProvider):
    """Gives FastAPI tracers whose spans leave `UNSAID` unsaid."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **named: Any) -> Tracer:
        return _DiscreetTracer(self._provider.get_tracer(*args, **named))


class _DiscreetTracer(Tracer):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        *args: Any,
        **named: Any,
    ) -> Span:
        said = {key: value for key, value in (attributes or {}).items() if key not in UNSAID}
        return self._tracer.start_span(name, context, kind, said, *args, **named)

    def start_as_current_span(self, *args: Any, **named: Any) -> Any:
        return self._tracer.start_as_current_span(*args, **named)
