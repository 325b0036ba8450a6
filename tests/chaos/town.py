"""What all seeds have in common: one Postgres, one bucket, one vector store, one model, and who makes servers."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx

from lib.settings import DEFAULT_RATE_LIMITS, NO_TITLES
from lib.web.instance import Instance
from local.child import running
from local.postgres import postgres
from scripts.init_db import upgrade
from tests.chaos.injector import Injector
from tests.chaos.plan import Target
from tests.chaos.process import Forge, forge
from tests.chaos.stored import Books
from tests.chaos.upstream import Model
from tests.fixtures.postgres import open_folder
from tests.fixtures.retrieval import Library, retrieval_settings
from tests.fixtures.storage import ACCESS_KEY, SECRET_KEY, serving_s3
from tests.fixtures.web import CRON_SECRET, INTERNAL_KEY, JWT_KEY, SEAL_KEY, Deployment, make_settings

AGENT_TIMEOUT: Final = 6
"""Seconds of a turn: a model may be silent for three before its first word, and for two after it."""
RETRIEVAL_TIMEOUT: Final = 0.5
BEES: Final = {"bees.md": "# Bees\n\nBees dance to tell each other where the flowers are.\n"}


@dataclass(frozen=True)
class Places:
    """Where the real parts are: a migrated Postgres on a socket, S3 and the folder of its buckets, a vector store."""

    database: str
    s3: str
    buckets: Path
    qdrant: str


@contextmanager
def places() -> Generator[Places]:
    """Start them all, on a folder that goes away with them."""
    with ExitStack() as parts:
        folder = parts.enter_context(open_folder())
        url = parts.enter_context(
            postgres(folder / "postgres", fsync="off", synchronous_commit="off", full_page_writes="off")
        )
        upgrade(url)
        buckets = folder / "s3"
        buckets.mkdir()
        s3 = parts.enter_context(serving_s3(buckets))
        with _errors_to(folder / "qdrant.log"):  # it tells of each connection that is cut
            qdrant = parts.enter_context(running("local.qdrant", str(folder / "qdrant")))
        yield Places(url, s3, buckets, qdrant)


@contextmanager
def _errors_to(log: Path) -> Generator[None]:
    """Have the processes that are begun meanwhile write their errors to a file."""
    own = os.dup(sys.stderr.fileno())
    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    try:
        yield
    finally:
        os.dup2(own, sys.stderr.fileno())
        os.close(own)


@dataclass(frozen=True)
class Town:
    """Everything that a server depends on, and a way past the server to all of it."""

    places: Places
    collection: str
    model: Model
    forge: Forge
    books: Books
    register: Deployment
    """Makes accounts, and signs them in."""


@asynccontextmanager
async def town(at: Places, breakage: str | None = None) -> AsyncGenerator[Town]:
    """Start a model, and what makes servers: of a build that is broken on purpose, if one is named."""
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(Model())
        settings = retrieval_settings(at.qdrant, f"{model.url}/v1")
        await asyncio.to_thread(Library(settings).keep, BEES)
        books = await Books.open(at.database)
        stack.push_async_callback(books.close)
        instance = Instance(make_settings(at.database, model.url, access_token_expire_minutes=600))
        stack.push_async_callback(instance.close)
        client = await stack.enter_async_context(httpx.AsyncClient())
        yield Town(
            places=at,
            collection=settings.qdrant_collection,
            model=model,
            forge=await stack.enter_async_context(forge(breakage)),
            books=books,
            register=Deployment("", instance, client),
        )


@dataclass(frozen=True)
class Quarter:
    """What one seed after the other has to itself: a bucket, and an injector in front of each dependency."""

    town: Town
    bucket: Path
    injectors: dict[Target, Injector]

    def environment(self, data: Path, *, disconnect: str) -> dict[str, str]:
        """Return the variables of a server whose dependencies are all behind injectors."""
        at = {target: injector.at for target, injector in self.injectors.items()}
        return {
            "DATA_DIR": str(data),
            "DATABASE_URL": f"postgresql://postgres@{at['database']}{urlsplit(self.town.places.database).path}",
            "QDRANT_URL": f"http://{at['search']}",
            "QDRANT_COLLECTION": self.town.collection,
            "EMBEDDING_BASE_URL": f"{self.town.model.url}/v1",
            "EMBEDDING_MODEL": "minilm-l6",
            "RETRIEVAL_TIMEOUT": str(RETRIEVAL_TIMEOUT),
            "OPENAI_BASE_URL": f"http://{at['provider']}/v1",
            "OPENAI_API_KEY": "key",
            "CHAT_MODEL": "model",
            "TITLE_MODEL": NO_TITLES,
            "AGENT_TIMEOUT": str(AGENT_TIMEOUT),
            "DISCONNECT": disconnect,
            "S3_ENDPOINT": f"http://{at['storage']}",
            "S3_BUCKET": self.bucket.name,
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "JWT_SECRET_KEY": JWT_KEY,
            "SEAL_KEY": SEAL_KEY,
            "INTERNAL_API_KEY": INTERNAL_KEY,
            "CRON_SECRET": CRON_SECRET,
            "GUEST_CHAT": "true",
            "RATE_LIMITS": ",".join(f"{name}=0" for name in DEFAULT_RATE_LIMITS),
        }

    def waiting(self) -> list[str]:
        """Return the names of what is in the bucket: all of it is the spool's."""
        return [str(path.relative_to(self.bucket)) for path in self.bucket.rglob("*") if path.is_file()]


@asynccontextmanager
async def quarter(town: Town) -> AsyncGenerator[Quarter]:
    """Start injectors, and make a bucket."""
    bucket = town.places.buckets / f"bucket-{uuid4().hex}"
    bucket.mkdir()
    socket = Path(parse_qs(urlsplit(town.places.database).query)["host"][0]) / ".s.PGSQL.5432"
    async with AsyncExitStack() as stack:
        reached: dict[Target, Injector] = {
            "database": Injector(lambda: asyncio.open_unix_connection(socket)),
            "search": Injector.to(town.places.qdrant),
            "storage": Injector.to(town.places.s3),
            "provider": Injector.to(town.model.url),
        }
        for injector in reached.values():
            await stack.enter_async_context(injector)
        yield Quarter(town, bucket, reached)
