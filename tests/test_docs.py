"""The handbook agrees with itself and with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.errors import ParleyError
from lib.web.app import STATUS
from lib.web.routes import identity, threads
from tests.published import ROOT, published

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
API = (ROOT / "docs" / "api.md").read_text()

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ERROR = re.compile(r"^\| `(\w+)` \| (\d{3})", re.MULTILINE)


def test_the_api_tells_every_error_with_its_status_and_no_other() -> None:
    told = {code: int(status) for code, status in _ERROR.findall(API)}
    # A body that breaks a rule is 422, which FastAPI says; 400 is what is beside it in that row.
    assert told | {"invalid_request": 400} == {kind.code: _status(kind) for kind in _errors(ParleyError)}


def test_the_api_tells_every_route() -> None:
    paths = {_as_told(route.template) for route in published()}
    assert [path for path in sorted(paths) if path not in API] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(_FENCED.sub("", page.read_text())) if "://" not in link]
    assert [link for link in links if not _exists(page, link)] == []


def _errors(kind: type[ParleyError]) -> Iterator[type[ParleyError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _errors(each)


def _status(kind: type[ParleyError]) -> int:
    return int(next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS))


def _as_told(template: str) -> str:
    """Return a path as the API's tables name it: one prefix of several, and `{id}` for any id."""
    path = template
    for prefixes in (identity.PREFIXES, threads.PREFIXES):
        path = next((f"{prefixes[-1]}{path[len(each) :]}" for each in prefixes if path.startswith(f"{each}/")), path)
    return re.sub(r"\{\w+\}", "{id}", path)


def _exists(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (
        not anchor or anchor in {_anchor(told) for told in _HEADING.findall(target.read_text())}
    )


def _anchor(heading: str) -> str:
    """Return what a heading's link says: letters, digits, hyphens and underscores, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
