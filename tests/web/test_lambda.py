"""A function as AWS Lambda calls it: event by event, on one instance."""

import asyncio
import base64
import json
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response

from lib.web.app import function
from lib.web.aws import JobFailed, on_lambda
from lib.web.instance import Instance
from lib.web.routes import chat, identity
from tests.doubles.gateways import GATEWAYS, Answer, Event, Sent, http_api, received, rest_api
from tests.doubles.openai_server import OpenAIServer
from tests.fixtures.web import make_settings, question

CRON_KEY = "cron-secret-of-the-tests-0123456789"
BYTES = bytes(range(256))
JSON = ("Content-Type", "application/json")

each_gateway = pytest.mark.parametrize("event_of", GATEWAYS.values(), ids=GATEWAYS)

Gateway = Callable[[Sent], Event]
Handler = Callable[[Any, Any], dict[str, Any]]

own = APIRouter()
"""Routes that show what a function is given, and give back what is hard to carry."""


@own.api_route("/mirror/{rest:path}", methods=["GET", "POST"])
async def mirror(rest: str, request: Request) -> dict[str, Any]:
    return {
        "rest": rest,
        "method": request.method,
        "query": sorted(request.query_params.multi_items()),
        "cookies": request.cookies,
        "headers": dict(request.headers),
        "body": base64.b64encode(await request.body()).decode(),
    }


@own.get("/bytes")
async def some_bytes() -> Response:
    return Response(BYTES, media_type="application/octet-stream")


@own.get("/text-that-is-none")
async def text_that_is_none() -> Response:
    return Response(b"\xff\xfe", media_type="text/plain")


@own.get("/cookies")
async def two_cookies(response: Response) -> None:
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")


@own.get("/api/v1/jobs/reap")
async def reap(request: Request) -> Response:
    kept = request.app.state.instance.settings.cron_secret
    fits = kept and request.headers.get("authorization") == f"Bearer {kept.get_secret_value()}"
    return Response('{"reaped": 3}' if fits else "", 200 if fits else 401, media_type="application/json")


