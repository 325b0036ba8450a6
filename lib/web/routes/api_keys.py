"""API keys: a person makes them for programs, sees them and revokes them. No key can do so itself."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from lib.auth.api_keys import make_key, name_of
from lib.auth.identity import Scope
from lib.store import api_keys
from lib.store.api_keys import ListedKey
from lib.web.deps import SignedIn, ThisClient, ThisInstance
from lib.web.text import SAID

router = APIRouter(prefix="/api-keys", tags=["api keys"])

LIFETIME: Final = timedelta(days=365)
"""Of a key whose maker says nothing of it."""


class WantedKey(BaseModel):
    """A key to make. It lasts a year; `expires_at: null` makes one that does not expire."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=100), SAID]
    scopes: Annotated[set[Scope], Field(min_length=1)]
    expires_at: AwareDatetime | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None

    @model_validator(mode="after")
    def _expires_once_and_later(self) -> Self:
        if self.expires_at is not None and self.expires_in_days is not None:
            raise ValueError("give expires_at or expires_in_days, not both")
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            raise ValueError("expires_at is in the past")
        return self

    @property
    def end(self) -> datetime | None:
        """When the key expires; None for never."""
        if self.expires_in_days is not None:
            return datetime.now(UTC) + timedelta(days=self.expires_in_days)
        return self.expires_at if "expires_at" in self.model_fields_set else datetime.now(UTC) + LIFETIME


class ShownKey(BaseModel):
    """A key without its secret. `prefix` is how it begins."""

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class NewKey(ShownKey):
    """A key that was just made, whole in `key`. It is shown this once."""

    key: str


@router.post("", status_code=201)
async def make(wanted: WantedKey, caller: SignedIn, instance: ThisInstance, client: ThisClient) -> NewKey:
    """Make a key."""
    made = await make_key(
        instance.database, caller, name=wanted.name, scopes=wanted.scopes, expires_at=wanted.end, client=client
    )
    return NewKey(key=made.key, **_shown(made.listed))


@router.get("")
async def list_keys(caller: SignedIn, instance: ThisInstance) -> list[ShownKey]:
    """List one's keys that are not revoked, the newest first."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        keys = await api_keys.listed(connection, team_id=caller.team_id, user_id=caller.user)
    return [ShownKey(**_shown(key)) for key in keys]


@router.delete("/{key_id}", status_code=204)
async def revoke(key_id: UUID, caller: SignedIn, instance: ThisInstance, client: ThisClient) -> None:
    """Revoke a key: it works nowhere any more."""
    async with instance.database.one_statement(caller.tenant()) as connection:
        await api_keys.revoke(connection, key_id, team_id=caller.team_id, user_id=caller.user, client=client)


def _shown(key: ListedKey) -> dict[str, Any]:
    return asdict(key) | {"prefix": name_of(key.id)}
