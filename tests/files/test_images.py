"""Pictures are told by what is in them."""

import base64
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import ImageTooLarge, UnsupportedImage
from lib.files.images import LARGEST, MOST_PIECES, read_data_uri, read_picture
from tests.fixtures.pictures import GIF, JPEG, KINDS, PNG, SVG, WEBP, png


@pytest.mark.parametrize(("kind", "content"), KINDS.values(), ids=KINDS)
def test_a_picture_is_told_by_its_content_and_kept_as_it_is(kind: str, content: bytes) -> None:
    picture = read_picture(content)
    assert (picture.kind, picture.content) == (kind, content)
    assert read_data_uri(picture.data_uri) == picture


@pytest.mark.parametrize(("_kind", "content"), KINDS.values(), ids=KINDS)
def test_a_picture_that_breaks_off_anywhere_is_refused(_kind: str, content: bytes) -> None:
    for length in range(len(content)):
        with pytest.raises(UnsupportedImage):
            read_picture(content[:length])


@pytest.mark.parametrize(("_kind", "content"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("second", [b"<script>alert(1)</script>", b"PK\x03\x04", b"\0", SVG, PNG])
def test_a_second_file_behind_a_picture_is_dropped(_kind: str, content: bytes, second: bytes) -> None:
    assert read_picture(content + second).content == content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        SVG,
        b"\xef\xbb\xbf" + SVG,
        b"<?xml version='1.0'?>" + SVG,
        b"<!DOCTYPE html><script>alert(1)</script>",
        b"%PDF-1.7\n",
        b"BM" + b"\0" * 60,
        b"\0\0\x01\0\x01\0" + b"\0" * 60,  # an icon
        b"\0\0\0\x20ftypavif" + b"\0" * 60,
        b"MZ" + PNG,
        b" " + PNG,
        b"GIF89a/*" + b"*/=1;alert(1)//",  # a script that begins as a GIF does
        b"RIFF" + (len(WEBP)).to_bytes(4, "little") + b"WAVE" + WEBP[12:],
    ],
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        read_picture(content)


@pytest.mark.parametrize(
    "content",
    [
        PNG[:16] + (5_001).to_bytes(4) + (5_000).to_bytes(4) + PNG[24:],
        GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:],
        JPEG.replace(b"\x08\x00\x02\x00\x03", b"\x08\xff\xff\xff\xff"),
        WEBP[:26] + b"\xff\x3f\xff\x3f" + WEBP[30:],
        PNG[:16] + bytes(8) + PNG[24:],
    ],
    ids=["png", "gif", "jpeg", "webp", "of no size"],
)
def test_a_picture_of_more_pixels_than_anybody_should_have_to_paint_is_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="pixels"):
        read_picture(content)


def test_a_header_without_pixels_is_no_picture() -> None:
    with pytest.raises(UnsupportedImage, match="no pixels"):
        read_picture(PNG[:33] + PNG[-12:])


@pytest.mark.parametrize(
    "content",
    [PNG[:33] + b"\0\0\0\0tEXt\0\0\0\0" * MOST_PIECES + PNG[33:], GIF[:-1] + b"\x21\xfe\0" * MOST_PIECES + b"\x3b"],
    ids=["png", "gif"],
)
def test_a_file_that_is_made_to_take_long_is_left(content: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="pieces"):
        read_picture(content)


def test_a_picture_may_have_2_mb_and_no_byte_more() -> None:
    assert len(read_picture(png(LARGEST)).content) == LARGEST
    with pytest.raises(ImageTooLarge):
        read_picture(png(LARGEST + 1))
    assert len(read_data_uri(read_picture(png(LARGEST)).data_uri).content) == LARGEST
    with pytest.raises(ImageTooLarge):
        read_data_uri("data:image/png;base64," + base64.b64encode(png(LARGEST + 3)).decode())


@pytest.mark.parametrize(
    "head",
    ["data:image/png;base64", "data:image/svg+xml;base64", "DATA:image/png;charset=x;BASE64", "data:;base64"],
)
def test_what_a_data_uri_calls_itself_is_not_asked(head: str) -> None:
    assert read_data_uri(f"{head},{base64.b64encode(PNG).decode()}").kind == "image/png"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.com/me.png",
        "javascript:alert(1)",
        "data:image/png,%89PNG",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:image/png;base64,not base64",
        "data:image/png;base64," + base64.b64encode(PNG).decode()[:-1],
        "data:image/png;base64," + base64.b64encode(PNG).decode() + "\n",
        "data:image/png;base64,é",
        "data:image/png;base64," + base64.b64encode(SVG).decode(),
        "data:image/png;base64," + base64.b64encode(PNG).decode() + '" onerror="alert(1)',
        " data:image/png;base64," + base64.b64encode(PNG).decode(),
    ],
)
def test_a_uri_that_holds_no_picture_is_refused(uri: str) -> None:
    with pytest.raises(UnsupportedImage):
        read_data_uri(uri)


@pytest.mark.alone
def test_the_head_of_a_data_uri_has_an_end_and_is_refused_at_once_beyond_it() -> None:
    encoded = base64.b64encode(PNG).decode()
    longest = "data:image/png" + ";x=y" * 70 + ";base64"
    assert len(longest) == 301
    allowed = longest.replace(";x=y", ";x=", 1)
    assert read_data_uri(f"{allowed},{encoded}").kind == "image/png"
    with pytest.raises(UnsupportedImage):
        read_data_uri(f"{longest},{encoded}")
    began = time.perf_counter()
    with pytest.raises(UnsupportedImage):
        read_data_uri(f"data:{';' * 2_900_000},{encoded}")
    assert time.perf_counter() - began < 0.1


@given(st.sampled_from([content for _, content in KINDS.values()]), st.data())
def test_a_garbled_picture_is_taken_or_refused_and_nothing_else(content: bytes, data: st.DataObject) -> None:
    garbled = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnsupportedImage):
        assert read_picture(bytes(garbled)).content == garbled[: len(read_picture(bytes(garbled)).content)]
