"""The `data:` lines of an event stream, out of the bytes that carry them."""

from collections.abc import Iterator
from typing import Final

from lib.errors import ProviderError

LINE_LIMIT: Final = 1024 * 1024


class DataLines:
    """Splits an event stream into the payloads of its `data:` lines, wherever the network cut the bytes.

    Lines end in LF or CRLF. Comments and other fields are left out, as are blanks around a payload. One line is one
    payload: no model's API spreads an event over several `data:` lines.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the payloads that `data` completes. A last line that never ends is none, as the format has it.

        Raises:
            ProviderError: on a line longer than `LINE_LIMIT` bytes.
        """
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n") if b"\n" in data else (self._rest,)
        for line in lines:
            _refuse_too_long(line)
            if line.startswith(b"data:") and (payload := line[5:].strip()):
                yield bytes(payload)
        _refuse_too_long(self._rest)


def _refuse_too_long(line: bytearray) -> None:
    if len(line) > LINE_LIMIT:
        raise ProviderError("The model sent a line that is too long.")
