"""Text that others send: models, and the webhooks of teams."""


def storable(text: str) -> str:
    """Return the text without what neither Postgres nor UTF-8 can hold: NULs and halves of surrogate pairs."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "")
