"""What an OpenAI-compatible endpoint may answer, byte for byte."""

import json
from typing import Any, Final

from tests.golden.upstream import Answer, Kind, Read, answer


def event(value: object, *, ends: str = "\n", separators: tuple[str, str] = (",", ":")) -> bytes:
    """Return a frame of the stream."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=separators)}{ends}{ends}".encode()


def chunk(
    delta: dict[str, Any] | None, finish: str | None = None, *, ends: str = "\n", logprobs: object = None, **more: Any
) -> bytes:
    """Return a chunk as OpenAI's own servers send it."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    head = {"id": "chatcmpl-B1", "object": "chat.completion.chunk", "created": 1764000000, "model": "double-1"}
    value = head | {"service_tier": "default", "system_fingerprint": "fp_1", "choices": [choice], "usage": None}
    return event(value | more, ends=ends)


def says(text: str, **more: Any) -> Read:
    """Return a chunk with a piece of the answer, which shows."""
    return Read(chunk({"content": text}, **more), ("text",))


def spelled(data: bytes) -> Read:
    """Return the payload of an event, which shows a piece of the answer."""
    return Read(b"data: %b\n\n" % data, ("text",))


def held(text: str) -> bytes:
    """Return a chunk with a piece of the answer that may be the beginning of a marker, and so does not show yet."""
    return chunk({"content": text})


def thinks(text: str, name: str = "reasoning_content") -> Read:
    """Return a chunk with a piece of what the model thinks aloud."""
    return Read(chunk({name: text}), ("reasoning",))


def together(*reads: Read | bytes, shows: tuple[Kind, ...]) -> Read:
    """Return reads as one, which shows these frames: neighbours of a kind come as one."""
    return Read(b"".join(read.data if isinstance(read, Read) else read for read in reads), shows)


