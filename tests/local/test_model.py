import time
from collections.abc import AsyncGenerator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from local.model import ALIAS

ENDLESS: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "Count from one to one thousand, in words."},
]


@pytest.fixture
async def client(model_url: str) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=model_url, api_key="local", max_retries=0) as client:
        yield client


async def test_it_goes_by_its_name(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [ALIAS]


async def test_it_answers_as_a_stream_that_ends_with_the_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=ALIAS,
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France?"},
        ],
        max_tokens=24,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    usage = chunks[-1].usage
    assert "Paris" in "".join(texts)
    assert len(texts) > 3
    assert usage is not None
    assert usage.completion_tokens in range(len(texts), 25)
    assert usage.prompt_tokens > 10


async def test_two_are_answered_at_once_and_a_caller_who_leaves_frees_a_slot(client: openai.AsyncOpenAI) -> None:
    """Two endless answers hold both slots; a third gets its turn because the first two were abandoned."""
    streams = [
        await client.chat.completions.create(
            model=ALIAS, messages=ENDLESS, max_tokens=8000, stream=True, extra_body={"ignore_eos": True}
        )
        for _ in range(2)
    ]
    for stream in streams:
        await anext(aiter(stream))
    for stream in streams:
        await stream.close()
    began = time.monotonic()
    await client.chat.completions.create(model=ALIAS, messages=ENDLESS, max_tokens=1)
    assert time.monotonic() - began < 20, "8,000 tokens take more than a minute"
