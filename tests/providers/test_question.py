"""What an OpenAI-compatible endpoint is asked, and what its refusals teach."""

import json
import logging
from typing import Any

import pytest

from lib.providers.base import DEFAULTS, Options, PromptMessage
from lib.providers.question import Dialect

MESSAGES = (PromptMessage("user", "Hi"),)
EVERY_WISH = Options(
    temperature=0.0, top_p=0.5, max_tokens=7, presence_penalty=0.1, frequency_penalty=-0.1, seed=0, stop=("a", "b")
)
OPENAI, OTHER = "https://api.openai.com/v1", "https://openrouter.ai/api/v1"


def wishes(dialect: Dialect, options: Options = EVERY_WISH) -> dict[str, Any]:
    question = dialect.question("m", MESSAGES, options)
    return {name: question[name] for name in question.keys() - {"model", "messages", "stream", "stream_options"}}


def refusal(message: str, param: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_parameter"}
    return json.dumps({"error": error}).encode()


NO_MAX_TOKENS = refusal(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "max_tokens",
)
NO_TEMPERATURE = refusal(
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    "temperature",
)


def test_a_question_without_wishes_has_none() -> None:
    assert Dialect.of(OTHER).question("m", MESSAGES, DEFAULTS) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("endpoint", "limit"),
    [
        (OPENAI, "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        (OTHER, "max_tokens"),
    ],
)
def test_every_wish_is_told_and_the_limit_by_the_name_that_the_endpoint_knows(endpoint: str, limit: str) -> None:
    assert wishes(Dialect.of(endpoint)) == {
        "temperature": 0.0,
        "top_p": 0.5,
        limit: 7,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "seed": 0,
        "stop": ("a", "b"),
    }


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        (OTHER, NO_MAX_TOKENS),
        (OPENAI, b'{"error":{"message":"Unrecognized request argument supplied: max_completion_tokens"}}'),
    ],
)
def test_the_limit_is_told_by_its_other_name_once_the_first_is_refused(endpoint: str, words: bytes) -> None:
    dialect = Dialect.of(endpoint)
    first = dialect.limit
    question = dialect.question("m", MESSAGES, EVERY_WISH)
    assert dialect.learns(question, words)
    assert wishes(dialect)[dialect.limit] == 7
    assert {first, dialect.limit} == {"max_tokens", "max_completion_tokens"}
    assert first not in wishes(dialect)


def test_a_limit_that_is_taken_by_no_name_is_left_out() -> None:
    dialect = Dialect.of(OTHER)
    for name in ("max_tokens", "max_completion_tokens"):
        assert dialect.learns(dialect.question("m", MESSAGES, EVERY_WISH), refusal(f"Unknown field {name}", name))
    assert {"max_tokens", "max_completion_tokens"}.isdisjoint(wishes(dialect))


def test_a_wish_that_a_model_does_not_take_is_left_out_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    dialect = Dialect.of(OPENAI)
    with caplog.at_level(logging.WARNING):
        assert dialect.learns(dialect.question("m", MESSAGES, EVERY_WISH), NO_TEMPERATURE)
    assert "temperature" not in wishes(dialect)
    assert "without temperature" in caplog.text
    assert len(wishes(dialect)) == len(wishes(Dialect.of(OPENAI))) - 1


@pytest.mark.parametrize(
    "words",
    [
        b'{"error":{"message":"max_tokens is too large: 900000. This model has at most 16384."}}',
        b'{"error":{"message":"temperature must be at most 2"}}',
        b'{"error":{"message":"Unsupported image"}}',
        b"",
    ],
)
def test_a_wish_whose_value_is_wrong_is_the_askers_to_mend(words: bytes) -> None:
    dialect = Dialect.of(OTHER)
    before = wishes(dialect)
    assert not dialect.learns(dialect.question("m", MESSAGES, EVERY_WISH), words)
    assert wishes(dialect) == before


def test_learning_comes_to_an_end() -> None:
    dialect = Dialect.of(OPENAI)
    everything = b"unsupported: stream_options " + b" ".join(name.encode() for name in (*wishes(dialect), "max_tokens"))
    learnt = 0
    while dialect.learns(dialect.question("m", MESSAGES, EVERY_WISH), everything):
        learnt += 1
    assert learnt == 9
    assert wishes(dialect) == {}
