"""The book's chat as a stream, over HTTP."""

import asyncio
import json
from itertools import groupby
from typing import Any
from uuid import UUID

import httpx

from tests.doubles.openai_server import OpenAIServer
from tests.doubles.upstream import Call, Script
from tests.fixtures.web import Deploy, Deployment, Rows, frames, question


async def test_frames_are_partial_until_the_last_which_holds_the_whole_answer(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    openai_double.play(Script.saying("Parley is a chat backend."))
    *partial, last = await parley.stream()
    assert {frame["status"] for frame in partial} == {"partial"}
    assert "".join(frame["content"] for frame in partial) == "Parley is a chat backend."
    assert (last["status"], last["content"], last["saved"]) == ("success", "Parley is a chat backend.", True)
    assert last["usage"] == {"input_tokens": 12, "output_tokens": 4}
    assert UUID(last["message_id"]) != UUID(last["conversation_id"])


async def test_the_same_turn_is_told_in_our_own_events_to_who_asks_for_them(parley: Deployment) -> None:
    response = await parley.client.post("/api/v1/chat/stream?protocol=native", json=question("Hi"))
    frames = [
        dict(line.split(": ", 1) for line in frame.splitlines()) for frame in response.text.split("\n\n") if frame
    ]
    kinds = [kind for kind, _ in groupby(frame["event"] for frame in frames)]
    assert kinds == ["started", "sources", "text", "usage", "finished"]
    assert (frames[0]["id"], frames[-1]["id"]) == ("1.0.0.0", f"9.{len('Hello, world.')}.0.0")
    last = json.loads(frames[-1]["data"])
    assert (last["text"], last["saved"], last["model"]) == ("Hello, world.", True, "double-1")
    unknown = await parley.client.post("/api/v1/chat/stream?protocol=morse", json=question("Hi"))
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_request")


async def test_a_stream_is_not_buffered_on_its_way(parley: Deployment) -> None:
    response = await parley.client.post("/api/v1/chat/stream", json=question("Hi"))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"]


async def test_the_first_frame_arrives_before_the_last_token_exists(
    parley: Deployment, openai_double: OpenAIServer
) -> None:
    openai_double.play(Script.saying("One two three", stall_at=2))
    async with parley.client.stream("POST", "/api/v1/chat/stream", json=question("Count")) as response:
        text = response.aiter_text()
        assert frames(await anext(text))[0]["status"] == "partial"
        assert openai_double.calls[0].sent == 2
        openai_double.resume()
        rest = "".join([piece async for piece in text])
    assert frames(rest)[-1]["content"] == "One two three"


async def test_a_false_citation_never_reaches_the_client(parley: Deployment, openai_double: OpenAIServer) -> None:
    openai_double.play(Script.saying("True [1]. False [2]. Both [1, 7].", write_size=3))
    received = await parley.stream(metadata={"context": {"selected_text": "Bees dance."}})
    assert "".join(frame["content"] for frame in received[:-1]) == "True [1]. False. Both [1]."
    assert received[-1]["content"] == "True [1]. False. Both [1]."


async def test_the_last_frame_of_a_broken_turn_is_an_error_and_the_partial_is_kept(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    openai_double.play(Script.saying("One two three", cut_at=2))
    *_, last = await parley.stream()
    assert (last["status"], last["code"], last["saved"]) == ("error", "provider_error", True)
    stored = await rows("SELECT status, parts FROM messages WHERE id = %s", UUID(last["message_id"]))
    assert stored == [{"status": "failed", "parts": [{"type": "text", "text": "One two"}]}]


async def test_a_stall_ends_the_stream_with_a_timeout(deploy: Deploy, openai_double: OpenAIServer) -> None:
    openai_double.play(Script(stall_at=1))
    *_, last = await (await deploy(agent_timeout=0.6)).stream()
    assert (last["status"], last["code"]) == ("error", "provider_timeout")


async def test_a_refusal_comes_as_a_status_before_any_frame(parley: Deployment) -> None:
    unknown = "01900000-0000-7000-8000-00000000dead"
    response = await parley.client.post("/api/v1/chat/stream", json=question("Hi", conversation_id=unknown))
    assert (response.status_code, response.json()["code"]) == (404, "conversation_not_found")


async def read_until(response: httpx.Response, said: str) -> None:
    """Read a stream until it has said this, in whichever frame."""
    read = ""
    async for piece in response.aiter_text():
        read += piece
        if said in read:
            return


async def leave_after(said: str, parley: Deployment, upstream: OpenAIServer) -> Call:
    """Ask as a client that goes away once it has read this; return the model's side of it."""
    async with (
        httpx.AsyncClient(base_url=parley.url) as client,
        client.stream("POST", "/api/v1/chat/stream", json=question("Count")) as response,
    ):
        await read_until(response, said)
    return upstream.calls[0]


async def test_a_client_that_leaves_stops_the_model_and_what_arrived_is_kept(
    deploy: Deploy, openai_double: OpenAIServer, rows: Rows
) -> None:
    parley = await deploy(disconnect="cancel")
    openai_double.play(Script.saying("One two three four", stall_at=2))
    call = await leave_after("two", parley, openai_double)
    async with asyncio.timeout(2):
        await call.gone.wait()
        stored: list[dict[str, Any]] = []
        while not stored:
            stored = await rows(
                "SELECT m.parts, l.outcome FROM messages m JOIN interaction_logs l ON l.message_id = m.id"
                " WHERE m.status = 'interrupted' AND m.parts #>> '{0,text}' = 'One two'"
            )
    assert call.sent == 2
    assert stored[0]["outcome"] == "interrupted"


async def test_a_turn_under_way_when_the_server_shuts_down_is_kept_as_interrupted(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    openai_double.play(Script.saying("Eight nine ten", stall_at=2))
    async with parley.client.stream("POST", "/api/v1/chat/stream", json=question("Count")) as response:
        await read_until(response, "nine")
        await parley.instance.close()
        stored = await rows(
            "SELECT id FROM messages WHERE status = 'interrupted' AND parts #>> '{0,text}' = 'Eight nine'"
        )
        assert len(stored) == 1


async def test_the_users_message_is_committed_before_the_model_is_asked(
    parley: Deployment, openai_double: OpenAIServer, rows: Rows
) -> None:
    openai_double.play(Script(silent=True))
    asking = asyncio.create_task(parley.stream("Is this kept already?"))
    await openai_double.next_call()
    stored = await rows(
        "SELECT b.status FROM messages a JOIN messages b USING (conversation_id)"
        " WHERE a.parts #>> '{0,text}' = 'Is this kept already?' ORDER BY b.id"
    )
    assert [row["status"] for row in stored] == ["complete", "streaming"]
    openai_double.resume()
    assert (await asking)[-1]["status"] == "success"
