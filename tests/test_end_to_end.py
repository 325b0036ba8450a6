"""A question to a book, answered: every part real, the model and the search included."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.fixtures.web import Deploy, Rows

ROOT = Path(__file__).resolve().parents[1]
BOOK = """# Bees

## The waggle dance

A honey bee that found flowers dances in the hive. The angle of the dance tells the direction, its length the distance.

## Wintering

In winter the bees form a cluster around their queen and shiver to keep her warm.
"""


@pytest.fixture
def book(embeddings_url: str, qdrant_url: str, tmp_path: Path) -> dict[str, Any]:
    """The settings under which the book is searched, once the script has brought it into the index."""
    search = {
        "qdrant_url": qdrant_url,
        "qdrant_collection": f"test-{uuid4().hex}",
        "embedding_base_url": embeddings_url,
        "embedding_model": "minilm-l6",
    }
    (tmp_path / "bees.md").write_text(BOOK)
    environment = {name.upper(): value for name, value in search.items()}
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "ingest.py", "bees.md", "--quiet"],
        cwd=tmp_path,
        env=os.environ | environment | {"DATA_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    return search | {"retrieval_timeout": 20}


async def test_a_question_to_a_book_is_answered_with_its_sources_and_saved(
    deploy: Deploy, rows: Rows, model_url: str, book: dict[str, Any]
) -> None:
    parley = await deploy(openai_base_url=model_url, chat_model="smollm2-135m", agent_timeout=120, **book)
    user_id = await parley.sign_up()

    *partial, last = await parley.stream("How do bees tell each other where the flowers are?")

    assert last["status"] == "success"
    assert last["content"] == "".join(frame["content"] for frame in partial)
    best, *_ = last["sources"]
    assert (best["uri"], best["title"], best["headings"]) == ("bees.md", "Bees", ["Bees", "The waggle dance"])
    assert "dances in the hive" in BOOK[best["start"] : best["end"]] == best["text"]
    assert (last["retrieval"], last["saved"], last["model"]) == ("used", True, "smollm2-135m")
    assert last["usage"]["output_tokens"] > 0
    (stored,) = await rows(
        "SELECT c.user_id, m.parts #>> '{0,text}' AS said FROM messages m JOIN conversations c"
        " ON c.id = m.conversation_id WHERE m.id = %s",
        UUID(last["message_id"]),
    )
    assert stored == {"user_id": user_id, "said": last["content"]}

    narrowed = (await parley.ask("What do they do?", metadata={"context": {"chapter": "wintering"}})).json()
    assert {source["headings"][-1] for source in narrowed["response"]["sources"]} == {"Wintering"}
