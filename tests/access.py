"""Who may call what: every published route is in this table, and a route that is not fails a test."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from lib.web.routes import agents, identity, threads
from tests.fixtures.pictures import PNG
from tests.published import Published

Access = Literal[
    "anyone",
    "chatter",
    "reader",
    "writer",
    "editor",
    "knower",
    "person",
    "owner",
    "admin",
    "team admin",
    "server",
    "schedule",
]
"""Whom a route lets in.

- anyone: guests, and whoever has a credential that holds.
- chatter: the same, but a program's key needs the scope `chat`.
- reader: a user, or their program with the scope `read`.
- writer: a user, or their program with the scope `chat`.
- editor: a user, or their program with the scopes `read` and `chat`.
- knower: a reader, or an administrator's program with the scope `admin`.
- person: a user with a session; no program.
- owner: a user, and an administrator's program with the scope `admin`.
- admin: an administrator, their program with the scope `admin`, or the internal key.
- team admin: the same without the internal key.
- server: the internal key alone.
- schedule: the cron secret alone.
"""

ACCESS: Final[Mapping[str, Access]] = {
    "POST {identity}/register": "anyone",
    "POST {identity}/setup": "anyone",
    "POST {identity}/login": "anyone",
    "POST {identity}/login-json": "anyone",
    "POST {identity}/login/2fa": "anyone",
    "POST {identity}/refresh": "anyone",
    "POST {identity}/logout": "anyone",
    "POST {identity}/password/forgot": "anyone",
    "POST {identity}/password/reset": "anyone",
    "POST {identity}/password/change": "person",
    "GET {identity}/me": "reader",
    "PATCH {identity}/me": "person",
    "PUT {identity}/me/avatar": "person",
    "POST {identity}/me/avatar": "person",
    "DELETE {identity}/me/avatar": "person",
    "GET {identity}/sessions": "person",
    "DELETE {identity}/sessions": "person",
    "DELETE {identity}/sessions/{session_id}": "person",
    "GET {identity}/2fa": "person",
    "POST {identity}/2fa/setup": "person",
    "POST {identity}/2fa/verify": "person",
    "POST {identity}/2fa/disable": "person",
    "POST {identity}/2fa/recovery-codes": "person",
    "GET {identity}/api-keys": "person",
    "POST {identity}/api-keys": "person",
    "DELETE {identity}/api-keys/{key_id}": "person",
    "GET {identity}/events": "reader",
    "GET /.well-known/jwks.json": "anyone",
    "GET /users": "team admin",
    "GET /users/": "team admin",
    "POST /users": "team admin",
    "POST /users/": "team admin",
    "GET /users/{user_id}": "knower",
    "PUT /users/{user_id}": "owner",
    "PATCH /users/{user_id}": "owner",
    "DELETE /users/{user_id}": "team admin",
    "GET {agents}": "knower",
    "POST {agents}": "team admin",
    "GET {agents}/{agent_id}": "knower",
    "PUT {agents}/{agent_id}": "team admin",
    "PATCH {agents}/{agent_id}": "team admin",
    "DELETE {agents}/{agent_id}": "team admin",
    "PUT {agents}/{agent_id}/avatar": "team admin",
    "POST {agents}/{agent_id}/avatar": "team admin",
    "DELETE {agents}/{agent_id}/avatar": "team admin",
    "POST {agents}/{agent_id}/test": "team admin",
    "GET /conversations/tools/available": "reader",
    "POST /api/v1/chat": "chatter",
    "POST /api/v1/chat/stream": "chatter",
    "POST /api/v1/conversations/internal-save": "server",
    "GET {conversations}": "reader",
    "POST {conversations}": "writer",
    "GET {conversations}/search": "reader",
    "GET {conversations}/{conversation_id}": "reader",
    "GET {conversations}/{conversation_id}/export": "reader",
    "PUT {conversations}/{conversation_id}": "editor",
    "PATCH {conversations}/{conversation_id}": "editor",
    "DELETE {conversations}/{conversation_id}": "writer",
    "GET {conversations}/{conversation_id}/messages": "reader",
    "GET {conversations}/{conversation_id}/messages/{message_id}": "reader",
    "PUT {conversations}/{conversation_id}/messages/{message_id}/feedback": "editor",
    "DELETE {conversations}/{conversation_id}/messages/{message_id}/feedback": "writer",
    "POST {conversations}/{conversation_id}/messages/{message_id}/activate": "editor",
    "POST {conversations}/{conversation_id}/messages": "chatter",
    "POST {conversations}/{conversation_id}/messages/{message_id}/edit": "chatter",
    "POST {conversations}/{conversation_id}/messages/{message_id}/regenerate": "chatter",
    "GET {conversations}/{conversation_id}/messages/{message_id}/stream": "chatter",
    "POST {conversations}/{conversation_id}/messages/{message_id}/stop": "chatter",
    "POST /conversations/chat": "chatter",
    "POST /conversations/chat/stream": "chatter",
    "GET /api/v1/usage": "reader",
    "GET /api/v1/usage/team": "team admin",
    "GET /health": "anyone",
    "HEAD /health": "anyone",
    "GET /health/": "anyone",
    "HEAD /health/": "anyone",
    "GET /health/detailed": "admin",
    "GET /metrics/performance": "admin",
    "GET /metrics/users": "admin",
    "GET /metrics/workspaces": "admin",
    "GET /metrics/chats": "admin",
    "GET /metrics/prometheus": "admin",
    "GET /api/v1/jobs/reap": "schedule",
    "POST /api/v1/jobs/reap": "schedule",
    "GET /api/v1/jobs/replay": "schedule",
    "POST /api/v1/jobs/replay": "schedule",
    **{
        f"{method} /health/{part}": "anyone"
        for part in ("database", "storage", "inference", "retrieval")
        for method in ("GET", "HEAD")
    },
}

BODIES: Final[Mapping[str, dict[str, Any]]] = {
    "POST /users": {"email": "new@example.com", "password": "securepassword123"},
    "POST /users/": {"email": "new@example.com", "password": "securepassword123"},
    "PUT /users/{user_id}": {"full_name": "Changed"},
    "PATCH /users/{user_id}": {"full_name": "Changed"},
    "POST {agents}": {"name": "Made", "webhook_url": "http://127.0.0.1:9/webhook/made"},
    "PUT {agents}/{agent_id}": {"name": "Changed"},
    "PATCH {agents}/{agent_id}": {"name": "Changed"},
    "POST {agents}/{agent_id}/test": {"message": "Hello"},
    "PUT {conversations}/{conversation_id}": {"title": "Changed"},
    "PATCH {conversations}/{conversation_id}": {"title": "Changed"},
    "PUT {conversations}/{conversation_id}/messages/{message_id}/feedback": {"rating": "up"},
    "POST {conversations}/{conversation_id}/messages": {"content": "Hello"},
    "POST {conversations}/{conversation_id}/messages/{message_id}/edit": {"content": "Hello"},
    "POST /conversations/chat": {"message": "Hello"},
    "POST /conversations/chat/stream": {"message": "Hello"},
    "POST /api/v1/chat": {"message": {"content": "Hello"}},
    "POST /api/v1/chat/stream": {"message": {"content": "Hello"}},
}
"""A body that is valid, for routes that look at it before they know whether the caller may."""


PICTURED: Final = {f"{method} {{agents}}/{{agent_id}}/avatar" for method in ("PUT", "POST")}
"""Routes whose body is a form with a picture, likewise."""

SEVERAL: Final = {"identity": identity.PREFIXES, "agents": agents.PREFIXES, "conversations": threads.PREFIXES}
"""What is published under more than one prefix, as the tables above name it."""


def key_of(route: Published) -> str:
    """Return a route as the tables above name it."""
    if (only := f"{route.method} {route.template}") in ACCESS:
        return only
    for name, prefixes in SEVERAL.items():
        for prefix in prefixes:
            if route.template == prefix or route.template.startswith(f"{prefix}/"):
                return f"{route.method} {{{name}}}{route.template[len(prefix) :]}"
    return only


def body_of(route: Published) -> dict[str, Any]:
    """Return what a request to a route takes for its body, by the names of httpx."""
    key = key_of(route)
    return {"files": {"file": ("picture.png", PNG)}} if key in PICTURED else {"json": BODIES.get(key)}
