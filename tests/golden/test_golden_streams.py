"""What clients receive, byte for byte, for each way in which an upstream may answer, in each dialect.

`GOLDEN=write` writes the files in `streams/` anew. They change where Parley is to tell something else, and never to
make it faster.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from tests.fixtures.people import Asker, someone
from tests.fixtures.web import Deploy
from tests.golden import gemini_answers, openai_answers, webhook_answers
from tests.golden.recording import DIALECTS, MARKS, Dialect, Golden, Stream, opened, question, spelled
from tests.golden.upstream import Answer, Reader, Upstream


def each(answers: Mapping[str, Answer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", answers)


async def received(upstream: Upstream, asker: Asker, answer: Answer, **fields: Any) -> dict[str, bytes]:
    """Return what a reader receives in each dialect, and of the stream in our own events when it is taken up again."""
    upstream.answer = answer
    conversation = await opened(asker, **fields)
    sections = {"upstream": spelled(answer)}
    streams: dict[Dialect, Stream] = {}
    for dialect in DIALECTS:
        upstream.reader = Reader(MARKS[dialect])
        streams[dialect] = await Stream(asker, question(conversation, dialect), upstream.reader).read()
        sections[dialect] = streams[dialect].told
    for again in ("native", "team"):
        sections[f"{again}, again"] = (await Stream(asker, await streams["native"].taken_up(again)).read()).told
    assert upstream.late == []
    return sections


@each(openai_answers.ANSWERS)
async def test_a_model_behind_an_openai_compatible_endpoint(deploy: Deploy, upstream: Upstream, name: str) -> None:
    parley = await deploy(openai_base_url=f"{upstream.url}/v1")
    sections = await received(upstream, await someone(parley), openai_answers.ANSWERS[name])
    Golden("openai", name).holds(sections)


@each(gemini_answers.ANSWERS)
async def test_a_gemini_model(deploy: Deploy, upstream: Upstream, name: str) -> None:
    parley = await deploy(
        providers=("gemini",), chat_model=None, gemini_api_key="a-key", GOOGLE_GEMINI_BASE_URL=upstream.url
    )
    Golden("gemini", name).holds(await received(upstream, await someone(parley), gemini_answers.ANSWERS[name]))


@each(webhook_answers.ANSWERS)
async def test_a_webhook(deploy: Deploy, upstream: Upstream, team_id: UUID, name: str) -> None:
    parley = await deploy(webhook_allowed_hosts=("127.0.0.1",))
    admin = await someone(parley, "admin", team_id=team_id)
    fields = {"name": "A workflow", "webhook_url": f"{upstream.url}/webhook/bees", "webhook_token": "a-token"}
    agent = await admin.ask("POST", "/api/agents", json=fields)
    assert agent.status_code == 201, agent.text
    sections = await received(upstream, admin, webhook_answers.ANSWERS[name], agent_id=agent.json()["id"])
    Golden("webhook", name).holds(sections)
