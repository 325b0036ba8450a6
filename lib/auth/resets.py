"""A new password, for whoever shows the one before, or reads the mails of the account's address."""

import hashlib
import logging
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lib.auth.passwords import hash_password, verify_password
from lib.db.events import Client, new_event
from lib.db.tenant import EVERY_TEAM
from lib.errors import InvalidCredentials, ResetInvalid
from lib.ids import DEFAULT_TEAM_ID, as_uuid, new_id
from lib.mail.base import MailNotSent, Message
from lib.store import api_keys, password_resets, passwords, sessions
from lib.store.password_resets import Resettable, Token

if TYPE_CHECKING:
    from lib.auth.callers import Caller
    from lib.db.session import Database
    from lib.mail.base import Mailer

SECRET_BYTES: Final = 32

SUBJECT: Final = "Set a new password"
_TEXT: Final = """\
Somebody, probably you, asked to set a new password for your account.

To set one, open this link within 30 minutes. It works once.

{links}

If it was not you, there is nothing to do: your password is what it was.
"""

_log = logging.getLogger("parley.auth")


async def ask(
    database: "Database", mailer: "Mailer", *, email: str, team: str | None, public_url: str, client: Client
) -> None:
    """Mail a link to the address of accounts whose password somebody forgot; none to an address that has none.

    It takes another time for either, so it is for after the answer. Nothing is raised: nobody listens any more, and
    the log says what failed.

    Args:
        database: where accounts are.
        mailer: what sends the mail.
        email: the address, normalised.
        team: the slug or id of one team; of every team where it is None, in one mail with a link for each.
        public_url: the front end, which has the page of the link.
        client: who asked.
    """
    try:
        links: list[tuple[Resettable, str]] = []
        async with database.one_statement(EVERY_TEAM) as connection:
            for account in await password_resets.accounts_of(connection, email, team=team):
                token, secret = _new_token()
                event = new_event(
                    "password_reset_asked", team_id=account.team_id, user_id=account.user_id, client=client
                )
                await password_resets.create(connection, token, event)
                links.append((account, f"{public_url}/reset-password#token={token.reset_id.hex}.{secret}"))
        if links:
            await mailer.send(Message(email, SUBJECT, _TEXT.format(links=_listed(links))))
    except MailNotSent as error:
        _log.error("the mail for a reset was not sent: %s", error)
    except Exception:
        _log.exception("a reset could not be asked for")


async def reset(database: "Database", *, token: str, password: str, client: Client) -> None:
    """Set the password of the account that a token is of, end its sessions and revoke its keys. It signs nobody in.

    Whoever had the account meanwhile may have made keys. The second factor, if there is one, stays: who can read the
    mail has not got the phone.

    Raises:
        ResetInvalid: the token is nobody's, expired or used, or the account is off.
        Busy: too many passwords wait for their hash. The token is good still.
        DatabaseUnavailable: nothing is changed.
    """
    given = _read(token)
    async with database.one_statement(EVERY_TEAM) as connection:
        if not await password_resets.is_good(connection, given):
            raise ResetInvalid
    password_hash = await hash_password(password)
    # Whose it is, only the statement knows.
    event = new_event("password_reset", team_id=DEFAULT_TEAM_ID, client=client)
    async with database.one_statement(EVERY_TEAM) as connection:
        taken = await password_resets.take(connection, given, event, password_hash=password_hash)
        if taken is None:
            raise ResetInvalid
        user_id, team_id = taken
        # What began while the statement waited for the account was not there yet for it: a session, which may make a
        # key, or a key.
        await sessions.end_all(connection, user_id=user_id, team_id=team_id, client=client)
        await api_keys.revoke_all(connection, user_id=user_id, team_id=team_id, client=client)


async def change(database: "Database", caller: "Caller", *, current: str, new: str, client: Client) -> None:
    """Set the password of a person who shows the one before, and end their other sessions.

    Raises:
        InvalidCredentials: the current password is wrong.
        Unauthenticated: the caller's session is over.
        Busy: too many passwords wait for their hash.
        DatabaseUnavailable: nothing is changed.
    """
    tenant, user_id, session_id = caller.tenant(), caller.user, caller.session
    async with database.one_statement(tenant) as connection:
        before = await passwords.find_hash(connection, user_id)
    if before is not None and not await verify_password(current, before):
        raise InvalidCredentials("The password is wrong.")
    after = await hash_password(new)
    event = new_event("password_changed", team_id=caller.team_id, user_id=user_id, client=client)
    async with database.one_statement(tenant) as connection:
        if not await passwords.change(connection, event, before=before, after=after, but=session_id):
            raise InvalidCredentials("The password is wrong.")
        # A session that began while the statement waited for the account was not there yet for it.
        await sessions.end_all(connection, user_id=user_id, team_id=caller.team_id, client=client, but=session_id)


def _new_token() -> tuple[Token, str]:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return Token(new_id(), _hash(secret)), secret


def _read(token: str) -> Token:
    reset_id, _, secret = token.partition(".")
    known = as_uuid(reset_id)
    if known is None:
        raise ResetInvalid
    return Token(known, _hash(secret))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _listed(links: Sequence[tuple[Resettable, str]]) -> str:
    """Return the links, each under its team where there are several."""
    if len(links) == 1:
        return links[0][1]
    return "\n\n".join(f"{_one_line(account.team)}:\n{link}" for account, link in links)


def _one_line(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())
