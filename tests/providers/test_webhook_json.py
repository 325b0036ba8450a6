"""What is taken for JSON in a webhook's reply is what Python's own reader takes, line breaks inside strings besides."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.providers.webhook_json import UNREADABLE, decoded

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters(categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def understood(text: str) -> str:
    try:
        return repr(decoded(text))
    except UNREADABLE:
        return "unreadable"


def understood_by_python(text: str) -> str:
    try:
        return repr(json.loads(text, strict=False))
    except UNREADABLE:
        return "unreadable"


@given(value=VALUES, plain=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_a_value_is_read_as_python_reads_it(value: object, plain: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=plain, indent=indent)
    assert understood(text) == understood_by_python(text)


@given(text=st.from_regex(re.compile(r'[\s{}\[\]",:\\a-fux0-9.eE+\-\x00-\x1f]{0,12}'), fullmatch=True) | st.text())
def test_what_is_no_value_is_none(text: str) -> None:
    assert understood(text) == understood_by_python(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '"one\ntwo\t"',
        '"\\ud83c"',
        '"\\ud83c\\udf31"',
        '"\\u0000"',
        '"\\x"',
        "1e400",
        "-1e400",
        "NaN",
        "-0",
        "-0.0",
        "01",
        "1.",
        "12345678901234567890123",
        "0.1000000000000000055511151231257827",
        "\ufeff{}",
        "\x0c{}",
        "[1,]",
        "{} {}",
        " {} ",
        "",
        "[" * 200_000,
        "[" * 300 + "]" * 300,
    ],
    ids=lambda text: text[:12],
)
def test_what_readers_of_json_differ_in_is_read_as_python_reads_it(text: str) -> None:
    assert understood(text) == understood_by_python(text)
