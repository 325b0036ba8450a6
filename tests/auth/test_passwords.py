"""Hashing off the event loop, in a queue that has an end, and the passwords that everybody tries first."""

import asyncio
import unicodedata
from collections.abc import Coroutine

import pytest

from lib.auth.passwords import MOST_NEW, MOST_WAITING, hash_password, is_common, verify_password
from lib.errors import Busy


async def test_a_hash_fits_its_password_in_either_composition_and_no_other() -> None:
    kept = await hash_password("pässwörd-ẞ")
    assert await verify_password(unicodedata.normalize("NFD", "pässwörd-ẞ"), kept)
    assert not await verify_password("passwort-ß", kept)
    assert not await verify_password("pässwörd-ẞ", None)


async def test_who_comes_while_the_queue_is_full_is_told_to_come_back_and_everybody_else_is_served() -> None:
    waiting = [asyncio.create_task(verify_password(str(number), None)) for number in range(MOST_WAITING)]
    await asyncio.sleep(0)
    for one_too_many in (verify_password("x", None), hash_password("x")):
        with pytest.raises(Busy) as refused:
            await one_too_many
        assert refused.value.retry_after == 8
    for task in waiting[4:]:
        task.cancel()
    assert await asyncio.gather(*waiting[:4]) == [False] * 4
    await asyncio.wait(waiting)


async def test_new_passwords_leave_places_to_twenty_who_log_in() -> None:
    new = [asyncio.create_task(hash_password(str(number))) for number in range(MOST_NEW)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as refused:
        await hash_password("one too many")
    assert refused.value.retry_after == 3
    log_ins = [asyncio.create_task(verify_password("x", None)) for _ in range(20)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await verify_password("one too many", None)
    waiting = new + log_ins
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@pytest.mark.parametrize(("most", "kind"), [(MOST_NEW, "new"), (MOST_WAITING, "typed")])
async def test_who_leaves_the_queue_gives_up_the_place(most: int, kind: str) -> None:
    def one() -> Coroutine[None, None, object]:
        return hash_password("x") if kind == "new" else verify_password("x", None)

    for _ in range(3):
        waiting = [asyncio.create_task(one()) for _ in range(most)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await hash_password("the place is free, once the one that had begun is done")


async def test_a_new_password_that_the_full_queue_refused_holds_no_place_of_new_ones() -> None:
    waiting = [asyncio.create_task(verify_password("x", None)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    for _ in range(MOST_NEW):
        with pytest.raises(Busy):
            await hash_password("x")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await hash_password("x")


async def test_the_event_loop_goes_on_while_a_password_is_hashed() -> None:
    hashing = asyncio.create_task(hash_password("slow"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


@pytest.mark.parametrize(
    "password", ["password", "Password1", "QWERTYUIOP", "1q2w3e4r5t", "iloveyou", "ｐａｓｓｗｏｒｄ"]
)
def test_what_everybody_tries_first_is_common_however_it_is_written(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize("password", ["securepassword123", "SecurePass123", "correct horse battery staple", ""])
def test_another_is_not(password: str) -> None:
    assert not is_common(password)
