"""The bucket: an object written, read back and deleted."""

import time

from lib.errors import StorageUnavailable
from lib.files.storage import Storage
from lib.health.probe import Unwell
from lib.ids import new_id
from lib.settings import Settings
from scripts.checkup.finding import Finding

CONTENT = b"Parley's doctor writes this to see whether it can."


async def check_storage(settings: Settings) -> list[Finding]:
    """Return what there is to say of the place for files."""
    began = time.perf_counter()
    try:
        storage = Storage.from_settings(settings)
        if storage is None:
            return [Finding("bucket", "warning", "S3_BUCKET is not set, so files cannot be kept.")]
        key = f"doctor/{new_id()}"
        await storage.put(key, CONTENT)
        kept = await storage.get(key)
        await storage.delete(key)
    except StorageUnavailable as error:
        where = "S3_BUCKET, S3_ENDPOINT, S3_REGION and its keys" if settings.s3_bucket else "DATA_DIR"
        raise Unwell(f"The storage {error.reason}: see {where}.") from None
    if kept != CONTENT:
        raise Unwell("What was written is not what is read back: see what stands between here and S3_ENDPOINT.")
    named = f"bucket {settings.s3_bucket!r}" if settings.s3_bucket else "a folder of DATA_DIR"
    took = (time.perf_counter() - began) * 1000
    return [Finding("bucket", "ok", f"{named}: written, read and deleted, {took:.0f} ms")]
