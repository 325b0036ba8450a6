"""Bring the index in line with files: `python scripts/ingest.py docs handbook.pdf`.

Every file is read, cut into chunks, and compared with what the index holds of it; only new chunks are embedded. What
is no longer there leaves the index, within the paths that are named. The uri of a document is its path from the
current folder, so run it from the same one each time.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.db.session import Database
from lib.db.tenant import EVERY_TEAM
from lib.errors import DatabaseUnavailable
from lib.ids import DEFAULT_TEAM_ID, as_uuid
from lib.rag.chunk import split
from lib.rag.collection import IngestionFailed, open_collection
from lib.rag.documents import SUFFIXES, Unreadable, read_document
from lib.rag.embed import Embedder
from lib.rag.index import Outcome, Source, update_index
from lib.settings import Settings, SettingsInvalid, get_settings
from lib.store import teams


@dataclass(frozen=True, slots=True)
class Reading:
    """The files that were found: those with text, and for each of the others the uri and why not."""

    sources: tuple[Source, ...]
    unreadable: tuple[tuple[str, str], ...]


def main(arguments: Sequence[str]) -> int:
    """Run with these command-line arguments, and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    started = time.monotonic()
    try:
        settings = get_settings()
        url = settings.database_url.get_secret_value() if settings.database_url else None
        team_id = team_named(options.team, url) if options.team else DEFAULT_TEAM_ID
        reading = read_files(options.paths)
        outcome = _update(settings, team_id, options.paths, reading, console=console, quiet=options.quiet)
    except (IngestionFailed, SettingsInvalid) as failure:
        console.print(f"ingest: {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    for uri, reason in reading.unreadable:
        console.print(f"not read: {uri}: {reason}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    print(_summary(reading, outcome, time.monotonic() - started))
    return 1 if reading.unreadable and not reading.sources else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ingest", description="Bring the index in line with files.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or a folder to walk")
    parser.add_argument("--team", help="whose documents they are, by slug or id; default: the default team's")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, only the summary")
    return parser


def team_named(name: str, database_url: str | None) -> UUID:
    """Return the id of the team that an operator names by its id, or by its slug, which the database knows.

    Raises:
        IngestionFailed: there is no such team, or nobody to ask.
    """
    team_id = as_uuid(name) or asyncio.run(_find_team(name, database_url))
    if team_id is None:
        raise IngestionFailed(f"There is no team {name!r}.")
    return team_id


async def _find_team(slug: str, database_url: str | None) -> UUID | None:
    database = Database(database_url)
    try:
        async with database.one_statement(EVERY_TEAM) as connection:
            return await teams.find_id(connection, slug)
    except DatabaseUnavailable:
        raise IngestionFailed(f"The team {slug!r} is looked up in DATABASE_URL, which cannot be reached.") from None
    finally:
        await database.close()


def read_files(paths: Sequence[Path]) -> Reading:
    """Read and cut every file under `paths`, each once."""
    sources: dict[str, Source] = {}
    unreadable: dict[str, str] = {}
    for path in (file for root in paths for file in _files(root)):
        uri = _uri(path)
        try:
            document = read_document(path.name, path.read_bytes())
            sources[uri] = Source(uri, document.title, split(document))
        except Unreadable as reason:
            unreadable[uri] = str(reason)
        except OSError as error:
            unreadable[uri] = error.strerror or type(error).__name__
    return Reading(tuple(sources.values()), tuple(unreadable.items()))


def _files(root: Path) -> Iterator[Path]:
    """Yield a path that is no folder as it is; of a folder, the files of formats we know, hidden ones left out."""
    if not root.is_dir():
        yield root
        return
    for folder, folders, files in root.walk():
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield folder / name


def _uri(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()


def _update(
    settings: Settings, team_id: UUID, paths: Sequence[Path], reading: Reading, *, console: Console, quiet: bool
) -> Outcome:
    """Bring the index in line, leaving alone what could not be read and what lies elsewhere."""
    embedder = Embedder.from_settings(settings)
    if embedder is None:
        raise IngestionFailed("No embeddings are configured: set EMBEDDING_BASE_URL, OPENAI_API_KEY or GEMINI_API_KEY.")
    unread = {uri for uri, _ in reading.unreadable if Path(uri).exists()}
    named = {_uri(path) for path in paths}
    folders = [path.resolve() for path in paths if path.is_dir()]

    def covers(uri: str) -> bool:
        inside = uri in named or any(Path(uri).resolve().is_relative_to(folder) for folder in folders)
        return inside and uri not in unread

    columns = TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=console, transient=True)
    with open_collection(settings, team_id) as collection, nullcontext() if quiet else progress:
        task = progress.add_task("embedding", total=None)
        return update_index(
            collection,
            embedder,
            reading.sources,
            covers=covers,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _summary(reading: Reading, outcome: Outcome, seconds: float) -> str:
    unread = f", {len(reading.unreadable)} not read" if reading.unreadable else ""
    return (
        f"{len(reading.sources)} files{unread}; {outcome.chunks} chunks: {outcome.embedded} embedded,"
        f" {outcome.unchanged} unchanged; {outcome.removed} removed; {seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