@pytest.fixture
def lambda_runtime() -> Generator[ThreadPoolExecutor]:
    """The one thread in which Lambda's Python calls a handler."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def invoke(lambda_runtime: ThreadPoolExecutor) -> Generator[Callable[[Any], Any]]:
    """Call a warm function that has neither a database nor a model."""
    instance = Instance(make_settings(None, "http://127.0.0.1:9/v1", cron_secret=CRON_KEY))
    handler = on_lambda(function(own, *identity.routers, chat.whole, instance=instance))
    yield lambda event: lambda_runtime.submit(handler, event, None).result()
    lambda_runtime.submit(end, handler, instance).result()


def end(handler: Handler, instance: Instance) -> None:
    """Close what the instance keeps, in its own loop, and the loop."""
    handler(http_api(Sent()), None)  # makes the loop, if nothing has
    loop = asyncio.get_event_loop()
    loop.run_until_complete(instance.close())
    loop.close()


async def test_one_instance_answers_one_event_after_another_over_the_connections_it_keeps(
    database_url: str, openai_double: OpenAIServer, lambda_runtime: ThreadPoolExecutor
) -> None:
    instance = Instance(make_settings(database_url, openai_double.base_url))
    handler = on_lambda(function(chat.whole, instance=instance))
    event = http_api(Sent("POST", "/api/v1/chat", headers=[JSON], body=json.dumps(question("Hi")).encode()))

    def three_answers() -> list[Answer]:
        answers = [received(handler(event, None)) for _ in range(3)]
        end(handler, instance)
        return answers

    answers = await asyncio.get_running_loop().run_in_executor(lambda_runtime, three_answers)
    assert [answer.status for answer in answers] == [200] * 3
    assert all(json.loads(answer.body)["response"]["saved"] for answer in answers)
    assert openai_double.connections == 1


@each_gateway
def test_a_request_arrives_as_it_was_sent(event_of: Gateway, invoke: Callable[[Any], Any]) -> None:
    sent = Sent(
        "POST",
        "/mirror/a%20b/",
        "q=caf%C3%A9+and+more&q=2&empty=",
        [JSON, ("Cookie", "one=1"), ("Cookie", "two=2"), ("X-Request-ID", "id-of-the-client")],
        BYTES,
    )
    answer = received(invoke(event_of(sent)))
    seen = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers["x-request-id"] == "id-of-the-client"
    assert answer.headers["cache-control"] == "no-store"
    assert (seen["rest"], seen["method"]) == ("a b/", "POST")
    assert seen["query"] == [["empty", ""], ["q", "2"], ["q", "café and more"]]
    assert seen["cookies"] == {"one": "1", "two": "2"}
    assert base64.b64decode(seen["body"]) == BYTES
    assert seen["headers"]["content-type"] == "application/json"


@each_gateway
def test_bytes_arrive_as_they_were_answered(event_of: Gateway, invoke: Callable[[Any], Any]) -> None:
    assert received(invoke(event_of(Sent(path="/bytes")))).body == BYTES
    assert received(invoke(event_of(Sent(path="/text-that-is-none")))).body == b"\xff\xfe"


@each_gateway
def test_each_cookie_of_an_answer_arrives(event_of: Gateway, invoke: Callable[[Any], Any]) -> None:
    answer = received(invoke(event_of(Sent(path="/cookies"))))
    assert [cookie.partition(";")[0] for cookie in answer.cookies] == ["one=1", "two=2"]


@each_gateway
@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (Sent(path="/nowhere"), 404, "not_found"),
        (Sent(path="/api/v1/chat/"), 404, "not_found"),
        (Sent("DELETE", "/api/v1/chat"), 405, "method_not_allowed"),
        (Sent("BREW", "/api/v1/chat"), 405, "method_not_allowed"),
        (Sent("POST", "/api/v1/chat", headers=[JSON]), 422, "invalid_request"),
        (Sent("POST", "/api/v1/chat", headers=[JSON], body=b"{"), 422, "invalid_request"),
        (
            Sent("POST", "/api/v1/chat", headers=[JSON], body=b'{"message": {"content": "\xff"}}'),
            400,
            "invalid_request",
        ),
        (Sent("POST", "/api/v1/chat", headers=[JSON], body=BYTES), 422, "invalid_request"),
        (Sent("POST", "/api/v1/chat", headers=[JSON], body=b"x" * 6_000_000), 413, "body_too_large"),
        (Sent("POST", "/api/v1/auth/login", headers=[JSON], body=b'{"email": 1}'), 422, "invalid_request"),
    ],
    ids=lambda part: f"{part.method} {part.path} {part.body[:12]!r}" if isinstance(part, Sent) else None,
)
def test_a_request_that_cannot_be_met_is_refused_in_our_words(
    event_of: Gateway, sent: Sent, status: int, code: str, invoke: Callable[[Any], Any]
) -> None:
    answer = received(invoke(event_of(sent)))
    refusal = json.loads(answer.body)
    assert (answer.status, refusal["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == refusal["request_id"]
    assert answer.headers["cache-control"] == "no-store"


def changed(event: Event, **changes: Any) -> Event:
    return event | changes


GOOD = http_api(Sent("POST", "/mirror/", headers=[JSON], body=b"{}"))
REST = rest_api(Sent("POST", "/mirror/", headers=[JSON], body=b"{}"))


@pytest.mark.parametrize(
    "event",
    [
        {"requestContext": {}},
        {"version": "2.0", "requestContext": {}},
        {"version": "2.0", "requestContext": {"http": {"method": None, "path": "/", "sourceIp": "-"}}},
        {"version": "1.0", "requestContext": {"identity": None}, "path": "/", "httpMethod": "GET"},
        {"resource": "/", "requestContext": {"identity": None}, "path": "/", "httpMethod": "GET"},
        {"requestContext": {"elb": None}},
        changed(GOOD, body="abc", isBase64Encoded=True),
        changed(GOOD, body="\N{SNOWMAN}", isBase64Encoded=True),
        changed(GOOD, body="\ud800"),
        changed(GOOD, body={"message": "not text"}),
        changed(GOOD, headers=None),
        changed(GOOD, headers={"x-number": 1}),
        changed(GOOD, headers={"x-half": "\ud800"}),
        changed(GOOD, headers={"host": "a:b:c"}),
        changed(GOOD, headers={"host": "a:port"}),
        changed(GOOD, headers={"x-forwarded-port": "port"}),
        changed(GOOD, cookies=[1]),
        changed(GOOD, rawQueryString=None),
        changed(GOOD, rawQueryString="\ud800"),
        changed(GOOD, requestContext={"http": {"method": "GET", "path": 1, "sourceIp": "-"}}),
        changed(GOOD, requestContext={"http": {"method": "GET", "path": "/\ud800", "sourceIp": "-"}}),
        changed(REST, multiValueHeaders=["x"]),
        changed(REST, multiValueHeaders={"x": [1]}),
        changed(REST, multiValueQueryStringParameters=[1]),
        changed(REST, path=1),
    ],
)
def test_a_request_that_cannot_be_read_is_a_bad_request(event: Event, invoke: Callable[[Any], Any]) -> None:
    answer = received(invoke(event))
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "invalid_request")
    assert answer.headers["content-type"] == "application/json"
    assert received(invoke(GOOD)).status == 200


NO_REQUEST: list[Any] = [
    *(None, {}, [], "text", 7, True, {"requestContext": None}, {"requestContext": []}, [{"requestContext": {}}]),
    {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}},
    {"Records": [{"eventSource": "aws:s3"}]},
    {"Records": [{"cf": {"request": {}}}]},
    {"job": None},
    {"job": "../auth/login"},
    {"job": "reap?all=1"},
    {"job": ""},
]


@pytest.mark.parametrize("event", NO_REQUEST, ids=str)
def test_what_is_no_request_is_refused_and_logged(
    event: object, invoke: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    answer = received(invoke(event))
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "invalid_request")
    assert [(record.levelname, record.exc_info) for record in caplog.records if record.name == "parley.web"] == [
        ("ERROR", None)
    ]


def test_a_scheduled_job_is_the_call_that_a_schedule_makes_over_http(invoke: Callable[[Any], Any]) -> None:
    answer = received(invoke({"job": "reap"}))
    assert (answer.status, json.loads(answer.body)) == (200, {"reaped": 3})


def test_a_scheduled_job_that_fails_is_an_error_to_lambda(invoke: Callable[[Any], Any]) -> None:
    with pytest.raises(JobFailed, match=r"^unheard-of was answered 404$"):
        invoke({"job": "unheard-of"})


def test_a_scheduled_job_without_a_cron_secret_fails(lambda_runtime: ThreadPoolExecutor) -> None:
    instance = Instance(make_settings(None, "http://127.0.0.1:9/v1", cron_secret=None))
    handler = on_lambda(function(own, instance=instance))
    with pytest.raises(JobFailed, match=r"^reap was answered 401$"):
        lambda_runtime.submit(handler, {"job": "reap"}, None).result()
    lambda_runtime.submit(end, handler, instance).result()
