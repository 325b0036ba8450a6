"""Access tokens and challenges: what they say, for how long, and that neither is taken for the other."""

import base64
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from lib.auth.identity import Identity
from lib.auth.passwords import fingerprint
from lib.auth.tokens import LEEWAY, TokenSigner
from lib.errors import InvalidChallenge, Unauthenticated
from tests.fixtures.signing import ALGORITHMS, key_of, ring_of

ANA = Identity(uuid4(), uuid4(), "admin", uuid4())


FITTED = fingerprint("a hash")
"""What a challenge says of the password that was shown."""


@pytest.fixture(params=ALGORITHMS)
def signer(request: pytest.FixtureRequest) -> TokenSigner:
    return TokenSigner(ring_of(request.param, key_of(request.param)), timedelta(minutes=15))


def claims_of(signer: TokenSigner, token: str) -> dict[str, Any]:
    return json.loads(signer.ring.verify(token).payload)


def changed(signer: TokenSigner, typ: str = "at+jwt", *, without: str = "", **changes: Any) -> str:
    """Return an access token of Ana's that is signed by us, with claims that we would not write."""
    claims = {name: value for name, value in claims_of(signer, signer.sign(ANA)).items() if name != without}
    return signer.ring.sign(json.dumps(claims | changes).encode(), typ=typ)


def test_an_access_token_says_who_asks(signer: TokenSigner) -> None:
    token = signer.sign(ANA)
    assert signer.read(token) == ANA
    claims, now = claims_of(signer, token), time.time()
    assert {name: claims[name] for name in ("sub", "team", "role", "sid", "iss", "aud")} == {
        "sub": str(ANA.user_id),
        "team": str(ANA.team_id),
        "role": "admin",
        "sid": str(ANA.session_id),
        "iss": "parley",
        "aud": "parley",
    }
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert abs(claims["iat"] - now) < 5


def test_a_challenge_says_who_owes_a_second_factor_and_lasts_five_minutes(signer: TokenSigner) -> None:
    token = signer.sign_challenge(ANA.user_id, ANA.team_id, FITTED)
    challenge, claims = signer.read_challenge(token), claims_of(signer, token)
    assert (challenge.user_id, challenge.team_id) == (ANA.user_id, ANA.team_id)
    assert claims["exp"] - claims["iat"] == 5 * 60
    assert challenge.password == FITTED


def test_a_challenge_is_no_access_token_and_an_access_token_no_challenge(signer: TokenSigner) -> None:
    """Nor would it be, had it the other's claims: the header's type alone decides."""
    everything: dict[str, Any] = claims_of(signer, signer.sign(ANA)) | {"pwd": FITTED}
    payload = json.dumps(everything).encode()
    assert signer.read(signer.ring.sign(payload, typ="at+jwt")) == ANA
    assert signer.read_challenge(signer.ring.sign(payload, typ="2fa+jwt")).user_id == ANA.user_id
    with pytest.raises(Unauthenticated):
        signer.read(signer.sign_challenge(ANA.user_id, ANA.team_id, FITTED))
    with pytest.raises(Unauthenticated):
        signer.read(signer.ring.sign(payload, typ="2fa+jwt"))
    with pytest.raises(InvalidChallenge):
        signer.read_challenge(signer.sign(ANA))
    with pytest.raises(InvalidChallenge):
        signer.read_challenge(signer.ring.sign(payload, typ="at+jwt"))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "", "AT+JWT", "at+jwt ", "application/at+jwt", "refresh+jwt"])
def test_a_token_of_another_type_is_refused(signer: TokenSigner, typ: str) -> None:
    with pytest.raises(Unauthenticated):
        signer.read(changed(signer, typ))


def test_a_token_holds_until_its_time_is_over_and_a_few_seconds_longer(signer: TokenSigner) -> None:
    now = int(time.time())
    assert signer.read(changed(signer, exp=now - 2)) == ANA
    for late in (now - LEEWAY, now - 3600, 0, -1):
        with pytest.raises(Unauthenticated):
            signer.read(changed(signer, exp=late))


def test_a_token_that_held_is_refused_once_its_time_is_over() -> None:
    """Its signature is not computed again; its times are read again."""
    signer = TokenSigner(ring_of("HS256", key_of("HS256")), timedelta(minutes=15))
    until = int(time.time()) + 2 - LEEWAY
    token = changed(signer, exp=until)
    assert signer.read(token) == ANA
    while time.time() < until + LEEWAY:
        time.sleep(0.05)
    with pytest.raises(Unauthenticated):
        signer.read(token)


