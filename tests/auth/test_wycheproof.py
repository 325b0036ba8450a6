"""Project Wycheproof's vectors for signed tokens and their keys, through the ring that reads our tokens.

They lie beside the repository (`../shared/data/jose`) and are no part of it; without them these tests are skipped. A
vector is a set of keys and a token. Each key is brought into the form in which an operator gives it, a PEM or the
secret itself, goes through the reading of our settings, and the token through `KeyRing.verify`.

- Of HS256 and RS256: what is valid verifies, what is not is refused, the token or already its key.
- Of other algorithms: every token is refused, the valid ones too, by a ring with the very key where one can hold it,
  and by a ring of each of our algorithms that knows its `kid`.
- There are none of EdDSA.
- `NOT_ASKED` and `MISLABELLED` are the rest, with the reason.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP521R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

import lib.secrets.pem as pem
from lib.auth.keys import KeyRing, TokenRefused, Verifier
from lib.settings import Algorithm
from tests.fixtures.signing import key_of, ring_of
from tests.fixtures.web import make_settings

FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "jose"
SIGNATURES, KEYS = "json_web_signature_test.json", "json_web_key_test.json"
OURS: Final[tuple[Algorithm, ...]] = ("HS256", "RS256", "EdDSA")

NOT_ASKED: Final = {
    (SIGNATURES, 332): "a PEM does not say what its key is for (alg)",
    (SIGNATURES, 353): "a PEM does not say what its key is for (use)",
    (SIGNATURES, 355): "a PEM does not say what its key is for (key_ops)",
    (KEYS, 4): "two keys of ours have no kid in common: it is made from the key",
    (KEYS, 6): "a PEM does not say what its key is for (use, alg)",
    (KEYS, 25): "a secret does not say what it is for (alg)",
    (KEYS, 26): "a secret does not say what it is for (alg)",
}
MISLABELLED: Final = {
    (SIGNATURES, 367): "called invalid, and is the token of vector 357 (C2SP/wycheproof, issue 236)",
    (SIGNATURES, 370): "called invalid, and is the token of vector 357 (C2SP/wycheproof, issue 236)",
    (SIGNATURES, 372): "called valid, with a character that base64url does not have (RFC 7515, section 5.2)",
    (SIGNATURES, 373): "called valid, with a character that base64url does not have (RFC 7515, section 5.2)",
}

if not FOLDER.is_dir():
    pytest.skip(f"Wycheproof's vectors are not at {FOLDER}", allow_module_level=True)


class KeyRefused(Exception):
    """No deployment of ours can be given this key."""


@dataclass(frozen=True)
class Vector:
    """Keys, a token, and whether it is valid under one of them."""

    file: str
    number: int
    comment: str
    keys: tuple[dict[str, Any], ...]
    token: str
    valid: bool

    @property
    def id(self) -> tuple[str, int]:
        return self.file, self.number

    @property
    def algorithms(self) -> set[str]:
        return {str(key.get("alg")) for key in self.keys}

    def __str__(self) -> str:
        return f"{self.file.removesuffix('_test.json')}-{self.number}-{self.comment}"


def read(file: str) -> Iterator[Vector]:
    """Yield the vectors of a file."""
    for group in json.loads((FOLDER / file).read_text())["testGroups"]:
        given = group.get("public") or group["private"]
        keys = tuple(given.get("keys", [given]))
        for test in group["tests"]:
            token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
            yield Vector(file, test["tcId"], test["comment"], keys, token, test["result"] == "valid")


ALL: Final = [*read(SIGNATURES), *read(KEYS)]
ASKED: Final = [vector for vector in ALL if vector.id not in NOT_ASKED]
OF_OURS: Final = [vector for vector in ASKED if vector.algorithms <= {*OURS}]
OF_OTHERS: Final = [vector for vector in ASKED if not vector.algorithms <= {*OURS}]


def is_valid(vector: Vector) -> bool:
    """Say whether we take it to be valid."""
    return vector.valid is not (vector.id in MISLABELLED)


def integer(text: str) -> int:
    return int.from_bytes(octets(text))


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1)
    return bytes([tag, *((len(content),) if len(content) < 128 else (128 + len(size), *size))]) + content


def der_integer(number: int) -> bytes:
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1))


def pem_of(jwk: dict[str, Any]) -> str:
    """Return a public key as a PEM, written by hand where it is RSA: a library may refuse to hold a bad one."""
    if jwk["kty"] == "RSA" and "n" in jwk:
        key = der(0x30, der_integer(integer(jwk["n"])), der_integer(integer(jwk["e"])))
        rsa_encryption = der(0x30, bytes.fromhex("06092a864886f70d010101"), der(0x05))
        content = der(0x30, rsa_encryption, der(0x03, b"\0", key))
        return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(content).decode()}-----END PUBLIC KEY-----\n"
    curve = SECP521R1() if jwk["crv"] == "P-521" else SECP256R1()
    try:
        point = EllipticCurvePublicNumbers(integer(jwk["x"]), integer(jwk["y"]), curve).public_key()
    except ValueError as error:
        raise KeyRefused("a point that is not on its curve") from error
    return point.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_as_configured(jwk: dict[str, Any]) -> tuple[Algorithm, Verifier]:
    """Return a key as our settings read it, and the algorithm that it would be configured for."""
    if jwk["kty"] == "oct":
        secret = octets(jwk["k"])
        try:
            make_settings("postgresql://h/d", "", environment="production", jwt_secret_key=secret.decode("latin-1"))
        except ValidationError as error:
            raise KeyRefused(str(error)) from error
        return "HS256", secret
    algorithm: Algorithm = "RS256" if jwk["kty"] == "RSA" else "EdDSA"
    try:
        (key,) = pem.read_public(pem_of(jwk), algorithm)
    except pem.KeyUnusable as error:
        raise KeyRefused(str(error)) from error
    return algorithm, key


def ring_with(keys: tuple[dict[str, Any], ...]) -> KeyRing:
    """Return a ring that knows these keys, by the names that they have in the vector."""
    read = {str(jwk["kid"]): key_as_configured(jwk) for jwk in keys}
    (algorithm,) = {algorithm for algorithm, _ in read.values()}
    return knowing(ring_of(algorithm, key_of(algorithm)), {kid: key for kid, (_, key) in read.items()})


def knowing(ring: KeyRing, verifiers: dict[str, Verifier]) -> KeyRing:
    return KeyRing(ring.algorithm, ring.signer, ring.kid, verifiers, ring.jwks)


@pytest.mark.parametrize("vector", [one for one in OF_OURS if is_valid(one)], ids=str)
def test_a_valid_token_verifies(vector: Vector) -> None:
    payload = ring_with(vector.keys).verify(vector.token).payload
    assert payload == octets(vector.token.split(".")[1])


@pytest.mark.parametrize("vector", [one for one in OF_OURS if not is_valid(one)], ids=str)
def test_an_invalid_token_or_its_key_is_refused(vector: Vector) -> None:
    with pytest.raises((KeyRefused, TokenRefused)):
        ring_with(vector.keys).verify(vector.token)


@pytest.mark.parametrize("vector", OF_OTHERS, ids=str)
def test_a_token_of_another_algorithm_is_refused(vector: Vector) -> None:
    with pytest.raises((KeyRefused, TokenRefused)):
        ring_with(vector.keys).verify(vector.token)
    for algorithm in OURS:
        ring = ring_of(algorithm, key_of(algorithm))
        known = {str(jwk["kid"]): ring.verifiers[ring.kid] for jwk in vector.keys}
        with pytest.raises(TokenRefused):
            knowing(ring, known).verify(vector.token)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (7, "can be computed"),
        (8, "of 1024 bits: it needs 2048"),
        (9, "no public key in PEM"),
        (10, "JWT_SECRET_KEY must have at least 32 characters"),
        (16, "JWT_SECRET_KEY must have at least 32 characters"),
    ],
)
def test_a_weak_key_is_refused_for_what_is_wrong_with_it(number: int, why: str) -> None:
    (vector,) = (one for one in ALL if one.id == (KEYS, number))
    with pytest.raises(KeyRefused, match=why):
        ring_with(vector.keys)


def test_every_vector_is_accounted_for() -> None:
    """A change of the vectors, or of what is asked of them, shows here."""
    kinds = Counter(
        "not asked"
        if vector.id in NOT_ASKED
        else f"{'ours' if vector in OF_OURS else 'others'}, {'valid' if is_valid(vector) else 'invalid'}"
        for vector in ALL
    )
    assert (len(ALL), kinds) == (
        427,
        {"ours, valid": 21, "ours, invalid": 261, "others, valid": 30, "others, invalid": 108, "not asked": 7},
    )
