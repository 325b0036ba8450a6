import subprocess
import sys
from typing import Any

import pytest

from lib.errors import NoProvider
from lib.providers import get_providers
from lib.settings import Settings
from tests.doubles.gemini_server import GeminiServer
from tests.doubles.openai_server import OpenAIServer
from tests.providers.asking import ask

ALL = {"OPENAI_API_KEY": "a", "GEMINI_API_KEY": "b", "VLLM_ENDPOINT": "http://127.0.0.1:9/v1"}
GEMINI_URLS = ("GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make settings out of these variables alone."""

    def make(**variables: str) -> Settings:
        for name in (*ALL, "OPENAI_BASE_URL", *GEMINI_URLS, "PROVIDERS", "CHAT_MODEL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings(_env_file=None, environment="development")  # pyright: ignore[reportCallIssue]

    return make


@pytest.mark.parametrize(
    ("variables", "models"),
    [
        (ALL, ["gpt-4.1-mini", "gemini-2.5-flash", ""]),
        ({"GEMINI_API_KEY": "b"}, ["gemini-2.5-flash"]),
        (ALL | {"PROVIDERS": "gemini,openai"}, ["gemini-2.5-flash", "gpt-4.1-mini"]),
        (ALL | {"PROVIDERS": "vllm:qwen:4b, openai:gpt-5"}, ["qwen:4b", "gpt-5"]),
        (ALL | {"CHAT_MODEL": "mine"}, ["mine", "gemini-2.5-flash", ""]),
        (ALL | {"CHAT_MODEL": "mine", "PROVIDERS": "vllm,gemini"}, ["mine", "gemini-2.5-flash"]),
        (ALL | {"CHAT_MODEL": "mine", "PROVIDERS": "openai:named"}, ["named"]),
    ],
)
def test_providers_come_in_their_order_with_their_models(
    settings: Any, variables: dict[str, str], models: list[str]
) -> None:
    assert [provider.model for provider in get_providers(settings(**variables))] == models


def test_no_provider_is_an_error_that_says_what_to_set(settings: Any) -> None:
    with pytest.raises(NoProvider, match="OPENAI_API_KEY"):
        get_providers(settings())


async def test_the_settings_reach_the_endpoint(settings: Any, openai_double: OpenAIServer) -> None:
    variables = {"OPENAI_API_KEY": "a-key", "OPENAI_BASE_URL": openai_double.base_url + "/", "CHAT_MODEL": "mine"}
    (provider,) = get_providers(settings(**variables))
    await ask(provider)
    (call,) = openai_double.calls
    assert (call.headers["Authorization"], call.body["model"]) == ("Bearer a-key", "mine")


@pytest.mark.parametrize("name", GEMINI_URLS)
async def test_gemini_is_asked_where_the_settings_say(settings: Any, gemini_double: GeminiServer, name: str) -> None:
    (provider,) = get_providers(settings(**{"GEMINI_API_KEY": "a-key", name: gemini_double.url}))
    await ask(provider)
    (call,) = gemini_double.calls
    assert (call.headers["x-goog-api-key"], call.path) == (
        "a-key",
        "/v1/models/gemini-2.5-flash:streamGenerateContent",
    )


async def test_a_keyless_endpoint_is_asked_for_its_model(settings: Any, openai_double: OpenAIServer) -> None:
    (provider,) = get_providers(settings(VLLM_ENDPOINT=openai_double.base_url))
    await ask(provider)
    assert openai_double.calls[0].body["model"] == provider.model == "double-1"


def test_no_vendor_s_package_is_loaded_to_name_the_providers() -> None:
    program = (
        "import sys; from lib.providers import get_providers; from lib.settings import Settings\n"
        "get_providers(Settings(_env_file=None, openai_api_key='a', gemini_api_key='b', vllm_endpoint='http://c/v1'))\n"
        "print(*{'openai', 'google.genai', 'httpx'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []
