"""What people may change of an account, as bodies hold it. A field that is left out stays as it is."""

from typing import Annotated, Any, TypedDict

from pydantic import AfterValidator, ConfigDict, Field, with_config

from lib.auth.identity import Role
from lib.web.avatar import Avatar
from lib.web.fields import Email, FullName
from lib.web.objects import storable


def _storable(preferences: dict[str, Any]) -> dict[str, Any]:
    return storable(preferences, "preferences")


Preferences = Annotated[dict[str, Any], AfterValidator(_storable)]
"""What a front end wants to remember of a user. It takes the place of what was there."""


@with_config(ConfigDict(extra="forbid"))
class OwnChanges(TypedDict, total=False):
    """What everybody may change of their own account."""

    full_name: FullName | None
    avatar: Avatar | None
    preferences: Preferences


@with_config(ConfigDict(extra="forbid"))
class AllChanges(OwnChanges, total=False):
    """What an administrator may change of any account of the team."""

    email: Email
    role: Role
    is_active: Annotated[bool, Field(strict=True)]
