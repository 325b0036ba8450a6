"""The lines of a stream, and the `data:` lines of an event stream, out of the bytes that carry them."""

from collections.abc import Iterable, Iterator
from typing import Final

from lib.errors import ProviderError

LINE_LIMIT: Final = 1024 * 1024


class Lines:
    """Splits a stream into lines, wherever the network cut the bytes. Lines end in LF or CRLF.

    Args:
        failure: what a line that is too long is.
    """

    def __init__(self, failure: type[ProviderError] = ProviderError) -> None:
        self._failure = failure
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Return the lines that `data` completes, without their ends.

        Raises:
            ProviderError: the `failure`, on a line longer than `LINE_LIMIT` bytes, after those before it.
        """
        ended, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._rest += data
            self._refuse_too_long(self._rest)
            return ()
        whole = bytes(self._rest + ended) if self._rest else ended
        self._rest = bytearray(rest)
        lines = whole.split(b"\n")
        if len(whole) > LINE_LIMIT or len(rest) > LINE_LIMIT:
            return self._short_enough(lines)
        return [line.removesuffix(b"\r") for line in lines] if b"\r" in whole else lines

    def _short_enough(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            self._refuse_too_long(line)
            yield line.removesuffix(b"\r")
        self._refuse_too_long(self._rest)

    def close(self) -> bytes:
        """Return what came after the last end of a line."""
        return bytes(self._rest)

    def _refuse_too_long(self, line: bytes | bytearray) -> None:
        if len(line) > LINE_LIMIT:
            raise self._failure("The answer has a line that is too long.")


class DataLines:
    """Splits an event stream into the payloads of its `data:` lines.

    Comments and other fields are left out, as are blanks around a payload. One line is one payload: no model's API
    spreads an event over several `data:` lines.
    """

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the payloads that `data` completes. A last line that never ends is none, as the format has it.

        Raises:
            ProviderError: on a line longer than `LINE_LIMIT` bytes.
        """
        for line in self._lines.feed(data):
            if line.startswith(b"data:") and (payload := line[5:].strip()):
                yield payload
