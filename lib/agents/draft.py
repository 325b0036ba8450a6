"""What becomes of an agent that is to be made or changed: whether it holds together, and what is stored of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypedDict
from uuid import UUID

from lib.agents.agent import Kind
from lib.agents.secrets import SecretName, is_mask, mask, origin_of, seal_secret
from lib.errors import InvalidRequest, SecretRequired
from lib.store.agents import KeptAgent

if TYPE_CHECKING:
    from lib.auth.seal import Seal


class Fields(TypedDict, total=False):
    """What people set of an agent; what is not named stays. Secrets are in clear, `avatar` is a data URI."""

    name: str
    description: str
    kind: Kind
    webhook_url: str | None
    webhook_token: str | None
    provider: str | None
    model: str | None
    base_url: str | None
    api_key: str | None
    system_prompt: str
    config: dict[str, Any]
    is_active: bool
    avatar: str | None


URLS: Final[Mapping[SecretName, str]] = {"webhook_token": "webhook_url", "api_key": "base_url"}
"""The address that each secret is sent to."""

_OF_KIND: Final[Mapping[Kind, tuple[str, ...]]] = {
    "webhook": ("webhook_url", "webhook_token"),
    "model": ("provider", "model", "base_url", "api_key"),
}
_EMPTY: Final[dict[str, Any]] = dict.fromkeys(
    ("webhook_url", "sealed_webhook_token", "provider", "model", "base_url", "sealed_api_key")
)


def columns_of_new(fields: Fields, *, agent_id: UUID, seal: "Seal") -> dict[str, Any]:
    """Return what is stored of a new agent: of kind webhook where it has the address of one, unless it says.

    Raises:
        InvalidRequest: it does not hold together.
    """
    kind: Kind = fields.get("kind") or ("webhook" if fields.get("webhook_url") else "model")
    given: dict[str, Any] = {"description": "", "system_prompt": "", "config": {}, **fields, "kind": kind}
    secrets = {f"sealed_{name}": _sealed(given, None, name, agent_id=agent_id, seal=seal) for name in URLS}
    columns = _EMPTY | {name: value for name, value in given.items() if name not in URLS} | secrets
    _hold_together(columns)
    return columns


def columns_of_changed(fields: Fields, seen: KeptAgent, *, seal: "Seal") -> dict[str, Any]:
    """Return what is stored anew of an agent that is changed, by column; nothing where nothing is another.

    With another kind goes what belonged to the first one.

    Raises:
        SecretRequired: it would call another server than its secret was given for.
        InvalidRequest: it would not hold together.
    """
    kind = fields.get("kind", seen.kind)
    gone = {} if kind == seen.kind else dict.fromkeys(_OF_KIND[seen.kind])
    given: dict[str, Any] = {**gone, **fields}
    columns = {name: value for name, value in given.items() if name not in URLS}
    for name, url in URLS.items():
        if name in given or url in given:
            columns[f"sealed_{name}"] = _sealed(given, seen, name, agent_id=seen.id, seal=seal)
    _hold_together({name: getattr(seen, name) for name in (*_EMPTY, "kind")} | columns)
    # `seen` is without its picture.
    return {name: value for name, value in columns.items() if name == "avatar" or value != getattr(seen, name)}


def _sealed(
    given: Mapping[str, Any], seen: KeptAgent | None, name: SecretName, *, agent_id: UUID, seal: "Seal"
) -> bytes | None:
    """Return a secret as it is to be stored: a new one sealed, or the one that is there if it may go where it would."""
    held: bytes | None = seen and getattr(seen, f"sealed_{name}")
    held_for: str | None = seen and getattr(seen, URLS[name])
    url: str | None = given.get(URLS[name], held_for)
    shown = mask(seal, held, agent_id=agent_id, name=name, url=held_for) if held and held_for else None
    secret: str | None = given.get(name, shown)
    if secret is None:
        return None
    if secret != shown:
        if is_mask(secret):
            raise InvalidRequest(f"{name} is how a secret is shown, not a secret.")
        if url is None:
            raise InvalidRequest(f"{name} goes with {URLS[name]}.")
        return seal_secret(seal, secret, agent_id=agent_id, name=name, url=url)
    if url is None or held_for is None:
        return None
    if origin_of(url) != origin_of(held_for):
        raise SecretRequired(f"{name} was given for another server. Give it again with the new address, or null.")
    return held


def _hold_together(columns: Mapping[str, Any]) -> None:
    """Refuse what nobody could call, and what would quietly not be looked at."""
    kind: Kind = columns["kind"]
    other: Kind = "model" if kind == "webhook" else "webhook"
    strange = [name for name in _OF_KIND[other] if columns[f"sealed_{name}" if name in URLS else name] is not None]
    if strange:
        raise InvalidRequest(f"An agent of kind {kind} has no {strange[0]}.")
    if kind == "webhook" and columns["webhook_url"] is None:
        raise InvalidRequest("An agent of kind webhook needs a webhook_url.")
    if columns["provider"] and columns["base_url"]:
        raise InvalidRequest(
            "provider is one of the deployment's own, base_url an endpoint of yours: give one of them."
        )
