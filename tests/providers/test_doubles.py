"""The double is faithful: what OpenAI's own client reads from it is what our provider reads."""

from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest

from lib.providers.base import Options, PromptMessage, TokenUsage
from lib.providers.openai import OpenAIProvider
from tests.doubles.openai_server import OpenAIServer, embedding
from tests.doubles.upstream import Script
from tests.providers.asking import Answer, ask, ask_in_vain

QUESTION: list[Any] = [{"role": "user", "content": "What is in the harbour?"}]
SCRIPTS = [
    Script.saying("The ferry [1] leaves\n\nat eight 🌱. "),
    Script(reasoning=("Let me ", "see."), write_size=1),
    Script(line_end="\r\n", write_size=7),
    Script(finish_reason="length", usage=None),
]


@pytest.fixture
async def official(openai_double: OpenAIServer) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=openai_double.base_url, api_key="a-key", max_retries=0) as client:
        yield client


@pytest.fixture
def ours(openai_double: OpenAIServer) -> OpenAIProvider:
    return OpenAIProvider(openai_double.base_url, "a-key", "m")


async def streamed(client: openai.AsyncOpenAI) -> Answer:
    """The answer as OpenAI's client streams it."""
    text, reasoning, usage = "", "", None
    stream = await client.chat.completions.create(
        model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
        if chunk.usage:
            usage = TokenUsage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
    return Answer(text, reasoning, usage)


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_stream_is_the_same_to_the_official_client(
    openai_double: OpenAIServer, official: openai.AsyncOpenAI, ours: OpenAIProvider, script: Script
) -> None:
    openai_double.play(script)
    answer = await streamed(official)
    assert answer == await ask(ours)
    assert answer == Answer(script.text, "".join(script.reasoning), script.usage and TokenUsage(*script.usage))


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_whole_answer_is_the_same_to_the_official_client(
    openai_double: OpenAIServer, official: openai.AsyncOpenAI, script: Script
) -> None:
    openai_double.play(script)
    completion = await official.chat.completions.create(model="m", messages=QUESTION)
    assert completion.choices[0].message.content == script.text
    assert completion.choices[0].finish_reason == script.finish_reason
    if script.usage:
        assert completion.usage is not None
        assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == script.usage


async def test_the_request_is_what_the_official_client_sends(
    openai_double: OpenAIServer, official: openai.AsyncOpenAI, ours: OpenAIProvider
) -> None:
    await streamed(official)
    await ask(ours, (PromptMessage("user", QUESTION[0]["content"]),))
    theirs, mine = openai_double.calls
    assert mine.body == theirs.body
    assert mine.path == theirs.path
    assert {name: mine.headers[name] for name in ("Authorization", "Content-Type")} == {
        name: theirs.headers[name] for name in ("Authorization", "Content-Type")
    }


async def test_wishes_are_what_the_official_client_sends(
    openai_double: OpenAIServer, official: openai.AsyncOpenAI, ours: OpenAIProvider
) -> None:
    await official.chat.completions.create(
        model="m",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0.2,
        top_p=0.5,
        max_tokens=7,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        seed=3,
        stop=["END"],
    )
    wishes = Options(
        temperature=0.2, top_p=0.5, max_tokens=7, presence_penalty=0.1, frequency_penalty=-0.1, seed=3, stop=("END",)
    )
    await ask(ours, (PromptMessage("user", QUESTION[0]["content"]),), wishes)
    theirs, mine = openai_double.calls
    assert mine.body == theirs.body


@pytest.mark.parametrize(
    ("status", "official_error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
async def test_a_status_is_an_error_to_both(
    openai_double: OpenAIServer,
    official: openai.AsyncOpenAI,
    ours: OpenAIProvider,
    status: int,
    official_error: type[openai.APIStatusError],
) -> None:
    openai_double.play(Script(status=status))
    with pytest.raises(official_error, match="The vendor's own words"):
        await streamed(official)
    await ask_in_vain(ours)


@pytest.mark.parametrize("script", [Script(error_at=1), Script(cut_at=1)])
async def test_a_failure_midway_is_an_error_to_both(
    openai_double: OpenAIServer, official: openai.AsyncOpenAI, ours: OpenAIProvider, script: Script
) -> None:
    openai_double.play(script)
    with pytest.raises(openai.APIError):
        await streamed(official)
    await ask_in_vain(ours)


async def test_models_are_listed(openai_double: OpenAIServer, official: openai.AsyncOpenAI) -> None:
    openai_double.models = ["a", "b"]
    assert [model.id async for model in official.models.list()] == ["a", "b"]


async def test_embeddings_are_those_of_the_texts(official: openai.AsyncOpenAI) -> None:
    texts = ["harbour", "ferry"]
    answer = await official.embeddings.create(model="m", input=texts)
    assert [item.embedding for item in answer.data] == [embedding(text) for text in texts]
