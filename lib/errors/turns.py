"""What keeps a turn from being begun, or an answer from being shown."""

from lib.errors.base import NotFound, ParleyError


class MessageNotFound(NotFound):
    """No such message in this caller's conversation."""

    code = "message_not_found"
    detail = "There is no such message."


class AgentNotFound(NotFound):
    """No such agent in the caller's team, or it is switched off or deleted."""

    code = "agent_not_found"
    detail = "There is no such agent."


class AgentUnavailable(ParleyError):
    """The conversation is with an agent that was switched off or deleted."""

    code = "agent_unavailable"
    detail = "The agent of this conversation is switched off. Give the conversation another one."


class ConversationBusy(ParleyError):
    """An answer is being written in this conversation."""

    code = "conversation_busy"
    detail = "An answer is being written in this conversation. Wait for it, or stop it."


class ExportTooLarge(ParleyError):
    """A conversation is longer than a function can answer with."""

    code = "export_too_large"
    detail = "This conversation is too long for one file. Read its messages page by page."


class KeyReused(ParleyError):
    """An `Idempotency-Key` came with another request than before."""

    code = "idempotency_key_reused"
    detail = "This Idempotency-Key was used for another request. A new request takes a new key."
