"""Object storage: an S3 bucket, or on a laptop a folder, behind the same few calls."""

import asyncio
import logging
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from lib.errors import StorageUnavailable
from lib.settings import Settings

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Credential, S3Store

PAGE: Final = 1000
"""Objects that one request of a list tells: what S3 gives at most."""

S3: Final = "s3://"

_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_ERRNO: Final = re.compile(r"\(os error (\d{1,3})\)")
_NO_BUCKET: Final = "NoSuchBucket"
_NO_KEY: Final = "<Code>NoSuchKey</Code>"
_REFUSALS: Final = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}

_log = logging.getLogger("parley.files")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long storage is waited for, in seconds.

    Attributes:
        operation: for a put, a get, a delete or a page of a list, with its retries.
        request: for one request of it.
        connect: for a connection.
        retries: requests after the first that failed.
    """

    operation: float = 20.0
    request: float = 8.0
    connect: float = 2.0
    retries: int = 2


PATIENT: Final = Limits()
"""For what somebody waits for who sent a file."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is kept; `size` is in bytes."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Where objects are kept, under keys such as `files/0198.../1`. Safe to share."""

    store: "S3Store | LocalStore"
    limits: Limits = PATIENT

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Return the bucket of `S3_BUCKET`; without one a folder of `DATA_DIR`, and in production none.

        Raises:
            StorageUnavailable: the folder cannot be made.
        """
        if settings.s3_bucket:
            return cls(_bucket(settings, settings.s3_bucket, None, PATIENT))
        return cls(_folder(settings.data_dir / "files")) if settings.environment == "development" else None

    @classmethod
    def at(cls, place: str, settings: Settings, limits: Limits = PATIENT) -> Self:
        """Return the storage at `s3://bucket/prefix`, with the endpoint and the key of `S3_...`, or in a folder.

        Raises:
            StorageUnavailable: the folder cannot be made.
        """
        if not place.startswith(S3):
            return cls(_folder(Path(place)), limits)
        bucket, _, prefix = place.removeprefix(S3).rstrip("/").partition("/")
        return cls(_bucket(settings, bucket, prefix or None, limits), limits)

    async def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, in place of what was there.

        Raises:
            StorageUnavailable: it is not known to be kept.
        """
        with _faults_as_ours("put"):
            async with asyncio.timeout(self.limits.operation):
                await self.store.put_async(key, content)

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under `key`, or None when there is nothing.

        Raises:
            StorageUnavailable: it cannot be read right now.
        """
        with _faults_as_ours("get"):
            async with asyncio.timeout(self.limits.operation):
                try:
                    found = await self.store.get_async(key)
                    return bytes(await found.bytes_async())
                except Exception as error:
                    if not _is_gone(error):
                        raise
                    return None

    async def delete(self, key: str) -> None:
        """Delete what is kept under `key`; when there is nothing, that is no fault.

        Raises:
            StorageUnavailable: it is not known to be gone.
        """
        with _faults_as_ours("delete"):
            async with asyncio.timeout(self.limits.operation):
                try:
                    await self.store.delete_async(key)
                except Exception as error:
                    if not _is_gone(error):
                        raise

    async def list_below(self, prefix: str, *, limit: int) -> list[Stored]:
        """Return the objects whose keys begin with `prefix` and a slash, in any order, `limit` of them at most.

        Raises:
            StorageUnavailable: not all could be listed.
        """
        found: list[Stored] = []
        store: Any = self.store  # it may list in Arrow's types, too, which are not installed
        with _faults_as_ours("list"):
            pages = store.list(prefix, chunk_size=PAGE)
            while len(found) < limit:
                async with asyncio.timeout(self.limits.operation):
                    page = await anext(pages, None)
                if page is None:
                    break
                found += [Stored(each["path"], each["size"]) for each in page]
        return found[:limit]


def endpoint_url(endpoint: str) -> str:
    """Return the URL of an endpoint, which MinIO's documents write without a scheme.

    Such a one is spoken to over TLS, unless it is this machine (`localhost:9000`) or a name without a dot, which only a
    private network resolves (`minio:9000`).
    """
    if "://" in endpoint:
        return endpoint.rstrip("/")
    host = urlsplit(f"//{endpoint}").hostname or ""
    private = "." not in host or host.startswith("127.")
    return f"{'http' if private else 'https'}://{endpoint.rstrip('/')}"


def _bucket(settings: Settings, bucket: str, prefix: str | None, limits: Limits) -> "S3Store":
    from obstore.store import S3Store

    endpoint = endpoint_url(settings.s3_endpoint) if settings.s3_endpoint else None
    return S3Store(
        bucket,
        prefix=prefix,
        config={"endpoint": endpoint} if endpoint else {},
        region=settings.s3_region,
        # A name with a dot does not fit AWS's certificate.
        virtual_hosted_style_request=endpoint is None and "." not in bucket,
        disable_bulk_delete=True,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=limits.connect),
            "timeout": timedelta(seconds=limits.request),
        },
        retry_config={"max_retries": limits.retries, "retry_timeout": timedelta(seconds=limits.operation)},
        credential_provider=_Keys.of(settings),
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """The operator's own key. Given as plain arguments, it would be joined by the session token of Lambda's role."""

    credential: "S3Credential"

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        if settings.s3_access_key is None or settings.s3_secret_key is None:
            return None  # the platform's role
        return cls(
            {
                "access_key_id": settings.s3_access_key.get_secret_value(),
                "secret_access_key": settings.s3_secret_key.get_secret_value(),
                "token": None,
                "expires_at": None,
            }
        )

    def __call__(self) -> "S3Credential":
        return self.credential


def _folder(path: Path) -> "LocalStore":
    from obstore.store import LocalStore

    with _faults_as_ours("open"):
        return LocalStore(path.resolve(), mkdir=True, automatic_cleanup=True)


@contextmanager
def _faults_as_ours(doing: str) -> Generator[None]:
    """Turn every failure of the store into one, whose reason holds no address, key or path, and log it once."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except TimeoutError:
        reason = "did not answer in time"
    except (PermissionDeniedError, UnauthenticatedError) as error:
        reason = f"refuses our key: {_code(error)}"
    except FileNotFoundError as error:
        reason = "does not exist" if _NO_BUCKET in str(error) else "cannot be written to"
    except (OSError, BaseError) as error:
        reason = _of_code(_code(error))
    else:
        return
    _log.warning("object storage, %s: it %s", doing, reason)
    raise StorageUnavailable(reason) from None


def _is_gone(error: Exception) -> bool:
    """Tell that there is no such object, which may also vanish while it is read; that there is no bucket is worse."""
    said = str(error)
    return _NO_KEY in said or (isinstance(error, FileNotFoundError) and _NO_BUCKET not in said)


def _of_code(code: str) -> str:
    """Tell what a code means: a list that is refused has no class of its own."""
    if code == _NO_BUCKET:
        return "does not exist"
    return f"{'refuses our key' if code in _REFUSALS else 'could not be used'}: {code}"


def _code(error: Exception) -> str:
    """Return S3's own code of the error, or the system's words; the rest of its text names addresses and paths."""
    said = str(error)
    if told := _CODE.search(said):
        return told[1]
    if told := _ERRNO.search(said):
        return os.strerror(int(told[1]))
    return "no connection" if "error sending request" in said else type(error).__name__