def test_a_token_from_the_future_is_refused_unless_by_a_few_seconds(signer: TokenSigner) -> None:
    now = int(time.time())
    assert signer.read(changed(signer, iat=now + 3)) == ANA
    with pytest.raises(Unauthenticated):
        signer.read(changed(signer, iat=now + LEEWAY + 60))


def test_a_challenge_whose_time_is_over_is_refused(signer: TokenSigner) -> None:
    payload = claims_of(signer, signer.sign_challenge(ANA.user_id, ANA.team_id, FITTED)) | {
        "exp": int(time.time()) - 60
    }
    with pytest.raises(InvalidChallenge):
        signer.read_challenge(signer.ring.sign(json.dumps(payload).encode(), typ="2fa+jwt"))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "another"},
        {"iss": None},
        {"iss": ["parley"]},
        {"aud": "another"},
        {"aud": ["parley"]},
        {"aud": ["parley", "another"]},
        {"exp": "9999999999"},
        {"exp": 9e9},
        {"exp": True},
        {"exp": None},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"iat": True},
        {"iat": "0"},
        {"iat": float("-inf")},
        {"role": "owner"},
        {"role": None},
        {"role": ["admin"]},
        {"role": {"admin": 1}},
        {"sub": "ana"},
        {"sub": None},
        {"sub": 7},
        {"team": "default"},
        {"sid": "session"},
        {"sid": {}},
    ],
    ids=str,
)
def test_a_claim_that_we_would_not_write_is_refused(changes: dict[str, Any]) -> None:
    signer = TokenSigner(ring_of("HS256", key_of("HS256")), timedelta(minutes=15))
    with pytest.raises(Unauthenticated):
        signer.read(changed(signer, **changes))


@pytest.mark.parametrize("missing", ["sub", "team", "role", "sid", "iss", "aud", "iat", "exp"])
def test_a_token_that_lacks_a_claim_is_refused(signer: TokenSigner, missing: str) -> None:
    with pytest.raises(Unauthenticated):
        signer.read(changed(signer, without=missing))


@pytest.mark.parametrize("missing", ["sub", "team", "pwd", "iss", "aud", "iat", "exp"])
def test_a_challenge_that_lacks_a_claim_is_refused(signer: TokenSigner, missing: str) -> None:
    claims = claims_of(signer, signer.sign_challenge(ANA.user_id, ANA.team_id, FITTED))
    del claims[missing]
    with pytest.raises(InvalidChallenge):
        signer.read_challenge(signer.ring.sign(json.dumps(claims).encode(), typ="2fa+jwt"))


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"text"', b"7", b"{", b"\xff\xfe"])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    signer = TokenSigner(ring_of("HS256", key_of("HS256")), timedelta(minutes=15))
    with pytest.raises(Unauthenticated):
        signer.read(signer.ring.sign(payload, typ="at+jwt"))


DEEP = base64.urlsafe_b64encode(b"[" * 30_000).decode()


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "null", "é.è.ê", "\ud800", "a" * 100_000, "." * 100_000, f"{DEEP}.e30.AAAA"],
    ids=lambda text: ascii(text)[:10],
)
def test_what_is_no_token_is_refused(signer: TokenSigner, text: str) -> None:
    with pytest.raises(Unauthenticated):
        signer.read(text)
    with pytest.raises(InvalidChallenge):
        signer.read_challenge(text)


def test_another_deployments_token_is_refused(signer: TokenSigner) -> None:
    algorithm = signer.ring.algorithm
    other = TokenSigner(ring_of(algorithm, key_of(algorithm, 3)), signer.lifetime)
    with pytest.raises(Unauthenticated):
        signer.read(other.sign(ANA))


@pytest.mark.parametrize("read", [TokenSigner.read, TokenSigner.read_challenge])
def test_a_refusal_does_not_say_why(signer: TokenSigner, read: Callable[[TokenSigner, str], object]) -> None:
    """Somebody who tries forged tokens learns nothing from one that is nearly right."""
    said: set[str] = set()
    for token in ("", "a.b.c", changed(signer, exp=0), changed(signer, iss="another"), changed(signer, "JWT")):
        with pytest.raises(Unauthenticated) as refused:
            read(signer, token)
        said.add(str(refused.value))
    assert len(said) == 1
