"""Where settings come from. Nothing else reads the environment."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic_settings import EnvSettingsSource

if TYPE_CHECKING:
    from lib.secrets.signing import Account


class SettingsInvalid(Exception):
    """The environment cannot work. The message names the variables and never a value."""


class SecretSource(EnvSettingsSource):
    """The variables in the secret that SECRETS_ID names. Only a deployment that has one pays for looking."""

    def _load_env_vars(self) -> dict[str, str | None]:
        return {}

    def __call__(self) -> dict[str, Any]:
        """Read the secret.

        Raises:
            SettingsInvalid: it cannot be read.
        """
        if secret_id := self.current_state.get("secrets_id"):
            self.env_vars = {name.lower(): value for name, value in _variables_in(secret_id).items() if value}
        return super().__call__()


def _variables_in(secret_id: str) -> dict[str, str]:
    import lib.secrets.aws as store

    account = aws_account(os.environ.get("AWS_REGION"))
    if account is None:
        raise SettingsInvalid("SECRETS_ID needs AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    try:
        return store.read_secret(secret_id, account)
    except store.SecretUnreadable as error:
        raise SettingsInvalid(f"SECRETS_ID cannot be read: {error}") from error


def aws_account(region: str | None) -> "Account | None":
    """Return who this process is to the services of AWS in a region; None without keys. Lambda gives a role's."""
    from lib.secrets.signing import Account

    given = os.environ.get
    key, secret = given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")
    if not (region and key and secret):
        return None
    return Account(region, key, secret, given("AWS_SESSION_TOKEN"), given("AWS_ENDPOINT_URL"))


def default_environment() -> Literal["development", "production"]:
    """Return a process's environment: a deployed function that nobody told runs in production, the safe side."""
    deployed = os.environ.get("VERCEL_ENV") in {"production", "preview"} or "AWS_LAMBDA_FUNCTION_NAME" in os.environ
    return "production" if deployed else "development"


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process runs, as the platform says: for an operator to read."""

    platform: Literal["vercel", "lambda", "other"]
    region: str | None


def this_place() -> Place:
    """Return where this process runs."""
    given = os.environ.get
    if "VERCEL" in os.environ:
        return Place("vercel", given("VERCEL_REGION"))
    return Place("lambda", given("AWS_REGION")) if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else Place("other", None)
