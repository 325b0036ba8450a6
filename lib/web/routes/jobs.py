"""What a schedule calls. Vercel's sends GET; POST says better what it is."""

from fastapi import APIRouter
from pydantic import BaseModel

from lib.web.deps import ASchedule, ThisInstance

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[ASchedule])


class Reaped(BaseModel):
    """How many answers were closed."""

    reaped: int


@router.api_route("/reap", methods=["GET", "POST"])
async def reap(instance: ThisInstance) -> Reaped:
    """Close the answers that killed functions left unfinished, and delete what has long been over."""
    from lib.jobs.reap import reap

    return Reaped(reaped=await reap(instance.database))
