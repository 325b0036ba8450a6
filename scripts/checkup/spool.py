"""The spool: where turns wait while the database is away, and whether any do."""

from lib.errors import StorageUnavailable
from lib.files.storage import S3, Storage
from lib.health.probe import Unwell
from lib.ids import new_id
from lib.settings import Settings
from lib.spool.objects import LISTED
from lib.spool.record import ASIDE, WAITING, place_of
from scripts.checkup.finding import Finding

NOWHERE = "answers are lost while the database is away: set S3_BUCKET or SPOOL_URL."
ON_A_DISK = (
    "is a folder: the last seconds of it may be gone after a power cut, and a function's own goes with the function: "
    "set S3_BUCKET or SPOOL_URL."
)


async def check_spool(settings: Settings) -> list[Finding]:
    """Return what there is to say of the place where turns wait."""
    place = place_of(settings)
    if place is None:
        return [Finding("spool", "warning", f"There is none, so {NOWHERE}")]
    try:
        waiting, aside = await _try(Storage.at(place, settings))
    except StorageUnavailable as error:
        where = "SPOOL_URL, S3_BUCKET, S3_ENDPOINT and their keys" if place.startswith(S3) else "SPOOL_URL and DATA_DIR"
        raise Unwell(f"The storage {error.reason}: see {where}.") from None
    findings = [Finding("spool", "ok", f"{place}: written, listed and deleted, {waiting} turns wait")]
    if aside:
        what = f"{aside} turns are set aside: see docs/when-something-is-away.md#turns-that-were-set-aside."
        findings.append(Finding("spool: aside", "warning", what))
    if settings.environment == "production" and not place.startswith(S3):
        findings.append(Finding("spool: place", "warning", f"{place} {ON_A_DISK}"))
    return findings


async def _try(storage: Storage) -> tuple[int, int]:
    """Do what a turn that waits needs; return how many wait, and how many are set aside."""
    key = f"doctor/{new_id()}"
    await storage.put(key, b"Parley's doctor writes this to see whether it can.")
    waiting, aside = [len(await storage.list_below(prefix, limit=LISTED)) for prefix in (WAITING, ASIDE)]
    await storage.delete(key)
    return waiting, aside
