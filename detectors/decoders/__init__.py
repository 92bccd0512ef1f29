r"""Every encoding that Sekisho reads through, one file each, in the order in which they are tried.

Precedence, specific before general:

1. ``unwrap``: the content-codings that a message declares. Then ``compressed``: those its first bytes announce.
2. ``charset``: everything after it reads UTF-8.
3. Structure: ``multipart``, ``json``, ``xml``, ``form``. Each gives values their name and path, and decodes what the
   format itself escapes, so that ``\u0034`` of a JSON string or ``%34`` of a form is never decoded twice. Where one of
   them yields something, the encodings below are tried on its values; on the view itself they find what is malformed.
4. Encodings of any text: ``percent``, ``escape``, ``html``, ``base64``, ``hex``, ``fullwidth`` … They are
   independent: each is tried on the same view, and what they yield goes through the whole list again, to a depth.

A decoder that has nothing to say yields nothing, so a caller may try all of them; it should try those that the sieve
pointed at, and always ``compressed`` and ``multipart``, whose bytes show the sieve nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from detectors.decoders import (
    base32,
    base64,
    byte_lists,
    compressed,
    escapes,
    form,
    fullwidth,
    hexadecimal,
    html,
    json_text,
    multipart,
    percent,
    xml_text,
)
from detectors.decoders import charset as _charset
from detectors.decoders.charset import peel_charset
from detectors.decoders.compressed import unwrap
from detectors.decoders.form import peel_cookies
from detectors.model import Decoder

__all__ = ["DECODERS", "GAP_REASONS", "Row", "peel_charset", "peel_cookies", "unwrap"]


@dataclass(frozen=True, slots=True)
class Row:
    """One decoder."""

    name: str
    peel: Decoder
    trail: tuple[str, ...]
    """What it puts into a finding's trail. Two that one Peel takes off at once are joined: ``base64+gzip``."""
    structural: bool = False
    """Yields values with a name and a path."""


_PART_TRAIL = ("multipart", "base64", "quoted-printable", "gzip", "deflate", "br", "zstd")

DECODERS: tuple[Row, ...] = (
    Row("compressed", compressed.peel, ("gzip", "deflate", "zstd", "br")),
    Row("charset", _charset.peel, ("utf-16", "utf-32", "cp932", "euc-jp", "iso-2022-jp", "<python codec>")),
    Row("multipart", multipart.peel, _PART_TRAIL, structural=True),
    Row("json", json_text.peel, ("json-escape",), structural=True),
    Row("xml", xml_text.peel, ("html",), structural=True),
    Row("form", form.peel, ("percent",), structural=True),
    Row("percent", percent.peel, ("percent",)),
    Row("escape", escapes.peel, ("escape",)),
    Row("html", html.peel, ("html",)),
    Row("base64", base64.peel, ("base64", "jwt")),
    Row("base32", base32.peel, ("base32",)),
    Row("hex", hexadecimal.peel, ("hex",)),
    Row("bytes", byte_lists.peel, ("bytes",)),
    Row("fullwidth", fullwidth.peel, ("fullwidth",)),
)
"""All decoders in order. ``unwrap``, ``peel_charset`` and ``peel_cookies`` need to be told what they look at, and are
called by name."""

GAP_REASONS = frozenset({
    "archive", "bad-content-encoding", "depth", "expanded", "multipart-boundary", "ratio", "truncated-multipart",
    "unknown-charset", "unknown-content-encoding", "unknown-transfer-encoding", "xml-entity",
    *(f"{fault}-{name}" for fault in ("truncated", "corrupt") for name in compressed.CODINGS),
})  # fmt: skip
"""Every reason a decoder's Gap can carry: they become metric labels."""
