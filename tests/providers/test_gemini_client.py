"""Our Gemini is faithful: it asks what Google's own client asks of the same double, and reads what the client reads."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from google.genai import Client, errors, types

from lib.errors import ProviderError
from lib.http import http_session
from lib.providers.base import DEFAULTS, Chunk, Options, PromptMessage, Reasoning, Text, TokenUsage
from lib.providers.faults import VendorFault, faults_as_ours
from lib.providers.gemini import GeminiProvider
from lib.providers.gemini_answer import WHOLE
from tests.doubles.gemini_server import BLOCKED, GEMINI, GeminiServer, failing
from tests.doubles.upstream import Script
from tests.golden.gemini_answers import ANSWERS
from tests.providers.asking import QUESTION, Answer, joined

KEY = "a-key"
ASKED = "What is in the harbour?"
UNLIKE = {
    "comments": "the client fails at a comment, which the format has for keeping a connection awake",
    "an end that nobody knows": "the client warns of it",
}
"""The answers that are not to be the same to both, and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a question: what arrived, and an error of ours for what went wrong."""

    answer: Answer
    failure: ProviderError | None


@pytest.fixture
async def official(gemini_double: GeminiServer) -> Client:
    """Google's client, left with nothing to do on its own: no retries, and no session but ours."""
    options = types.HttpOptions(
        base_url=gemini_double.url,
        aiohttp_client=http_session(),
        async_client_args={"ssl": True, "allow_redirects": False},
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return Client(api_key=KEY, vertexai=False, http_options=options)


@pytest.fixture
def ours(gemini_double: GeminiServer) -> GeminiProvider:
    return GeminiProvider(KEY, "gemini-2.5-flash", gemini_double.url)


async def told(provider: GeminiProvider) -> Outcome:
    """What our provider makes of an answer."""
    chunks, failure = list[Chunk](), None
    try:
        async for chunk in provider.stream(QUESTION):
            chunks.append(chunk)
    except ProviderError as error:
        failure = error
    return Outcome(joined(chunks), failure)


async def streamed(
    client: Client, contents: Any, config: types.GenerateContentConfig
) -> AsyncGenerator[types.GenerateContentResponse]:
    """Stream an answer with Google's client, whose errors are ours."""
    with faults_as_ours("official", ()):
        try:
            stream: Any = await client.aio.models.generate_content_stream(  # pyright: ignore[reportUnknownMemberType]
                model="gemini-2.5-flash", contents=contents, config=config
            )
            async for response in stream:
                yield response
        except errors.APIError as error:
            body = msgspec.json.encode(error.details)  # pyright: ignore[reportUnknownMemberType]
            raise VendorFault.read(body, status=error.code) from None
        except (ValueError, TypeError) as error:  # it is not what the client expects
            raise VendorFault(0, type(error).__name__) from None


async def told_officially(client: Client, contents: Any = ASKED, **config: Any) -> Outcome:
    """What Google's client makes of an answer."""
    chunks, failure, usage, ended = list[Chunk](), None, None, False
    try:
        async for response in streamed(client, contents, types.GenerateContentConfig(**config)):
            usage = response.usage_metadata or usage
            for candidate in (response.candidates or [])[:1]:
                for part in (candidate.content and candidate.content.parts) or ():
                    if part.text:
                        chunks.append(Reasoning(part.text) if part.thought else Text(part.text))
                ended = ended or (candidate.finish_reason and candidate.finish_reason.value in WHOLE)
    except ProviderError as error:
        failure = error
    if usage is not None and ended and failure is None:
        written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        chunks.append(TokenUsage(usage.prompt_token_count or 0, written))
    return Outcome(joined(chunks), failure or (None if ended else ProviderError()))


@pytest.mark.parametrize("name", [name for name in ANSWERS if name not in UNLIKE])
async def test_an_answer_is_the_same_to_google_s_client(
    gemini_double: GeminiServer, official: Client, ours: GeminiProvider, name: str
) -> None:
    answer = ANSWERS[name]
    body = b"".join(read.data for read in answer.reads)
    headers = {"Content-Type": "application/json" if body.startswith(b"{") else answer.content_type}
    gemini_double.play(GEMINI.but(raw=body, status=answer.status, headers=headers))
    mine, theirs = await told(ours), await told_officially(official)
    assert mine.answer == theirs.answer
    assert type(mine.failure) is type(theirs.failure)
    assert mine.failure is None or theirs.failure is None or mine.failure.away == theirs.failure.away


@pytest.mark.parametrize(
    "script",
    [
        GEMINI.but(pieces=("The ferry [1] leaves\n\n", "at eight 🌱. "), reasoning=("Let me ", "see."), write_size=1),
        GEMINI.but(line_end="\r\n", write_size=7),
        GEMINI.but(finish_reason="MAX_TOKENS", usage=None),
        GEMINI.but(error_at=1),
        GEMINI.but(error_at=0),
        GEMINI.but(cut_at=2),
        GEMINI.but(raw=b'{\n  "error": {\n    "code": 429,\n    "message": "Slowly."\n  }\n}\n'),
        GEMINI.but(raw=b'data: {"candidates":[{"content":{"parts":[{"text":"no"}]},"finishReason":"stop"}]}'),
        BLOCKED,
        failing(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"),
        failing(404, "models/x is not found for API version v1.", "NOT_FOUND"),
        failing(503, "The model is overloaded.", "UNAVAILABLE"),
        GEMINI.but(status=302, headers={"Location": "/elsewhere"}),
    ],
)
async def test_a_script_is_the_same_to_google_s_client(
    gemini_double: GeminiServer, official: Client, ours: GeminiProvider, script: Script
) -> None:
    gemini_double.play(script)
    mine, theirs = await told(ours), await told_officially(official)
    assert mine.answer == theirs.answer
    assert type(mine.failure) is type(theirs.failure)
    assert mine.failure is None or theirs.failure is None or mine.failure.away == theirs.failure.away


WISHES = Options(
    temperature=0.0,
    top_p=0.5,
    max_tokens=7,
    presence_penalty=0.1,
    frequency_penalty=-0.1,
    seed=3,
    stop=("END", "STOP"),
)
THEIR_WISHES = {
    "temperature": 0.0,
    "top_p": 0.5,
    "max_output_tokens": 7,
    "presence_penalty": 0.1,
    "frequency_penalty": -0.1,
    "seed": 3,
    "stop_sequences": ["END", "STOP"],
}
TALK = (
    PromptMessage("system", "Be brief."),
    PromptMessage("user", "Hello"),
    PromptMessage("assistant", "Grüße 🌱!"),
    PromptMessage("user", "A passage."),
    PromptMessage("user", ASKED),
    PromptMessage("system", "In English."),
)
THEIR_TALK = [
    types.Content(role="user", parts=[types.Part(text="Hello")]),
    types.Content(role="model", parts=[types.Part(text="Grüße 🌱!")]),
    types.Content(role="user", parts=[types.Part(text="A passage."), types.Part(text=ASKED)]),
]


@pytest.mark.parametrize(
    ("messages", "contents", "options", "config"),
    [
        ((PromptMessage("user", ASKED),), ASKED, DEFAULTS, {}),
        (TALK, THEIR_TALK, DEFAULTS, {"system_instruction": "Be brief.\n\nIn English."}),
        ((PromptMessage("user", ASKED),), ASKED, WISHES, THEIR_WISHES),
    ],
)
async def test_the_request_is_what_google_s_client_sends(
    gemini_double: GeminiServer,
    official: Client,
    ours: GeminiProvider,
    messages: tuple[PromptMessage, ...],
    contents: Any,
    options: Options,
    config: dict[str, Any],
) -> None:
    await told_officially(official, contents, **config)
    _ = [chunk async for chunk in ours.stream(messages, options)]
    theirs, mine = gemini_double.calls
    assert mine.body == theirs.body
    assert mine.path == theirs.path
    assert {name: mine.headers[name] for name in ("x-goog-api-key", "Content-Type")} == {
        name: theirs.headers[name] for name in ("x-goog-api-key", "Content-Type")
    }


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash", "tunedModels/mine-7"])
async def test_a_model_is_asked_for_where_google_s_client_asks(
    gemini_double: GeminiServer, official: Client, model: str
) -> None:
    stream: Any = await official.aio.models.generate_content_stream(  # pyright: ignore[reportUnknownMemberType]
        model=model, contents=ASKED
    )
    _ = [response async for response in stream]
    _ = [chunk async for chunk in GeminiProvider(KEY, model, f"{gemini_double.url}/").stream(QUESTION)]
    theirs, mine = gemini_double.calls
    assert mine.path == theirs.path


def part(text: str, finish: str | None = None, token: str | None = None) -> bytes:
    candidate = {"content": {"parts": [{"text": text}]}, "finishReason": finish, "continuationToken": token}
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2}
    return b"data: %b\r\n\r\n" % msgspec.json.encode({"candidates": [candidate], "usageMetadata": usage})


async def test_a_long_answer_is_asked_for_on_as_google_s_client_does(
    gemini_double: GeminiServer, official: Client, ours: GeminiProvider
) -> None:
    bodies = (
        part("One,") + part(" two,", "CONTINUATION", "b25l"),
        part(" three,", None, "dHdv") + part("", "CONTINUATION"),
        part(" four.", "STOP"),
    )
    scripts = [GEMINI.but(raw=body) for body in bodies]
    gemini_double.play(*scripts, *scripts)
    mine, theirs = await told(ours), await told_officially(official, ASKED, system_instruction=QUESTION[0].content)
    assert mine == theirs == Outcome(Answer("One, two, three, four.", "", TokenUsage(15, 6)), None)
    assert [call.body.get("continuationToken") for call in gemini_double.calls] == [None, "b25l", "dHdv"] * 2
    assert [call.body for call in gemini_double.calls[:3]] == [call.body for call in gemini_double.calls[3:]]


@pytest.mark.parametrize("token", [None, "b25l"])
async def test_a_long_answer_whose_rest_cannot_be_asked_for_is_an_error_and_asked_for_no_more(
    gemini_double: GeminiServer, ours: GeminiProvider, token: str | None
) -> None:
    gemini_double.play(GEMINI.but(raw=part("One,", "CONTINUATION", token)))
    outcome = await told(ours)
    assert type(outcome.failure) is ProviderError
    assert len(gemini_double.calls) == (2 if token else 1)
