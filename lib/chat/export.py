"""A conversation to take away: as JSON, with every branch, or as Markdown to read."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from lib.db.messages import Message
from lib.errors import ExportTooLarge
from lib.store.conversations import Conversation

LARGEST: Final = 4_000_000
"""Bytes of an export: Vercel lets a function answer with 4.5 MB."""

VERSION: Final = 1
"""Of the shape of the JSON."""


def as_json(conversation: Conversation) -> bytes:
    """Return the path that is shown, as `messages`, and apart from it the messages of other branches.

    Raises:
        ExportTooLarge: it is longer than `LARGEST`, or the conversation is not here whole.
    """
    own = {name: getattr(conversation, name) for name in _FIELDS}
    return _bounded(
        conversation,
        msgspec.json.encode(
            {
                "format": "parley.conversation",
                "version": VERSION,
                "exported_at": datetime.now(UTC),
                "conversation": own,
                "messages": [message for message in conversation.messages if message.active],
                "branches": [message for message in conversation.messages if not message.active],
            }
        ),
    )


def as_markdown(conversation: Conversation) -> bytes:
    """Return the path that is shown, each message under a heading of ours and fenced in, so that it is only itself.

    Whatever a message says, it ends where its fence ends: a heading in it is text, and no other message.

    Raises:
        ExportTooLarge: as `as_json`.
    """
    shown = [message for message in conversation.messages if message.active]
    said = "\n".join(_markdown(message) for message in shown)
    return _bounded(conversation, f"# {_inline(conversation.title)}\n\n{said}".encode())


_FIELDS: Final = tuple(name for name in Conversation.__dataclass_fields__ if name not in {"messages", "has_more"})


def _bounded(conversation: Conversation, export: bytes) -> bytes:
    if conversation.has_more or len(export) > LARGEST:
        raise ExportTooLarge
    return export


def _markdown(message: Message) -> str:
    at = message.timestamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    how = "" if message.status == "complete" else f", {message.status}"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", message.content)), default=0))
    cited = "\n".join(_source(source) for source in message.sources if source.get("cited"))
    sources = f"\nSources:\n\n{cited}\n" if cited else ""
    return f"## {message.role.title()}\n\n*{at}{how}*\n\n{fence}\n{message.content}\n{fence}\n{sources}"


def _source(source: dict[str, Any]) -> str:
    """Return a source as an item of a list; what it is called comes from documents, and is text."""
    named = (str(source.get(name) or "") for name in ("title", "uri"))
    return f"- \\[{_inline(str(source.get('index')))}\\] {', '.join(_inline(name) for name in named if name)}"


def _inline(text: str) -> str:
    """Return a text that stays on its line, and whose every character stands for itself."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))
