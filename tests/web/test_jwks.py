"""Each algorithm over HTTP: signing in, being asked for, rotation, and the keys that are published."""

import asyncio
import base64
import hmac
import json
from typing import Any

import httpx
import jwt
import pytest

from lib.auth.identity import Identity
from lib.auth.tokens import TokenSigner
from lib.ids import DEFAULT_TEAM_ID, new_id
from tests.fixtures.signing import ALGORITHMS, key_of, public_of, ring_of, signing_with
from tests.fixtures.web import PASSWORD, Deploy, Deployment

JWKS = "/.well-known/jwks.json"
PAIRS = ("RS256", "EdDSA")


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


async def token_of(parley: Deployment) -> str:
    """Return the access token of somebody new."""
    await parley.sign_up()
    return parley.client.cookies["access_token"]


async def asks(parley: Deployment, token: str) -> httpx.Response:
    """Ask who a token is of."""
    return await parley.client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_each_algorithm_is_made_and_taken(deploy: Deploy, algorithm: str) -> None:
    parley = await deploy(**signing_with(algorithm, key_of(algorithm)))
    account = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    made = await parley.client.post("/auth/register", json=account)
    assert made.status_code == 201, made.text
    token = (await parley.client.post("/auth/login", json=account)).json()["access_token"]
    header = jwt.get_unverified_header(token)
    assert header == {"alg": algorithm, "typ": "at+jwt", "kid": parley.instance.signer.ring.kid}
    answer = await asks(parley, token)
    assert (answer.status_code, answer.json()["email"]) == (200, account["email"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_forged_token_is_refused(deploy: Deploy, algorithm: str) -> None:
    """Each says what the real one says, of a session that is live."""
    parley = await deploy(**signing_with(algorithm, key_of(algorithm)))
    token = await token_of(parley)
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    kid = parley.instance.signer.ring.kid
    of_another = ring_of(algorithm, key_of(algorithm, 9)).sign(json.dumps(claims).encode(), typ="at+jwt")
    unsigned = base64url(json.dumps({"alg": "none", "typ": "at+jwt", "kid": kid}).encode())
    admin = base64url(json.dumps(claims | {"role": "admin"}).encode())
    challenge = parley.instance.signer.sign_challenge(new_id(), DEFAULT_TEAM_ID, "fingerprint")
    for forged in (
        of_another,
        f"{unsigned}.{payload}.",
        f"{header}.{admin}.{signature}",
        f"{header}.{payload}.",
        challenge,
        f"{token}=",
    ):
        answer = await asks(parley, forged)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert (await asks(parley, token)).status_code == 200


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_published_key_is_no_secret_to_sign_with(deploy: Deploy, pair: str) -> None:
    parley = await deploy(**signing_with(pair, key_of(pair)))
    payload = (await token_of(parley)).split(".")[1]
    published = (await parley.client.get(JWKS)).json()["keys"][0]
    header = {"alg": "HS256", "typ": "at+jwt", "kid": published["kid"]}
    signed = f"{base64url(json.dumps(header).encode())}.{payload}"
    for secret in (public_of(key_of(pair)), json.dumps(published), published.get("n") or published["x"]):
        mac = hmac.digest(secret.encode(), signed.encode(), "sha256")
        assert (await asks(parley, f"{signed}.{base64url(mac)}")).status_code == 401


@pytest.mark.parametrize("pair", PAIRS)
async def test_whoever_reads_the_published_keys_can_verify_a_token(deploy: Deploy, pair: str) -> None:
    """With PyJWT's own client, which fetches them over HTTP."""
    parley = await deploy(**signing_with(pair, key_of(pair), key_of(pair, 1)))
    token = await token_of(parley)
    client = jwt.PyJWKClient(f"{parley.url}{JWKS}")
    key = await asyncio.to_thread(client.get_signing_key_from_jwt, token)
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[pair], audience="parley", issuer="parley")
    assert claims["role"] == "user"
    with pytest.raises(jwt.PyJWKClientError):
        await asyncio.to_thread(client.get_signing_key, "nobodys")


async def test_the_published_keys_may_be_kept_for_a_while(deploy: Deploy) -> None:
    parley = await deploy(**signing_with("EdDSA", key_of("EdDSA"), key_of("EdDSA", 1)))
    answer = await parley.client.get(JWKS)
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == parley.instance.signer.ring.jwks
    assert [set(key) for key in answer.json()["keys"]] == [{"kty", "crv", "x", "use", "alg", "kid"}] * 2


async def test_a_secret_is_not_published(parley: Deployment) -> None:
    answer = await parley.client.get(JWKS)
    assert (answer.status_code, answer.json()) == (200, {"keys": []})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_nobody_is_signed_out_by_a_rotation(deploy: Deploy, algorithm: str) -> None:
    old, new = key_of(algorithm, 1), key_of(algorithm)
    before = await deploy(**signing_with(algorithm, old))
    token = await token_of(before)
    during = await deploy(**signing_with(algorithm, new, old))
    assert (await asks(during, token)).status_code == 200
    renewed = await token_of(during)
    assert jwt.get_unverified_header(renewed)["kid"] != jwt.get_unverified_header(token)["kid"]
    after = await deploy(**signing_with(algorithm, new))
    assert (await asks(after, renewed)).status_code == 200
    assert (await asks(after, token)).status_code == 401


async def test_a_token_of_another_algorithm_is_refused_after_a_change(deploy: Deploy) -> None:
    before = await deploy(**signing_with("HS256", key_of("HS256")))
    token = await token_of(before)
    after = await deploy(**signing_with("EdDSA", key_of("EdDSA")) | {"jwt_secret_key": key_of("HS256")})
    assert (await asks(after, token)).status_code == 401


async def test_a_change_of_the_algorithm_signs_nobody_out(deploy: Deploy) -> None:
    """There is no SEAL_KEY, and the secret stays: it proves the refresh tokens that it made."""
    before = await deploy(**signing_with("HS256", key_of("HS256")), seal_key=())
    account = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    await before.client.post("/auth/register", json=account)
    tokens = (await before.client.post("/auth/login", json=account)).json()
    gone = await deploy(**signing_with("EdDSA", key_of("EdDSA")), seal_key=())
    refused = await gone.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refused.status_code == 401
    after = await deploy(**signing_with("EdDSA", key_of("EdDSA")) | {"jwt_secret_key": key_of("HS256")}, seal_key=())
    renewed = await after.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200, renewed.text
    assert (await asks(after, renewed.json()["access_token"])).json()["email"] == account["email"]


async def test_a_token_of_a_session_that_never_was_opens_nothing(parley: Deployment) -> None:
    """Whoever has the key still needs a session."""
    signer = TokenSigner(parley.instance.signer.ring, parley.instance.signer.lifetime)
    token = signer.sign(Identity(new_id(), DEFAULT_TEAM_ID, "admin", new_id()))
    assert (await asks(parley, token)).status_code == 401
