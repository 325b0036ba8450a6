"""A collector that takes spans by OTLP over HTTP, as OpenTelemetry's own messages read them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class TakenSpan:
    """A span as it arrived. `parent` is "" for one without."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    events: tuple[str, ...]
    failed: bool
    resource: dict[str, Any] = field(repr=False)


class OtlpCollector:
    """A collector in the running loop.

    Attributes:
        spans: what arrived, oldest first.
        headers: those of the last request.
        status: what it answers with.
        answering: while it is not set, every request hangs.
        bodies: every body as it came, for a search in the bytes.
    """

    def __init__(self) -> None:
        self.spans: list[TakenSpan] = []
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []
        self.status = 200
        self.answering = asyncio.Event()
        self.answering.set()
        self._arrived = asyncio.Condition()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/v1/traces", self._take)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.answering.set()
        await self._runner.cleanup()

    async def span(self, name: str) -> TakenSpan:
        """Return the one span of this name, once it is there: an answer is read before its spans are sent."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: name in {span.name for span in self.spans})
        (span,) = (span for span in self.spans if span.name == name)
        return span

    async def _take(self, request: web.Request) -> web.Response:
        self.headers = dict(request.headers)
        body = await request.read()
        await self.answering.wait()
        self.bodies.append(body)
        if self.status == 200:
            self.spans += _read(body)
            async with self._arrived:
                self._arrived.notify_all()
        return web.Response(status=self.status)


def _read(body: bytes) -> list[TakenSpan]:
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    return [
        TakenSpan(
            name=span.name,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            attributes=_plain(span.attributes),
            events=tuple(event.name for event in span.events),
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
            resource=_plain(of.resource.attributes),
        )
        for of in message.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