ROLE: Final = chunk({"role": "assistant", "content": "", "refusal": None})
STOP: Final = chunk({}, "stop")
PADDING: Final = {"obfuscation": "Xk2"}
TOLD: Final = {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
USAGE: Final = event({"id": "chatcmpl-B1", "choices": [], "usage": TOLD})
DONE: Final = b"data: [DONE]\n\n"
END: Final = (STOP, USAGE, DONE)

_CRLF: Final = "\r\n"


def _halves(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]


def _cut_character() -> tuple[Read | bytes, ...]:
    """Return a chunk that is cut inside its one character of four bytes."""
    data = chunk({"content": "a🌱b"})
    first, second = _halves(data, data.index("🌱".encode()) + 2)
    return first, Read(second, ("text",))


def _cut_line_end() -> tuple[Read | bytes, ...]:
    """Return a chunk whose CR and LF come apart."""
    first, second = _halves(chunk({"content": "one"}, ends=_CRLF), -3)
    return first, Read(second, ("text",))


ANSWERS: Final[dict[str, Answer]] = {
    "plain": answer(ROLE, says("Bees"), says(" dance"), says("."), *END),
    "together": answer(
        together(ROLE, says("Bees"), says(" dance"), shows=("text",)),
        together(says("."), says(" Often."), *END, shows=("text",)),
    ),
    "reasoning": answer(ROLE, thinks("Let me "), thinks("see."), says("Yes"), says("."), *END),
    "reasoning under its other name": answer(thinks("Hm.", "reasoning"), says("Yes."), *END),
    "reasoning and text in turn": answer(
        together(
            thinks("a"), thinks("b"), says("c"), says("d"), thinks("e"), says("f"), shows=("reasoning", "text") * 2
        ),
        thinks("g"),
        says("h"),
        Read(chunk({"reasoning_content": "i", "content": "j"}), ("reasoning", "text")),
        *END,
    ),
    "without usage": answer(ROLE, says("Bees"), STOP, DONE),
    "usage in a chunk with a choice": answer(says("Bees"), chunk({}, "stop", usage=TOLD), DONE),
    "usage that no table holds": answer(
        says("Bees"), STOP, event({"choices": [], "usage": TOLD | {"prompt_tokens": 2**40}}), DONE
    ),
    "without done": answer(says("Bees"), STOP),
    "done alone": answer(says("Bees"), DONE),
    "length": answer(says("Bees"), chunk({}, "length"), DONE),
    "words after its end": answer(says("Bees"), STOP, says(" dance"), USAGE, DONE),
    "unicode": answer(
        says("Grüße, 蜂🐝 "), says("e\u0301 \u200d\u2028\u2029 \ufeff"), says('"\\/\b\f\t\x7f</script>'), *END
    ),
    "escapes": answer(
        spelled(b'{"choices":[{"delta":{"content":"\\ud83c\\udf31 \\u00fc \\/ \\u2028"}}]}'),
        spelled(b'{"choices":[{"delta":{"content":"no\\u0000thing"}}]}'),
        spelled(b'{"choices":[{"delta":{"content":"a \\"quotation\\" and \\\\"}}]}'),
        spelled(b'{"choices":[{"delta":{"content":"\\\\\\""}}]}'),
        spelled(b'{"choices":[{"delta":{"c\\u006fntent":"\\n"}}]}'),
        *END,
    ),
    "half a surrogate pair": answer(says("Bees"), b'data: {"choices":[{"delta":{"content":"\\ud83c"}}]}\n\n', *END),
    "lines and blanks": answer(says("One\n\nTwo\r\n"), says("\t three "), says(" "), says(" "), says("end\n"), *END),
    "empty pieces": answer(chunk({"content": ""}), says("Bees"), chunk({"content": None}), chunk(None), *END),
    "CRLF": answer(says("Bees", ends=_CRLF), says(" dance", ends=_CRLF), chunk({}, "stop", ends=_CRLF), DONE),
    "a CR and its LF apart": answer(*_cut_line_end(), *END),
    "a character cut in two": answer(*_cut_character(), *END),
    "comments and other fields": answer(
        b": PROCESSING\n\n",
        b": PROCESSING\r\n\r\nretry: 10\n\n",
        Read(b"event: message\nid: 7\n" + chunk({"content": "Bees"}), ("text",)),
        b"\n\n:\n\n",
        Read(b'data:{"choices":[{"delta":{"content":" dance"}}]}  \n\n', ("text",)),
        *END,
    ),
    "another model": answer(says("Bees", model="another"), *END),
    "blanks in the JSON": answer(
        Read(event({"choices": [{"index": 0, "delta": {"content": "Bees"}}]}, separators=(" , ", " : ")), ("text",)),
        spelled(b'{\t"choices" : [ {"delta":\r{ "content" : " dance" } } ] } '),
        *END,
    ),
    "keys in another order": answer(
        spelled(
            b'{"usage":null,"choices":[{"finish_reason":null,"delta":{"content":"Bees","role":"assistant"}}],"id":"c"}'
        ),
        spelled(
            b'{"choices":[{"delta":{"role":"assistant","refusal":null,"content":" dance"},"index":0}],"error":null}'
        ),
        spelled(b'{"choices":[{"delta":{"content":"no","content":"."}}]}'),
        *END,
    ),
    "keys of the same name elsewhere": answer(
        says("Bees", logprobs={"content": [{"token": "x", "logprob": -1, "bytes": [1], "top_logprobs": []}]}),
        says(" dance", content="no", message={"content": "no"}),
        chunk({"tool_calls": [{"function": {"arguments": '{"content":"no"}'}}], "audio": {"content": "no"}}),
        *END,
    ),
    "text that looks like the stream": answer(
        says('data: [DONE]\n\ndata: {"choices":[]}\n\n'),
        says('"finish_reason":"stop"}]}'),
        says('\\"content\\":\\"'),
        says("event: text\nid: 9.9.9.9\n\n"),
        *END,
    ),
    "padding beside each piece": answer(says("Bees", **PADDING), says(" dance", **PADDING), *END),
    "a long piece": answer(says("0123456789" * 1000), says("."), *END),
    "a piece and the end in one chunk": answer(
        says("Bees"), Read(chunk({"content": " dance"}, "stop"), ("text",)), DONE
    ),
    "content of another type": answer(says("Bees"), chunk({"content": [{"type": "text", "text": "no"}]}), *END),
    "two choices": answer(
        Read(event({"choices": [{"delta": {"content": "one"}}, {"index": 1, "delta": {"content": "two"}}]}), ("text",)),
        *END,
    ),
    "tools that nobody asked for": answer(
        says("Bees"), chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}), *END
    ),
    "false citations": answer(
        says("Bees dance [1]"), held(" ["), held("7"), says("] and sing [2, 1]."), says(" `a[9]`"), held(" [3"), *END
    ),
    "a marker that never closes": answer(says("Bees ["), held("1"), *END),
    "a fence": answer(says("So:\n"), held("``"), says("`\nx[9]\n"), says("```\nor [9]."), *END),
    "whole JSON": answer(
        json.dumps(
            {
                "choices": [
                    {"message": {"reasoning_content": "Hm.", "content": "Bees [9] dance."}, "finish_reason": "stop"}
                ],
                "usage": TOLD,
            }
        ).encode(),
        content_type="application/json",
    ),
    "an error at once": answer(event({"error": {"message": "boom", "code": "server_error"}})),
    "an error after a word": answer(says("Bees"), event({"error": {"message": "boom", "code": 429}})),
    "an error beside a word": answer(
        together(says("Bees"), event({"error": {"message": "boom"}}), shows=("text",)),
    ),
    "cut before a word": answer(ROLE, end="cut"),
    "cut after a word": answer(says("Bees"), end="cut"),
    "cut after reasoning": answer(thinks("Hm"), end="cut"),
    "cut after the end": answer(says("Bees"), STOP, end="cut"),
    "no end": answer(says("Bees")),
    "no end of the last line": answer(says("Bees"), b"data: [DONE]"),
    "no answer": answer(ROLE, *END),
    "nothing": answer(),
    "reasoning alone": answer(thinks("Hm"), *END),
    "garbage": answer(b"data: {oh}\n\n"),
    "garbage after a word": answer(says("Bees"), b'data: {"choices": 3}\n\n'),
    "no UTF-8": answer(says("Bees"), b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', *END),
    "filtered": answer(ROLE, chunk({}, "content_filter"), DONE),
    "filtered after a word": answer(says("Bees"), chunk({}, "content_filter"), DONE),
    "status 400": answer(b'{"error": {"message": "No.", "code": "context_length_exceeded"}}', status=400),
    "status 401": answer(b'{"error": {"message": "Wrong key."}}', status=401),
    "status 429": answer(b'{"error": {"message": "Slowly."}}', status=429, headers={"Retry-After": "7"}),
    "status 500": answer(b"<html>Oh</html>", status=500, content_type="text/html"),
}
"""By what is special about them."""
