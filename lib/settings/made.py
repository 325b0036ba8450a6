"""Defaults of secrets: what development makes for itself, once, and what is read from a file that a variable names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from lib.settings.base import in_development
from lib.settings.sources import SettingsInvalid


def development_secret(name: str) -> Callable[[dict[str, Any]], SecretStr | None]:
    """Return a default that is made once and kept in `DATA_DIR`, and only ever in development."""

    def default(fields: dict[str, Any]) -> SecretStr | None:
        import lib.secrets.own as own

        return _kept(fields, name, own.random_secret)

    return default


def signing_secret(fields: dict[str, Any]) -> SecretStr | None:
    """Return the secret that signs where one secret signs and verifies."""
    return development_secret("jwt_secret_key")(fields) if fields.get("jwt_algorithm") == "HS256" else None


def seal_keys(fields: dict[str, Any]) -> tuple[SecretStr, ...]:
    """Return the keys that seal: one of development's own."""
    made = development_secret("seal_key")(fields)
    return (made,) if made else ()


def private_key(fields: dict[str, Any]) -> SecretStr | None:
    """Return the private key in the file that is named, else one of development's own where a pair signs.

    Raises:
        SettingsInvalid: the file cannot be read.
    """
    if path := fields.get("jwt_private_key_path"):
        return SecretStr(_read("JWT_PRIVATE_KEY_PATH", path))
    algorithm: str = fields.get("jwt_algorithm", "HS256")
    if algorithm == "HS256":
        return None
    import lib.secrets.own as own

    return _kept(fields, f"jwt_private_key_{algorithm.lower()}", lambda: own.private_key(algorithm))


def public_keys(fields: dict[str, Any]) -> str | None:
    """Return the public keys in the files that are named, one after the other.

    Raises:
        SettingsInvalid: a file cannot be read.
    """
    paths: tuple[Path, ...] = fields.get("jwt_public_key_path", ())
    return "\n".join(_read("JWT_PUBLIC_KEY_PATH", path) for path in paths) or None


def _kept(fields: dict[str, Any], name: str, make: Callable[[], str]) -> SecretStr | None:
    if not in_development(fields) or "data_dir" not in fields:
        return None
    import lib.secrets.own as own

    data_dir: Path = fields["data_dir"]
    try:
        return SecretStr(own.read_or_make(data_dir / "secrets" / name, make))
    except OSError as error:
        why = f"{error.strerror} (it would keep a {name.upper()})"
        raise SettingsInvalid(f"DATA_DIR {data_dir} cannot be used: {why}") from error


def _read(variable: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsInvalid(f"{variable} cannot be read: {why}") from error
