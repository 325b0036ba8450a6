"""One-time codes, by the vectors of their RFC and at the edges of their window, and what an app learns."""

from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512

from lib.auth import totp
from tests.doubles.authenticator import Authenticator, scan

SEED = b"1234567890"
SECRETS = {SHA1: SEED * 2, SHA256: (SEED * 4)[:32], SHA512: (SEED * 7)[:64]}
"""The secrets of RFC 6238, as long as each hash (its erratum 2866)."""
VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]
"""RFC 6238, appendix B: seconds since 1970, and the code by SHA-1, SHA-256 and SHA-512."""
CASES = [
    (moment, algorithm, code)
    for moment, *codes in VECTORS
    for algorithm, code in zip((SHA1, SHA256, SHA512), codes, strict=True)
]
NOON = 1_800_000_000
"""A moment at which a time step begins."""


@pytest.mark.parametrize(("moment", "algorithm", "code"), CASES)
def test_codes_are_those_of_the_rfc(moment: int, algorithm: type[SHA1 | SHA256 | SHA512], code: str) -> None:
    step = totp.step_at(moment)
    assert totp.code_of(SECRETS[algorithm], step, digits=8, algorithm=algorithm()) == code


def test_a_code_of_ours_is_the_end_of_the_rfcs() -> None:
    assert [totp.code_of(SECRETS[SHA1], totp.step_at(moment)) for moment, *_ in VECTORS] == [
        code[-6:] for _, code, *_ in VECTORS
    ]


@pytest.mark.parametrize(
    ("moment", "fits"),
    [
        (NOON - 30.001, False),
        (NOON - 30, True),
        (NOON, True),
        (NOON + 29.999, True),
        (NOON + 59.999, True),
        (NOON + 60, False),
    ],
)
def test_a_code_fits_in_its_own_step_and_in_one_either_side(moment: float, fits: bool) -> None:
    secret = totp.new_secret()
    step = totp.step_at(NOON)
    assert totp.fitting_step(secret, totp.code_of(secret, step), moment) == (step if fits else None)


def test_of_two_steps_that_share_a_code_it_is_the_later() -> None:
    first, second = 62075368, 62075369
    code = totp.code_of(SECRETS[SHA1], first)
    assert totp.code_of(SECRETS[SHA1], second) == code
    assert totp.fitting_step(SECRETS[SHA1], code, first * totp.PERIOD) == second


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "abcdef"])
def test_what_is_no_code_fits_nowhere(code: str) -> None:
    assert totp.fitting_step(totp.new_secret(), code, NOON) is None


def test_secrets_are_as_long_as_the_hash_and_never_the_same() -> None:
    made = {totp.new_secret() for _ in range(100)}
    assert (len(made), {len(secret) for secret in made}) == (100, {20})


@pytest.mark.parametrize(
    "email",
    ["ada@example.com", "a/b+c?d=e&f#g%h@example.com", "jürgen@bücher.example", "x" * 60 + "@" + "y" * 60 + ".example"],
)
def test_an_app_learns_the_account_and_the_secret(email: str) -> None:
    secret = totp.new_secret()
    uri = totp.otpauth_uri(secret, email)
    assert uri.isascii()
    assert set("/?#&=+") & set(urlsplit(uri).path.removeprefix("/")) == set()
    app = Authenticator.that_reads(uri)
    assert (app.issuer, app.account, app.digits, app.period) == ("Parley", email, 6, 30)
    assert app.secret == secret
    assert scan(totp.qr_svg(uri)) == uri


def test_a_secret_is_typed_without_padding() -> None:
    assert totp.spelled(SECRETS[SHA1]) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
