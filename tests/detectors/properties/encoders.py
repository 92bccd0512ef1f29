"""Encoders that know nothing of Sekisho: each puts text into one wrapping and takes it out again with a library of its own.

An encoder takes UTF-8 text as bytes; what it gives is text again (``text``) or not, and then only another encoder that
takes any bytes may follow.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import json
import quopri
import re
import urllib.parse
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax import saxutils

import brotli
import zstandard

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Encoder:
    name: str
    encode: Change
    decode: Change
    takes_bytes: bool = False
    text: bool = True
    put_back: bool = True
    """Whether an edited child can be wrapped again, as Sekisho documents it."""

    def __repr__(self) -> str:
        return self.name


def _all(pattern: str) -> Change:
    return lambda data: "".join(pattern % ord(letter) for letter in data.decode()).encode()


def _digits(pattern: str) -> Change:
    return lambda data: re.sub("[0-9]", lambda m: pattern % ord(m[0]), data.decode()).encode()


def _wide(codec: str, mark: bytes) -> Encoder:
    return Encoder(
        codec,
        lambda data: mark + data.decode().encode(codec),
        lambda data: data[len(mark) :].decode(codec).encode(),
        text=False,
    )


def _json(data: bytes, *, ascii_only: bool) -> bytes:
    return json.dumps({"note": data.decode()}, ensure_ascii=ascii_only).encode()


def _unjson(data: bytes) -> bytes:
    return json.loads(data)["note"].encode()


ENCODERS = (
    Encoder("json", lambda d: _json(d, ascii_only=False), _unjson),
    Encoder("json, ascii", lambda d: _json(d, ascii_only=True), _unjson),
    Encoder("json, digits escaped", lambda d: b'{"note":"%b"}' % _digits("\\u%04x")(json.dumps(d.decode(), ensure_ascii=False)[1:-1].encode()), _unjson),
    Encoder("ndjson", lambda d: b'{"a":1}\n' + _json(d, ascii_only=False) + b"\n", lambda d: _unjson(d.split(b"\n")[1])),
    Encoder("form", lambda d: urllib.parse.urlencode({"a": "b c", "note": d}).encode(), lambda d: urllib.parse.parse_qsl(d.decode(), keep_blank_values=True)[1][1].encode()),
    Encoder("percent", lambda d: urllib.parse.quote(d, safe="").encode(), urllib.parse.unquote_to_bytes),
    Encoder("percent, everything", lambda d: b"".join(b"%%%02X" % byte for byte in d), urllib.parse.unquote_to_bytes),
    Encoder("references", lambda d: html.escape(d.decode()).encode("ascii", "xmlcharrefreplace"), lambda d: html.unescape(d.decode()).encode()),
    Encoder("references, everything", _all("&#%d;"), lambda d: html.unescape(d.decode()).encode()),
    Encoder("references, hexadecimal digits", lambda d: _digits("&#x%x;")(saxutils.escape(d.decode()).encode()), lambda d: html.unescape(d.decode()).encode()),
    Encoder("xml", lambda d: b"<doc><note>%b</note></doc>" % saxutils.escape(d.decode()).encode(), lambda d: saxutils.unescape(d[len("<doc><note>") : -len("</note></doc>")].decode()).encode()),
    Encoder("base64", base64.b64encode, lambda d: base64.b64decode(d, validate=True), takes_bytes=True),
    Encoder("base64url", base64.urlsafe_b64encode, base64.urlsafe_b64decode, takes_bytes=True),
    Encoder("base64, mail", base64.encodebytes, base64.decodebytes, takes_bytes=True),
    Encoder("base64 in json", lambda d: b'{"data":"%b"}' % base64.b64encode(d), lambda d: base64.b64decode(json.loads(d)["data"]), takes_bytes=True),
    Encoder("hex", lambda d: d.hex().encode(), lambda d: bytes.fromhex(d.decode()), takes_bytes=True),
    Encoder("quoted-printable", lambda d: b"".join(b"=%02X" % byte if n % 20 else b"=\r\n=%02X" % byte for n, byte in enumerate(d, 1)), quopri.decodestring),
    Encoder("gzip", lambda d: gzip.compress(d, mtime=0), gzip.decompress, takes_bytes=True, text=False),
    Encoder("zlib", zlib.compress, zlib.decompress, takes_bytes=True, text=False),
    Encoder("zstd", lambda d: zstandard.ZstdCompressor().compress(d), lambda d: zstandard.ZstdDecompressor().decompressobj().decompress(d), takes_bytes=True, text=False),
    Encoder("bzip2", bz2.compress, bz2.decompress, takes_bytes=True, text=False, put_back=False),
    _wide("utf-16-le", b"\xff\xfe"),
    _wide("utf-16-be", b"\xfe\xff"),
    _wide("utf-32-le", b"\xff\xfe\0\0"),
)  # fmt: skip

HIDING = frozenset(
    {"json, digits escaped", "percent, everything", "references, everything", "references, hexadecimal digits", "base64",
     "quoted-printable", "base64url", "base64, mail", "base64 in json", "hex", "utf-16-le", "utf-16-be", "utf-32-le"}
)  # fmt: skip
"""After these, no digit of the text stands as itself."""
OPAQUE = frozenset({"base64", "base64url", "base64, mail", "base64 in json", "hex"})
COMPRESSING = frozenset({"gzip", "zlib", "zstd", "bzip2"})
_ZSTD = next(encoder for encoder in ENCODERS if encoder.name == "zstd")
CONTENT_CODINGS = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "br": (brotli.compress, brotli.decompress),
    "zstd": (_ZSTD.encode, _ZSTD.decode),
}
