"""Sealing: what opens what, over changes of the keys."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken

from lib.auth.seal import Seal, derive_key, derive_keys
from lib.errors import Unsealable
from lib.settings import Settings
from tests.fixtures.signing import key_of, signing_with
from tests.fixtures.web import JWT_KEY, make_settings

ONE, TWO, THREE = (f"{name}-key-that-seals-in-the-tests-0123" for name in ("one", "two", "three"))


def settings_with(seal_key: str | None = None, **more: Any) -> Settings:
    return make_settings(None, "", seal_key=seal_key or (), **more)


def seal_with(seal_key: str | None = None, **more: Any) -> Seal:
    return Seal.from_settings(settings_with(seal_key, **more))


@pytest.mark.parametrize("secret", [b"", b"\x00\xff", b"JBSWY3DPEHPK3PXP", b"x" * 100_000])
def test_what_is_sealed_opens(secret: bytes) -> None:
    seal = seal_with(ONE)
    sealed = seal.seal(secret, context="totp:ana")
    assert seal.open(sealed, context="totp:ana") == secret
    assert not secret or secret not in sealed
    assert sealed != seal.seal(secret, context="totp:ana")


def test_text_is_sealed_as_utf_8() -> None:
    seal = seal_with(ONE)
    assert seal.open(seal.seal("clé", context="a"), context="a") == "clé".encode()


def test_it_opens_in_its_own_context_alone() -> None:
    """A row's secret that is copied to another row is of no use there."""
    seal = seal_with(ONE)
    sealed = seal.seal(b"secret", context="totp:ana")
    for other in ("totp:ben", "totp:", "", "webhook:ana"):
        with pytest.raises(Unsealable):
            seal.open(sealed, context=other)


def test_what_was_changed_does_not_open() -> None:
    seal = seal_with(ONE)
    sealed = base64.urlsafe_b64decode(seal.seal(b"secret", context="a"))
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(Unsealable):
            seal.open(base64.urlsafe_b64encode(changed), context="a")
    for what in (b"", b"secret", b"\xff" * 100, sealed):
        with pytest.raises(Unsealable):
            seal.open(what, context="a")


def test_the_first_key_seals_and_all_open() -> None:
    before, during, after = seal_with(ONE), seal_with(f"{TWO}, {ONE}"), seal_with(TWO)
    old = before.seal(b"secret", context="a")
    assert during.open(old, context="a") == b"secret"
    new = during.seal(b"secret", context="a")
    assert after.open(new, context="a") == b"secret"
    with pytest.raises(Unsealable):
        before.open(new, context="a")
    with pytest.raises(Unsealable):
        after.open(old, context="a")


def test_a_key_that_nobody_has_opens_nothing_and_the_operator_is_told_which() -> None:
    with pytest.raises(Unsealable, match="SEAL_KEY") as refused:
        seal_with(TWO).open(seal_with(ONE).seal(b"secret", context="a"), context="a")
    assert refused.value.code == "unsealable"


def test_without_a_seal_key_what_signs_seals_and_it_opens_still_when_one_is_set() -> None:
    sealed = seal_with().seal(b"secret", context="a")
    assert seal_with(ONE).open(sealed, context="a") == b"secret"
    assert seal_with(jwt_secret_key=THREE, jwt_previous_secret_keys=JWT_KEY).open(sealed, context="a") == b"secret"
    with pytest.raises(Unsealable):
        seal_with(jwt_secret_key=THREE).open(sealed, context="a")


def test_with_a_seal_key_what_signs_opens_nothing_new() -> None:
    sealed = seal_with(ONE).seal(b"secret", context="a")
    with pytest.raises(Unsealable):
        seal_with().open(sealed, context="a")


@pytest.mark.parametrize("pair", ["RS256", "EdDSA"])
def test_a_private_key_seals_where_there_is_nothing_else(pair: str) -> None:
    given = signing_with(pair, key_of(pair))
    sealed = seal_with(**given).seal(b"secret", context="a")
    respelled = {**given, "jwt_private_key": given["jwt_private_key"].replace("\n", "\r\n")}
    assert seal_with(**respelled).open(sealed, context="a") == b"secret"
    with pytest.raises(Unsealable):
        seal_with(**signing_with(pair, key_of(pair, 1))).open(sealed, context="a")


@pytest.mark.parametrize("pair", ["RS256", "EdDSA"])
def test_a_deployment_can_go_over_to_a_pair(pair: str) -> None:
    """JWT_SECRET_KEY signs nothing any more; while it is set it opens what it had sealed."""
    sealed = seal_with().seal(b"secret", context="a")
    given = {**signing_with(pair, key_of(pair)), "jwt_secret_key": JWT_KEY}
    assert seal_with(**given).open(sealed, context="a") == b"secret"
    assert derive_key(settings_with(**given), "x") == derive_key(settings_with(**signing_with(pair, key_of(pair))), "x")


def test_the_seal_shows_no_key() -> None:
    assert ONE not in repr(seal_with(ONE))


def test_a_key_is_derived_for_each_purpose_newest_first() -> None:
    settings = settings_with(f"{TWO},{ONE}")
    keys = derive_keys(settings, "refresh")
    assert derive_key(settings, "refresh") == keys[0] == derive_key(settings_with(TWO), "refresh")
    assert keys[1:] == (derive_key(settings_with(ONE), "refresh"), derive_key(settings_with(), "refresh"))
    assert {len(key) for key in keys} == {32}
    assert not {*keys} & {*derive_keys(settings, "another")}


def test_a_key_is_derived_by_hkdf() -> None:
    """RFC 5869 with SHA-256, no salt, and one block: two HMACs."""
    extracted = hmac.digest(bytes(32), ONE.encode(), hashlib.sha256)
    expected = hmac.digest(extracted, b"parley refresh\x01", hashlib.sha256)
    assert derive_key(settings_with(ONE), "refresh") == expected


def test_no_purpose_gives_the_key_of_a_seal() -> None:
    """What a MAC is made with for one purpose is no key of what is sealed for another."""
    seal = seal_with(ONE)
    sealed = seal.seal(b"secret", context="refresh")
    assert seal.open(sealed, context="refresh") == b"secret"
    with pytest.raises(InvalidToken):
        Fernet(base64.urlsafe_b64encode(derive_key(settings_with(ONE), "refresh"))).decrypt(sealed)
