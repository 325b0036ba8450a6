"""What AWS makes of an HTTP request before a function sees it, and of what the function returns.

The shapes are those of AWS's pages on Lambda proxy integrations: API Gateway's REST API (payload 1.0), its HTTP API
(payload 2.0), and function URLs, which speak payload 2.0 too.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

Event = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """A request as a client sends it. `headers` may name one twice; `body` is what crosses the wire."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """A response as a client receives it."""

    status: int
    headers: Mapping[str, str]
    cookies: Sequence[str]
    body: bytes


def _body(sent: Sent) -> Event:
    """AWS hands over text as it is, and everything else as base64."""
    try:
        return {"body": sent.body.decode() or None, "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(sent.body).decode(), "isBase64Encoded": True}


def _gathered(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for name, value in pairs:
        gathered.setdefault(name, []).append(value)
    return gathered


def rest_api(sent: Sent) -> Event:
    """Return the event of a REST API: every header and parameter twice, the last value and all of them."""
    headers = _gathered([*sent.headers, ("Host", "abc123.execute-api.eu-central-1.amazonaws.com")])
    query = _gathered(parse_qsl(sent.query, keep_blank_values=True))
    return {
        "resource": "/{proxy+}",
        "path": sent.path,
        "httpMethod": sent.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": sent.path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": sent.method,
            "path": f"/prod{sent.path}",
            "stage": "prod",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "tests"},
        },
        **_body(sent),
    }


def http_api(sent: Sent, host: str = "abc123.execute-api.eu-central-1.amazonaws.com") -> Event:
    """Return the event of an HTTP API: headers in lower case and joined, cookies apart."""
    gathered = _gathered([(name.lower(), value) for name, value in [*sent.headers, ("host", host)]])
    cookies = [crumb for value in gathered.pop("cookie", []) for crumb in value.split("; ")]
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(sent.path),
        "rawQueryString": sent.query,
        **({"cookies": cookies} if cookies else {}),
        "headers": {name: ",".join(values) for name, values in gathered.items()},
        "requestContext": {
            "domainName": host,
            "http": {
                "method": sent.method,
                "path": unquote(sent.path),
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "tests",
            },
            "routeKey": "$default",
            "stage": "$default",
        },
        **_body(sent),
    }


def function_url(sent: Sent) -> Event:
    """Return the event of a function URL."""
    return http_api(sent, host="def456.lambda-url.eu-central-1.on.aws")


GATEWAYS: dict[str, Callable[[Sent], Event]] = {
    "REST API": rest_api,
    "HTTP API": http_api,
    "function URL": function_url,
}


def received(result: Any) -> Answer:
    """Return what the client gets of a function's result, in either payload."""
    given: dict[str, str] = result.get("headers") or {}
    headers = {name.lower(): value for name, value in given.items()}
    cookies = [*result.get("cookies", []), *result.get("multiValueHeaders", {}).get("set-cookie", [])]
    if "set-cookie" in headers:
        cookies.append(headers.pop("set-cookie"))
    body = result.get("body") or ""
    return Answer(
        result["statusCode"],
        headers,
        cookies,
        base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode(),
    )
