"""An authenticator app: it scans a QR code, and shows codes. It shares no code with Parley."""

import hmac
import re
import time
from base64 import b32decode
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import zxingcpp

_SVG = "{http://www.w3.org/2000/svg}"
_PIXELS = 4  # a module's side, for the scanner


@dataclass(frozen=True)
class Authenticator:
    """An app that holds one account's secret."""

    account: str
    issuer: str
    secret: bytes
    digits: int
    period: int

    @classmethod
    def that_scans(cls, svg: str) -> "Authenticator":
        """Return an app that has scanned a QR code."""
        return cls.that_reads(scan(svg))

    @classmethod
    def that_reads(cls, uri: str) -> "Authenticator":
        """Return an app that was given an `otpauth://` URI."""
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
        issuer, _, account = unquote(parts.path.removeprefix("/")).partition(":")
        facts = {name: value for name, (value,) in parse_qs(parts.query, strict_parsing=True).items()}
        assert facts["issuer"] == issuer
        assert facts["algorithm"] == "SHA1"
        return cls(account, issuer, b32decode(facts["secret"]), int(facts["digits"]), int(facts["period"]))

    def code(self, later: int = 0) -> str:
        """Return the code that it shows now, or so many periods later."""
        counter = int(time.time()) // self.period + later
        mac = hmac.digest(self.secret, counter.to_bytes(8), "sha1")
        number = int.from_bytes(mac[mac[-1] & 15 :][:4]) & 0x7FFFFFFF
        return f"{number % 10**self.digits:0{self.digits}}"

    def wrong_code(self) -> str:
        """Return a code that it shows at no time near now."""
        near = {self.code(later) for later in range(-3, 4)}
        return next(code for code in (f"{number:06}" for number in range(len(near) + 1)) if code not in near)


def scan(svg: str) -> str:
    """Return what a QR code says, by a decoder that knows nothing of what has drawn it."""
    found = zxingcpp.read_barcode(drawn(svg))
    assert found
    assert found.format == zxingcpp.BarcodeFormat.QRCode
    return found.text


def drawn(svg: str) -> memoryview:
    """Return an SVG's picture in grey, as far as it is rows of black squares on a white ground."""
    image = ElementTree.fromstring(svg)  # noqa: S314 - it is our own
    assert image.tag == f"{_SVG}svg"
    left, top, width, height = map(int, image.attrib["viewBox"].split())
    assert (left, top, width) == (0, 0, height)
    ground, squares = image.findall(f"{_SVG}path")
    assert ground.attrib == {"fill": "#fff", "d": f"M0 0h{width}v{height}h-{width}z"}
    assert set(squares.attrib) == {"stroke", "d"}
    assert squares.attrib["stroke"] == "#000"
    pixels = bytearray(b"\xff" * (width * height * _PIXELS**2))
    picture = memoryview(pixels).cast("B", [height * _PIXELS, width * _PIXELS])
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", squares.attrib["d"]):
        first, *second = map(float, numbers.split())
        if command == "h":
            for row in range(int(y) * _PIXELS, int(y + 1) * _PIXELS):
                start = row * width * _PIXELS + int(x) * _PIXELS
                pixels[start : start + int(first) * _PIXELS] = bytes(int(first) * _PIXELS)
            x += first
        else:
            x, y = (first, second[0]) if command == "M" else (x + first, y + second[0])
    return picture
