"""One secret of AWS Secrets Manager, read over the wire.

A function that starts cold reads it before it can do anything else, so it costs one signed POST with Python's own HTTP
client, and not boto3, whose import and client take .7 s of CPU (docs/decisions/lambda.md).
"""

import json
from http.client import HTTPException
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, cast

from lib.secrets.signing import Account, post, signed_headers

TIMEOUT: Final = 3.0
"""Seconds for each step of a read."""

WHOLE: Final = 7.0
"""Seconds for all of it. Lambda gives a function ten to start, and what is not said by then is never said."""

ATTEMPTS: Final = 2

_SERVICE: Final = "secretsmanager"
HEADERS: Final = {
    "content-type": "application/x-amz-json-1.1",
    "x-amz-target": f"{_SERVICE}.GetSecretValue",
}
"""What says which call of the service a POST is."""

_SILENT: Final = "AWS Secrets Manager does not answer"


class SecretUnreadable(Exception):
    """The secret could not be read. The message says why, and nothing of what the secret holds."""


class _Unanswered(Exception):
    """Nothing was said about the secret itself, so asking again may help."""


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


def _post(body: bytes, account: Account) -> Any:
    """Ask once, and return the answer's JSON."""
    url = f"{account.url(_SERVICE)}/"
    headers = signed_headers(url, HEADERS, body, account, service=_SERVICE)
    try:
        status, _, told = post(url, body, headers, timeout=TIMEOUT)
        answer = json.loads(told)
    except (OSError, HTTPException, ValueError) as error:
        raise _Unanswered(_SILENT) from error
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
