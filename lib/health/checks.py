"""Everything that Parley depends on, and how it is as a whole.

What a probe needs is imported when it is first asked: to say that the function runs must cost nothing of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib.health.probe import INFERENCE_LIMIT, LIMIT, Dependency, Probe, Reading, Status
from lib.settings import Settings

if TYPE_CHECKING:
    from lib.db.session import Database
    from lib.files.storage import Storage

MARGIN: Final = 0.25
"""Seconds beyond its own limit that a probe is waited for, so that it can say itself what was too slow.

The database's has none: it gives up later than anybody should wait, since hanging up is what may open the breaker.
"""

Probes = Mapping[Dependency, Probe]


@dataclass(frozen=True)
class Checks:
    """The probes of one instance; those of the database and of inference are the same in both.

    Attributes:
        public: what anybody may have asked, in every instance there is: it costs nothing and writes nothing.
        thorough: what an operator asks, which tries all that a turn needs, and may cost a little.
    """

    public: Probes
    thorough: Probes


@dataclass(frozen=True)
class Parts:
    """What is checked, made when it is first asked for."""

    settings: Settings
    database: "Callable[[], Database]"
    storage: "Callable[[], Storage | None]"

    async def read_database(self) -> Reading:
        """See `lib.health.database`."""
        from lib.health.database import read_database

        return await read_database(self.database(), configured=self.settings.database_url is not None)

    async def read_storage(self) -> Reading:
        """See `lib.health.storage`."""
        from lib.health.storage import read_storage

        return await read_storage(self.storage)

    async def read_reach(self) -> Reading:
        """See `lib.health.storage`."""
        from lib.health.storage import read_reach

        return await read_reach(self.storage)

    async def read_inference(self) -> Reading:
        """See `lib.health.inference`."""
        from lib.health.inference import read_inference
        from lib.providers.models import model_lists

        return await read_inference(model_lists(self.settings))

    async def read_retrieval(self) -> Reading:
        """See `lib.health.retrieval`."""
        from lib.health.retrieval import read_retrieval
        from lib.rag.retrieve import Retriever

        return await read_retrieval(Retriever.from_settings(self.settings))

    async def read_vector_store(self) -> Reading:
        """See `lib.health.retrieval`."""
        from lib.health.retrieval import read_vector_store
        from lib.rag.retrieve import Retriever

        return await read_vector_store(Retriever.from_settings(self.settings))


def checks_of(parts: Parts) -> Checks:
    """Return a probe of each."""
    shared: Probes = {
        "database": Probe(parts.read_database, limit=LIMIT),
        "inference": Probe(parts.read_inference, limit=INFERENCE_LIMIT + MARGIN),
    }
    return Checks(
        public={
            **shared,
            "storage": Probe(parts.read_reach, limit=LIMIT + MARGIN),
            "retrieval": Probe(parts.read_vector_store, limit=LIMIT + MARGIN),
        },
        thorough={
            **shared,
            "storage": Probe(parts.read_storage, limit=LIMIT + MARGIN),
            "retrieval": Probe(parts.read_retrieval, limit=LIMIT + MARGIN),
        },
    )


async def read_all(probes: Probes) -> dict[Dependency, Reading]:
    """Return how each is; all are asked at once."""
    readings = await asyncio.gather(*(probe.read() for probe in probes.values()))
    return dict(zip(probes, readings, strict=True))


def overall(readings: Mapping[Dependency, Reading]) -> Status:
    """Return how Parley is: down when no model answers, for then no chat does; without anything else it goes on.

    What a deployment was not given does not count, except the database: without one nothing is saved.
    """
    if readings["inference"].status == "down":
        return "down"
    counted = [reading for name, reading in readings.items() if reading.configured or name == "database"]
    return "ok" if all(reading.status == "ok" for reading in counted) else "degraded"
