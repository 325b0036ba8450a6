"""Object storage, against a real S3 server that checks signatures, and against a folder."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from lib.errors import StorageUnavailable
from lib.files.storage import PAGE, Limits, Storage, Stored, endpoint_url
from tests.fixtures.storage import Bucket
from tests.fixtures.web import make_settings


def storage_of(**settings: object) -> Storage:
    storage = Storage.from_settings(make_settings(None, "http://127.0.0.1:9/v1", **settings))
    assert storage is not None
    return storage


@pytest.fixture(params=["bucket", "folder"])
def storage(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path) -> Storage:
    return storage_of(**(bucket.settings if request.param == "bucket" else {"data_dir": tmp_path}))


async def test_what_is_put_is_got_until_it_is_deleted(storage: Storage) -> None:
    await storage.put("files/one/1", b"\x00content")
    await storage.put("files/one/1", b"\x00newer content")
    assert await storage.get("files/one/1") == b"\x00newer content"
    await storage.delete("files/one/1")
    assert await storage.get("files/one/1") is None


async def test_what_is_not_there_is_none_and_may_be_deleted(storage: Storage) -> None:
    assert await storage.get("files/nothing") is None
    await storage.delete("files/nothing")


async def test_the_bucket_holds_the_very_bytes(bucket: Bucket) -> None:
    await storage_of(**bucket.settings).put("files/seen", b"bytes")
    assert bucket.holds("files/seen", b"bytes")


async def test_what_lies_below_a_prefix_is_listed_with_its_size(storage: Storage) -> None:
    for key, content in {"waiting/a/1": b"1", "waiting/b/2": b"22", "waiting2/3": b"3", "aside/4": b""}.items():
        await storage.put(key, content)
    assert set(await storage.list_below("waiting", limit=9)) == {Stored("waiting/a/1", 1), Stored("waiting/b/2", 2)}
    assert await storage.list_below("waiting/a", limit=9) == [Stored("waiting/a/1", 1)]
    assert len(await storage.list_below("waiting", limit=1)) == 1
    assert await storage.list_below("nothing", limit=9) == []


async def test_a_list_goes_over_pages(storage: Storage) -> None:
    await asyncio.gather(*(storage.put(f"many/{number}", b"") for number in range(PAGE + 2)))
    assert len(await storage.list_below("many", limit=PAGE * 2)) == PAGE + 2
    assert len(await storage.list_below("many", limit=PAGE + 1)) == PAGE + 1


async def test_a_place_may_be_a_prefix_in_a_bucket_or_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    settings = make_settings(None, "http://127.0.0.1:9/v1", **bucket.settings)
    whole = Storage.at(f"s3://{bucket.folder.name}", settings)
    for place in (f"s3://{bucket.folder.name}/spool/of/ours/", str(tmp_path / "spool")):
        storage = Storage.at(place, settings)
        await storage.put("waiting/1", b"content")
        assert await storage.list_below("waiting", limit=9) == [Stored("waiting/1", 7)]
    assert await whole.get("spool/of/ours/waiting/1") == b"content"
    assert (tmp_path / "spool" / "waiting" / "1").read_bytes() == b"content"


async def test_a_folder_that_is_empty_again_is_removed(tmp_path: Path) -> None:
    storage = Storage.at(str(tmp_path / "spool"), make_settings(None, "http://127.0.0.1:9/v1"))
    await storage.put("waiting/a/1", b"")
    await storage.delete("waiting/a/1")
    assert list((tmp_path / "spool").rglob("a")) == []


async def test_storage_gives_up_when_it_is_told_to(bucket: Bucket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = bucket.settings | {"S3_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        limits = Limits(operation=0.2, request=0.1, connect=0.1, retries=0)
        storage = Storage.at("s3://bucket", make_settings(None, "http://127.0.0.1:9/v1", **given), limits)
        for doing in (storage.put("a", b"b"), storage.get("a"), storage.delete("a"), storage.list_below("a", limit=1)):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await doing
            assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"S3_SECRET_KEY": "another"}, "refuses our key: SignatureDoesNotMatch"),
        ({"S3_ACCESS_KEY": "another"}, "refuses our key: InvalidAccessKeyId"),
        ({"s3_bucket": "another-bucket"}, "does not exist"),
        ({"S3_ENDPOINT": "http://127.0.0.1:9"}, "could not be used: no connection"),
    ],
)
async def test_a_bucket_that_cannot_be_used_says_why_and_tells_no_address(
    bucket: Bucket, wrong: dict[str, str], reason: str
) -> None:
    storage = storage_of(**(bucket.settings | wrong))
    for doing in (storage.put("a", b"b"), storage.get("a"), storage.delete("a"), storage.list_below("a", limit=1)):
        with pytest.raises(StorageUnavailable) as failed:
            await doing
        assert failed.value.reason == reason
        assert "127.0.0.1" not in str(failed.value)


async def test_a_key_of_ours_is_not_joined_by_the_session_of_lambdas_role(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lambda puts its role's credentials into every function's environment.
    role = {"AWS_ACCESS_KEY_ID": "role", "AWS_SECRET_ACCESS_KEY": "role", "AWS_SESSION_TOKEN": "role"}
    for name, value in role.items():
        monkeypatch.setenv(name, value)
    await storage_of(**bucket.settings).put("files/ours", b"kept")
    as_role = storage_of(**(bucket.settings | {"S3_ACCESS_KEY": None, "S3_SECRET_KEY": None}))
    with pytest.raises(StorageUnavailable, match="Files cannot") as refused:
        await as_role.put("files/ours", b"kept")
    assert refused.value.reason == "refuses our key: InvalidAccessKeyId"


async def test_a_bucket_that_is_silent_can_be_given_up(bucket: Bucket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = storage_of(**(bucket.settings | {"S3_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await storage.put("a", b"b")


def test_a_folder_that_takes_no_writing_says_so_and_not_where() -> None:
    with pytest.raises(StorageUnavailable) as failed:
        storage_of(data_dir=Path("/proc/1"), cron_secret="-")
    assert failed.value.reason == f"could not be used: {os.strerror(2)}"


def test_production_without_a_bucket_has_no_storage(tmp_path: Path) -> None:
    settings = make_settings("postgresql://db", "http://127.0.0.1:9/v1", environment="production", data_dir=tmp_path)
    assert Storage.from_settings(settings) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:9000", "http://localhost:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("minio:9000", "http://minio:9000"),
        ("play.min.io", "https://play.min.io"),
        ("http://minio.example.com/", "http://minio.example.com"),
        ("https://account.r2.cloudflarestorage.com", "https://account.r2.cloudflarestorage.com"),
    ],
)
def test_an_endpoint_may_come_without_a_scheme(given: str, url: str) -> None:
    assert endpoint_url(given) == url
