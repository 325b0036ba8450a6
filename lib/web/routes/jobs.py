"""What a schedule calls. Vercel's sends GET; POST says better what it is."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from lib.web.deps import ASchedule, ThisInstance

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[ASchedule])


class Reaped(BaseModel):
    """How many answers were closed."""

    reaped: int


class Replayed(BaseModel):
    """What became of the turns that waited in the spool: `left` of them wait still."""

    model_config = ConfigDict(from_attributes=True)

    kept: int = 0
    known: int = 0
    answered: int = 0
    refused: int = 0
    later: int = 0
    aside: int = 0
    left: int = 0


@router.api_route("/reap", methods=["GET", "POST"])
async def reap(instance: ThisInstance) -> Reaped:
    """Close the answers that killed functions left unfinished, and delete what has long been over."""
    from lib.jobs.reap import reap

    return Reaped(reaped=await reap(instance.database))


@router.api_route("/replay", methods=["GET", "POST"])
async def replay(instance: ThisInstance, *, aside: bool = False) -> Replayed:
    """Bring the turns that wait in the spool into the database, with `aside` also those that were set aside.

    Raises:
        DatabaseUnavailable: what is left waits on; `DatabaseBusy` and `StorageUnavailable` likewise.
        Busy: another call is at it, and takes long.
    """
    if instance.spool is None:
        return Replayed()
    replayed = await instance.spool.replay_all(instance.database, aside=aside)
    if replayed.halted:
        raise replayed.halted
    return Replayed.model_validate(replayed)
