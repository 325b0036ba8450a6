"""Builds that are broken on purpose: what the proof has to catch, or it proves nothing.

Each is applied inside the server's process, in place of the part that it names, and stands for a mistake that real
software of this kind has made. Nothing of it is in `lib`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Breakage:
    """What is broken. `story` says which mistake of real people it stands for."""

    story: str
    apply: Callable[[], None]


def _save_after_done() -> None:
    from lib.chat import ending
    from lib.unhindered import begin

    keep = ending.keep_answer

    async def keep_answer(*arguments: Any, **more: Any) -> str:
        begin(keep(*arguments, **more))
        return "saved"

    setattr(ending, "keep_answer", keep_answer)  # noqa: B010 - it is none of its type, and that is the point


def _spool_forgets() -> None:
    from lib.spool import Spool
    from lib.turns import EndedTurn
    from lib.unhindered import begin

    keep = Spool.keep

    async def forget(self: Spool, ended: EndedTurn) -> bool:
        begin(keep(self, ended))
        return True

    Spool.keep = forget


def _replay_twice() -> None:
    from lib.db.session import Connection
    from lib.ids import new_id
    from lib.store import answers
    from lib.turns import EndedTurn, Kept

    replay = answers.replay

    async def replay_anew(connection: Connection, ended: EndedTurn) -> Kept:
        fresh = replace(ended.turn, question_id=new_id(), answer_id=new_id())
        return await replay(connection, replace(ended, turn=fresh, begun=False))

    answers.replay = replay_anew


def _reaper_asleep() -> None:
    from lib.db.session import Database
    from lib.jobs import reap

    async def sleep(database: Database) -> int:
        return 0

    reap.reap = sleep


def _keys_ignored() -> None:
    from lib.auth.callers import Caller
    from lib.web import asking

    def ignore(caller: Caller, *_: Any) -> None:
        return None

    asking.key_of = ignore


def _question_after_answer() -> None:
    from lib.chat import beginning
    from lib.turns import Begun, TurnRecord
    from lib.unhindered import begin

    keep = beginning.keep_question

    async def keep_question(*arguments: Any, **more: Any) -> tuple[TurnRecord, Begun | None]:
        turn: TurnRecord = arguments[1]
        if not turn.opens or turn.key:
            return await keep(*arguments, **more)
        begin(keep(*arguments, **more))
        return turn, Begun(untitled=True)

    beginning.keep_question = keep_question


BREAKAGES: Final[dict[str, Breakage]] = {
    "save-after-done": Breakage(
        "The last event is sent, and says that the answer is saved, before the database has answered: it looks faster.",
        _save_after_done,
    ),
    "spool-forgets": Breakage(
        "A turn is said to be spooled as soon as its write has begun, and nobody waits for it to succeed.",
        _spool_forgets,
    ),
    "replay-twice": Breakage(
        "The replay gives what it brings in new ids, so that what the database had heard after all is there twice.",
        _replay_twice,
    ),
    "reaper-asleep": Breakage(
        "The job that closes what killed servers left open answers that all is well, and does nothing.",
        _reaper_asleep,
    ),
    "keys-ignored": Breakage(
        "The Idempotency-Key is taken and never looked at, as where it is stored with the answer and not before it.",
        _keys_ignored,
    ),
    "question-after-answer": Breakage(
        "The question is written in the background while the model is asked already, to save a round trip.",
        _question_after_answer,
    ),
}
