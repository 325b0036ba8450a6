"""What a warm instance keeps between requests: connections and clients, never truth.

Each part is imported when it is first needed: import time is start time, and no function needs them all.
"""

import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING

from lib.settings import Settings, get_settings
from lib.unhindered import begin, settle
from lib.web.leaving import stop_all

if TYPE_CHECKING:
    from lib.auth.api_keys import KeyReader
    from lib.auth.identity import Key
    from lib.auth.seal import Seal
    from lib.auth.sessions import Sessions
    from lib.auth.tokens import TokenSigner
    from lib.chat.request import TurnDeps
    from lib.db.session import Database
    from lib.files.storage import Storage
    from lib.health.checks import Checks
    from lib.mail.base import Mailer
    from lib.spool import Spool
    from lib.telemetry.collector import Collector


@dataclass(frozen=True)
class Instance:
    """Made once a process; each part when it is first needed."""

    settings: Settings

    @cached_property
    def database(self) -> "Database":
        """Postgres; without a URL it is always unavailable."""
        from lib.db.session import Database

        url = self.settings.database_url
        return Database(
            url.get_secret_value() if url else None,
            pool_size=self.settings.database_pool_size,
            recovered=self._replay,
        )

    def _replay(self) -> None:
        """Bring in the turns that wait: the database answers again. Nobody waits for that."""
        if self.spool is not None:
            begin(self.spool.replay(self.database))

    @cached_property
    def signer(self) -> "TokenSigner":
        """What signs and reads tokens."""
        from lib.auth.keys import KeyRing
        from lib.auth.tokens import TokenSigner

        lifetime = timedelta(minutes=self.settings.access_token_expire_minutes)
        return TokenSigner(KeyRing.from_settings(self.settings), lifetime)

    @cached_property
    def seal(self) -> "Seal":
        """What seals the secrets that are stored."""
        from lib.auth.seal import Seal

        return Seal.from_settings(self.settings)

    @cached_property
    def sessions(self) -> "Sessions":
        """What begins, refreshes and ends sessions."""
        from lib.auth.refresh import RefreshTokens
        from lib.auth.seal import derive_keys
        from lib.auth.sessions import Sessions

        tokens = RefreshTokens(derive_keys(self.settings, "refresh tokens"))
        lifetime = timedelta(days=self.settings.refresh_token_expire_days)
        return Sessions(self.database, self.signer, tokens, lifetime)

    @cached_property
    def _key_reader(self) -> "KeyReader":
        from lib.auth.api_keys import KeyReader

        return KeyReader(self.database)

    async def read_key(self, key: str) -> "Key":
        """Look an API key up.

        Raises:
            Unauthenticated: there is no such key.
            DatabaseUnavailable: nobody knows.
        """
        return await self._key_reader.read(key)

    @cached_property
    def mailer(self) -> "Mailer | None":
        """What sends mail; None where nothing does."""
        from lib.mail import get_mailer

        return get_mailer(self.settings)

    @cached_property
    def turn(self) -> "TurnDeps":
        """What a turn works with. Without a model of the deployment's own, a team's agents answer."""
        from lib.chat.request import TurnDeps
        from lib.chat.titles import Titler
        from lib.chat.under_way import UnderWay
        from lib.providers import guarded_providers
        from lib.providers.fallback import Limits
        from lib.rag.retrieve import Retriever

        providers = guarded_providers(self.settings) if self.settings.configured_providers else ()
        return TurnDeps(
            settings=self.settings,
            database=self.database,
            retriever=Retriever.from_settings(self.settings),
            providers=providers,
            limits=Limits.of(self.settings.agent_timeout),
            under_way=UnderWay(self.database),
            seal=lambda: self.seal,
            titler=Titler.from_settings(self.settings, providers),
            spool=self.spool,
        )

    @cached_property
    def collector(self) -> "Collector | None":
        """Where traces go; None where they go nowhere, and then nothing of OpenTelemetry's SDK is loaded."""
        endpoint, headers = self.settings.otel_exporter_otlp_endpoint, self.settings.otel_exporter_otlp_headers
        if endpoint is None:
            return None
        from lib.telemetry.collector import Collector

        return Collector.at(endpoint, headers.get_secret_value() if headers else None, self.settings.environment)

    @cached_property
    def storage(self) -> "Storage | None":
        """Where files are; None where there is no place for them.

        Raises:
            StorageUnavailable: the folder of a laptop cannot be made.
        """
        from lib.files.storage import Storage

        return Storage.from_settings(self.settings)

    @cached_property
    def spool(self) -> "Spool | None":
        """Where turns wait while the database is away; None where they wait nowhere. Nothing is opened by making it."""
        from lib.spool import Spool

        return Spool.from_settings(self.settings, lambda: self.seal)

    @cached_property
    def checks(self) -> "Checks":
        """How everything that this instance depends on is."""
        from lib.health.checks import Parts, checks_of

        return checks_of(Parts(self.settings, database=lambda: self.database, storage=lambda: self.storage))

    async def close(self) -> None:
        """End the turns under way, finish what is being saved, and close every connection."""
        await stop_all()
        await settle()
        if "database" in vars(self):
            await self.database.close()
        # Whoever used it has imported it; to import it now would only take time from the farewell.
        if http := sys.modules.get("lib.http"):
            await http.close_http_session()
        if self.collector:
            await self.collector.close()


@cache
def this_instance() -> Instance:
    """Return this process's instance."""
    return Instance(get_settings())
