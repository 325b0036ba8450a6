"""A team's people: who may see, make, change and delete an account.

Everybody may see their own, and change what is theirs in it. An administrator may do all of it with every account of
the team. To anybody else an account is not there.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from uuid import UUID

from lib.auth.accounts import Registration
from lib.auth.callers import Caller
from lib.auth.identity import Role
from lib.auth.passwords import hash_password
from lib.db.events import Client, EventKind
from lib.db.session import Database
from lib.db.tenant import Tenant
from lib.errors import EmailTaken, Forbidden, NotFound
from lib.ids import new_id
from lib.store import profiles, security_events, users
from lib.store.profiles import NOBODY, Changes, Profile
from lib.store.security_events import PastEvent
from lib.store.users import NewUser

PRIVILEGED: Final = frozenset({"email", "role", "is_active"})
"""Fields of an account that only an administrator changes, in their own too."""


async def find(database: Database, caller: Caller, user_id: UUID) -> Profile:
    """Return one's own account, or to an administrator one of the team.

    Raises:
        NotFound: there is no such account for this caller.
        ScopeMissing: the caller's key lacks the scope: `read` for its owner's account, `admin` for another.
        DatabaseUnavailable: nobody knows.
    """
    own = user_id == caller.user
    if "admin" not in caller.scopes:
        caller.needs("read" if own else "admin")
    try:
        async with database.one_statement(caller.tenant(admin=not own)) as connection:
            return await profiles.find(connection, team_id=caller.team_id, user_id=user_id)
    except Forbidden:
        raise NotFound(NOBODY) from None


async def add(database: Database, caller: Caller, wanted: Registration, role: Role, *, client: Client) -> Profile:
    """Make an account in the caller's team, whose administrator they are.

    Raises:
        Forbidden: they are none.
        EmailTaken: the team has an account of this address.
        DatabaseUnavailable: there is no new account.
    """
    _refuse_to_a_key(caller, {"role": role})
    async with database.one_statement(caller.tenant(admin=True)) as connection:  # before the work of a hash
        if await profiles.is_taken(connection, team_id=caller.team_id, email=wanted.email):
            raise EmailTaken
    new = NewUser(
        id=new_id(),
        team_id=caller.team_id,
        email=wanted.email,
        password_hash=await hash_password(wanted.password),
        role=role,
        full_name=wanted.full_name,
    )
    async with database.one_statement(caller.tenant(admin=True)) as connection:
        created_at = await users.create(connection, new, client=client, actor_id=caller.user)
    return Profile(
        id=new.id,
        team_id=new.team_id,
        email=new.email,
        full_name=new.full_name,
        role=role,
        is_active=True,
        last_login_at=None,
        created_at=created_at,
        two_factor_enabled=False,
        avatar=None,
        preferences={},
    )


async def change(database: Database, caller: Caller, user_id: UUID, changes: Changes, *, client: Client) -> Profile:
    """Change one's own account, or as an administrator one of the team, and return it.

    Raises:
        Forbidden: a field of one's own account is an administrator's to change.
        NotFound: there is no such account for this caller.
        LastAdmin: the team would be without an active administrator.
        EmailTaken: the team has an account of that address.
        ScopeMissing: the caller's key lacks the scope `admin`.
        DatabaseUnavailable: nothing is changed.
    """
    _refuse_to_a_key(caller, changes)
    own = user_id == caller.user
    as_admin = not own or caller.key_id is not None or not PRIVILEGED.isdisjoint(changes)
    if as_admin:
        caller.needs("admin")
    try:
        async with database.one_statement(caller.tenant(admin=as_admin)) as connection:
            changed = await profiles.change(
                connection, user_id, changes, team_id=caller.team_id, actor_id=caller.user, client=client
            )
    except Forbidden:
        if own:
            raise
        raise NotFound(NOBODY) from None
    if changes.get("is_active") is False:
        # What began while the statement waited for the account was not there yet for it. Nobody is asked again whether
        # they may: they may have switched themselves off.
        async with database.one_statement(Tenant(caller.team_id)) as connection:
            await profiles.shut_out(connection, user_id, team_id=caller.team_id)
    return changed


def _refuse_to_a_key(caller: Caller, changes: Mapping[str, object]) -> None:
    """Keep a program from becoming a person: by an administrator of its making, or by where a reset's link goes.

    Raises:
        Forbidden: it is a program's key that asks.
    """
    if caller.key_id is not None and (changes.get("role") == "admin" or "email" in changes):
        raise Forbidden("This takes an administrator who is signed in, not an API key.")


async def events(
    database: Database,
    caller: Caller,
    *,
    limit: int,
    after: UUID | None = None,
    kind: EventKind | None = None,
    user_id: UUID | None = None,
) -> tuple[PastEvent, ...]:
    """Return what happened to one's account, or to an administrator what happened in the team; the newest first.

    Args:
        database: where events are.
        caller: who asks.
        limit: how many at most.
        after: the id of the last event of the page before.
        kind: of this kind alone.
        user_id: about this account alone.

    Raises:
        NotFound: somebody else's account was named, and the caller is no administrator.
        DatabaseUnavailable: nobody knows.
    """
    if "admin" in caller.scopes:
        with suppress(Forbidden):
            async with database.one_statement(caller.tenant(admin=True)) as connection:
                return await security_events.page(
                    connection, team_id=caller.team_id, limit=limit, after=after, kind=kind, user_id=user_id
                )
    if user_id not in {None, caller.user}:
        raise NotFound(NOBODY)
    async with database.one_statement(caller.tenant()) as connection:
        return await security_events.page(
            connection, team_id=caller.team_id, limit=limit, after=after, kind=kind, user_id=caller.user
        )
