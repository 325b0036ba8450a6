"""A request to AWS, signed as AWS's own clients sign it, without them: boto3's import and client take .7 s of CPU.

Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Account:
    """Who asks, and where. Lambda gives a function all of it, by the names that AWS's own clients read.

    Attributes:
        region: such as `eu-central-1`.
        access_key: its id.
        secret_key: what signs.
        session_token: comes with the keys of a role.
        endpoint: a URL in place of the region's own services.
    """

    region: str
    access_key: str
    secret_key: str
    session_token: str | None = None
    endpoint: str | None = None

    def url(self, service: str) -> str:
        """Return where a service answers, such as `secretsmanager`, without a slash at its end."""
        return (self.endpoint or f"https://{service}.{self.region}.amazonaws.com").rstrip("/")


def signed_headers(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    account: Account,
    *,
    service: str,
    now: datetime | None = None,
) -> dict[str, str]:
    """Return all headers with which `body` is posted to `url`.

    Args:
        url: with a path that is spelled as it is sent, and no query.
        headers: those to sign besides AWS's own, in lower case.
        body: what is posted.
        account: who asks.
        service: the name that the signature is for, which may be another than the host's.
        now: when, in UTC; at this moment unless given.
    """
    target, moment = urlsplit(url), (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    token = {"x-amz-security-token": account.session_token} if account.session_token else {}
    signed = dict(sorted({**headers, "host": target.netloc, "x-amz-date": moment, **token}.items()))
    names = ";".join(signed)
    request = "\n".join(
        ["POST", target.path, "", *(f"{name}:{value}" for name, value in signed.items()), "", names, _digest(body)]
    )
    scope = (moment[:8], account.region, service, "aws4_request")
    to_sign = "\n".join([_ALGORITHM, moment, "/".join(scope), _digest(request.encode())])
    signature = _hmac(reduce(_hmac, scope, f"AWS4{account.secret_key}".encode()), to_sign).hex()
    credential = f"{account.access_key}/{'/'.join(scope)}"
    return signed | {
        "authorization": f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hmac(key: bytes, content: str) -> bytes:
    return hmac.new(key, content.encode(), hashlib.sha256).digest()


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> tuple[int, HTTPMessage, bytes]:
    """Send a request with Python's own client, and return the answer's status, headers and body. It blocks.

    Args:
        url: without a query.
        body: as it was signed.
        headers: likewise.
        timeout: seconds for each step.

    Raises:
        OSError, HTTPException: nobody answers, or not in HTTP.
    """
    target = urlsplit(url)
    kind = HTTPConnection if target.scheme == "http" else HTTPSConnection
    connection = kind(target.netloc, timeout=timeout)
    try:
        connection.request("POST", target.path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()
