"""How tokens reach a client: in cookies that no script reads under `/api/`, in the body elsewhere."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from lib.auth.sessions import Tokens
from lib.settings import Settings
from lib.web.deps import ACCESS_COOKIE, REFRESH_COOKIE, ThisInstance, cookie_name
from lib.web.origin import refuse_strange_origin

COOKIE_PATHS: Final = "/api/"


class Given(BaseModel):
    """Tokens in a body; under `/api/` they are in cookies. `expires_in` is the seconds that the access token lasts."""

    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None


class Delivery:
    """Hands tokens over on one request's answer, and takes them back."""

    def __init__(self, request: Request, response: Response, settings: Settings) -> None:
        """Choose by the path of `request`.

        Raises:
            OriginRefused: a page of another origin would have a browser's cookies changed.
        """
        self._request, self._response, self._settings = request, response, settings
        self.in_cookies = request.scope["path"].startswith(COOKIE_PATHS)
        if self.in_cookies:
            refuse_strange_origin(request.method, request.headers, settings.allowed_origins)

    def give(self, tokens: Tokens) -> Given:
        """Set the cookies, or return what the body says."""
        if self.in_cookies:
            self._set(ACCESS_COOKIE, tokens.access, tokens.access_lifetime)
            self._set(REFRESH_COOKIE, tokens.refresh, tokens.refresh_lifetime)
            return Given(expires_in=int(tokens.access_lifetime.total_seconds()))
        return Given(
            access_token=tokens.access,
            refresh_token=tokens.refresh,
            token_type="bearer",  # noqa: S106 - what kind of token it is (RFC 6750)
            expires_in=int(tokens.access_lifetime.total_seconds()),
        )

    def take_back(self) -> None:
        """Have a browser forget its cookies."""
        if self.in_cookies:
            for name in (ACCESS_COOKIE, REFRESH_COOKIE):
                self._set(name, "", timedelta(0))

    def refresh_token(self, in_body: str | None) -> str | None:
        """Return the refresh token that came: the body's, else the cookie's.

        A cookie is taken for nothing that is answered with tokens in a body, where a script could read them.
        """
        if in_body is not None or not self.in_cookies:
            return in_body
        return self._request.cookies.get(cookie_name(REFRESH_COOKIE, self._settings))

    def _set(self, name: str, value: str, lifetime: timedelta) -> None:
        self._response.set_cookie(
            cookie_name(name, self._settings),
            value,
            max_age=int(lifetime.total_seconds()),
            httponly=True,
            secure=self._settings.environment == "production",
            samesite="strict",
        )


async def _delivery(request: Request, response: Response, instance: ThisInstance) -> Delivery:
    return Delivery(request, response, instance.settings)


ThisDelivery = Annotated[Delivery, Depends(_delivery)]
