"""How a function takes on routers, so that no route is prepared before a request comes to it.

FastAPI prepares a route where it is declared and, with some 2 ms of CPU for its validators, once more where its router
is included: when a request is first held against it, or at once where the router is included without a prefix.
"""

from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Scope


class Below(APIRouter):
    """The routes of some routers below one of several prefixes. They wait until a request comes to their prefix."""

    def __init__(self, below: str, *routers: APIRouter) -> None:
        super().__init__()
        self.below = below
        for router in routers:
            self.routes.extend(router.routes)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say that no route of ours matches, without looking at them, where the path does not begin with our prefix."""
        if not scope["path"].startswith(self.below):
            return Match.NONE, {}
        return super().matches(scope)


def take_on(app: FastAPI, router: APIRouter) -> None:
    """Have the app answer with a router's routes."""
    if isinstance(router, Below):
        app.include_router(router, prefix=router.below)
    else:
        app.router.routes.extend(router.routes)  # as if they had been declared on the app: prepared already
