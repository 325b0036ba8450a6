"""Who measures time is alone: nobody is there when it begins, and nobody comes in until it has ended."""

import fcntl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from tests.fixtures.alone import turn


def until_somebody_stands_in_the_door(folder: Path) -> None:
    give_up = time.monotonic() + 10
    with (folder / "door").open() as door:
        while time.monotonic() < give_up:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(door, fcntl.LOCK_UN)
    raise AssertionError("nobody waits in the door")


def test_several_share_the_room(tmp_path: Path) -> None:
    with turn(tmp_path, alone=False), turn(tmp_path, alone=False):
        pass


def test_who_wants_to_be_alone_waits_for_those_who_are_there_and_before_those_who_come(tmp_path: Path) -> None:
    happened = list[str]()

    def take(name: str, *, alone: bool) -> None:
        with turn(tmp_path, alone=alone):
            happened.append(name)
            began.set()
            assert go_on.wait(10)
            happened.append(name)

    began, go_on = Event(), Event()
    with ThreadPoolExecutor() as threads:
        taken = [threads.submit(take, "was there", alone=False)]
        assert began.wait(10)
        taken.append(threads.submit(take, "alone", alone=True))
        until_somebody_stands_in_the_door(tmp_path)
        taken.append(threads.submit(take, "came later", alone=False))
        go_on.set()
        for each in taken:
            each.result(10)
    assert happened == [name for name in ("was there", "alone", "came later") for _ in range(2)]
