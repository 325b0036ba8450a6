"""One cold start: `bench/cold.py` runs this in a fresh process and reads one line of JSON from it.

    python bench/cold_child.py MODULE REQUEST

MODULE is a function's, or `bare`. REQUEST is JSON: `method`, `path`, `headers`, `body`, and `streamed`, which asks for
the first text of a stream in place of a whole answer. Nothing is imported here that the function would not import.
"""

import json
import sys
import time
from typing import Any, Final

FIRST_TEXT: Final = b"word0"
"""What `bench/upstream.py` says first."""


def main() -> None:
    """Answer one request and say what it took since the process began: CPU seconds and the time of the answer."""
    module, request = sys.argv[1], json.loads(sys.argv[2])
    figures = _first_text(module, request) if request.get("streamed") else _whole(module, request)
    if "bcrypt" in sys.modules:
        hashing = _hash()
        figures = {name: figure - hashing[name] for name, figure in figures.items()}
    print(json.dumps(figures))


def _now() -> dict[str, float]:
    return {"cpu": time.process_time(), "at": time.time()}


def _whole(module: str, request: dict[str, Any]) -> dict[str, float]:
    """Let the function's Lambda handler answer, and return when it had."""
    reply = _handler(module)(_event(request), None)
    answered = _now()
    if reply["statusCode"] >= 300:
        raise SystemExit(f"{module} answered {reply['statusCode']}: {reply['body']}")
    return answered


def _handler(module: str) -> Any:
    if module == "bare":
        from fastapi import FastAPI
        from mangum import Mangum

        app = FastAPI()
        app.get("/")(_ok)
        return Mangum(app, lifespan="off")
    from importlib import import_module

    return import_module(module).lambda_handler


async def _ok() -> dict[str, str]:
    return {"status": "ok"}


def _event(request: dict[str, Any]) -> dict[str, Any]:
    """Return the event of API Gateway's HTTP API, payload format 2.0."""
    http = {"method": request["method"], "path": request["path"], "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request["path"],
        "rawQueryString": "",
        "headers": {"host": "parley.example.com", "content-type": "application/json", **request.get("headers", {})},
        "requestContext": {"http": http, "stage": "$default"},
        "body": json.dumps(request.get("body")),
        "isBase64Encoded": False,
    }


def _first_text(module: str, request: dict[str, Any]) -> dict[str, float]:
    """Let the function stream to its end, and return when it had sent the first text."""
    import asyncio
    from importlib import import_module

    app = import_module(module).app
    headers = {"host": "parley.example.com", "content-type": "application/json", **request.get("headers", {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request["method"],
        "scheme": "https",
        "path": request["path"],
        "raw_path": request["path"].encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 1),
        "server": ("parley.example.com", 443),
    }

    async def read() -> dict[str, float]:
        asked, sent = False, b""
        answered: dict[str, float] = {}

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()  # the client stays
            asked = True
            return {"type": "http.request", "body": json.dumps(request["body"]).encode(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal answered, sent
            sent += message.get("body", b"")
            if not answered and FIRST_TEXT in sent:
                answered = _now()

        await app(scope, receive, send)
        if not answered:
            raise SystemExit(f"{module} streamed no text: {sent!r}")
        return answered

    return asyncio.run(read())


def _hash() -> dict[str, float]:
    """Return what one password hash takes on this machine, now."""
    import bcrypt

    began = _now()
    bcrypt.checkpw(b"no password", b"$2b$12$UTxRWXEBLS5/13hB2dKliepSnTZuLH2YEesT5dgjC4pq2oC6PKHMS")
    return {name: figure - began[name] for name, figure in _now().items()}


if __name__ == "__main__":
    main()
