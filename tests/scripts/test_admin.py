"""How an operator makes an administrator: `scripts/init_db.py --admin`."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from lib.auth.passwords import verify_password
from scripts.init_db import ROOT

PASSWORD = "a password of the tests"

IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""A process that has a terminal of its own, whose other side is its standard input and output."""


@pytest.fixture
def email() -> str:
    return f"{uuid4().hex}@example.com"


def command(url: str, folder: Path, email: str, *before: str) -> dict[str, Any]:
    return {
        "args": [sys.executable, *before, ROOT / "scripts" / "init_db.py", "--admin", email],
        "env": os.environ | {"NEON_DATABASE_URL": url, "DATABASE_URL": "", "DATA_DIR": str(folder)},
        "cwd": folder,
        "text": True,
    }


def init_db(url: str, folder: Path, email: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run it without a terminal."""
    return subprocess.run(**command(url, folder, email), input=typed, capture_output=True, check=False)


class Terminal:
    """A program at a terminal, as whoever sits at it sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.seen = ""

    def type(self, prompt: str, text: str) -> None:
        """Wait for a prompt, and answer it."""
        assert self._process.stdin
        assert self._process.stdout
        while not self.seen.endswith(prompt):
            letter = self._process.stdout.read(1)
            assert letter, f"it ended, and had said: {self.seen}"
            self.seen += letter
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def end(self) -> int:
        """Wait for the end, and return the exit status."""
        assert self._process.stdout
        self.seen += self._process.stdout.read()
        return self._process.wait()


@contextmanager
def at_a_terminal(url: str, folder: Path, email: str) -> Generator[Terminal]:
    spawned = command(url, folder, email, "-c", IN_A_TERMINAL, sys.executable)
    with subprocess.Popen(**spawned, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Terminal(process)


def account(url: str, email: str) -> dict[str, Any] | None:
    with psycopg.connect(url) as operator, operator.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT id, role, password_hash FROM users WHERE email = %s", (email,)).fetchone()


def events(url: str, email: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as operator:
        return operator.execute(
            "SELECT kind, detail, actor_id FROM security_events WHERE user_id ="
            " (SELECT id FROM users WHERE email = %s) ORDER BY id",
            (email,),
        ).fetchall()


async def test_a_new_account_gets_its_password_from_standard_input(
    database_url: str, tmp_path: Path, email: str
) -> None:
    done = init_db(database_url, tmp_path, email.upper(), f"{PASSWORD}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{email} has a new account, and is an administrator.\n")
    assert PASSWORD not in done.stdout
    made = account(database_url, email)
    assert made
    assert made["role"] == "admin"
    assert await verify_password(PASSWORD, made["password_hash"])
    assert events(database_url, email) == [("user_created", {"role": "admin"}, None)]


def test_a_registered_user_becomes_an_administrator_and_is_asked_nothing(
    database_url: str, tmp_path: Path, email: str
) -> None:
    init_db(database_url, tmp_path, email, PASSWORD)
    with psycopg.connect(database_url) as operator:
        operator.execute("UPDATE users SET role = 'user' WHERE email = %s", (email,))
    before = account(database_url, email)
    for _ in range(2):
        done = init_db(database_url, tmp_path, f" {email.upper()} ")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"{email} is an administrator.\n")
    assert account(database_url, email) == {**(before or {}), "role": "admin"}
    assert events(database_url, email)[1:] == [("role_changed", {"from": "user", "to": "admin"}, None)]


async def test_at_a_terminal_the_password_is_typed_twice_and_not_shown(
    database_url: str, tmp_path: Path, email: str
) -> None:
    with at_a_terminal(database_url, tmp_path, email) as terminal:
        terminal.type("Password (nothing to have one made): ", PASSWORD)
        terminal.type("Once more: ", PASSWORD)
        assert terminal.end() == 0
    assert "has a new account" in terminal.seen
    assert PASSWORD not in terminal.seen
    made = account(database_url, email)
    assert made
    assert await verify_password(PASSWORD, made["password_hash"])


async def test_at_a_terminal_a_password_is_made_for_whoever_types_none(
    database_url: str, tmp_path: Path, email: str
) -> None:
    with at_a_terminal(database_url, tmp_path, email) as terminal:
        terminal.type("Password (nothing to have one made): ", "")
        assert terminal.end() == 0
    (password,) = re.findall(r"Its password is (\S{24})\s", terminal.seen)
    made = account(database_url, email)
    assert made
    assert await verify_password(password, made["password_hash"])


def test_a_password_that_is_typed_in_two_ways_is_none(database_url: str, tmp_path: Path, email: str) -> None:
    with at_a_terminal(database_url, tmp_path, email) as terminal:
        terminal.type("Password (nothing to have one made): ", PASSWORD)
        terminal.type("Once more: ", f"{PASSWORD}!")
        assert terminal.end() == 1
    assert "init_db: the two passwords are not the same" in terminal.seen
    assert account(database_url, email) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "nobody has the address {}: for a new account give a password on standard input"),
        ("short\n", "a password has 8 to 128 characters"),
        ("password123\n", "this password is one of the most common"),
    ],
)
def test_without_a_password_that_is_taken_there_is_no_account(
    database_url: str, tmp_path: Path, email: str, given: str, why: str
) -> None:
    done = init_db(database_url, tmp_path, email, given)
    assert (done.returncode, done.stderr) == (1, f"init_db: {why.format(email)}\n")
    assert account(database_url, email) is None


def test_what_is_no_address_is_said(database_url: str, tmp_path: Path) -> None:
    done = init_db(database_url, tmp_path, "ada", PASSWORD)
    assert (done.returncode, done.stderr) == (1, "init_db: ada is no email address\n")
