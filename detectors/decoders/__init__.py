r"""Every encoding that Sekisho reads through, one file each, in the order in which they are tried.

Precedence, specific before general:

1. ``unwrap``: the content-codings that a message declares. Then what shows the sieve nothing: messages that are
   declared as ``msgpack``, ``cbor`` or ``protobuf``; ``grpc``; ``compressed`` by first bytes; ``archive``;
   ``envelope``; and messages that nobody declared. All their values are read in one pass (``survey``), and those that
   it points at are visited.
2. ``charset``: everything after it reads UTF-8.
3. Structure: ``multipart``, ``json``, ``xml``, ``form``, ``php``, ``sql``, ``table``, ``columns``, ``cells``, ``dump``.
   Each gives values their name and path, and decodes what the format itself escapes, so that ``\u0034`` of a JSON
   string or ``%34`` of a form is never decoded twice. Where one of them yields something, the encodings below are tried
   on its values; on the view itself they find what is malformed.
4. Encodings of any text: ``percent``, ``escape``, ``html``, ``base64``, ``hex``, ``fullwidth`` … They are
   independent: each is tried on the same view, and what they yield goes through the whole list again, to a depth.

A decoder that has nothing to say yields nothing, so a caller may try all of them; it should try those that the sieve
pointed at, and always those of the first point and ``multipart``, whose bytes show the sieve nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from detectors.decoders import (
    archive,
    base32,
    base64,
    byte_lists,
    cbor,
    columns,
    compressed,
    continuations,
    dumps,
    embedded,
    encoded_words,
    envelope,
    escapes,
    form,
    fullwidth,
    grpc,
    hexadecimal,
    html,
    json_text,
    markup_table,
    msgpack,
    multipart,
    office,
    percent,
    php,
    protobuf,
    quoted_printable,
    retyped,
    sql,
    table,
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


_CODINGS = tuple(compressed.CODINGS)
_PART_TRAIL = ("multipart", "base64", "quoted-printable", *_CODINGS)

DECODERS: tuple[Row, ...] = (
    Row("compressed", compressed.peel, _CODINGS),
    Row("embedded", embedded.peel, _CODINGS),
    Row("archive", archive.peel, ("zip", "tar", "pdf"), structural=True),
    Row("grpc", grpc.peel, ("grpc", "base64", *_CODINGS), structural=True),
    Row("envelope", envelope.peel, (), structural=True),
    Row("msgpack", msgpack.peel, ("msgpack",), structural=True),
    Row("cbor", cbor.peel, ("cbor",), structural=True),
    Row("protobuf", protobuf.peel, ("protobuf",), structural=True),
    Row("charset", _charset.peel, ("utf-16", "utf-32", "cp932", "euc-jp", "iso-2022-jp", "<python codec>")),
    Row("multipart", multipart.peel, _PART_TRAIL, structural=True),
    Row("json", json_text.peel, ("json-escape",), structural=True),
    Row("columns", columns.peel, ("json-escape",), structural=True),
    Row("cells", markup_table.peel, ("html",), structural=True),
    Row("xml", xml_text.peel, ("html", "entity"), structural=True),
    Row("office", office.peel, ("office",)),
    Row("form", form.peel, ("percent",), structural=True),
    Row("php", php.peel, (), structural=True),
    Row("sql", sql.peel, ("sql",), structural=True),
    Row("table", table.peel, ("csv",), structural=True),
    Row("dump", dumps.peel, (), structural=True),
    Row("encoded-word", encoded_words.peel, ("encoded-word",)),
    Row("continuation", continuations.peel, ("continuation",)),
    Row("quoted-printable", quoted_printable.peel, ("quoted-printable",)),
    Row("percent", percent.peel, ("percent",)),
    Row("escape", escapes.peel, ("escape",)),
    Row("html", html.peel, ("html",)),
    Row("base64", base64.peel, ("base64", "jwt")),
    Row("base32", base32.peel, ("base32",)),
    Row("hex", hexadecimal.peel, ("hex",)),
    Row("bytes", byte_lists.peel, ("bytes",)),
    Row("retyped", retyped.peel, ("retyped",)),
    Row("fullwidth", fullwidth.peel, ("fullwidth",)),
)
"""All decoders in order. ``unwrap``, ``peel_charset`` and ``peel_cookies`` need to be told what they look at, and are
called by name."""

_FORMATS = ("zip", "tar", "grpc", "msgpack", "cbor", "protobuf")

GAP_REASONS = frozenset({
    "archive", "bad-content-encoding", "corrupt-multipart", "depth", "encrypted", "expanded", "multipart-boundary",
    "ratio", "truncated-multipart", "unknown-charset", "unknown-content-encoding", "unknown-transfer-encoding",
    "xml-entity", *(f"{fault}-{name}" for fault in ("truncated", "corrupt") for name in (*_CODINGS, *_FORMATS)),
})  # fmt: skip
"""Every reason a decoder's Gap can carry: they become metric labels."""
