"""The key ring: one algorithm, keys by their ids, rotation, and what is published of them."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lib.auth.keys import KeyRing, Signed, TokenRefused
from lib.settings import SettingsInvalid
from tests.fixtures.signing import ALGORITHMS, key_of, public_of, ring_of, signing_with
from tests.fixtures.web import make_settings

PAYLOAD = b'{"for":"a test"}'


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def from_base64url(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="))


def token_of(header: dict[str, Any], payload: bytes = PAYLOAD, *, secret: bytes | None = None) -> str:
    """Return a token with any header, with an HMAC or without a signature."""
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(payload)}"
    signature = b"" if secret is None else hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64url(signature)}"


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def ring(algorithm: str) -> KeyRing:
    return ring_of(algorithm, key_of(algorithm))


def test_what_the_ring_signs_it_verifies(ring: KeyRing, algorithm: str) -> None:
    token = ring.sign(PAYLOAD, typ="test+jwt")
    assert ring.verify(token) == Signed({"alg": algorithm, "typ": "test+jwt", "kid": ring.kid}, PAYLOAD)


def test_every_part_of_a_token_is_signed(ring: KeyRing) -> None:
    header, payload, signature = ring.sign(PAYLOAD, typ="test+jwt").split(".")
    other_header, other_payload, other_signature = ring.sign(b'{"for":"all"}', typ="other+jwt").split(".")
    for mixed in (
        f"{other_header}.{payload}.{signature}",
        f"{header}.{other_payload}.{signature}",
        f"{header}.{payload}.{other_signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        "",
    ):
        with pytest.raises(TokenRefused):
            ring.verify(mixed)


def test_a_signature_that_held_vouches_for_no_other_token_and_no_other_ring(ring: KeyRing, algorithm: str) -> None:
    token = ring.sign(PAYLOAD, typ="test+jwt")
    signed = ring.verify(token)
    assert ring.verify(token) is signed
    unsigned = token.rpartition(".")[0]
    forged = f"{unsigned}.{ring.sign(b'{}', typ='test+jwt').rpartition('.')[2]}"
    for _ in range(2):
        with pytest.raises(TokenRefused):
            ring.verify(forged)
        with pytest.raises(TokenRefused):
            ring_of(algorithm, key_of(algorithm, 1)).verify(token)


@pytest.mark.parametrize(("before", "after"), [("", "="), ("", "\n"), (" ", ""), ("", "é"), ("", "\ud800")])
def test_a_token_has_one_spelling(ring: KeyRing, before: str, after: str) -> None:
    with pytest.raises(TokenRefused):
        ring.verify(f"{before}{ring.sign(PAYLOAD, typ='test+jwt')}{after}")


def test_padding_is_refused_though_the_library_takes_it() -> None:
    ring = ring_of("HS256", key_of("HS256"))
    token = ring.sign(PAYLOAD, typ="test+jwt")
    padded = token + "=" * (-len(token.rpartition(".")[2]) % 4)
    assert padded != token
    assert jwt.PyJWS().decode(padded, key_of("HS256"), ["HS256"]) == PAYLOAD
    with pytest.raises(TokenRefused, match="not in base64url"):
        ring.verify(padded)


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", "", None])
def test_a_token_without_a_signature_is_refused(ring: KeyRing, spelling: str | None) -> None:
    with pytest.raises(TokenRefused):
        ring.verify(token_of({"alg": spelling, "typ": "at+jwt", "kid": ring.kid}))


@pytest.mark.parametrize("pair", ["RS256", "EdDSA"])
def test_a_public_key_is_no_secret_to_sign_with(pair: str) -> None:
    key = key_of(pair)
    ring = ring_of(pair, key)
    der = (
        load_pem_private_key(key.encode(), None)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    for secret in (public_of(key).encode(), public_of(key).strip().encode(), der):
        with pytest.raises(TokenRefused):
            ring.verify(token_of({"alg": "HS256", "typ": "at+jwt", "kid": ring.kid}, secret=secret))


@pytest.mark.parametrize("other", ["HS384", "HS512", "RS256", "PS256", "EdDSA"])
def test_one_algorithm_alone_is_taken(other: str) -> None:
    """The secret is right, and the header names the key: what is wrong is only how it was signed."""
    secret = key_of("HS256")
    ring = ring_of("HS256", secret)
    key: Any = (
        secret if other.startswith("HS") else load_pem_private_key(key_of(other.replace("PS", "RS")).encode(), None)
    )
    with pytest.raises(TokenRefused):
        ring.verify(jwt.encode({}, key, other, headers={"kid": ring.kid}))


def test_rs512_is_not_rs256() -> None:
    key = key_of("RS256")
    ring = ring_of("RS256", key)
    for other in ("RS384", "RS512", "PS256"):
        with pytest.raises(TokenRefused, match="InvalidAlgorithmError"):
            ring.verify(jwt.encode({}, key, other, headers={"kid": ring.kid}))
    assert ring.verify(jwt.encode({}, key, "RS256", headers={"kid": ring.kid})).payload == b"{}"


@pytest.mark.parametrize("kid", [None, "", "nobodys", 7, ["a"], {"a": 1}, "../../etc/passwd", "' OR 1=1 --"])
def test_a_token_that_names_no_key_of_ours_is_refused(kid: Any) -> None:
    secret = key_of("HS256")
    header = {"alg": "HS256", "typ": "at+jwt"} | ({} if kid is None else {"kid": kid})
    with pytest.raises(TokenRefused):
        ring_of("HS256", secret).verify(token_of(header, secret=secret.encode()))


def test_a_token_that_names_another_key_is_refused(algorithm: str) -> None:
    """Both keys are in the ring; the one that is named did not sign."""
    old, new = key_of(algorithm, 1), key_of(algorithm)
    ring, of_old = ring_of(algorithm, new, old), ring_of(algorithm, old)
    header, payload, _ = ring.sign(PAYLOAD, typ="test+jwt").split(".")
    signature = of_old.sign(PAYLOAD, typ="test+jwt").rpartition(".")[2]
    with pytest.raises(TokenRefused, match="InvalidSignatureError"):
        ring.verify(f"{header}.{payload}.{signature}")


def test_a_key_that_a_token_brings_along_is_not_looked_at() -> None:
    attacker = key_of("RS256", 2)
    published: Any = ring_of("RS256", attacker).jwks["keys"][0]
    ring = ring_of("RS256", key_of("RS256"))
    for kid in (ring.kid, published["kid"]):
        headers = {"kid": kid, "jwk": published, "jku": "https://attacker.example/jwks.json", "x5c": ["MIIB"]}
        with pytest.raises(TokenRefused):
            ring.verify(jwt.encode({}, attacker, "RS256", headers=headers))


def test_an_extension_that_we_do_not_know_is_refused() -> None:
    secret = key_of("HS256")
    ring = ring_of("HS256", secret)
    extensions: list[dict[str, Any]] = [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False, "crit": ["b64"]}]
    for extension in extensions:
        with pytest.raises(TokenRefused):
            ring.verify(token_of({"alg": "HS256", "kid": ring.kid, **extension}, secret=secret.encode()))


def test_after_a_rotation_the_new_key_signs_and_the_old_one_still_verifies(algorithm: str) -> None:
    old, new = key_of(algorithm, 1), key_of(algorithm)
    before, during, after = ring_of(algorithm, old), ring_of(algorithm, new, old), ring_of(algorithm, new)
    kept = before.sign(PAYLOAD, typ="test+jwt")
    made = during.sign(PAYLOAD, typ="test+jwt")
    assert during.verify(kept).header["kid"] == before.kid
    assert (during.kid, during.verify(made).header["kid"]) == (after.kid, after.kid)
    assert before.kid != after.kid
    with pytest.raises(TokenRefused, match="KeyError"):
        before.verify(made)
    with pytest.raises(TokenRefused, match="KeyError"):
        after.verify(kept)


def test_a_key_can_be_known_before_it_signs(algorithm: str) -> None:
    """So that instances of the deploy before take the tokens of the next."""
    old, new = key_of(algorithm, 1), key_of(algorithm)
    ready = ring_of(algorithm, old, new)
    assert ready.kid == ring_of(algorithm, old).kid
    assert ready.verify(ring_of(algorithm, new).sign(PAYLOAD, typ="test+jwt")).payload == PAYLOAD


def test_a_secret_is_not_published_and_its_id_is_no_plain_hash_of_it() -> None:
    ring = ring_of("HS256", key_of("HS256"))
    assert ring.jwks == {"keys": []}
    secret = key_of("HS256").encode()
    hashes = [hashlib.new(name, secret).digest() for name in ("md5", "sha1", "sha256", "sha512")]
    assert not any(base64url(digest).startswith(ring.kid) for digest in hashes)
    assert len(ring.kid) == 16
    assert key_of("HS256") not in repr(ring)


@pytest.mark.parametrize(("pair", "members"), [("RS256", {"kty", "n", "e"}), ("EdDSA", {"kty", "crv", "x"})])
def test_the_public_keys_are_published_and_nothing_else_of_them(pair: str, members: set[str]) -> None:
    old, new = key_of(pair, 1), key_of(pair)
    ring = ring_of(pair, new, old)
    keys = ring.jwks["keys"]
    assert [key["kid"] for key in keys] == [ring_of(pair, new).kid, ring_of(pair, old).kid]
    for key in keys:
        assert set(key) == members | {"use", "alg", "kid"}
        assert (key["use"], key["alg"]) == ("sig", pair)


@pytest.mark.parametrize("pair", ["RS256", "EdDSA"])
def test_a_key_that_is_given_twice_is_published_once(pair: str) -> None:
    assert len(ring_of(pair, key_of(pair), key_of(pair)).jwks["keys"]) == 1


def test_what_is_published_is_the_key() -> None:
    rsa, edwards = (
        load_pem_private_key(key_of("RS256").encode(), None),
        load_pem_private_key(key_of("EdDSA").encode(), None),
    )
    assert isinstance(rsa, RSAPrivateKey)
    assert isinstance(edwards, Ed25519PrivateKey)
    of_rsa, of_edwards = (
        ring_of("RS256", key_of("RS256")).jwks["keys"][0],
        ring_of("EdDSA", key_of("EdDSA")).jwks["keys"][0],
    )
    read = RSAPublicNumbers(from_base64url(of_rsa["e"]), from_base64url(of_rsa["n"]))
    assert read == rsa.public_key().public_numbers()
    assert of_edwards["x"] == base64url(edwards.public_key().public_bytes_raw())


def test_a_thumbprint_is_that_of_the_rfcs() -> None:
    """RFC 7638, section 3.1, and RFC 8037, appendix A.3."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    rsa = RSAPublicNumbers(65537, from_base64url(modulus)).public_key()
    pem = rsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ring = KeyRing.from_settings(
        make_settings(None, "", **signing_with("RS256", key_of("RS256")) | {"jwt_public_key": pem})
    )
    assert ring.jwks["keys"][1]["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    edwards = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    pem = edwards.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ring = KeyRing.from_settings(
        make_settings(None, "", **signing_with("EdDSA", key_of("EdDSA")) | {"jwt_public_key": pem})
    )
    assert ring.jwks["keys"][1]["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(("algorithm", "missing"), [("HS256", "JWT_SECRET_KEY"), ("RS256", "JWT_PRIVATE_KEY")])
def test_without_a_key_there_is_no_ring(algorithm: str, missing: str) -> None:
    settings = make_settings(None, "", jwt_algorithm=algorithm, jwt_secret_key=None, jwt_private_key=None)
    with pytest.raises(SettingsInvalid, match=f"{missing} is not set"):
        KeyRing.from_settings(settings)
