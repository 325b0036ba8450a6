"""Write the files that are made from others, so that they cannot drift apart.

    uv run python scripts/export.py

`requirements.txt` comes from `uv.lock`, `.env.example` from `lib.settings.Settings`, and the SQL beside the migrations
from the migrations. A test compares them.
"""

import io
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from lib.settings import Settings

ROOT: Final = Path(__file__).resolve().parent.parent


def uv() -> str:
    """Return where uv is: `uv run` says it, it is installed, or `make` has put one into the clone."""
    return os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")


def requirements() -> str:
    """Return what the functions need, pinned, as pip and Vercel read it. The hashes are in `uv.lock`."""
    arguments = [uv(), "export", "--frozen", "--no-default-groups", "--no-hashes", "--no-annotate", "--no-header"]
    exported = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    return f"# From uv.lock, by scripts/export.py.\n{exported.stdout}"


def env_example() -> str:
    """Return every variable with what it means, commented out, at its default."""
    lines = ["# Copy to .env and set what you need. From lib/settings, by scripts/export.py."]
    for name, field in Settings.model_fields.items():
        names = variables(name, field)
        lines += ["", *textwrap.wrap(field.description or "", 118, initial_indent="# ", subsequent_indent="# ")]
        lines += [f"#{variable}={_default(field)}" for variable in names]
    return "\n".join(lines) + "\n"


def variables(name: str, field: FieldInfo) -> list[str]:
    """Return the names of a setting in the environment, the one that wins first."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]


def _default(field: FieldInfo) -> str:
    """Write a default as the environment would give it; nothing for one that is made, secret or absent."""
    if field.default_factory is not None or field.default is None:
        return ""
    default: object = field.default
    return ",".join(map(str, cast("tuple[object, ...]", default))) if isinstance(default, tuple) else str(default)


def migration_sql(migration: Script) -> str:
    """Return what one migration does, for psql."""
    output = io.StringIO()
    config = Config(toml_file=ROOT / "pyproject.toml", output_buffer=output)
    command.upgrade(config, f"{migration.down_revision or 'base'}:{migration.revision}", sql=True)
    lines = (line.rstrip() for line in output.getvalue().splitlines())
    return f"-- From the migration of this name, by scripts/export.py.\n\n{'\n'.join(lines).strip()}\n"


def exports() -> dict[Path, str]:
    """Return each file that is made from others, and what it must hold."""
    migrations = ScriptDirectory.from_config(Config(toml_file=ROOT / "pyproject.toml")).walk_revisions()
    return {
        ROOT / "requirements.txt": requirements(),
        ROOT / ".env.example": env_example(),
        **{_beside_the_versions(migration): migration_sql(migration) for migration in migrations},
    }


def _beside_the_versions(migration: Script) -> Path:
    version = Path(migration.path)
    return version.parent.parent / version.with_suffix(".sql").name


if __name__ == "__main__":
    for path, content in exports().items():
        path.write_text(content)
