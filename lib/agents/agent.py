"""Who answers a conversation."""

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

Kind = Literal["webhook", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent as a turn needs it.

    Attributes:
        id: whose conversations name it.
        name: what people call it.
        kind: a `webhook`, such as an n8n workflow, or a `model`.
        webhook_url: where a webhook's questions are posted.
        sealed_webhook_token: what they are posted with, sealed; None for none.
        provider: one of the deployment's own providers, for a model without an address of its own.
        model: the model, as its provider names it; None for the provider's default.
        base_url: an OpenAI-compatible endpoint, for a model that a team brought along.
        sealed_api_key: the key for it, sealed.
        system_prompt: its instructions.
        config: its settings: `model`, `temperature`, `max_tokens` and more.
    """

    id: UUID
    name: str
    kind: Kind
    webhook_url: str | None
    sealed_webhook_token: bytes | None
    provider: str | None
    model: str | None
    base_url: str | None
    sealed_api_key: bytes | None
    system_prompt: str
    config: dict[str, Any]


COLUMNS: Final = tuple(Agent.__dataclass_fields__)
"""The columns of the table `agents` that an `Agent` is made of, in its order."""
