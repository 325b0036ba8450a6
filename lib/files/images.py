"""Pictures that people send: told by what is in them, and cut to it.

A name and a declared kind prove nothing. A picture is walked from its signature to its end, block by block, without
decoding it: what breaks off is refused, and what follows the end, where a second file would hide, is dropped.
What is none of the four kinds, an SVG with its scripts above all, is refused.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from lib.errors import ImageTooLarge, UnsupportedImage

LARGEST: Final = 2 * 1024 * 1024
"""Bytes of a picture."""
MOST_PIXELS: Final = 25_000_000
"""Of one frame. A file of a kilobyte can spell 4 billion, and whoever looks at it has to paint them."""
MOST_PIECES: Final = 20_000
"""Blocks of one picture. A GIF of 2 MB has 8,000; a file that was made to take long has a million."""

Kind = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture and nothing else, of a kind that browsers show and never run."""

    kind: Kind
    content: bytes

    @property
    def data_uri(self) -> str:
        """The picture as a URI (RFC 2397) of at most 2.8 million characters."""
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode()}"


def read_picture(content: bytes) -> Picture:
    """Return the picture that the bytes are.

    Raises:
        ImageTooLarge: they are more than `LARGEST`.
        UnsupportedImage: they are none of the four kinds, break off, or hold too many pixels.
    """
    if len(content) > LARGEST:
        raise ImageTooLarge
    for kind, signature, end_of in _KINDS:
        if re.match(signature, content, re.DOTALL):
            try:
                return Picture(kind, content[: end_of(content)])
            except (IndexError, ValueError) as error:
                raise UnsupportedImage(f"This picture is not whole: {error}.") from None
    raise UnsupportedImage


def read_data_uri(uri: str) -> Picture:
    """Return the picture that a data URI holds. What kind it says it is, is not asked.

    Raises:
        ImageTooLarge, UnsupportedImage: as `read_picture`.
    """
    head, comma, encoded = uri.partition(",")
    if not comma or len(head) > _LONGEST_HEAD or not _DATA_URI.fullmatch(head):
        raise UnsupportedImage("A picture is a data URI: data:image/png;base64,...")
    if len(encoded) > _LONGEST_ENCODED:
        raise ImageTooLarge
    try:
        return read_picture(binascii.a2b_base64(encoded, strict_mode=True))
    except ValueError:  # of binascii, or of a letter that is no ASCII
        raise UnsupportedImage("The picture's base64 is not valid.") from None


_DATA_URI: Final = re.compile(r"data:[^,;]{0,100}(;[^,;]{0,100})*;base64", re.IGNORECASE)
# Matching walks back over every parameter of what does not match: a megabyte of them would hold everybody up.
_LONGEST_HEAD: Final = 300
_LONGEST_ENCODED: Final = (LARGEST + 2) // 3 * 4


def _little(content: bytes, start: int, length: int) -> int:
    return int.from_bytes(_cut(content, start, length), "little")


def _big(content: bytes, start: int, length: int) -> int:
    return int.from_bytes(_cut(content, start, length), "big")


def _cut(content: bytes, start: int, length: int) -> bytes:
    """Return bytes that have to be there; a slice would quietly be shorter."""
    if start + length > len(content):
        raise ValueError("it breaks off")
    return content[start : start + length]


def _paintable(width: int, height: int) -> None:
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError(f"it is {width} by {height} pixels")


def _pieces() -> Iterator[None]:
    """Count the blocks of one picture: each takes one."""
    for _ in range(MOST_PIECES):
        yield
    raise ValueError("it is in too many pieces")


def _end_of_png(content: bytes) -> int:
    """Walk the chunks (PNG, third edition, 5.3): IHDR first, IEND last, and IDAT between them."""
    if _cut(content, 12, 4) != b"IHDR":
        raise ValueError("it does not begin with its size")
    _paintable(_big(content, 16, 4), _big(content, 20, 4))
    at, painted, pieces = 8, False, _pieces()
    while (name := _cut(content, at + 4, 4)) != b"IEND":
        next(pieces)
        painted = painted or name == b"IDAT"
        at += 12 + _big(content, at, 4)
    if not painted:
        raise ValueError("it holds no pixels")
    _cut(content, at, 12)
    return at + 12


