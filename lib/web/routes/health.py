"""Health: whether this deployment, and each thing it depends on, can do its work.

A thing that is down is answered with 503, since whoever balances load or watches reads the status alone; a degraded one
still works, and is 200.
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Literal, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel

from lib.health.probe import Dependency, Reading, Status
from lib.web.deps import Admin, ThisInstance
from lib.web.instance import Instance

router = APIRouter(prefix="/health", tags=["health"])


class Alive(BaseModel):
    """A function that runs."""

    status: Literal["ok"] = "ok"


class Health(BaseModel):
    """How something is, for anybody: no word about why."""

    status: Status
    latency_ms: float | None
    configured: bool


class Check(Health):
    """How something is, for an operator."""

    detail: str | None
    checked_at: datetime
    parts: dict[str, "Check"]

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """Return what a reading shows."""
        return cls(
            status=reading.status,
            latency_ms=reading.latency_ms,
            configured=reading.configured,
            detail=reading.detail,
            checked_at=reading.checked_at,
            parts={name: cls.of(part) for name, part in reading.parts.items()},
        )


class Detailed(BaseModel):
    """How everything is, and what answers."""

    status: Status
    checks: Mapping[str, Check]
    version: str
    environment: str
    platform: str
    region: str | None
    python: str
    uptime_seconds: float


@router.api_route("", methods=["GET", "HEAD"])
@router.api_route("/", methods=["GET", "HEAD"])
async def alive() -> Alive:
    """Say that the function runs. It asks nothing that it depends on."""
    return Alive()


@router.get("/detailed")
async def detailed(admin: Admin, instance: ThisInstance, response: Response) -> Detailed:
    """Try everything at once, by writing and embedding too, and say what is wrong and what is running."""
    from lib.auth.standing import confirm_admin
    from lib.health.about import about
    from lib.health.checks import overall, read_all

    await confirm_admin(instance.database, admin)
    readings = await read_all(instance.checks.thorough)
    status = overall(readings)
    response.status_code = _code(status)
    running = about()
    return Detailed(
        status=status,
        checks={name: Check.of(reading) for name, reading in readings.items()},
        version=running.version,
        environment=instance.settings.environment,
        platform=running.platform,
        region=running.region,
        python=running.python,
        uptime_seconds=running.uptime_seconds,
    )


@router.api_route("/database", methods=["GET", "HEAD"])
async def database(instance: ThisInstance, response: Response) -> Health:
    """Ask Postgres, or tell what it said a moment ago."""
    return await _one("database", instance, response)


@router.api_route("/storage", methods=["GET", "HEAD"])
async def storage(instance: ThisInstance, response: Response) -> Health:
    """Ask the storage for an object that need not be there, or tell what it said a moment ago."""
    return await _one("storage", instance, response)


@router.api_route("/inference", methods=["GET", "HEAD"])
async def inference(instance: ThisInstance, response: Response) -> Health:
    """Ask every model's provider, or tell what they said a moment ago."""
    return await _one("inference", instance, response)


@router.api_route("/retrieval", methods=["GET", "HEAD"])
async def retrieval(instance: ThisInstance, response: Response) -> Health:
    """Ask the vector store for the collection, or tell what it said a moment ago."""
    return await _one("retrieval", instance, response)


async def _one(dependency: Dependency, instance: Instance, response: Response) -> Health:
    reading = await instance.checks.public[dependency].read()
    response.status_code = _code(reading.status)
    return Health(status=reading.status, latency_ms=reading.latency_ms, configured=reading.configured)


def _code(status: Status) -> HTTPStatus:
    return HTTPStatus.SERVICE_UNAVAILABLE if status == "down" else HTTPStatus.OK
