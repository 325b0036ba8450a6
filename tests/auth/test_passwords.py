"""Hashing off the event loop, in a queue that has an end, and the passwords that everybody tries first."""

import asyncio
import unicodedata

import pytest

from lib.auth.passwords import MOST_WAITING, hash_password, is_common, verify_password
from lib.errors import Busy


async def test_a_hash_fits_its_password_in_either_composition_and_no_other() -> None:
    kept = await hash_password("pässwörd-ẞ")
    assert await verify_password(unicodedata.normalize("NFD", "pässwörd-ẞ"), kept)
    assert not await verify_password("passwort-ß", kept)
    assert not await verify_password("pässwörd-ẞ", None)


async def test_who_comes_while_the_queue_is_full_is_told_to_come_back_and_everybody_else_is_served() -> None:
    waiting = [asyncio.create_task(hash_password(str(number))) for number in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as refused:
        await hash_password("one too many")
    assert refused.value.retry_after == 16
    for task in waiting[4:]:
        task.cancel()
    kept = await asyncio.gather(*waiting[:4])
    assert len(set(kept)) == 4
    await asyncio.wait(waiting)


async def test_who_leaves_the_queue_gives_up_the_place() -> None:
    for _ in range(3):
        waiting = [asyncio.create_task(hash_password("x")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await hash_password("the place is free, once the one that had begun is done")


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
