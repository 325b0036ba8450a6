"""A function as AWS Lambda calls it: through Mangum, event by event, on one instance."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lib.web.app import function, on_lambda
from lib.web.instance import Instance
from lib.web.routes import chat
from tests.doubles.openai_server import OpenAIServer
from tests.fixtures.web import make_settings, question


def event(body: object) -> dict[str, Any]:
    """Return a request as API Gateway's HTTP API sends it (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "ANY /api/v1/chat",
        "rawPath": "/api/v1/chat",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example.com"},
        "requestContext": {
            "http": {"method": "POST", "path": "/api/v1/chat", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


async def test_one_instance_answers_one_event_after_another_over_the_connections_it_keeps(
    database_url: str, openai_double: OpenAIServer
) -> None:
    instance = Instance(make_settings(database_url, openai_double.base_url))
    handler = on_lambda(function(chat.whole, instance=instance))

    def invoke() -> list[dict[str, Any]]:
        answers = [handler(event(question("Hi")), None) for _ in range(3)]
        asyncio.get_event_loop().run_until_complete(instance.close())
        asyncio.get_event_loop().close()
        return answers

    with ThreadPoolExecutor(1) as lambda_runtime:
        answers = await asyncio.get_running_loop().run_in_executor(lambda_runtime, invoke)
    assert [answer["statusCode"] for answer in answers] == [200] * 3
    assert all(json.loads(answer["body"])["response"]["saved"] for answer in answers)
    assert openai_double.connections == 1
