"""The arrows that never exist, and the sizes that ask for a split. `ARCHITECTURE.md` draws the rooms."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Arrow:
    """Modules inside `source`, but not inside `but`, never import what lies inside `target`, but not inside `save`."""

    sentence: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    but: tuple[str, ...] = ()
    save: tuple[str, ...] = ()


ARROWS = (
    Arrow("lib does not know api", ("lib",), ("api",)),
    Arrow("one function does not import another", ("api",), ("api",)),
    Arrow(
        "only api and lib/web know the framework",
        ("lib", "scripts"),
        ("fastapi", "starlette", "mangum"),
        but=("lib.web",),
    ),
    Arrow(
        "an encoder knows events, and not where they come from or go to",
        ("lib.encoders",),
        ("lib.store", "lib.db", "lib.providers", "lib.web"),
    ),
    Arrow("a provider knows no turn", ("lib.providers",), ("lib.store", "lib.chat", "lib.encoders")),
    Arrow("the store knows rows alone", ("lib.store",), ("lib.chat", "lib.providers", "lib.encoders")),
    Arrow("one store does not import another", ("lib.store",), ("lib.store",)),
    Arrow("events and errors stand alone", ("lib.chat.events", "lib.errors"), ("lib",), save=("lib.errors",)),
    Arrow(
        "settings know how secrets are kept and read, and nothing else",
        ("lib.settings", "lib.secrets"),
        ("lib",),
        save=("lib.settings", "lib.secrets"),
    ),
    Arrow("secrets know no settings", ("lib.secrets",), ("lib.settings",)),
    Arrow(
        "SQL is in store, db and the migrations",
        ("api", "lib", "scripts"),
        ("sqlalchemy", "psycopg"),
        but=("lib.store", "lib.db", "scripts.migrations"),
    ),
    Arrow("production knows nothing of the laptop", ("api", "lib"), ("local", "scripts", "tests", "bench")),
)


@dataclass(frozen=True)
class Module:
    """A source file: the dotted names it imports, at its top or inside a function."""

    name: str
    imports: frozenset[str]
    reads_environment: bool


def inside(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def imported(tree: ast.AST) -> frozenset[str]:
    """Return every name that is imported; of `from a import b` both `a` and `a.b`, since `b` may be a module."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
            case ast.ImportFrom():
                names.add("a relative import")
            case _:
                pass
    return frozenset(names)


def parse(name: str, source: str) -> Module:
    tree = ast.parse(source)
    imports = imported(tree)
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return Module(name, imports, reads_environment=bool({"os.environ", "os.getenv"} & (used | imports)))


def source_files() -> list[Path]:
    return [path for room in ("api", "lib", "scripts") for path in sorted((ROOT / room).rglob("*.py"))]


@cache
def modules() -> dict[str, Module]:
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in source_files()}
    return {
        name: parse(name, path.read_text())
        for name, path in ((dotted.removesuffix(".__init__"), path) for dotted, path in named.items())
    }


def broken(arrow: Arrow, house: Mapping[str, Module]) -> list[str]:
    """Return each import against the arrow."""
    return [
        f"{module.name} imports {name}"
        for module in house.values()
        if inside(module.name, arrow.source) and not inside(module.name, arrow.but)
        for name in sorted(module.imports)
        if inside(name, arrow.target) and not inside(name, arrow.save) and name not in {module.name, *arrow.source}
    ]


def cycle(house: Mapping[str, Module]) -> list[str]:
    """Return the modules of one import cycle, or none."""
    graph = {name: {other for other in module.imports if other in house} - {name} for name, module in house.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: arrow.sentence)
def test_an_arrow_that_never_exists(arrow: Arrow) -> None:
    assert broken(arrow, modules()) == []


def test_there_is_no_import_cycle() -> None:
    assert cycle(modules()) == []


def test_only_settings_read_the_environment() -> None:
    readers = [module.name for module in modules().values() if module.reads_environment]
    assert [name for name in readers if inside(name, ("api", "lib"))] == ["lib.settings.sources"]


def test_no_import_is_relative() -> None:
    assert [module.name for module in modules().values() if "a relative import" in module.imports] == []


@pytest.mark.parametrize(("room", "limit"), [("api", 15), ("lib", 300)])
def test_files_stay_small(room: str, limit: int) -> None:
    files = [path for path in source_files() if path.is_relative_to(ROOT / room)]
    assert [str(path) for path in files if len(path.read_text().splitlines()) >= limit] == []


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: arrow.sentence)
@pytest.mark.parametrize("source", ["import {}.planted", "def later():\n    from {} import planted"])
def test_an_arrow_that_is_planted_is_found(arrow: Arrow, source: str) -> None:
    for room in arrow.source:
        for target in arrow.target:
            planted = parse(f"{room}.newcomer", source.format(target))
            assert f"{room}.newcomer imports {target}.planted" in broken(arrow, {planted.name: planted})


def test_what_else_is_planted_is_found() -> None:
    one, other = parse("lib.a", "from lib import b"), parse("lib.b", "def later():\n    import lib.a")
    assert set(cycle({"lib.a": one, "lib.b": other})) == {"lib.a", "lib.b"}
    assert parse("lib.a", "import os\n\nhome = os.environ['HOME']").reads_environment
    assert parse("lib.a", "from os import getenv").reads_environment
    assert "a relative import" in parse("lib.a", "from . import b").imports
