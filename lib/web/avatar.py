"""A picture in a body of JSON."""

from typing import Annotated

from pydantic import AfterValidator

from lib.files.images import read_data_uri


def _as_data_uri(uri: str) -> str:
    """Return the picture of a data URI as one that says what kind it is.

    Raises:
        ImageTooLarge, UnsupportedImage: it is none that is kept.
    """
    return read_data_uri(uri).data_uri


Avatar = Annotated[str, AfterValidator(_as_data_uri)]
"""A picture as a data URI: PNG, JPEG, GIF or WebP, of at most 2 MB."""
