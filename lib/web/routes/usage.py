"""Usage: turns, tokens and cost of a time; one's own, and to an administrator the team's."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from lib.store import usage
from lib.store.usage import Group, Sums, Used
from lib.web.deps import Reader, TeamAdmin, ThisInstance

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])

USUAL: Final = timedelta(days=30)
LONGEST: Final = timedelta(days=366)
_DAY: Final = timedelta(days=1)


def _moment(value: Any) -> date | datetime:
    """Read a day or a time; one without an offset is in UTC."""
    try:
        if len(value) <= len("2026-01-31"):
            return date.fromisoformat(value)
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("it is no day such as 2026-01-31, and no time such as 2026-01-31T12:00:00Z") from None


def _start(value: date | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)


_Moment = Annotated[
    date | datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-01-31", "2026-01-31T12:00:00Z"]}),
]


class Period(BaseModel):
    """A time, and what its turns are grouped by. A day that is given as `to` is counted whole."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[_Moment | None, Field(alias="from", description="the first day or moment that counts")] = None
    to: Annotated[_Moment | None, Field(description="the last day, or the moment that ends it")] = None
    group: Literal["day", "model", "agent"] = "day"

    _since: datetime
    _until: datetime

    @model_validator(mode="after")
    def _bound(self) -> Self:
        """Fill in what is not said: until now, for 30 days."""
        try:
            end = datetime.now(UTC) if self.to is None else _start(self.to)
            self._until = end if self.to is None or isinstance(self.to, datetime) else end + _DAY
            self._since = self._until - USUAL if self.from_ is None else _start(self.from_)
        except OverflowError:
            raise ValueError("it is no time that anybody can count from") from None
        if self._since >= self._until:
            raise ValueError("`from` has to be before `to`")
        if self._until - self._since > LONGEST:
            raise ValueError(f"it is longer than {LONGEST.days} days: ask for less at a time")
        return self

    @property
    def bounds(self) -> dict[str, datetime]:
        """The first moment that counts (`since`), and the first that counts no more (`until`)."""
        return {"since": self._since, "until": self._until}


class TeamPeriod(Period):
    """The same, of a team: by user, too."""

    group: Literal["day", "model", "agent", "user"] = "day"  # pyright: ignore[reportIncompatibleVariableOverride]


class Usage(BaseModel):
    """What was used from the one moment to before the other."""

    from_: datetime = Field(serialization_alias="from")
    to: datetime
    totals: Sums
    groups: tuple[Group, ...]
    groups_left_out: int


@router.get("")
async def own(caller: Reader, instance: ThisInstance, period: Annotated[Period, Query()]) -> Usage:
    """Sum one's own turns of a time."""
    async with instance.database.one_report(caller.tenant()) as connection:
        used = await usage.of_user(
            connection, team_id=caller.team_id, user_id=caller.user, group=period.group, **period.bounds
        )
    return _told(used, period)


@router.get("/team")
async def of_team(caller: TeamAdmin, instance: ThisInstance, period: Annotated[TeamPeriod, Query()]) -> Usage:
    """Sum the turns of one's team."""
    async with instance.database.one_report(caller.tenant(admin=True)) as connection:
        used = await usage.of_team(connection, team_id=caller.team_id, group=period.group, **period.bounds)
    return _told(used, period)


def _told(used: Used, period: Period) -> Usage:
    since, until = period.bounds.values()
    return Usage(from_=since, to=until, totals=used.totals, groups=used.groups, groups_left_out=used.groups_left_out)
