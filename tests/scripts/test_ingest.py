"""`scripts/ingest.py` as an operator runs it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from lib.ids import DEFAULT_TEAM_ID, new_id
from local.child import ROOT
from scripts.ingest import main
from tests.doubles.embeddings_server import EmbeddingsServer
from tests.fixtures.retrieval import NOWHERE, Library, retrieval_settings

Ingest = Callable[..., int]


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder's `docs`, with two documents in it and some things that are none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "guide.md").write_text("# Guide\n\nopening\n\n## Use\n\nask\n")
    (folder / "deep" / "notes.txt").write_text("remember the milk")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    (folder / ".git" / "hidden.md").write_text("# Hidden\n")
    return folder


@pytest.fixture
def ingest(qdrant_url: str, embeddings_double: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Run the script in this process, on a collection of the test's own."""
    environment = {
        "QDRANT_URL": qdrant_url,
        "QDRANT_COLLECTION": f"test-{uuid4().hex}",
        "EMBEDDING_BASE_URL": embeddings_double.base_url,
        "EMBEDDING_MODEL": "minilm-l6",
        "JWT_SECRET_KEY": "secret-of-the-tests-0123456789-abcdef",
        "INTERNAL_API_KEY": "internal-of-the-tests-0123456789-abc",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def library(ingest: Ingest, qdrant_url: str, embeddings_double: EmbeddingsServer) -> Library:
    """What the script wrote to."""
    collection = os.environ["QDRANT_COLLECTION"]
    return Library(retrieval_settings(qdrant_url, embeddings_double.base_url, qdrant_collection=collection))


@pytest.fixture(autouse=True)
def settings_read_afresh() -> None:
    from lib.settings import get_settings

    get_settings.cache_clear()


def uris(library: Library) -> set[str]:
    return {place["uri"] for place in library.stored().values()}


def test_a_folder_is_ingested_under_its_relative_paths(
    docs: Path, ingest: Ingest, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest("docs") == 0
    assert uris(library) == {"docs/guide.md", "docs/deep/notes.txt"}
    out = capsys.readouterr().out
    assert re.fullmatch(r"2 files; 3 chunks: 3 embedded, 0 unchanged; 0 removed; \d+\.\d s\n", out)


def test_quiet_prints_one_line(docs: Path, ingest: Ingest, capfd: pytest.CaptureFixture[str]) -> None:
    assert ingest("docs", "--quiet") == 0
    out, err = capfd.readouterr()
    assert (out.count("\n"), err) == (1, "")


def test_an_absolute_path_names_the_same_documents(docs: Path, ingest: Ingest, library: Library) -> None:
    ingest("docs")
    before = library.stored()
    assert ingest(docs) == 0
    assert library.stored() == before


def test_a_removed_file_leaves_the_index_and_others_stay(docs: Path, ingest: Ingest, library: Library) -> None:
    (docs.parent / "other.md").write_text("# Other\n\nelsewhere\n")
    ingest("docs", "other.md")
    (docs / "guide.md").unlink()
    assert ingest("docs") == 0
    assert uris(library) == {"docs/deep/notes.txt", "other.md"}


def test_a_removed_file_that_is_named_leaves_the_index(docs: Path, ingest: Ingest, library: Library) -> None:
    ingest("docs")
    (docs / "guide.md").unlink()
    assert ingest("docs/guide.md", "docs/deep") == 0
    assert uris(library) == {"docs/deep/notes.txt"}


def test_a_folder_that_is_away_removes_nothing(
    docs: Path, ingest: Ingest, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest("docs")
    docs.rename(docs.parent / "moved")
    assert ingest("docs") == 1
    assert "not read: docs: No such file or directory" in capsys.readouterr().err
    assert uris(library) == {"docs/guide.md", "docs/deep/notes.txt"}


def test_a_file_that_cannot_be_read_any_more_stays_as_it_was(
    docs: Path, ingest: Ingest, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest("docs")
    (docs / "guide.md").write_bytes(b"\xff\xfe")
    (docs / "scan.pdf").write_bytes(b"%PDF-junk")
    (docs / "nothing.html").write_bytes(b"")
    assert ingest("docs", "--quiet") == 0
    out, err = capsys.readouterr()
    assert "1 files, 3 not read; 1 chunks: 0 embedded, 1 unchanged; 0 removed" in out
    assert "not read: docs/guide.md: it is not UTF-8 text" in err
    assert "not read: docs/nothing.html: it is empty" in err
    assert uris(library) == {"docs/guide.md", "docs/deep/notes.txt"}


def test_nothing_readable_is_a_failure(docs: Path, ingest: Ingest) -> None:
    (docs / "junk.md").write_bytes(bytes(range(256)))
    assert ingest("docs/junk.md") == 1


def test_a_team_has_its_own_documents(docs: Path, ingest: Ingest, library: Library) -> None:
    team_id = new_id()
    assert ingest("docs", "--team", team_id) == 0
    assert len(library.stored(team_id)) == 3
    assert library.stored(DEFAULT_TEAM_ID) == {}


def test_a_team_may_be_named_by_its_slug(
    docs: Path, ingest: Ingest, library: Library, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert ingest("docs", "--team", "default") == 0
    assert len(library.stored(DEFAULT_TEAM_ID)) == 3


def test_a_team_that_is_none_is_one_sentence(
    docs: Path, ingest: Ingest, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert ingest("docs", "--team", "nobody") == 1
    assert capsys.readouterr().err == "ingest: There is no team 'nobody'.\n"


def test_a_slug_without_a_database_to_ask_is_one_sentence(
    docs: Path, ingest: Ingest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/none")
    assert ingest("docs", "--team", "default") == 1
    *_logged, said = capsys.readouterr().err.splitlines()
    assert said == "ingest: The team 'default' is looked up in DATABASE_URL, which cannot be reached."


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("QDRANT_URL", "http://127.0.0.1:9", "The vector store could not be used"),
        ("QDRANT_URL", "", "There is no vector store: set QDRANT_URL"),
        ("EMBEDDING_BASE_URL", NOWHERE, "Embedding failed"),
        ("EMBEDDING_BASE_URL", "", "No embeddings are configured"),
    ],
)
def test_a_service_that_fails_is_one_sentence(
    docs: Path,
    ingest: Ingest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert ingest("docs", "--quiet") == 1
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_it_runs_from_any_folder_as_a_script(docs: Path, ingest: Ingest, library: Library) -> None:
    script = ROOT / "scripts" / "ingest.py"
    done = subprocess.run([sys.executable, script, "docs"], capture_output=True, text=True, check=True)
    assert "3 embedded" in done.stdout
    assert uris(library) == {"docs/guide.md", "docs/deep/notes.txt"}
