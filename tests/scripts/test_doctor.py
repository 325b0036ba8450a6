"""What the doctor finds: each failure provoked once, on real parts, and its sentence."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from aiohttp import web

from lib.rag.embed import Embedder
from lib.settings import Settings
from local.postgres import postgres
from scripts.checkup.database import check_database, clock
from scripts.checkup.finding import Finding, bounded
from scripts.checkup.providers import check_providers
from scripts.checkup.search import check_search
from scripts.checkup.spool import check_spool
from scripts.checkup.storage import check_storage
from scripts.checkup.traces import check_traces
from scripts.checkup.variables import check_variables
from scripts.doctor import check, without_secrets
from scripts.init_db import ROOT, upgrade
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.doubles.models_server import KEY, ModelsServer
from tests.doubles.openai_server import OpenAIServer
from tests.doubles.otlp_collector import OtlpCollector
from tests.doubles.proxy import PostgresProxy
from tests.doubles.upstream import Script
from tests.fixtures.retrieval import NOWHERE, Library, retrieval_settings
from tests.fixtures.storage import Bucket
from tests.fixtures.web import make_settings

STRONG = "kT9vQ2xR7mB4nW8zL5cJ1hG6fD3sA0pY"


def settings_of(database_url: str | None = None, base_url: str = NOWHERE, **more: Any) -> Settings:
    return make_settings(database_url, base_url, **more)


def production(**more: Any) -> Settings:
    given: dict[str, Any] = {
        "environment": "production",
        "jwt_secret_key": STRONG,
        "seal_key": STRONG[1:] + STRONG[0],
        "internal_api_key": STRONG[::-1],
        "cron_secret": STRONG.swapcase(),
        "mail_from": "parley@example.com",
        "smtp_url": "smtps://user:word@mail.example.com",
        "public_url": "https://chat.example.com",
        "allowed_origins": ["https://chat.example.com"],
        "guest_chat": False,
    }
    return settings_of("postgresql://u@db.example.com/d", **(given | more))


async def found(name: str, checking: Awaitable[Sequence[Finding]]) -> dict[str, tuple[str, str]]:
    """Return what a check found, by the name of the finding."""
    return {one.check: (one.status, one.detail) for one in await bounded(name, checking, 30)}


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "doctor.py", *arguments],
        cwd=folder,
        env={"PATH": os.defpath, "DATA_DIR": str(folder), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# Variables


def test_good_variables_are_called_good() -> None:
    assert {one.status for one in check_variables(production())} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"jwt_secret_key": "ab" * 20}, "failed", "JWT_SECRET_KEY can be guessed, it repeats itself: make one with"),
        (
            {"internal_api_key": "your-Secret-key-change-in-production-please"},
            "failed",
            "INTERNAL_API_KEY can be guessed, it is made of words: make one with",
        ),
        (
            {"cron_secret": STRONG},
            "failed",
            "JWT_SECRET_KEY and CRON_SECRET are the same, so whoever has one has both: make one",
        ),
        ({"openai_api_key": STRONG}, "failed", "OPENAI_API_KEY and JWT_SECRET_KEY are the same"),
        ({"cron_secret": None}, "warning", "CRON_SECRET is not set, so calls that need it are refused: make one"),
        ({"seal_key": ()}, "warning", "SEAL_KEY is not set, so what is sealed is lost when the key that signs tokens"),
        ({"seal_key": f"{STRONG[::2] * 2},{STRONG}"}, "failed", "JWT_SECRET_KEY and SEAL_KEY are the same, so whoever"),
        ({"seal_key": f"{STRONG[::2] * 2},{'ab' * 20}"}, "failed", "SEAL_KEY can be guessed, it repeats itself"),
        ({"setup_token": "your-secret-token-of-the-first-administrator"}, "failed", "SETUP_TOKEN can be guessed"),
        ({"smtp_url": None}, "warning", "SMTP_URL and SES_REGION are not set, so nobody who forgot a password"),
        ({"environment": "development", "jwt_secret_key": "short"}, "failed", "JWT_SECRET_KEY has fewer than 32"),
        ({"environment": "development"}, "warning", "check a deployment's variables with --production."),
        ({"allowed_origins": []}, "warning", "ALLOWED_ORIGINS is empty: no page of another origin can call."),
        ({"allowed_origins": ["https://x.example/"]}, "failed", "has no path: write https://x.example."),
        ({"allowed_origins": ["http://localhost:3000"]}, "warning", "leave it out."),
        ({"allowed_origins": ["http://x.example"]}, "warning", "serve the page over https."),
        ({"guest_chat": True}, "warning", "GUEST_CHAT is on: anybody may spend your tokens."),
        ({"agent_timeout": 400}, "warning", "AGENT_TIMEOUT is over 290 s"),
        ({"retrieval_timeout": 20}, "warning", "RETRIEVAL_TIMEOUT takes half of AGENT_TIMEOUT or more: set less."),
        (
            {"qdrant_url": "http://q.example", "qdrant_api_key": "k"},
            "warning",
            "QDRANT_URL is not encrypted, and its key goes with it: use https.",
        ),
    ],
)
def test_a_variable_that_is_not_good(changes: dict[str, Any], status: str, says: str) -> None:
    findings = check_variables(production(**changes))
    assert any(one.status == status and says in one.detail for one in findings), findings


# Postgres


async def test_a_database_that_is_ready(database_url: str) -> None:
    said = await found("database", check_database(settings_of(database_url)))
    assert {status for status, _ in said.values()} == {"ok"}
    assert said["database"][1].startswith("Postgres 18.")
    assert said["database: TLS"][1] == "not needed, it is on this machine"
    assert said["database: tables"][1].endswith("the newest")
    assert said["database: team"][1] == "the default team is 'default'"
    assert said["clock"][1].endswith("s from the database's")


async def test_no_database() -> None:
    said = await found("database", check_database(settings_of(None)))
    assert said == {"database": ("failed", "DATABASE_URL is not set, so nothing is saved: set it.")}


async def test_a_database_that_nobody_listens_for() -> None:
    said = await found("database", check_database(settings_of("postgresql://u:hunter2@127.0.0.1:9/d")))
    assert said == {
        "database": ("failed", "Nothing listens at the host and port of DATABASE_URL: correct it, or start Postgres.")
    }


async def test_a_database_whose_host_is_not_known() -> None:
    said = await found("database", check_database(settings_of("postgresql://u@nobody.invalid/d")))
    assert said == {"database": ("failed", "The host in DATABASE_URL is not known: correct it.")}


async def test_a_database_that_is_silent(proxy: PostgresProxy) -> None:
    proxy.swallow()
    said = await found("database", check_database(settings_of(proxy.url)))
    assert said["database"][0] == "failed"
    assert said["database"][1].endswith(("and any firewall.", "whether the database runs."))


async def test_a_database_that_does_not_exist(database_url: str) -> None:
    url = database_url.replace("/postgres?", "/elsewhere?")
    said = await found("database", check_database(settings_of(url)))
    assert said["database"] == ("failed", "Postgres has no such database or user: correct DATABASE_URL, or create it.")


async def test_a_wrong_password(stopped_server: Path) -> None:
    rules = stopped_server.parent / "hba.conf"
    rules.write_text("local all all scram-sha-256\n")
    with postgres(stopped_server, fsync="off", hba_file=str(rules)) as url:
        wrong = url.replace("postgres@", "postgres:hunter2@")
        said = await found("database", check_database(settings_of(wrong)))
    assert said == {"database": ("failed", "Postgres refuses the user or the password: correct DATABASE_URL.")}


async def test_a_url_that_is_none() -> None:
    said = await found("database", check_database(settings_of("postgresql://u:hun/ter@2@h:port/d")))
    assert said["database"] == ("failed", "DATABASE_URL cannot be read as a URL: see how its password is escaped.")


async def test_a_role_without_rights_on_the_tables(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("DO $$ BEGIN CREATE ROLE onlooker; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    said = await found("database", check_database(settings_of(f"{database_url}&options=-crole%3Donlooker")))
    assert said["database"] == (
        "failed",
        "The role in DATABASE_URL has no rights on the tables: grant them (docs/operations.md).",
    )


async def test_a_database_elsewhere_without_tls_and_past_neons_pooler(proxy: PostgresProxy) -> None:
    port = proxy.url.rpartition(":")[2].partition("/")[0]
    tail = f":{port}/postgres?hostaddr=127.0.0.1&sslmode=disable&channel_binding=disable"
    said = await found("database", check_database(settings_of(f"postgresql://postgres@ep-x.eu.aws.neon.tech{tail}")))
    assert said["database: TLS"] == ("failed", "Not in use: add sslmode=require to DATABASE_URL.")
    assert said["database: pooler"][0] == "warning"
    assert "Add -pooler to the first part of the host" in said["database: pooler"][1]
    pooled = f"postgresql://postgres@ep-x-pooler.eu.aws.neon.tech{tail}"
    assert (await found("database", check_database(settings_of(pooled))))["database: pooler"][0] == "ok"


async def test_a_database_without_tables_behind_them_or_ahead(empty_database_url: str) -> None:
    settings = settings_of(empty_database_url)
    said = await found("database", check_database(settings))
    assert said["database: tables"] == ("failed", "There are none: run `python scripts/init_db.py`.")
    upgrade(empty_database_url)
    for version, status, says in (("001", "failed", "run `python scripts/init_db.py`."), ("999", "warning", "deploy")):
        with psycopg.connect(empty_database_url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", [version])
        said = await found("database", check_database(settings))
        assert said["database: tables"][0] == status
        assert f"They are at migration {version}" in said["database: tables"][1]
        assert says in said["database: tables"][1]


async def test_a_database_without_the_default_team(database_url: str) -> None:
    said = await found("database", check_database(settings_of(database_url, default_team="nobodys")))
    assert said["database: team"][0] == "failed"
    assert said["database: team"][1].startswith("No default team has the slug 'nobodys': run")


async def test_a_database_that_takes_no_writes(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    said = await found("database", check_database(settings_of(empty_database_url)))
    assert said["database"][0] == "failed"
    assert said["database"][1].endswith("and it takes no writes: name the primary in DATABASE_URL.")


def test_a_clock_that_is_wrong() -> None:
    assert clock(-0.2).status == "ok"
    assert clock(-61) == Finding("clock", "failed", "It is 61 s from the database's: set this machine's clock.")


# The search


async def test_a_search_that_is_ready(shelf: Library) -> None:
    shelf.keep({"bees.md": "# Bees\n\nBees dance."})
    said = await found("search", check_search(shelf.settings))
    assert {status for status, _ in said.values()} == {"ok"}
    assert said["vector size"] == ("ok", "16, stored and embedded")
    assert said["vector store: points"] == ("ok", "1 of the default team")
    assert said["embeddings"][1].startswith("minilm-l6 gives 16 dimensions")


async def test_a_search_that_is_not_set_up(qdrant_url: str, embeddings_double: EmbeddingsServer) -> None:
    said = await found("search", check_search(settings_of(None)))
    assert said["vector store"] == ("warning", "QDRANT_URL is not set, so answers come without passages.")
    said = await found("search", check_search(retrieval_settings(qdrant_url, None)))
    assert said["embeddings"][1].startswith("Nothing makes embeddings, so nothing is found: set EMBEDDING_BASE_URL")
    said = await found("search", check_search(retrieval_settings(qdrant_url, embeddings_double.base_url)))
    assert said["vector store"][0] == "failed"
    assert said["vector store"][1].endswith("ingest documents, or correct QDRANT_COLLECTION.")
    assert said["embeddings"][0] == "ok", "one is asked whatever the other does"


async def test_embeddings_that_do_not_fit_the_collection(shelf: Library) -> None:
    shelf.keep({"bees.md": "# Bees\n\nBees dance."})
    with EmbeddingsServer(dimensions=8) as other:
        changed = shelf.settings.model_copy(update={"embedding_base_url": other.base_url, "embedding_model": "other"})
        said = await found("search", check_search(changed))
    assert said["vector size"][0] == "failed"
    assert "holds vectors of 16, and the model gives 8: set EMBEDDING_MODEL back" in said["vector size"][1]
    assert said["vector store: model"][1].startswith("The documents were embedded by minilm-l6")


async def test_a_default_team_without_documents(shelf: Library) -> None:
    shelf.keep({"bees.md": "# Bees\n\nBees dance."}, uuid4())
    said = await found("search", check_search(shelf.settings))
    assert said["vector store: points"] == ("warning", "The default team has none: ingest its documents.")


async def test_services_of_the_search_that_are_away_or_others(shelf: Library) -> None:
    away = shelf.settings.model_copy(update={"qdrant_url": "http://127.0.0.1:9", "embedding_base_url": NOWHERE})
    said = await found("search", check_search(away))
    assert said["vector store"][1].startswith("Nothing answers at its host and port: correct QDRANT_URL")
    assert said["embeddings"][1].startswith("A word could not be embedded, the embeddings endpoint could not be used")
    embedder = Embedder.from_settings(shelf.settings)
    assert embedder
    said = await found("search", check_search(shelf.settings.model_copy(update={"qdrant_url": embedder.base_url})))
    assert said["vector store"][0] == "failed"


async def serve(status: int) -> web.AppRunner:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"{}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "It refuses the key with 401: give a valid one in QDRANT_URL and QDRANT_API_KEY."),
        (500, "It answers with 500: see QDRANT_URL, and the store's own log."),
        (200, "What answers is no Qdrant with a collection of Parley's: correct QDRANT_URL."),
    ],
)
async def test_a_vector_store_that_refuses(embeddings_double: EmbeddingsServer, status: int, says: str) -> None:
    runner = await serve(status)
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    said = await found("search", check_search(retrieval_settings(url, embeddings_double.base_url, qdrant_api_key="k")))
    assert said["vector store"] == ("failed", says)
    await runner.cleanup()


# The providers


async def test_a_provider_that_is_ready_and_one_that_is_away(openai_double: OpenAIServer) -> None:
    settings = settings_of(None, openai_double.base_url, vllm_endpoint=NOWHERE)
    said = await found("provider", check_providers(settings, complete=True))
    assert said["provider: openai"][1].startswith("answers, first token after")
    assert said["provider: vllm"] == (
        "failed",
        "Nothing answers at its host and port: correct VLLM_ENDPOINT, or start it.",
    )
    assert len(openai_double.calls) == 1


async def test_nothing_is_spent_unless_it_is_asked_for(openai_double: OpenAIServer) -> None:
    said = await found("provider", check_providers(settings_of(None, openai_double.base_url), complete=False))
    assert said["provider: openai"][1].startswith("has double-1, ")
    assert openai_double.calls == []


async def test_no_provider() -> None:
    said = await found("provider", check_providers(settings_of(None, openai_api_key=None), complete=False))
    assert said["provider"][0] == "failed"
    assert "set OPENAI_API_KEY, GEMINI_API_KEY or VLLM_ENDPOINT" in said["provider"][1]


async def test_a_model_that_the_provider_does_not_have(openai_double: OpenAIServer) -> None:
    settings = settings_of(None, openai_double.base_url, chat_model="gpt-99")
    said = await found("provider", check_providers(settings, complete=False))
    assert said["provider: openai"] == (
        "failed",
        "It has no model 'gpt-99': name one that it has in CHAT_MODEL or PROVIDERS.",
    )
    openai_double.models.clear()
    settings = settings_of(None, openai_api_key=None, vllm_endpoint=openai_double.base_url, chat_model=None)
    said = await found("provider", check_providers(settings, complete=False))
    assert said["provider: vllm"] == ("failed", "It serves no model: load one there.")


@pytest.mark.parametrize(
    ("status", "openai", "gemini"),
    [
        (401, "It refuses the key with 401: give a valid one in OPENAI_API_KEY", "It refuses the key with 401"),
        (400, "It answers with 400: see OPENAI_API_KEY", "It refuses the key with 400: give a valid one"),
        (404, "It lists no models", "It has no model 'gemini-2.5-flash': name one that it has"),
        (500, "It answers with 500", "It answers with 500"),
        (200, "It lists no models", "has gemini-2.5-flash"),
        (429, "It takes no more requests for now", "It takes no more requests for now"),
    ],
)
async def test_what_a_provider_may_answer(status: int, openai: str, gemini: str) -> None:
    runner = await serve(status)
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    settings = settings_of(None, url, gemini_api_key="k", GEMINI_BASE_URL=url)
    said = await found("provider", check_providers(settings, complete=False))
    assert said["provider: openai"][1].startswith(openai)
    assert said["provider: gemini"][1].startswith(gemini)
    await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ('[{"id": "double-1"}]', "ok", "has double-1"),
        ('[{"id": "another"}]', "failed", "It has no model 'double-1'"),
        ('{"data": null}', "warning", "It lists no models"),
        (
            "<html>",
            "failed",
            "What answers is no API of a model's provider: correct OPENAI_API_KEY and OPENAI_BASE_URL.",
        ),
    ],
)
async def test_the_shapes_of_a_list_of_models(body: str, status: str, says: str) -> None:
    async with ModelsServer() as models:
        models.body = body.encode()
        settings = settings_of(None, models.openai_url, openai_api_key=KEY)
        said = await found("provider", check_providers(settings, complete=False))
    assert said["provider: openai"][0] == status
    assert said["provider: openai"][1].startswith(says)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (Script(status=401), "It refuses to answer: see whether the key may use double-1."),
        (Script(status=429), "It takes no more requests for now: see its quota and its billing."),
        (Script(status=500), "It fails to answer with double-1"),
    ],
)
async def test_a_provider_that_lists_its_models_and_does_not_answer(
    openai_double: OpenAIServer, script: Script, says: str
) -> None:
    openai_double.play(script)
    said = await found("provider", check_providers(settings_of(None, openai_double.base_url), complete=True))
    assert said["provider: openai"][0] == "failed"
    assert said["provider: openai"][1].startswith(says)


# The bucket, and the traces


async def test_a_bucket_is_written_to_and_left_empty(bucket: Bucket) -> None:
    said = await found("bucket", check_storage(settings_of(**bucket.settings)))
    assert said["bucket"][0] == "ok"
    assert bucket.is_empty()


async def test_a_bucket_that_cannot_be_used(bucket: Bucket, tmp_path: Path) -> None:
    for changes in ({"S3_SECRET_KEY": "wrong"}, {"s3_bucket": "nobodys"}):
        said = await found("bucket", check_storage(settings_of(**(bucket.settings | changes))))
        assert said["bucket"][0] == "failed"
        assert said["bucket"][1].endswith(": see S3_BUCKET, S3_ENDPOINT, S3_REGION and its keys.")
    said = await found("bucket", check_storage(production()))
    assert said["bucket"] == ("warning", "S3_BUCKET is not set, so files cannot be kept.")
    (tmp_path / "file").write_text("in the way")
    said = await found("bucket", check_storage(settings_of(data_dir=tmp_path / "file")))
    assert said["bucket"][0] == "failed"
    assert said["bucket"][1].endswith(": see DATA_DIR.")


async def test_where_turns_wait_is_tried_and_left_empty(bucket: Bucket) -> None:
    said = await found("spool", check_spool(settings_of(**bucket.settings)))
    assert said == {"spool": ("ok", f"s3://{bucket.folder.name}/spool: written, listed and deleted, 0 turns wait")}
    assert bucket.is_empty()


async def test_turns_that_wait_nowhere_or_on_a_disk_or_were_set_aside_are_told(bucket: Bucket, tmp_path: Path) -> None:
    said = await found("spool", check_spool(production()))
    assert said["spool"] == (
        "warning",
        "There is none, so answers are lost while the database is away: set S3_BUCKET or SPOOL_URL.",
    )
    assert (await found("spool", check_spool(production(spool_url="off", **bucket.settings))))["spool"][0] == "warning"
    said = await found("spool", check_spool(production(spool_url=str(tmp_path))))
    assert (said["spool"][0], said["spool: place"][0]) == ("ok", "warning")
    for state in ("waiting", "aside"):
        (tmp_path / "spool" / state).mkdir(parents=True)
        (tmp_path / "spool" / state / "1").touch()
    said = await found("spool", check_spool(settings_of(data_dir=tmp_path)))
    assert said["spool"][1].endswith(" 1 turns wait")
    told = "1 turns are set aside: see docs/when-something-is-away.md#turns-that-were-set-aside."
    assert said["spool: aside"] == ("warning", told)


async def test_a_spool_that_cannot_be_used(bucket: Bucket, tmp_path: Path) -> None:
    said = await found("spool", check_spool(settings_of(**(bucket.settings | {"S3_SECRET_KEY": "wrong"}))))
    assert said["spool"][0] == "failed"
    assert said["spool"][1].endswith("SignatureDoesNotMatch: see SPOOL_URL, S3_BUCKET, S3_ENDPOINT and their keys.")
    (tmp_path / "file").touch()
    said = await found("spool", check_spool(settings_of(spool_url=str(tmp_path / "file"))))
    assert (said["spool"][0], said["spool"][1][-29:]) == ("failed", ": see SPOOL_URL and DATA_DIR.")


async def test_a_collector_of_traces() -> None:
    assert await found("traces", check_traces(settings_of())) == {"traces": ("ok", "off")}
    async with OtlpCollector() as collector:
        settings = settings_of(otel_exporter_otlp_endpoint=collector.url, otel_exporter_otlp_headers="x-key=k")
        assert (await found("traces", check_traces(settings)))["traces"][0] == "ok"
        assert collector.headers["x-key"] == "k"
        collector.status = 401
        assert (await found("traces", check_traces(settings)))["traces"][1].startswith("It refuses the key with 401")
        collector.status = 500
        assert (await found("traces", check_traces(settings)))["traces"][1].startswith("It answers with 500: see OTEL_")
        settings = settings_of(otel_exporter_otlp_endpoint=f"{collector.url}/v1/traces")
        assert "is what comes before /v1/traces." in (await found("traces", check_traces(settings)))["traces"][1]


# All of it


async def test_a_check_that_hangs_or_breaks_ends_and_says_nothing_it_should_not() -> None:
    async def hang() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def broken() -> list[Finding]:
        raise ValueError("hunter2")

    (late,) = await bounded("late", hang(), 0.01)
    (bug,) = await bounded("bug", broken())
    assert late.detail == "There was no answer within 0.01 s: see whether it can be reached."
    assert bug.detail == "The check itself broke with ValueError: please report it."


async def test_every_part_is_checked(database_url: str, openai_double: OpenAIServer) -> None:
    findings = await check(settings_of(database_url, openai_double.base_url), complete=False)
    assert {one.check.partition(":")[0] for one in findings} >= {
        *("secrets", "origins", "variables", "database", "clock", "vector store", "provider", "bucket"),
        *("spool", "traces"),
    }


def test_a_secret_in_a_sentence_is_taken_out() -> None:
    settings = settings_of("postgresql://u:p%40ss-word@h/d", cron_secret=STRONG, seal_key="first-one,second-one")
    said = without_secrets(f"{STRONG} p@ss-word p%40ss-word second-one and {settings.jwt_secret_key}", settings)
    assert said == "[secret] [secret] [secret] [secret] and **********"


def test_the_table_and_the_exit_status(database_url: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": database_url, "OPENAI_API_KEY": "hunter2-hunter2", "OPENAI_BASE_URL": NOWHERE}
    done = doctor(tmp_path, **environment)
    assert done.returncode == 1
    assert "provider: openai" in done.stdout
    assert "Nothing answers at its host and port: correct OPENAI_API_KEY and OPENAI_BASE_URL" in done.stdout
    assert "1 failed, " in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    as_json = json.loads(doctor(tmp_path, "--json", **environment).stdout)
    assert {one["status"] for one in as_json} == {"ok", "warning", "failed"}


async def test_a_healthy_environment_passes(database_url: str, openai_double: OpenAIServer, tmp_path: Path) -> None:
    (tmp_path / "mine.env").write_text(f"OPENAI_API_KEY=key\nOPENAI_BASE_URL={openai_double.base_url}\n")
    environment = {"DATABASE_URL": database_url, "CHAT_MODEL": "double-1"}
    done = await asyncio.to_thread(lambda: doctor(tmp_path, "--env-file", "mine.env", **environment))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "has double-1" in done.stdout
    openai_double.play(Script(status=500))
    done = await asyncio.to_thread(lambda: doctor(tmp_path, "--complete", "--env-file", "mine.env", **environment))
    assert "It fails to answer with double-1: see the line above this table for its own words." in done.stdout
    assert "The vendor's own words." in done.stderr


def test_settings_that_are_refused_are_told_one_by_one(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--production", PROVIDERS="openai", JWT_SECRET_KEY="hunter2")
    assert done.returncode == 1
    for sentence in (
        "JWT_SECRET_KEY must have at least 32 characters in production.",
        "PROVIDERS names 'openai', which is not one of openai, gemini, vllm, or has no key or endpoint.",
        "DATABASE_URL is required in production.",
    ):
        assert sentence in done.stdout
    assert "hunter2" not in done.stdout
    assert "there is no file nowhere.env" in doctor(tmp_path, "--env-file", "nowhere.env").stderr
