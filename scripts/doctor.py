"""Check an environment before a deploy: `python scripts/doctor.py --production --env-file production.env`.

It reads the same variables as Parley, asks everything that they name, and says of each failure what to do. No secret is
printed. The exit status is 0 when nothing failed.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.http import close_http_session
from lib.settings import Settings, SettingsInvalid, get_settings
from scripts.checkup.database import check_database
from scripts.checkup.finding import Finding, bounded
from scripts.checkup.providers import check_providers
from scripts.checkup.search import check_search
from scripts.checkup.spool import check_spool
from scripts.checkup.storage import check_storage
from scripts.checkup.traces import check_traces
from scripts.checkup.variables import check_variables, secrets_of

STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red"}
SHORTEST: Final = 6
"""Characters of a secret that is taken out of what is printed: a shorter one is in every second word."""


def main(arguments: Sequence[str]) -> int:
    """Run with these command-line arguments, and return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("parley.providers").setLevel(logging.WARNING)  # a provider's own words, without what was sent
    given = {"environment": "production"} if options.production else {}
    try:
        settings = get_settings(options.env_file or Path(".env"), **given)
    except SettingsInvalid as error:
        findings = [Finding("variables", "failed", f"{sentence}.") for sentence in str(error).split("; ")]
    else:
        found = asyncio.run(check(settings, complete=options.complete))
        findings = [Finding(one.check, one.status, without_secrets(one.detail, settings)) for one in found]
    _print(findings, as_json=options.json)
    return 1 if any(finding.status == "failed" for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="doctor", description="Check an environment before a deploy.")
    parser.add_argument("--env-file", type=_file, help="read in place of .env; what the environment sets wins")
    parser.add_argument("--production", action="store_true", help="by the rules of production, as a deployed function")
    parser.add_argument("--complete", action="store_true", help="ask each model for a word: it costs a few tokens")
    parser.add_argument("--json", action="store_true", help="print a list of findings in place of the table")
    return parser


def _file(name: str) -> Path:
    if not Path(name).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {name}")
    return Path(name)


async def check(settings: Settings, *, complete: bool) -> list[Finding]:
    """Check everything at once, and return the findings in the order of the table."""
    try:
        found = await asyncio.gather(
            bounded("database", check_database(settings)),
            bounded("search", check_search(settings)),
            bounded("provider", check_providers(settings, complete=complete)),
            bounded("bucket", check_storage(settings)),
            bounded("spool", check_spool(settings)),
            bounded("traces", check_traces(settings)),
        )
    finally:
        await close_http_session()
    return [*check_variables(settings), *(finding for findings in found for finding in findings)]


def without_secrets(text: str, settings: Settings) -> str:
    """Take out of a sentence whatever is secret, should a check have let it in."""
    held = [value for name in type(settings).model_fields for value in secrets_of(settings, name)]
    url = urlsplit(settings.database_url.get_secret_value()) if settings.database_url else None
    password = url.password if url else None
    for secret in filter(None, [*held, password, unquote(password or "")]):
        text = text.replace(secret, "[secret]") if len(secret) >= SHORTEST else text
    return text


def _print(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"check": one.check, "status": one.status, "detail": one.detail} for one in findings]))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("check", "status", ""):
        table.add_column(column, no_wrap=column != "")
    for one in findings:
        table.add_row(one.check, f"[{STYLES[one.status]}]{one.status}[/]", one.detail.replace("[", r"\["))
    Console().print(table)
    count = {status: sum(one.status == status for one in findings) for status in STYLES}
    print(f"\n{count['failed']} failed, {count['warning']} warnings, {count['ok']} ok")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
