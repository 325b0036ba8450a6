"""Health: whether this deployment, and each thing it depends on, can do its work."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(prefix="/health", tags=["health"])


class Alive(BaseModel):
    """A function that runs."""

    status: Literal["ok"] = "ok"


@router.get("/")
async def alive() -> Alive:
    """Say that the function runs. It asks nothing that it depends on."""
    return Alive()
