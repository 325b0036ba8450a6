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
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from lib.errors import StorageUnavailable
from lib.settings import Settings

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Credential, S3Store

OPERATION: Final = 20.0
"""Seconds that a put, a get or a delete may take, with its retries."""
REQUEST: Final = 8.0
"""Seconds that one request of it may take."""
CONNECT: Final = 2.0
RETRIES: Final = 2

_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_ERRNO: Final = re.compile(r"\(os error (\d{1,3})\)")
_NO_BUCKET: Final = "NoSuchBucket"

_log = logging.getLogger("parley.files")


@dataclass(frozen=True, slots=True)
class Storage:
    """Where objects are kept, under keys such as `files/0198.../1`. Safe to share."""

    store: "S3Store | LocalStore"

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Return the bucket of `S3_BUCKET`; without one a folder of `DATA_DIR`, and in production none.

        Raises:
            StorageUnavailable: the folder cannot be made.
        """
        if settings.s3_bucket:
            return cls(_bucket(settings, settings.s3_bucket))
        return cls(_folder(settings.data_dir / "files")) if settings.environment == "development" else None

    async def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, in place of what was there.

        Raises:
            StorageUnavailable: it is not known to be kept.
        """
        with _faults_as_ours("put"):
            async with asyncio.timeout(OPERATION):
                await self.store.put_async(key, content)

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under `key`, or None when there is nothing.

        Raises:
            StorageUnavailable: it cannot be read right now.
        """
        with _faults_as_ours("get"):
            async with asyncio.timeout(OPERATION):
                try:
                    found = await self.store.get_async(key)
                    return bytes(await found.bytes_async())
                except FileNotFoundError as error:
                    if _NO_BUCKET in str(error):
                        raise
                    return None

    async def delete(self, key: str) -> None:
        """Delete what is kept under `key`; when there is nothing, that is no fault.

        Raises:
            StorageUnavailable: it is not known to be gone.
        """
        with _faults_as_ours("delete"):
            async with asyncio.timeout(OPERATION):
                try:
                    await self.store.delete_async(key)
                except FileNotFoundError as error:
                    if _NO_BUCKET in str(error):
                        raise


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


def _bucket(settings: Settings, bucket: str) -> "S3Store":
    from obstore.store import S3Store

    endpoint = endpoint_url(settings.s3_endpoint) if settings.s3_endpoint else None
    return S3Store(
        bucket,
        config={"endpoint": endpoint} if endpoint else {},
        region=settings.s3_region,
        # A name with a dot does not fit AWS's certificate.
        virtual_hosted_style_request=endpoint is None and "." not in bucket,
        disable_bulk_delete=True,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT),
            "timeout": timedelta(seconds=REQUEST),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=OPERATION)},
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
        return LocalStore(path.resolve(), mkdir=True)


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
        reason = f"could not be used: {_code(error)}"
    else:
        return
    _log.warning("object storage, %s: it %s", doing, reason)
    raise StorageUnavailable(reason) from None


def _code(error: Exception) -> str:
    """Return S3's own code of the error, or the system's words; the rest of its text names addresses and paths."""
    said = str(error)
    if told := _CODE.search(said):
        return told[1]
    if told := _ERRNO.search(said):
        return os.strerror(int(told[1]))
    return "no connection" if "error sending request" in said else type(error).__name__
