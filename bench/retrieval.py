"""How well documents are found: nDCG@10 and recall@100 on SciFact, by the code that serves requests.

The environment may name other files: CORPUS (JSON lines of `_id`, `title`, `text`, may be gzipped), QUERIES (JSON
lines of `_id`, `text`) and QRELS (query id, document id and grade, tabs between). The index is kept in
`DATA_DIR`/bench, so a second run embeds no document again.
"""

import asyncio
import gzip
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, cast, get_args

import msgspec
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.http import close_http_session
from lib.ids import DEFAULT_TEAM_ID
from lib.rag.chunk import Chunk
from lib.rag.collection import open_collection
from lib.rag.embed import Embedder
from lib.rag.index import Source, update_index
from lib.rag.retrieve import Mode, Retriever
from lib.settings import Settings
from local.child import ROOT, running
from local.embeddings import MODEL

SCIFACT: Final = ROOT.parent / "shared/data/scifact"
DEPTH: Final = 100
CALLERS: Final = 4

Judgments = Mapping[str, Mapping[str, int]]


class Text(msgspec.Struct):
    """A line of the corpus or of the queries."""

    id: str = msgspec.field(name="_id")
    text: str
    title: str = ""


def main() -> None:
    """Index what is not indexed yet, ask every judged question in every mode, and print the figures."""
    corpus = _texts(_file("CORPUS", "corpus.jsonl.gz"))
    judged = _judgments(_file("QRELS", "qrels_train.tsv"))
    queries = [query for query in _texts(_file("QUERIES", "queries_train.jsonl")) if query.id in judged]
    with ExitStack() as parts:
        settings = _local_settings(parts)
        _index(settings, corpus)
        table = Table("", "nDCG@10", f"recall@{DEPTH}", "s", title=f"{len(corpus)} documents, {len(queries)} queries")
        for mode in get_args(Mode):
            started = time.monotonic()
            found = asyncio.run(_ask_all(settings, queries, mode))
            seconds = time.monotonic() - started
            table.add_row(
                mode, f"{_mean(ndcg, found, judged):.4f}", f"{_mean(recall, found, judged):.4f}", f"{seconds:.0f}"
            )
        Console().print(table)


def _file(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or SCIFACT / name)


def _texts(path: Path) -> list[Text]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        return [msgspec.json.decode(line, type=Text) for line in lines if line.strip()]


def _judgments(path: Path) -> Judgments:
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        query, document, grade = line.split("\t")
        if grade.isdigit() and grade != "0":
            judged[query][document] = int(grade)
    return judged


def _local_settings(parts: ExitStack) -> Settings:
    """Start the local parts, and return settings that name them."""
    settings = Settings()
    store = settings.data_dir / "bench" / "qdrant"
    store.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = {
        "qdrant_url": parts.enter_context(running("local.qdrant", str(store.resolve()))),
        "qdrant_collection": "bench",
        "embedding_base_url": parts.enter_context(running("local.embeddings")) + "/v1",
        "embedding_model": MODEL,
        "retrieval_timeout": 60.0,
    }
    return settings.model_copy(update=named)


def _index(settings: Settings, corpus: Sequence[Text]) -> None:
    """Index every document as one chunk, which is what the judgments are about."""
    sources = [
        Source(text.id, text.title, (Chunk(headings=(), start=0, end=len(text.text), text=text.text),))
        for text in corpus
    ]
    embedder = Embedder(settings.embedding_base_url or "", MODEL)
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        print(f"\rembedding {done} of {total}", end="", file=sys.stderr, flush=True)

    with open_collection(settings, DEFAULT_TEAM_ID) as collection:
        outcome = update_index(collection, embedder, sources, covers=lambda _: True, progress=progress)
    print(f"\rindexed: {outcome.embedded} embedded, {outcome.unchanged} unchanged, {time.monotonic() - started:.0f} s")


async def _ask_all(settings: Settings, queries: Sequence[Text], mode: Mode) -> dict[str, list[str]]:
    """Return the ids of the documents found for each query, best first."""
    retriever = cast("Retriever", Retriever.from_settings(settings))
    waiting = iter(queries)
    found: dict[str, list[str]] = {}

    async def caller() -> None:
        for query in waiting:
            passages = await retriever.search(query.text, team_id=DEFAULT_TEAM_ID, limit=DEPTH, mode=mode)
            found[query.id] = [passage.uri for passage in passages]

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(caller())
    await close_http_session()
    return found


def ndcg(found: Sequence[str], grades: Mapping[str, int], at: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first `at` (Järvelin and Kekäläinen, 2002), 0 to 1."""

    def gain(ranked: Sequence[int]) -> float:
        return sum(grade / math.log2(rank + 2) for rank, grade in enumerate(ranked[:at]))

    return gain([grades.get(document, 0) for document in found]) / gain(sorted(grades.values(), reverse=True))


def recall(found: Sequence[str], grades: Mapping[str, int], at: int = DEPTH) -> float:
    """Return which part of the fitting documents is among the first `at`, 0 to 1."""
    return len(grades.keys() & set(found[:at])) / len(grades)


def _mean(figure: Any, found: Mapping[str, Sequence[str]], judged: Judgments) -> float:
    return sum(figure(found.get(query, ()), grades) for query, grades in judged.items()) / len(judged)


if __name__ == "__main__":
    main()
