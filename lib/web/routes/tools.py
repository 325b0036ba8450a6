"""The tools that an agent may call."""

from fastapi import APIRouter
from pydantic import BaseModel

from lib.auth.standing import confirm_signed_in
from lib.web.deps import Reader, ThisInstance

router = APIRouter(prefix="/conversations/tools", tags=["tools"])


class Tools(BaseModel):
    """Tools that can be called over MCP. This deployment can be given none."""

    tools: tuple[()] = ()


@router.get("/available")
async def available(caller: Reader, instance: ThisInstance) -> Tools:
    """List the tools that agents may call over MCP."""
    await confirm_signed_in(instance.database, caller)
    return Tools()
