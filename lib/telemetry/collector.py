"""Where traces go: to the collector at `OTEL_EXPORTER_OTLP_ENDPOINT`, by OTLP over HTTP.

Only an instance that has one imports this. A serverless instance is frozen once it has answered, so whoever answers
awaits `Collector.flush` first: it takes `FLUSH` seconds at most, and never fails.
"""

import asyncio
import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer
from opentelemetry.util.re import parse_env_headers

from lib.breaker import Breaker, Call
from lib.version import VERSION

FLUSH: Final = 0.5
"""Seconds an answer's end waits for its spans to be taken."""
REQUEST: Final = 0.4
"""Seconds the collector has for one request."""
WAITING: Final = 2048
"""Spans kept while the collector is away; the oldest are dropped."""

_log = logging.getLogger("parley.traces")


class Collector:
    """The collector of this instance, and the tracers whose spans go there."""

    def __init__(self, exporter: SpanExporter, resource: Resource) -> None:
        """Use `at`."""
        self._outbox = _Outbox(exporter)
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(self._outbox)

    @classmethod
    def at(cls, endpoint: str, headers: str | None, environment: str) -> Self:
        """Return the collector at `endpoint`.

        Args:
            endpoint: the base URL, which `/v1/traces` is added to.
            headers: sent along, as `key=value` pairs with commas between.
            environment: where these spans come from, production or development.
        """
        # Its own lines may quote the URL, which may hold a key, and there are several for each failure.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        sent_along = parse_env_headers(headers, liberal=True) if headers else None
        exporter = OTLPSpanExporter(endpoint=traces_url(endpoint), headers=sent_along, timeout=REQUEST)
        named = {"service.name": "parley", "service.version": VERSION, "deployment.environment.name": environment}
        return cls(exporter, Resource.create(named))

    @property
    def tracer(self) -> Tracer:
        """What starts the spans of our own work."""
        return self.provider.get_tracer("parley", VERSION)

    async def flush(self) -> None:
        """Send the spans that have ended. It returns after `FLUSH` seconds whether they are taken or not."""
        await self._outbox.flush()

    async def close(self) -> None:
        """Send what is left, and let go of the connection."""
        await self.flush()
        self._outbox.shutdown()


def traces_url(endpoint: str) -> str:
    """Return where spans are posted, as OpenTelemetry derives it from an endpoint of all signals."""
    return f"{endpoint.rstrip('/')}/v1/traces"


class _Outbox(SpanProcessor):
    """Spans that have ended, and the one thread that sends them.

    The SDK's own batch processor waits for five seconds, which a frozen instance does not have, and its flush knows no
    limit of time.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque(maxlen=WAITING)
        self._thread = ThreadPoolExecutor(1, "traces")
        self._breaker = Breaker()
        self._late: Future[Any] | None = None

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled:
            self._waiting.append(span)

    async def flush(self) -> None:
        """Hand the spans to the thread, and wait a little. One that hangs is not waited for again until it is back."""
        if not self._waiting or (self._late and not self._late.done()):
            return
        call = self._breaker.enter()
        if call is None:
            return
        sending = self._thread.submit(self._send, call)
        await asyncio.wait([asyncio.wrap_future(sending)], timeout=FLUSH)
        if not sending.done():
            self._late = sending

    def _send(self, call: Call) -> None:
        """Send all that waits: another answer's spans too, which then finds nothing left to do."""
        with call:
            spans = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not spans:
                return
            if self._exporter.export(spans) is SpanExportResult.SUCCESS:
                call.answered()
                return
            call.failed(waited=False)
            _log.warning("%d spans were lost: the collector did not take them within %g s", len(spans), REQUEST)

    def shutdown(self) -> None:
        self._thread.shutdown(wait=False)
        self._exporter.shutdown()
