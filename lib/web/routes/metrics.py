"""Metrics: what Parley does, in numbers. An administrator sees the team's, the internal key the whole deployment's."""

from collections.abc import Mapping

from fastapi import APIRouter, Response
from pydantic import BaseModel

from lib.errors import DatabaseBusy, DatabaseUnavailable, ReportTooLong
from lib.metrics.reports import Chats, System, Users, Window, Workspaces
from lib.web.deps import Admin, ThisInstance

router = APIRouter(prefix="/metrics", tags=["metrics"])


class Performance(BaseModel):
    """The machine that answers, and the turns of the last hour, day and week.

    `turns` is null where they cannot be counted, and `turns_error` says why. Only the internal key is told so: of
    anybody else it is not known then whether they are an administrator still.
    """

    system: System
    turns: Mapping[str, Window] | None
    turns_error: str | None


@router.get("/performance")
async def performance(admin: Admin, instance: ThisInstance) -> Performance:
    """Measure this instance, and tell how fast answers came and how many failed.

    Raises:
        DatabaseUnavailable: nor can it be asked whether the caller is an administrator still; `ReportTooLong` likewise.
    """
    from lib.health.about import system
    from lib.store import metrics

    turns, error = None, None
    try:
        async with instance.database.one_report(admin.reach()) as connection:
            turns = await metrics.windows(connection)
    except (DatabaseUnavailable, DatabaseBusy, ReportTooLong) as unavailable:
        if not admin.internal:
            raise
        error = unavailable.code
    return Performance(system=await system(), turns=turns, turns_error=error)


@router.get("/users")
async def users(admin: Admin, instance: ThisInstance) -> Users:
    """Count accounts."""
    from lib.store import metrics

    async with instance.database.one_report(admin.reach()) as connection:
        return await metrics.users(connection)


@router.get("/workspaces")
async def workspaces(admin: Admin, instance: ThisInstance) -> Workspaces:
    """Count workspaces and their members."""
    from lib.store import metrics

    async with instance.database.one_report(admin.reach()) as connection:
        return await metrics.workspaces(connection)


@router.get("/chats")
async def chats(admin: Admin, instance: ThisInstance) -> Chats:
    """Count conversations, messages, and the turns of the last 14 days."""
    from lib.store import metrics

    async with instance.database.one_report(admin.reach()) as connection:
        return await metrics.chats(connection)


@router.get("/prometheus")
async def prometheus(admin: Admin, instance: ThisInstance) -> Response:
    """Tell a Prometheus the turns of today, how what we depend on is, and this instance."""
    from lib.metrics.exposition import CONTENT_TYPE, exposition

    text = await exposition(instance.database, instance.checks, instance.spool, admin.reach())
    return Response(text, media_type=CONTENT_TYPE)
