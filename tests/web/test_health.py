"""Health: what anybody may see of how Parley is, and what an operator sees."""

import asyncio
import platform
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lib.settings import Settings
from lib.version import VERSION
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.doubles.models_server import KEY, ModelsServer
from tests.doubles.proxy import PostgresProxy
from tests.fixtures.retrieval import Library
from tests.fixtures.storage import SECRET_KEY, Bucket
from tests.fixtures.web import INTERNAL_KEY, Deploy, Deployment

ROOT = str(Path(__file__).resolve().parents[2])
AS_A_SERVER = {"X-Internal-API-Key": INTERNAL_KEY}
PUBLIC = ("/health", "/health/", "/health/database", "/health/storage", "/health/inference", "/health/retrieval")
METRICS = ("performance", "users", "workspaces", "chats", "prometheus")


@pytest.fixture
async def models() -> AsyncGenerator[ModelsServer]:
    async with ModelsServer() as server:
        yield server


@pytest.fixture
async def well(deploy: Deploy, models: ModelsServer, bucket: Bucket) -> Deployment:
    """A Parley whose every part works; it has no documents."""
    return await deploy(openai_base_url=models.openai_url, openai_api_key=KEY, **bucket.settings)


async def detailed(parley: Deployment, **headers: str) -> tuple[int, dict[str, Any]]:
    response = await parley.client.get("/health/detailed", headers=AS_A_SERVER | headers)
    return response.status_code, response.json()


@pytest.mark.parametrize("path", ["/health", "/health/"])
async def test_a_function_that_runs_says_so_whatever_else_is_away(deploy: Deploy, path: str) -> None:
    parley = await deploy(DATABASE_URL="postgresql://127.0.0.1:9/db", openai_base_url="http://127.0.0.1:9/v1")
    answer = await parley.client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "checks" not in vars(parley.instance)


@pytest.mark.parametrize("path", PUBLIC)
async def test_a_watcher_may_ask_for_the_status_alone_and_no_cache_keeps_it(well: Deployment, path: str) -> None:
    asked, told = await well.client.head(path), await well.client.get(path)
    assert (asked.status_code, asked.content) == (told.status_code, b"")
    assert told.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["database", "storage", "inference"])
async def test_anybody_sees_that_it_is_well_and_how_quick(well: Deployment, name: str) -> None:
    answer = await well.client.get(f"/health/{name}")
    told = answer.json()
    assert (answer.status_code, told.keys()) == (200, {"status", "latency_ms", "configured"})
    assert (told["status"], told["configured"]) == ("ok", True)
    assert 0 < told["latency_ms"] < 2000


async def test_what_a_deployment_was_not_given_is_down_and_called_so(well: Deployment) -> None:
    answer = await well.client.get("/health/retrieval")
    assert (answer.status_code, answer.json()) == (503, {"status": "down", "latency_ms": None, "configured": False})


async def test_a_stranger_has_nothing_embedded_and_an_operator_has(
    deploy: Deploy, shelf: Library, embeddings_double: EmbeddingsServer
) -> None:
    shelf.keep({"bees.md": "# Bees\n\nBees dance."})
    searched = ("qdrant_url", "qdrant_collection", "embedding_base_url", "embedding_model")
    parley = await deploy(**{name: getattr(shelf.settings, name) for name in searched})
    embedded = len(embeddings_double.requests)
    assert (await parley.client.get("/health/retrieval")).json()["status"] == "ok"
    assert len(embeddings_double.requests) == embedded
    _, told = await detailed(parley)
    assert told["checks"]["retrieval"]["parts"]["embeddings"]["status"] == "ok"
    assert len(embeddings_double.requests) == embedded + 1


async def test_a_part_that_nobody_knows_is_not_there(well: Deployment) -> None:
    assert (await well.client.get("/health/nothing")).status_code == 404


@pytest.mark.parametrize("path", [path for path in PUBLIC if path.count("/") > 1 and not path.endswith("/")])
async def test_what_is_down_is_told_without_a_word_about_why(deploy: Deploy, path: str) -> None:
    parley = await deploy(
        DATABASE_URL="postgresql://user:secret@127.0.0.1:9/db",
        openai_base_url="http://127.0.0.1:9/v1",
        qdrant_url="http://127.0.0.1:9",
        S3_ENDPOINT="http://127.0.0.1:9",
        s3_bucket="bucket",
    )
    answer = await parley.client.get(path)
    told = answer.json()
    assert (answer.status_code, told.pop("latency_ms") >= 0, told) == (
        503,
        True,
        {"status": "down", "configured": True},
    )


async def test_a_stampede_is_one_question_to_the_provider(well: Deployment, models: ModelsServer) -> None:
    models.silent = True
    asking = [asyncio.create_task(well.client.get("/health/inference")) for _ in range(50)]
    await models.was_asked.wait()
    models.resume()
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    await detailed(well)
    assert models.asked == 1


