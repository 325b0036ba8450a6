"""What a call cost: the table, the operator's own prices, and names of models with their versions."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from lib.providers import GEMINI_MODEL, OPENAI_MODEL
from lib.settings import Price, SettingsInvalid, get_settings
from lib.usage import prices
from lib.usage.prices import cost_of

TABLE = json.loads(Path(prices.__file__).with_name("prices.json").read_text())
OWN = {"llama": Price(Decimal("0.6"), Decimal("0.9")), "gpt-4.1-mini": Price(Decimal(1), Decimal(1))}
MILLION = 1_000_000


def test_a_call_costs_what_it_read_and_what_it_wrote() -> None:
    assert cost_of("gpt-4.1-mini", MILLION, 0) == Decimal("0.40")
    assert cost_of("gpt-4.1-mini", 0, MILLION) == Decimal("1.60")
    assert cost_of("gpt-4.1-mini", 1000, 500) == Decimal("0.0012")


def test_one_token_of_the_cheapest_model_is_no_rounding_error() -> None:
    assert cost_of("gpt-5-nano", 1, 0) == Decimal("0.00000005")


@pytest.mark.parametrize(
    ("version", "family"),
    [
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-5-latest", "gpt-5"),
        ("gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gemini-2.5-flash-lite-preview-09-2025", "gemini-2.5-flash-lite"),
    ],
)
def test_a_version_costs_what_its_family_does(version: str, family: str) -> None:
    assert cost_of(version, 7000, 300) == cost_of(family, 7000, 300) is not None


@pytest.mark.parametrize(
    "model",
    ["gpt-5-pro", "gpt-4o-audio-preview", "gpt-4.1-mini-2025-04-14-tuned", "gpt", "gpt-", "-", "mygpt-5", "GPT-5", ""],
)
def test_another_model_has_no_price_that_is_only_near(model: str) -> None:
    assert cost_of(model, 1000, 500) is None


@pytest.mark.parametrize(("read", "written"), [(None, 5), (5, None), (None, None)])
def test_what_nobody_counted_costs_nobody_knows_what(read: int | None, written: int | None) -> None:
    assert cost_of("gpt-4.1-mini", read, written) is None
    assert cost_of(None, 5, 5) is None


@pytest.mark.parametrize(("read", "written"), [(-1, 5), (5, -1), (2**31, 5), (5, 10**30)])
def test_a_count_that_can_be_none_costs_nobody_knows_what(read: int, written: int) -> None:
    assert cost_of("gpt-4.1-mini", read, written) is None


def test_a_cost_fits_its_column_or_is_not_known() -> None:
    dear = {"dear": Price(Decimal(100_000), Decimal(100_000))}
    assert cost_of("dear", 9_999_999, 0, dear) == Decimal("999999.9")
    assert cost_of("dear", 10_000_000, 0, dear) is None


def test_a_call_that_read_and_wrote_nothing_costs_nothing() -> None:
    assert cost_of("gpt-4.1-mini", 0, 0) == 0


def test_an_operators_own_price_adds_a_model_and_wins_over_the_table() -> None:
    assert cost_of("llama", MILLION, MILLION, OWN) == Decimal("1.5")
    assert cost_of("gpt-4.1-mini", MILLION, 0, OWN) == 1
    assert cost_of("gpt-4.1-mini-2025-04-14", MILLION, 0, OWN) == 1
    assert cost_of("gpt-4.1-nano", MILLION, 0, OWN) == Decimal("0.10")


def test_a_price_that_ends_is_followed_by_the_one_that_was_announced() -> None:
    assert cost_of("gemini-3.8-flash", MILLION, MILLION, on=date(2026, 12, 31)) == Decimal("4.50")
    assert cost_of("gemini-3.8-flash", MILLION, MILLION, on=date(2027, 1, 1)) == Decimal("9.00")


def test_the_table_says_where_and_when_it_was_read_and_knows_the_models_of_the_defaults() -> None:
    assert date.fromisoformat(TABLE["read"])
    assert all(source.startswith("https://") for source in TABLE["sources"])
    for model in (OPENAI_MODEL, GEMINI_MODEL, *TABLE["models"]):
        cost = cost_of(model, MILLION, MILLION)
        assert cost is not None
        assert 0 < cost < 100


def test_the_environment_says_prices_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_PRICES", '{"llama": {"input": 0.6, "output": 0.9}}')
    get_settings.cache_clear()
    own = get_settings(tmp_path / "none").model_prices
    get_settings.cache_clear()
    assert own == {"llama": Price(Decimal("0.6"), Decimal("0.9"))}
    with pytest.raises(TypeError):
        own["llama"] = own["llama"]  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0.6", "takes JSON such as"),
        ("{", "takes JSON such as"),
        ('{"": {"input": 1, "output": 1}}', "takes JSON such as"),
        ('{"llama": 1}', "takes JSON such as"),
        ('{"llama": {"input": 1}}', "has to say input and output for 'llama'"),
        ('{"llama": {"input": 1, "output": 1, "cached": 1}}', "has to say input and output for 'llama'"),
        ('{"llama": {"input": -1, "output": 1}}', "has a price for 'llama' that is no number from 0"),
        ('{"llama": {"input": "1", "output": 1}}', "has a price for 'llama' that is no number from 0"),
        ('{"llama": {"input": NaN, "output": 1}}', "has a price for 'llama' that is no number from 0"),
        ('{"llama": {"input": Infinity, "output": 1}}', "has a price for 'llama' that is no number from 0"),
        ('{"llama": {"input": 1e9, "output": 1}}', "has a price for 'llama' that is no number from 0"),
    ],
)
def test_prices_that_are_none_are_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_PRICES", value)
    get_settings.cache_clear()
    with pytest.raises(SettingsInvalid) as refused:
        get_settings(tmp_path / "none")
    assert str(refused.value).startswith(f"MODEL_PRICES {why}")
