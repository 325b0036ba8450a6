"""How object storage is."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lib.errors import StorageUnavailable
from lib.files.storage import Storage
from lib.health.storage import read_reach, read_storage
from tests.fixtures.storage import Bucket
from tests.fixtures.web import make_settings


def storage_of(**settings: object) -> Callable[[], Storage | None]:
    made = make_settings("postgresql://db", "http://127.0.0.1:9/v1", **settings)
    return lambda: Storage.from_settings(made)


def files_in(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


async def test_a_bucket_that_works_is_ok_and_nothing_stays_in_it(bucket: Bucket) -> None:
    reading = await read_storage(storage_of(**bucket.settings))
    assert (reading.status, reading.detail) == ("ok", None)
    assert bucket.is_empty()


async def test_a_folder_that_works_is_ok(tmp_path: Path) -> None:
    assert (await read_storage(storage_of(data_dir=tmp_path))).status == "ok"
    assert files_in(tmp_path) == 0


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


async def test_what_could_not_be_deleted_is_deleted_by_the_next_look(tmp_path: Path) -> None:
    kept = Storage.from_settings(make_settings(None, "http://127.0.0.1:9/v1", data_dir=tmp_path))
    assert kept is not None

    class TakesNoDeletes(Storage):
        async def delete(self, key: str) -> None:
            raise StorageUnavailable("did not answer in time")

    for _ in range(3):
        assert (await read_storage(lambda: TakesNoDeletes(kept.store))).status == "down"
    assert files_in(tmp_path) == 1
    assert (await read_storage(lambda: kept)).status == "ok"
    assert files_in(tmp_path) == 0


async def test_a_bucket_that_is_reached_by_a_key_it_knows(bucket: Bucket) -> None:
    assert (await read_reach(storage_of(**bucket.settings))).status == "ok"
    wrong = await read_reach(storage_of(**(bucket.settings | {"S3_SECRET_KEY": "wrong-secret"})))
    assert (wrong.status, wrong.detail) == ("down", "The storage refuses our key: SignatureDoesNotMatch.")
    gone = await read_reach(storage_of(**(bucket.settings | {"s3_bucket": "nobodys"})))
    assert (gone.status, gone.detail) == ("down", "The storage does not exist.")


@pytest.mark.parametrize(("code", "status"), [("AccessDenied", "ok"), ("InvalidAccessKeyId", "down")])
async def test_a_key_that_may_not_list_the_bucket_reaches_it_all_the_same(
    bucket: Bucket, code: str, status: str
) -> None:
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.Response(status=403, content_type="application/xml", text=f"<Error><Code>{code}</Code></Error>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    async with TestServer(app) as server:
        reading = await read_reach(storage_of(**(bucket.settings | {"S3_ENDPOINT": str(server.make_url("/"))})))
    assert (reading.status, asked) == (status, ["GET"])


async def test_production_without_a_bucket_says_so(tmp_path: Path) -> None:
    reading = await read_storage(storage_of(environment="production", data_dir=tmp_path))
    assert (reading.status, reading.configured) == ("down", False)
    assert reading.detail == "S3_BUCKET is not set, so files cannot be kept."


def test_the_sentence_for_a_caller_does_not_hold_the_reason() -> None:
    assert "refuses" not in str(StorageUnavailable("refuses our key"))
