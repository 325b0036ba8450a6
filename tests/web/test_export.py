"""Conversations to take away."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lib.chat.export import as_markdown
from lib.db.messages import Message
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.store.conversations import Conversation
from lib.web.download import download
from tests.fixtures.people import Asker, someone
from tests.fixtures.threads import FIRST, Thread, converse
from tests.fixtures.web import Deployment, Rows


@pytest.fixture
async def ada(parley: Deployment, team_id: UUID) -> Asker:
    return await someone(parley, team_id=team_id)


async def exported(thread: Thread, kind: str) -> httpx.Response:
    return await thread.owner.ask("GET", f"/conversations/{thread.id}/export", params={"format": kind})


async def test_json_holds_what_is_shown_and_every_branch(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, "a", "b", title="Talk", metadata='{"tags": ["x"]}')
    await thread.say("c", after=FIRST, active=False)
    answer = await exported(thread, "json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    saved = answer.json()
    shown = (await ada.ask("GET", f"/conversations/{thread.id}")).json()
    assert saved["messages"] == shown.pop("messages")
    assert shown.pop("has_more") is False
    assert saved["conversation"] == shown
    assert [(message["content"], message["active"]) for message in saved["branches"]] == [("c", False)]
    assert (saved["format"], saved["version"]) == ("parley.conversation", 1)


async def test_markdown_is_the_path_that_is_shown(rows: Rows, ada: Asker) -> None:
    thread = await converse(rows, ada, title="A *talk*\nabout # things")
    at: dict[str, Any] = {"created_at": "2026-01-01T10:00:00Z"}
    sources = json.dumps(
        [{"index": 1, "title": "The [book]", "uri": "b.md", "cited": True}, {"index": 2, "title": "x"}]
    )
    await thread.say("How?\n# Really", **at)
    await thread.say("Not shown", active=False, **at)
    await thread.say("So:\n```py\n1\n```", after=thread.said[0], sources=sources, status="stopped", **at)
    answer = await exported(thread, "markdown")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == (
        "# A \\*talk\\* about \\# things\n\n"
        "## User\n\n*2026-01-01 10:00:00 UTC*\n\n```\nHow?\n# Really\n```\n\n"
        "## Assistant\n\n*2026-01-01 10:00:00 UTC, stopped*\n\n````\nSo:\n```py\n1\n```\n````\n"
        "\nSources:\n\n- \\[1\\] The \\[book\\], b\\.md\n"
    )


def conversation(title: str, *texts: str) -> Conversation:
    conversation_id, at = new_id(), datetime(2026, 1, 1, tzinfo=UTC)
    more: dict[str, Any] = {"model": None, "error_code": None, "feedback": None, "feedback_comment": None}
    messages = tuple(
        Message(
            id=new_id(),
            conversation_id=conversation_id,
            parent_id=None,
            role="user",
            content=text,
            timestamp=at,
            created_at=at,
            status="complete",
            active=True,
            siblings=(),
            reasoning=None,
            sources=({"index": 1, "title": text, "uri": text, "cited": True},),
            **more,
        )
        for text in texts
    )
    return Conversation(
        id=conversation_id,
        team_id=DEFAULT_TEAM_ID,
        user_id=new_id(),
        agent_id=None,
        title=title,
        messages=messages,
        metadata={},
        is_archived=False,
        is_pinned=False,
        created_at=at,
        updated_at=at,
        has_more=False,
    )


PIECES = [*"`~#>-=*_[]()<>!&\\|:+1. \t\n\r\u2028\x0b\x0c", "a", "</blockquote>", "## Assistant", "````", "![x](y)"]
HOSTILE = st.lists(
    st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
).map("".join)


@given(title=HOSTILE, texts=st.lists(HOSTILE, max_size=3))
def test_no_text_breaks_out_of_its_place_in_markdown(title: str, texts: list[str]) -> None:
    tokens = MarkdownIt("commonmark").parse(as_markdown(conversation(title, *texts)).decode())
    levels = [token.tag for token in tokens if token.type == "heading_open"]
    assert levels == ["h1", *["h2"] * len(texts)]
    as_read = [f"{text}\n".replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    assert [token.content for token in tokens if token.type == "fence"] == as_read
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "text_special", "softbreak", "em_open", "em_close"}
    assert not {"html_block", "html_inline", "code_block"} & {token.type for token in tokens}


@pytest.mark.parametrize(
    ("title", "plain", "full"),
    [
        ("Support Request", "Support-Request.md", "Support%20Request.md"),
        ("Grüße, 世界!", "Grue.md", "Gr%C3%BC%C3%9Fe%2C%20%E4%B8%96%E7%95%8C%21.md"),
        ("世界", "conversation.md", "%E4%B8%96%E7%95%8C.md"),
        ('../../etc/passwd\r\nX: "y"', "etc-passwd-X-y.md", "etc%20passwd%20X%20y.md"),
        ("gpj\u202eexe.", "gpjexe.md", "gpj%20exe.md"),
        ("...", "conversation.md", "conversation.md"),
        ("x" * 200, f"{'x' * 60}.md", f"{'x' * 60}.md"),
    ],
)
def test_a_files_name_is_one_on_every_system(title: str, plain: str, full: str) -> None:
    answer = download(b"", "text/markdown", name=title, ending="md")
    assert answer.headers["content-disposition"] == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["json", "markdown"])
async def test_a_conversation_that_is_too_long_for_one_file_is_refused(rows: Rows, ada: Asker, kind: str) -> None:
    thread = await converse(rows, ada, *["x" * 500_000] * 7)
    assert (await exported(thread, kind)).status_code == 200
    for _ in range(2):
        await thread.say("x" * 500_000)
    answer = await exported(thread, kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "export_too_large")


async def test_there_are_two_kinds_of_files(rows: Rows, ada: Asker) -> None:
    answer = await exported(await converse(rows, ada), "pdf")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
