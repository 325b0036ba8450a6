"""The one spelling of an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.auth.accounts import normalise_email


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ＡＤＡ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
        ("straße@faß.de", "strasse@faß.de"),
        ("STRASSE@FAß.DE", "strasse@faß.de"),
        ("strasse@XN--FA-HIA.de", "strasse@faß.de"),
        ("strasse@fass.de", "strasse@fass.de"),
        ("ΟΔΟΣ@βόλος.com", "οδοσ@βόλος.com"),
        ("οδος@xn--nxasmm1c.com", "οδοσ@βόλος.com"),
        ("jo@MU\u0308NCHEN.de", "jo@münchen.de"),
    ],
)
def test_an_address_has_one_spelling_and_stays_in_its_domain(typed: str, kept: str) -> None:
    assert normalise_email(typed) == kept
    assert normalise_email(kept) == kept


@pytest.mark.parametrize(
    "typed", ["", "@", "ada", "ada@", "@example.com", "a@b@example.com", "ada@example", "ada@xn--a.com"]
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):
        normalise_email(typed)


def kept_as(typed: str) -> str | None:
    """Return an address's spelling, None if it is none."""
    try:
        return normalise_email(typed)
    except ValueError:
        return None


@pytest.mark.parametrize("form", ["a{}@example.com", "jo@a{}.de"])
def test_the_spelling_of_an_address_with_a_letter_is_its_own_spelling(form: str) -> None:
    kept = {kept_as(form.format(chr(code))) for code in range(0x80, 0x2000)} - {None}
    assert len(kept) > 1_000
    assert {address for address in kept if address and kept_as(address) != address} == set()


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_the_spelling_of_an_address_is_its_own_spelling(local: str, domain: str) -> None:
    kept = kept_as(f"{local}@{domain}.de")
    assert kept is None or kept_as(kept) == kept
