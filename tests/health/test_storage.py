"""How object storage is."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from lib.errors import StorageUnavailable
from lib.files.storage import Storage
from lib.health.storage import read_storage
from tests.fixtures.storage import Bucket
from tests.fixtures.web import make_settings


def storage_of(**settings: object) -> Callable[[], Storage | None]:
    made = make_settings("postgresql://db", "http://127.0.0.1:9/v1", **settings)
    return lambda: Storage.from_settings(made)


def holds_a_file(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


async def test_a_bucket_that_works_is_ok_and_nothing_stays_in_it(bucket: Bucket) -> None:
    reading = await read_storage(storage_of(**bucket.settings))
    assert (reading.status, reading.detail) == ("ok", None)
    assert bucket.is_empty()


async def test_a_folder_that_works_is_ok(tmp_path: Path) -> None:
    assert (await read_storage(storage_of(data_dir=tmp_path))).status == "ok"
    assert not holds_a_file(tmp_path)


async def test_a_wrong_key_is_down_and_not_told(bucket: Bucket) -> None:
    reading = await read_storage(storage_of(**(bucket.settings | {"S3_SECRET_KEY": "wrong-secret"})))
    assert (reading.status, reading.detail) == ("down", "The storage refuses our key: SignatureDoesNotMatch.")
    assert "wrong-secret" not in repr(reading)
    assert bucket.endpoint not in repr(reading)


async def test_a_bucket_that_is_silent_is_given_up_in_time(bucket: Bucket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        reading = await read_storage(storage_of(**(bucket.settings | {"S3_ENDPOINT": endpoint})))
    assert (reading.status, reading.detail) == ("down", "There was no answer within 2 s.")


async def test_a_folder_that_takes_no_writing_is_down() -> None:
    reading = await read_storage(storage_of(data_dir=Path("/proc/1")))
    assert (reading.status, reading.detail) == ("down", f"The storage could not be used: {os.strerror(2)}.")


async def test_one_that_gives_back_something_else_is_down(tmp_path: Path) -> None:
    forgetful = Storage.from_settings(make_settings(None, "http://127.0.0.1:9/v1", data_dir=tmp_path))
    assert forgetful is not None

    class Forgetful(Storage):
        async def get(self, key: str) -> bytes | None:
            return None

    reading = await read_storage(lambda: Forgetful(forgetful.store))
    assert reading.detail == "What was written is not what is read back."


async def test_production_without_a_bucket_says_so(tmp_path: Path) -> None:
    reading = await read_storage(storage_of(environment="production", data_dir=tmp_path))
    assert (reading.status, reading.configured) == ("down", False)
    assert reading.detail == "S3_BUCKET is not set, so files cannot be kept."


def test_the_sentence_for_a_caller_does_not_hold_the_reason() -> None:
    assert "refuses" not in str(StorageUnavailable("refuses our key"))
