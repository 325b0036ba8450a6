"""The body of a log-in: a form or JSON, with a password or an address alone."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from lib.web.fields import Email, NamedTeam, TypedPassword

_OF_OAUTH: Final = {"grant_type", "scope", "client_id", "client_secret"}
"""Fields that OAuth2 clients send along with a form, and that mean nothing here."""


class Login(BaseModel):
    """An address and its password; `team` (slug or id) settles which account, where several teams have the address.

    Without a password the address alone signs in, where `EMAIL_ONLY_LOGIN` says so.
    """

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: TypedPassword | None = None
    team: NamedTeam = None


class _Form(BaseModel):
    username: str
    password: str
    team: str | None = None


BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Login.model_json_schema()},
            "application/x-www-form-urlencoded": {"schema": _Form.model_json_schema()},
        },
    },
}
"""What OpenAPI says of it."""


async def _login(request: Request) -> Login:
    """Read the body as what it says it is.

    Raises:
        RequestValidationError: it is no log-in.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind in {"application/x-www-form-urlencoded", "multipart/form-data"}:
            return Login.model_validate(_of_form(await request.form(max_files=0, max_fields=20)))
        return Login.model_validate_json(await request.body())
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults]) from None


def _of_form(form: Mapping[str, object]) -> dict[str, object]:
    """Return a form's fields by our names. One without a password is no log-in by address alone."""
    fields = {"email" if name == "username" else name: value for name, value in form.items() if name not in _OF_OAUTH}
    return {"password": ""} | fields


ALogin = Annotated[Login, Depends(_login)]
