"""One secret of AWS Secrets Manager, read over the wire.

A function that starts cold reads it before it can do anything else, so it costs one signed POST with Python's own HTTP
client, and not boto3, whose import and client take .7 s of CPU (docs/decisions/lambda.md). The signature is AWS's
Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, cast
from urllib.parse import urlsplit

TIMEOUT: Final = 3.0
"""Seconds for each step of a read."""

WHOLE: Final = 7.0
"""Seconds for all of it. Lambda gives a function ten to start, and what is not said by then is never said."""

ATTEMPTS: Final = 2

_SERVICE: Final = "secretsmanager"
_SILENT: Final = "AWS Secrets Manager does not answer"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class SecretUnreadable(Exception):
    """The secret could not be read. The message says why, and nothing of what the secret holds."""


class _Unanswered(Exception):
    """Nothing was said about the secret itself, so asking again may help."""


@dataclass(frozen=True)
class Account:
    """Who asks, and where. Lambda gives a function all of it, by the names that AWS's own clients read.

    Attributes:
        region: such as `eu-central-1`.
        access_key: its id.
        secret_key: what signs.
        session_token: comes with the keys of a role.
        endpoint: a URL in place of the region's own service.
    """

    region: str
    access_key: str
    secret_key: str
    session_token: str | None = None
    endpoint: str | None = None

    @property
    def url(self) -> str:
        """Where the service answers."""
        return self.endpoint or f"https://{_SERVICE}.{self.region}.amazonaws.com"


def read_secret(secret_id: str, account: Account, *, within: float = WHOLE) -> dict[str, str]:
    """Return the variables that a secret holds as a JSON object of strings.

    Args:
        secret_id: the secret's name, or its ARN.
        account: whose it is.
        within: seconds to wait.

    Raises:
        SecretUnreadable: it is not there, not allowed, not such an object, or the service does not answer.
    """
    # A thread, since looking a name up and a body that trickles in know no limit of their own.
    outcome: SimpleQueue[dict[str, str] | Exception] = SimpleQueue()
    Thread(target=lambda: outcome.put(_outcome(secret_id, account)), daemon=True).start()
    try:
        read = outcome.get(timeout=within)
    except Empty:
        raise SecretUnreadable(_SILENT) from None
    if isinstance(read, Exception):
        raise read
    return read


def _outcome(secret_id: str, account: Account) -> dict[str, str] | Exception:
    try:
        return _read(secret_id, account)
    except Exception as error:
        return error


def _read(secret_id: str, account: Account) -> dict[str, str]:
    body = json.dumps({"SecretId": secret_id}).encode()
    for attempt in range(ATTEMPTS):
        try:
            return _variables(_post(body, account))
        except _Unanswered as error:
            if attempt + 1 == ATTEMPTS:
                raise SecretUnreadable(str(error)) from error.__cause__
    raise AssertionError  # every attempt returns or raises


def signed_headers(body: bytes, account: Account, now: datetime) -> dict[str, str]:
    """Return the headers with which `body` is posted to the service at `now` (UTC)."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": urlsplit(account.url).netloc,
        "x-amz-date": moment,
        **({"x-amz-security-token": account.session_token} if account.session_token else {}),
        "x-amz-target": f"{_SERVICE}.GetSecretValue",
    }
    names = ";".join(headers)
    request = "\n".join(
        ["POST", "/", "", *(f"{name}:{value}" for name, value in headers.items()), "", names, _digest(body)]
    )
    scope = (moment[:8], account.region, _SERVICE, "aws4_request")
    to_sign = "\n".join([_ALGORITHM, moment, "/".join(scope), _digest(request.encode())])
    key = reduce(_hmac, scope, f"AWS4{account.secret_key}".encode())
    credential = f"{account.access_key}/{'/'.join(scope)}"
    signature = _hmac(key, to_sign).hex()
    authorization = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": authorization}


def _post(body: bytes, account: Account) -> Any:
    """Ask once, and return the answer's JSON."""
    url = urlsplit(account.url)
    kind = HTTPConnection if url.scheme == "http" else HTTPSConnection
    connection = kind(url.netloc, timeout=TIMEOUT)
    try:
        connection.request("POST", "/", body, signed_headers(body, account, datetime.now(UTC)))
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    except (OSError, HTTPException, ValueError) as error:
        raise _Unanswered(_SILENT) from error
    finally:
        connection.close()
    if status >= 500:
        raise _Unanswered(f"AWS Secrets Manager answered {status}")
    if status != 200:
        raise SecretUnreadable(f"AWS Secrets Manager answered {_kind_of_error(answer) or status}")
    return answer


def _kind_of_error(answer: Any) -> str:
    """Return an error's class, which may follow its namespace; its message could repeat what it was asked."""
    kind: object = cast("dict[str, object]", answer).get("__type") if isinstance(answer, dict) else None
    return str(kind).rpartition("#")[2] if kind else ""


def _variables(answer: Any) -> dict[str, str]:
    try:
        held = json.loads(answer["SecretString"])
    except (KeyError, TypeError, ValueError):
        raise SecretUnreadable("the secret is no JSON object of variables") from None
    if not isinstance(held, dict):
        raise SecretUnreadable("the secret is no JSON object of variables")
    variables = cast("dict[str, object]", held)
    if wrong := sorted(name for name, value in variables.items() if not isinstance(value, str)):
        raise SecretUnreadable(f"the secret holds no text for {', '.join(wrong)}")
    return cast("dict[str, str]", variables)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hmac(key: bytes, content: str) -> bytes:
    return hmac.new(key, content.encode(), hashlib.sha256).digest()
