"""Parley's processes, made by the dozen: `python -m tests.chaos.server [BREAKAGE]`.

Importing takes a second, and a proof kills hundreds of servers. So this process imports what they import, serves
nothing itself, and for each line `LOG VARIABLES` on its standard input forks one that does: `lib.web.local:app` under
uvicorn, as a server runs it, in a process of its own. It answers with the line `PID PORT`. They die with it, and it
ends with its standard input.
"""

import json
import os
import signal
import socket
import sys
from importlib import import_module
from typing import Final, NoReturn

import uvicorn

from local.part import dies_with_parent
from tests.chaos import breakages

ROUTES: Final = (
    *("agents", "chat", "conversations", "export", "flow", "health", "identity", "internal", "jobs", "jwks"),
    *("messages", "metrics", "profile", "search", "tools", "turns", "usage", "users"),
)
FIRST_NEEDED: Final = (
    *("lib.web.app", *(f"lib.web.routes.{name}" for name in ROUTES)),
    *(
        "lib.db.session",
        "lib.chat.request",
        "lib.chat.titles",
        "lib.chat.under_way",
        "lib.providers",
        "lib.rag.retrieve",
    ),
    *("lib.auth.keys", "lib.auth.seal", "lib.auth.sessions", "lib.files.storage", "lib.jobs.reap"),
)
"""What the first requests of a server import. `lib.web.local` itself is not among them: it reads the environment."""


def main() -> None:
    """Fork a server for each line, until there are no more."""
    for module in FIRST_NEEDED:
        import_module(module)
    if len(sys.argv) > 1:
        breakages.BREAKAGES[sys.argv[1]].apply()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    _tell("ready")
    for line in sys.stdin:
        log, _, variables = line.partition(" ")
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        pid = os.fork()
        if pid == 0:
            _serve(listener, log, json.loads(variables))
        _tell(f"{pid} {listener.getsockname()[1]}")
        listener.close()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _serve(listener: socket.socket, log: str, variables: dict[str, str]) -> NoReturn:
    """Be a server."""
    dies_with_parent(signal.SIGKILL)()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(log, "wb", buffering=0) as file, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - descriptors
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(variables["DATA_DIR"])  # where no `.env` of anybody's lies
    try:
        uvicorn.Server(uvicorn.Config("lib.web.local:app")).run([listener])
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
