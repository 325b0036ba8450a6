"""The keys of the turns that an instance is answering."""

import pytest

from lib.chat.keys import Keys
from lib.errors import ConversationBusy
from lib.ids import DEFAULT_TEAM_ID, new_id
from lib.turns import TurnKey, TurnRecord


def keyed(key: bytes | None = b"key") -> TurnRecord:
    return TurnRecord(
        *(DEFAULT_TEAM_ID, None, new_id(), new_id(), new_id(), "Why?"),
        opens=True,
        key=TurnKey(key, b"body") if key else None,
    )


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_one_turn_of_a_key_is_answered_at_a_time(begun: bool, again: bool) -> None:
    keys, turn = Keys(), keyed()
    keys.add(turn, begun=begun)
    with pytest.raises(ConversationBusy):
        keys.add(keyed(), begun=again)
    keys.remove(keyed())  # another's end says nothing of this one
    with pytest.raises(ConversationBusy):
        keys.add(keyed(), begun=again)
    keys.remove(turn)
    keys.add(keyed(), begun=again)


def test_a_retry_is_left_to_the_database_where_that_knows_of_the_turn() -> None:
    keys, turn = Keys(), keyed()
    keys.add(turn, begun=True)
    keys.refuse_a_retry(keyed())
    keys.remove(turn)
    keys.add(turn, begun=False)
    with pytest.raises(ConversationBusy):
        keys.refuse_a_retry(keyed())
    keys.refuse_a_retry(keyed(b"another"))


def test_turns_without_a_key_have_nothing_to_do_with_each_other() -> None:
    keys = Keys()
    for _ in range(2):
        keys.add(keyed(None), begun=False)
    keys.refuse_a_retry(keyed(None))
    keys.remove(keyed(None))
