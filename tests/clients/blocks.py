"""The requests that a document shows, word for word, and what it shows of their answers."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import httpx

HERE: Final = Path(__file__).resolve().parent

_SECTION: Final = re.compile(r"^#{3,4} (.+)$", re.MULTILINE)
_FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """What stands under a heading: the blocks of code, in their order."""

    blocks: tuple[tuple[str, str], ...]

    def block(self, language: str, number: int = 0) -> str:
        """Return a block of this language."""
        return [text for written_in, text in self.blocks if written_in == language][number]

    @property
    def answer(self) -> Any:
        """The JSON that is shown."""
        return json.loads(self.block("json"))


def sections(document: str, *, under: str) -> dict[str, Section]:
    """Return the sections of a document's chapter that begins with `under`, by their headings; "" is its beginning."""
    whole = (HERE / document).read_text()
    start = whole.index(under)
    end = whole.find("\n## ", start + 1)
    text = whole[start : end if end > 0 else None]
    parts = ["", *_SECTION.split(text)]
    return {
        heading: Section(tuple((found[1], found[2]) for found in _FENCED.finditer(body)))
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
    }


def filled(text: str, given: Mapping[str, str]) -> str:
    """Put what only a run knows, an id or a token, where the document has its example of it."""
    for example, value in given.items():
        assert example in text, f"the document says nothing of {example}"
        text = text.replace(example, value)
    return text


@dataclass(frozen=True)
class Client:
    """Sends what a document shows to a deployment. `jar` is what curl would keep in `cookies.txt`."""

    url: str
    jar: httpx.Cookies

    @classmethod
    def of(cls, url: str) -> "Client":
        """Return a client that nobody knows."""
        return cls(url, httpx.Cookies())

    async def http(self, block: str, given: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a request that is written as HTTP."""
        head, _, body = filled(block, given or {}).partition("\n\n")
        first, *lines = head.strip().splitlines()
        method, path = first.split()
        headers = dict(line.split(": ", 1) for line in lines)
        if "files" in more:
            del headers["Content-Type"]  # which names the boundary besides
        else:
            more["content"] = body.strip()
        return await self._send(method, path, headers, **more)

    async def curl(self, block: str, given: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a request that is written for curl, with the options that the documents use."""
        program, *words = shlex.split(filled(block, given or {}).replace("\\\n", " "))
        assert program == "curl"
        method, url, body, headers, flags = "GET", "", "", dict[str, str](), set[str]()
        while words:
            match words.pop(0):
                case "-X":
                    method = words.pop(0)
                case "-H":
                    name, value = words.pop(0).split(": ", 1)
                    headers[name] = value
                case "-d":
                    body = words.pop(0)
                case "-b" | "-c" as flag:
                    assert words.pop(0) == "cookies.txt"
                    flags.add(flag)
                case "-N":
                    pass
                case word:
                    assert not url, f"curl has no option {word} here"
                    url = word
        path = url.removeprefix("http://localhost:8000")
        assert path.startswith("/")
        answer = await self._send(method, path, headers, content=body, cookies=self.jar if "-b" in flags else None)
        if "-c" in flags:
            self.jar.update(answer.cookies)
        return answer

    async def _send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        cookies: httpx.Cookies | None = more.pop("cookies", None)
        async with httpx.AsyncClient(base_url=self.url, cookies=cookies, timeout=30) as client:
            return await client.request(method, path, headers=headers, **more)


def missing(shown: Any, got: Any, at: str = "") -> list[str]:
    """Return where an answer lacks a field that a document shows, or has something of another kind in its place."""
    if shown is None:
        return []
    if _kind(shown) != _kind(got):
        return [f"{at} is {got!r}, and {shown!r} is shown"]
    if isinstance(shown, list):
        if shown and not got:
            return [f"{at} is empty"]
        return missing(shown[0], got[0], f"{at}[0]") if shown else []
    faults: list[str] = []
    for name in cast("dict[str, Any]", shown) if isinstance(shown, dict) else ():
        faults += missing(shown[name], got[name], f"{at}.{name}") if name in got else [f"{at}.{name} is missing"]
    return faults


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return type(value).__name__
