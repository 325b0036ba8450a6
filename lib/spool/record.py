"""A turn as it waits in the spool: where, what its object is called, and what is sealed in it."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self
from uuid import UUID

import msgspec

from lib.errors import ParleyError, Unsealable
from lib.settings import NO_SPOOL, Settings
from lib.turns import EndedTurn, TurnRecord

if TYPE_CHECKING:
    from lib.auth.seal import Seal

VERSION: Final = 1
"""Of what is written. A later one says that who knows this one alone would lose something of it."""

WAITING: Final = "waiting"
ASIDE: Final = "aside"
"""Where objects are: those that wait, and those that no database takes, as an operator has to see."""

Count = Literal["spooled", "full", "unwritable", "kept", "known", "answered", "refused", "aside"]
"""What an instance counts: turns that it wrote; that are lost, by the reason; what became of those replayed."""

_BEST_FIRST: Final = ("complete", "stopped", "interrupted", "failed")
_NO_KEY: Final = "-"
_HEX: Final = 32
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HASH: Final = rf"[0-9a-f]{{{_HEX}}}"
_NAME: Final = re.compile(rf"(?:{WAITING}|{ASIDE})/({_HASH}|{_NO_KEY})/({_HASH})\.({_UUID})\.({_UUID})\.([oc])([ug])")


class Unreadable(Exception):
    """An object is no turn of ours: no key opens it, or what it holds is cut off."""


class TooNew(Exception):
    """An object was written by a version of Parley that is newer than this."""


@dataclass(frozen=True, slots=True)
class Name:
    """What the object of a turn is called. It holds ids and hashes, no word of anybody's.

    So a list tells which turns wait, which of them are of one conversation and in which order, whether one waits under
    a key, and whether a guest asked. It does not tell the id of a conversation: a guest's is open to who knows that.
    `opens` says that the conversation begins with it.
    """

    key: str
    conversation: str
    question_id: UUID
    answer_id: UUID
    opens: bool
    guest: bool

    @classmethod
    def of(cls, turn: TurnRecord) -> Self:
        """Return the name of a turn's object."""
        key = turn.key.key_hash.hex()[:_HEX] if turn.key else _NO_KEY
        conversation = hashed(turn.conversation_id)
        return cls(key, conversation, turn.question_id, turn.answer_id, turn.opens, turn.user_id is None)

    @classmethod
    def read(cls, object_key: str) -> Self | None:
        """Return the name in the key of an object; None when the object is none of ours."""
        match = _NAME.fullmatch(object_key)
        if match is None:
            return None
        key, conversation, question_id, answer_id, begins, who = match.groups()
        return cls(key, conversation, UUID(question_id), UUID(answer_id), begins == "o", who == "g")

    def __str__(self) -> str:
        marks = f"{'o' if self.opens else 'c'}{'g' if self.guest else 'u'}"
        return f"{self.key}/{self.conversation}.{self.question_id}.{self.answer_id}.{marks}"

    @property
    def waiting(self) -> str:
        """The key of the object while it waits."""
        return f"{WAITING}/{self}"

    @property
    def aside(self) -> str:
        """The key of the object when it is set aside."""
        return f"{ASIDE}/{self}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the turns that waited.

    Attributes:
        kept: are in the database now.
        known: were there already, or are of a conversation that was deleted since.
        answered: a retry of them was answered, and is there in their place.
        refused: are of a conversation that is not their user's; deleted.
        later: conversations whose turns have to wait, from one of them on: a retry is being answered, the account or
            its team is not active right now, or a later version of Parley wrote it.
        aside: cannot be read, the database does not take them, or their account has not been active for too long: they
            are kept apart for an operator to see.
        left: how many wait still, as far as this instance knows.
        halted: what was away, if the replay ended for that.
    """

    kept: int = 0
    known: int = 0
    answered: int = 0
    refused: int = 0
    later: int = 0
    aside: int = 0
    left: int = 0
    halted: ParleyError | None = None

    def __str__(self) -> str:
        counts = {name: getattr(self, name) for name in ("kept", "known", "answered", "refused", "later", "aside")}
        told = [f"{count} {name}" for name, count in counts.items() if count] or ["none kept"]
        return ", ".join([*told, f"{self.left} left"]) + (f"; stopped: {self.halted.code}" if self.halted else "")


def place_of(settings: Settings) -> str | None:
    """Return where turns wait, as `SPOOL_URL` writes it; None where they wait nowhere."""
    if settings.spool_url:
        return None if settings.spool_url == NO_SPOOL else settings.spool_url
    if settings.s3_bucket:
        return f"s3://{settings.s3_bucket}/spool"
    return str(settings.data_dir / "spool") if settings.environment == "development" else None


def hashed(conversation_id: UUID) -> str:
    """Return what a conversation is called in a name."""
    return hashlib.sha256(conversation_id.bytes).hexdigest()[:_HEX]


def waiting_under(key_hash: bytes) -> str:
    """Return the prefix of the turns that wait under a key."""
    return f"{WAITING}/{key_hash.hex()[:_HEX]}"


def best_of(turns: Iterable[EndedTurn]) -> EndedTurn | None:
    """Return the most complete of several turns under one key, the first such one; None of none."""
    return min(turns, key=lambda one: (_BEST_FIRST.index(one.result.outcome), one.turn.answer_id), default=None)


def write(ended: EndedTurn, seal: "Seal") -> bytes:
    """Return a turn, sealed: it opens under its own name alone.

    Raises:
        UnicodeEncodeError: a text is none; `OverflowError`: a number of its sources has more than 64 bits.
    """
    record = msgspec.msgpack.encode((VERSION, ended))
    return seal.seal(record, context=_context(Name.of(ended.turn)))


def read(name: Name, sealed: bytes, seal: "Seal") -> EndedTurn:
    """Return the turn that is sealed in the object of this name.

    Raises:
        Unreadable: there is none.
        TooNew: it is for a later version of us.
    """
    try:
        record = msgspec.msgpack.decode(seal.open(sealed, context=_context(name)), type=_Record)
        if record.version > VERSION:
            raise TooNew
        return msgspec.msgpack.decode(record.ended, type=EndedTurn)
    except Unsealable as error:
        raise Unreadable("no key of ours opens it") from error
    except msgspec.DecodeError as error:
        raise Unreadable("it holds no turn") from error


class _Record(msgspec.Struct, array_like=True):
    version: int
    ended: msgspec.Raw


def _context(name: Name) -> str:
    return f"spool {name}"
