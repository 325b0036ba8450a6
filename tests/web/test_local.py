"""Every function behind one port."""

import pytest

from lib.web.local import LocalServer, read_table


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("/api/v1/auth/register", "api.auth"),
        ("/api/v1/auth/login", "api.auth"),
        ("/api/v1/conversations/internal-save", "api.conversations"),
        ("/conversations", "api.conversations"),
        ("/conversations/01995d2e-0000-7000-8000-000000000000", "api.conversations"),
        ("/conversations/01995d2e-0000-7000-8000-000000000000/messages", "api.chat.stream"),
        ("/api/chats/01995d2e-0000-7000-8000-000000000000/messages/1/stream", "api.chat.stream"),
        ("/conversations/chat", "api.chat.index"),
        ("/conversations/chat/stream", "api.chat.stream"),
        ("/api/v1/chat", "api.chat.index"),
        ("/api/v1/chat/stream", "api.chat.stream"),
        ("/api/v1/chat/", None),
        ("/api/v1/chats", None),
        ("/", None),
    ],
)
def test_a_path_goes_to_the_function_that_the_table_names(path: str, module: str | None) -> None:
    found = next((module for pattern, module in read_table() if pattern.fullmatch(path)), None)
    assert found == module


async def test_each_request_is_handed_to_its_function() -> None:
    called: list[str] = []

    def app(name: str):
        async def run(scope: object, receive: object, send: object) -> None:
            called.append(name)

        return run

    routes = [(pattern, app(module)) for pattern, module in read_table()]
    server = LocalServer(routes, otherwise=app("otherwise"))
    for scope in (
        {"type": "http", "path": "/api/v1/chat/stream"},
        {"type": "http", "path": "/x"},
        {"type": "lifespan"},
    ):
        await server(scope, None, None)  # type: ignore[arg-type]
    assert called == ["api.chat.stream", "otherwise", "otherwise"]
