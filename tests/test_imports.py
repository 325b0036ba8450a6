"""Import time is start time: what each function may load, in an interpreter of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "api").rglob("*.py"))

FRAMEWORK = {
    *("annotated_doc", "annotated_types", "anyio", "cython_runtime", "dotenv", "email_validator", "fastapi"),
    *(
        "idna",
        "msgspec",
        "opentelemetry",
        "pydantic",
        "pydantic_core",
        "pydantic_settings",
        "python_multipart",
        "sniffio",
        "starlette",
        "typing_extensions",
    ),
    *("typing_inspection", "uuid_utils"),
}
CREDENTIALS = {"bcrypt", "cryptography", "jwt"}
DATABASE = {"psycopg", "psycopg_binary", "sqlalchemy"}
HTTP_CLIENT = {"aiohappyeyeballs", "aiohttp", "aiosignal", "attr", "frozenlist", "multidict", "propcache", "yarl"}
STEMMERS = {"py_rust_stemmers"}

# An upper bound, room by room: openai, google.genai, qdrant_client and their like are in none, and what an instance
# needs only when it is asked for something is imported then (`lib/web/instance.py`).
TURN = FRAMEWORK | DATABASE | HTTP_CLIENT | STEMMERS
MAY_LOAD = {
    "api/agents": FRAMEWORK | DATABASE,
    "api/auth": FRAMEWORK | CREDENTIALS | DATABASE,
    "api/conversations": FRAMEWORK | DATABASE,
    "api/chat/index": TURN,
    "api/chat/stream": TURN,
    "api/health": FRAMEWORK,
    "api/jobs": FRAMEWORK,
}

LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)))
"""


def loads(module: str, folder: Path) -> set[str]:
    """Return the third-party packages that an import of `module` loads, as a deployed function would."""
    environment = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(folder), "PATH": os.defpath}
    command = [sys.executable, "-c", LOADED, module]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    ours = {"api", "lib", "__main__"}
    return {name for name in json.loads(done.stdout) if name not in ours and not name.startswith("_")}


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_loads_only_what_it_may(function: Path, tmp_path: Path) -> None:
    loaded = loads(".".join(function.parts), tmp_path)
    assert "fastapi" in loaded
    assert loaded - MAY_LOAD.get(function.as_posix(), FRAMEWORK) == set()


def test_a_heavy_package_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "newcomer.py").write_text("import lib.settings\nimport qdrant_client\n")
    assert {"qdrant_client", "numpy", "grpc"} <= loads("newcomer", tmp_path) - TURN