def _end_of_gif(content: bytes) -> int:
    """Walk the blocks (GIF89a, appendix B): images and extensions, then the trailer."""
    _paintable(_little(content, 6, 2), _little(content, 8, 2))
    at, painted, pieces = 13 + _colours(content[10]), False, _pieces()
    while (block := content[at]) != 0x3B:
        next(pieces)
        if block == 0x2C:
            _paintable(_little(content, at + 5, 2), _little(content, at + 7, 2))
            at, painted = _end_of_blocks(content, at + 11 + _colours(content[at + 9]), pieces), True
        elif block == 0x21:
            at = _end_of_blocks(content, at + 2, pieces)
        else:
            raise ValueError("it holds a block of no kind")
    if not painted:
        raise ValueError("it holds no pixels")
    return at + 1


def _colours(flags: int) -> int:
    """Return the bytes of the table of colours that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_blocks(content: bytes, at: int, pieces: Iterator[None]) -> int:
    """Return where a chain of blocks ends, each of which begins with its length; one of length 0 is the last."""
    while length := content[at]:
        next(pieces)
        at += 1 + length
    return at + 1


def _end_of_jpeg(content: bytes) -> int:
    """Walk the segments (ITU-T T.81, annex B), over what they hold, such as a thumbnail, and over coded pixels."""
    at, sized, painted = 2, False, False
    for _ in _pieces():
        if content[at] != 0xFF:
            raise ValueError("it holds a segment of no kind")
        marker = content[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xD9:
            break
        if marker in _JPEG_SIZES:
            _paintable(_big(content, at + 7, 2), _big(content, at + 5, 2))
            sized = True
        at += 2 if marker in _JPEG_ALONE else 2 + _big(content, at + 2, 2)
        if marker == 0xDA:
            coded = _JPEG_AFTER_CODED.search(content, at)
            at, painted = coded.start() if coded else len(content), True
    if not (sized and painted):
        raise ValueError("it holds no pixels")
    return at + 2


_JPEG_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
# In coded pixels a 0xFF is followed by a zero, or by one of eight markers that belong to them.
_JPEG_AFTER_CODED: Final = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)


def _end_of_webp(content: bytes) -> int:
    """Walk the chunks (RFC 9649, 2): what the container says it holds has to be there."""
    end = 8 + _little(content, 4, 4)
    _cut(content, 0, end)
    painted = False
    for name, start in _chunks(content, 12, end):
        if name in _WEBP_SIZES:
            _paintable(*_WEBP_SIZES[name](content, start))
        painted = painted or name in {b"VP8 ", b"VP8L", b"ANMF"}
    if not painted:
        raise ValueError("it holds no pixels")
    return end


def _chunks(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Yield each chunk's name, and where what it holds begins."""
    pieces = _pieces()
    while at < end:
        next(pieces)
        yield _cut(content, at, 4), at + 8
        length = _little(content, at + 4, 4)
        at += 8 + length + length % 2
    if at > end:
        raise ValueError("it breaks off")


def _size_in_vp8(content: bytes, at: int) -> tuple[int, int]:
    """Return width and height of a lossy frame (RFC 6386, 9.1)."""
    return _little(content, at + 6, 2) & 0x3FFF, _little(content, at + 8, 2) & 0x3FFF


def _size_in_vp8l(content: bytes, at: int) -> tuple[int, int]:
    """Return width and height of a lossless frame (RFC 9649, 3.4)."""
    bits = _little(content, at + 1, 4)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _size_in_vp8x(content: bytes, at: int) -> tuple[int, int]:
    """Return width and height of the canvas (RFC 9649, 2.7)."""
    return _little(content, at + 4, 3) + 1, _little(content, at + 7, 3) + 1


def _size_in_anmf(content: bytes, at: int) -> tuple[int, int]:
    """Return width and height of a frame of an animation (RFC 9649, 2.7.1.1)."""
    return _little(content, at + 6, 3) + 1, _little(content, at + 9, 3) + 1


_WEBP_SIZES: Final[dict[bytes, Callable[[bytes, int], tuple[int, int]]]] = {
    b"VP8 ": _size_in_vp8,
    b"VP8L": _size_in_vp8l,
    b"VP8X": _size_in_vp8x,
    b"ANMF": _size_in_anmf,
}

_KINDS: Final[tuple[tuple[Kind, bytes, Callable[[bytes], int]], ...]] = (
    ("image/png", rb"\x89PNG\r\n\x1a\n", _end_of_png),
    ("image/jpeg", rb"\xff\xd8\xff", _end_of_jpeg),
    ("image/gif", rb"GIF8[79]a", _end_of_gif),
    ("image/webp", rb"RIFF....WEBP", _end_of_webp),
)
