"""The trace of a request, as a collector reads it, and what a collector that fails costs."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes  # pyright: ignore[reportMissingTypeStubs]

from lib.telemetry import tracing
from lib.telemetry.collector import FLUSH
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.otlp_collector import OtlpCollector
from tests.doubles.upstream import Script
from tests.fixtures.retrieval import Library
from tests.fixtures.served import served
from tests.fixtures.web import Deploy, Deployment, question
from tests.test_imports import loads

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECRET = "mark5ecret"


@pytest.fixture
async def collector() -> AsyncGenerator[OtlpCollector]:
    async with OtlpCollector() as started:
        yield started


@pytest.fixture
async def traced(deploy: Deploy, collector: OtlpCollector) -> Deployment:
    return await deploy(otel_exporter_otlp_endpoint=collector.url, otel_exporter_otlp_headers="x-key=abc%20d,Y=1")


async def test_a_turn_is_a_trace_with_a_span_for_each_step_below_the_request(
    deploy: Deploy, shelf: Library, collector: OtlpCollector
) -> None:
    shelf.keep({"bees.md": "# Bees\n\nBees dance."})
    search = {name: getattr(shelf.settings, name) for name in ("qdrant_url", "qdrant_collection", "retrieval_timeout")}
    search |= {name: getattr(shelf.settings, name) for name in ("embedding_base_url", "embedding_model")}
    parley = await deploy(otel_exporter_otlp_endpoint=f"{collector.url}/", **search)
    for path in ("/api/v1/chat", "/api/v1/chat/stream"):
        response = await parley.client.post(path, json=question("Do bees dance?"))
        assert '"retrieval":"used"' in response.text
        request = await collector.span(f"POST {path}")
        spans = [span for span in collector.spans if span.trace == request.trace]
        assert {span.name for span in spans} == {
            *(f"POST {path}", "load history", "retrieve", "chat double-1", "persist")
        }
        assert all(span.parent == request.id for span in spans if span is not request)
        assert not any(span.failed for span in spans)
        assert request.attributes["http.route"] == path
        assert request.attributes["http.response.status_code"] == 200
        (called,) = (span for span in spans if span.name == "chat double-1")
        assert called.events == ("first token",)
        assert called.attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "double-1",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 4,
        }


async def test_the_callers_trace_goes_on_and_the_log_names_it(
    traced: Deployment, collector: OtlpCollector, capsys: pytest.CaptureFixture[str]
) -> None:
    await traced.client.get("/api/v1/chat", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    span = await collector.span("GET /api/v1/chat")
    assert (span.trace, span.parent) == (TRACE, PARENT)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["trace_id"] for line in said if line["logger"] == "parley.requests"] == [TRACE]


async def test_the_collector_is_told_who_sends_and_given_its_headers(
    traced: Deployment, collector: OtlpCollector
) -> None:
    await traced.client.get("/api/v1/chat")
    span = await collector.span("GET /api/v1/chat")
    assert span.resource["service.name"] == "parley"
    assert span.resource["service.version"] == "0.1.0"
    assert span.resource["deployment.environment.name"] == "development"
    assert (collector.headers["x-key"], collector.headers["y"]) == ("abc d", "1")


@pytest.mark.parametrize("script", [Script(error_at=1), Script(status=401), Script(cut_at=0)])
async def test_a_model_that_fails_is_a_span_that_failed(
    traced: Deployment, collector: OtlpCollector, openai_double: OpenAIServer, script: Script
) -> None:
    openai_double.play(script)
    await traced.ask()
    called = await collector.span("chat double-1")
    assert called.failed
    assert str(called.attributes["error.type"]).startswith("provider_")


async def test_a_client_that_leaves_is_a_trace_all_the_same(
    deploy: Deploy, collector: OtlpCollector, openai_double: OpenAIServer
) -> None:
    traced = await deploy(otel_exporter_otlp_endpoint=collector.url, disconnect="cancel")
    openai_double.play(Script(stall_at=1))
    async with traced.client.stream("POST", "/api/v1/chat/stream", json=question("Hi")) as response:
        await anext(response.aiter_bytes())
    assert (await collector.span("persist")).trace == (await collector.span("chat double-1")).trace
    assert (await collector.span("chat double-1")).events == ("first token",)


async def test_no_text_no_query_no_path_and_no_secret_is_in_a_trace(
    traced: Deployment, collector: OtlpCollector, openai_double: OpenAIServer
) -> None:
    for script in (
        Script(pieces=(SECRET,)),
        Script(status=400, error={"error": {"message": SECRET}}),
        Script(cut_at=1),
    ):
        openai_double.play(script)
        for path in ("/api/v1/chat", "/api/v1/chat/stream", f"/api/v1/{SECRET}", "/api/v1/auth/login"):
            await traced.client.post(
                f"{path}?token={SECRET}",
                json=question(SECRET) if "chat" in path else {"email": "a@b.example", "password": SECRET},
                headers={"Authorization": f"Bearer {SECRET}", "X-Request-ID": f"id-{SECRET}", "baggage": f"a={SECRET}"},
            )
        await traced.ask(SECRET)
    await traced.client.get("/api/v1/chat", headers={"Cookie": f"access_token={SECRET}"})
    await collector.span("GET /api/v1/chat")
    assert len(collector.spans) > 20
    assert not any(SECRET.encode() in body for body in collector.bodies)


async def test_all_of_a_stream_is_there_before_its_spans_are_sent(traced: Deployment, collector: OtlpCollector) -> None:
    await traced.ask()  # the connection to the collector
    collector.answering.clear()
    heard = b""
    async with traced.client.stream("POST", "/api/v1/chat/stream", json=question("Hi")) as response:
        async for chunk in response.aiter_bytes():
            heard += chunk
            if b'"status":"success"' in heard:
                break
        assert "persist" not in {span.name for span in collector.spans[4:]}
        collector.answering.set()


@pytest.mark.alone
@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
async def test_a_collector_that_is_silent_holds_an_answer_up_for_half_a_second_at_most(
    traced: Deployment, collector: OtlpCollector, path: str
) -> None:
    collector.answering.clear()
    for _ in range(5):
        began = time.monotonic()
        response = await traced.client.post(path, json=question("Hi"))
        assert response.status_code == 200
        assert time.monotonic() - began < FLUSH + 0.5
    began = time.monotonic()
    await traced.client.post(path, json=question("Hi"))
    assert time.monotonic() - began < FLUSH / 2, "it is known to be silent, and not waited for"


@pytest.mark.alone
async def test_a_collector_that_trickles_is_waited_for_once(deploy: Deploy) -> None:
    ended = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while not ended.is_set():  # never silent for long enough to be given up
            writer.write(b"HTTP/1.1 200 OK\r\n" if not writer.transport.get_write_buffer_size() else b"")
            await asyncio.wait({asyncio.ensure_future(ended.wait())}, timeout=0.1)
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    parley = await deploy(otel_exporter_otlp_endpoint="http://{}:{}".format(*server.sockets[0].getsockname()))
    took: list[float] = []
    for _ in range(3):
        began = time.monotonic()
        assert (await parley.stream())[-1]["status"] == "success"
        took.append(time.monotonic() - began)
    ended.set()
    server.close()
    assert took[0] >= FLUSH
    assert max(took[1:]) < FLUSH / 2


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_collector_that_refuses_fails_no_request(
    traced: Deployment, collector: OtlpCollector, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    collector.status = status
    for _ in range(6):
        assert (await traced.ask()).status_code == 200
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    lost = [line for line in said if line["level"] == "WARNING"]
    assert 1 <= len(lost) <= 3, "a breaker keeps it from being asked, and complained of, each time"
    assert {line["logger"] for line in lost} == {"parley.traces"}


async def test_a_collector_that_is_down_fails_no_request(deploy: Deploy) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        parley = await deploy(otel_exporter_otlp_endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert (await parley.ask()).status_code == 200
        assert (await parley.stream())[-1]["status"] == "success"


async def test_what_was_not_sent_yet_is_sent_when_the_process_is_told_to_end(
    tmp_path: Any, collector: OtlpCollector, openai_double: OpenAIServer
) -> None:
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": openai_double.base_url}
    openai_double.play(Script(stall_at=1))
    async with served(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **environment) as parley:
        reader, writer = await asyncio.open_connection(*parley.url.removeprefix("http://").split(":"))
        body = json.dumps(question("Hi")).encode()
        head = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(f"POST /api/v1/chat/stream HTTP/1.1\r\n{head}".encode() + body)
        await reader.readuntil(b"Hello")
    writer.close()
    assert {"chat gpt-4.1-mini", "persist"} <= {span.name for span in collector.spans}


def test_without_a_collector_nothing_of_the_sdk_is_loaded_and_nothing_is_made(tmp_path: Any) -> None:
    (tmp_path / "turn.py").write_text(
        "import api.chat.stream, lib.chat.turn, lib.web.app, sys\n"
        "from lib.telemetry import tracing\n"
        "assert api.chat.stream.app.state.instance.collector is None\n"
        "assert tracing.start('x') is tracing.start('y'), 'the same span, which does nothing'\n"
        "assert tracing.trace_id() is None\n"
        "loaded = [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter',"
        " 'opentelemetry.proto', 'requests', 'google.protobuf', 'lib.telemetry.collector', 'lib.web.traced'))]\n"
        "assert loaded == [], loaded\n"
    )
    assert "opentelemetry" in loads("turn", tmp_path)


def test_the_names_of_a_models_attributes_are_those_of_the_conventions() -> None:
    assert tracing.OPERATION == gen_ai_attributes.GEN_AI_OPERATION_NAME
    assert tracing.MODEL == gen_ai_attributes.GEN_AI_REQUEST_MODEL
    assert tracing.INPUT_TOKENS == gen_ai_attributes.GEN_AI_USAGE_INPUT_TOKENS
    assert tracing.OUTPUT_TOKENS == gen_ai_attributes.GEN_AI_USAGE_OUTPUT_TOKENS