async def test_a_guest_and_a_user_are_shown_no_details_also_while_the_database_is_away(
    well: Deployment, proxy: PostgresProxy, deploy: Deploy
) -> None:
    proxy.refuse()
    away = await deploy(DATABASE_URL=proxy.url)
    for parley in (well, away):
        assert (await parley.client.get("/health/detailed")).json()["code"] == "unauthenticated"
        wrong = await parley.client.get("/health/detailed", headers={"X-Internal-API-Key": "wrong"})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthenticated")
    await well.sign_up()
    token = well.client.cookies["access_token"]
    for parley in (well, away):
        refused = await parley.client.get("/health/detailed", headers={"Authorization": f"Bearer {token}"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_an_operator_sees_how_everything_is_and_what_answers(well: Deployment, models: ModelsServer) -> None:
    await well.sign_up(role="admin")
    answer = await well.client.get("/health/detailed")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "ok")
    assert {name: check["status"] for name, check in told["checks"].items()} == {
        "database": "ok",
        "storage": "ok",
        "inference": "ok",
        "retrieval": "down",
    }
    assert told["checks"]["retrieval"]["configured"] is False
    assert told["checks"]["inference"]["parts"]["openai"]["status"] == "ok"
    assert datetime.fromisoformat(told["checks"]["database"]["checked_at"]).tzinfo is not None
    assert (told["version"], told["environment"], told["python"]) == (VERSION, "development", platform.python_version())
    assert (told["platform"], told["region"]) == ("other", None)
    assert told["uptime_seconds"] > 0


async def test_while_the_database_is_away_an_operator_is_told_that_and_the_rest(
    deploy: Deploy, models: ModelsServer, proxy: PostgresProxy, bucket: Bucket
) -> None:
    healthy = await deploy()
    await healthy.sign_up(role="admin")
    proxy.refuse()
    away = await deploy(
        DATABASE_URL=proxy.url, openai_base_url=models.openai_url, openai_api_key=KEY, **bucket.settings
    )
    away.client.cookies.update(healthy.client.cookies)
    answer = await away.client.get("/health/detailed")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "degraded")
    assert told["checks"]["database"]["detail"] == (
        "Postgres cannot be reached, gives us no access, or does not answer."
    )
    assert told["checks"]["inference"]["status"] == "ok"


async def test_a_database_that_is_silent_is_told_of_in_time(
    deploy: Deploy, models: ModelsServer, proxy: PostgresProxy
) -> None:
    parley = await deploy(DATABASE_URL=proxy.url, openai_base_url=models.openai_url, openai_api_key=KEY)
    proxy.stall()
    async with asyncio.timeout(4):
        assert (await parley.client.get("/health/database")).status_code == 503
    proxy.heal()


async def test_without_a_model_that_answers_parley_is_down(well: Deployment, models: ModelsServer) -> None:
    models.status = 500
    status, told = await detailed(well)
    assert (status, told["status"], told["checks"]["inference"]["detail"]) == (
        503,
        "down",
        "openai: It answers with 500: see OPENAI_API_KEY and OPENAI_BASE_URL, and its status page.",
    )


async def test_without_its_storage_parley_is_degraded(deploy: Deploy, models: ModelsServer, bucket: Bucket) -> None:
    wrong = bucket.settings | {"S3_SECRET_KEY": "wrong"}
    parley = await deploy(openai_base_url=models.openai_url, openai_api_key=KEY, **wrong)
    status, told = await detailed(parley)
    assert (status, told["status"], told["checks"]["storage"]["status"]) == (200, "degraded", "down")


async def test_nothing_secret_is_in_any_answer(deploy: Deploy, proxy: PostgresProxy, bucket: Bucket) -> None:
    secrets: dict[str, Any] = {
        "DATABASE_URL": "postgresql://operator:database-secret@127.0.0.1:9/db",
        "openai_api_key": "openai-secret",
        "gemini_api_key": None,
        "openai_base_url": "http://127.0.0.1:9/v1",
        "qdrant_url": "http://127.0.0.1:9",
        "qdrant_api_key": "qdrant-secret",
        **(bucket.settings | {"S3_ACCESS_KEY": "another-access-key"}),
    }
    parley = await deploy(**secrets)
    answers = [await parley.client.get(path, headers=AS_A_SERVER) for path in (*PUBLIC, "/health/detailed")]
    answers += [await parley.client.get(f"/metrics/{name}", headers=AS_A_SERVER) for name in METRICS]
    told = "".join(f"{answer.headers}{answer.text}" for answer in answers)
    held = [*_secrets_of(parley.instance.settings), "127.0.0.1", "operator", "another-access-key", SECRET_KEY]
    assert len(held) > 8
    assert [secret for secret in held if secret in told] == []
    assert "Traceback" not in told
    assert ROOT not in told


def _secrets_of(settings: Settings) -> list[str]:
    fields = [getattr(settings, name) for name in type(settings).model_fields]
    return [field.get_secret_value() for field in fields if hasattr(field, "get_secret_value")]
