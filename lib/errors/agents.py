"""What keeps an agent from being made or changed."""

from lib.errors.base import InvalidRequest


class SecretRequired(InvalidRequest):
    """An agent is to call another server than its secret was given for."""

    code = "secret_required"
    detail = "This secret was given for another server. Give it again with the new address, or null for none."
