"""Content-codings: gzip, deflate, br, zstd, snappy, aws-chunked; these, bzip2 and xz by their magic inside other data.

Evasion: several members (many readers stop after the first), text behind the end of the stream, a truncated stream or
a wrong checksum that a lenient reader forgives, a label that lies, labels in a list. What was decoded before the fault
is inspected all the same; what was not is inspected as it stands; and each fault is a gap. A raw snappy block has no
magic: bytes that are no text and decode as one, to the last byte, are one.
Limits: output ≤ ``ask.budget.room()``, decoded in slices; at most ``MOST_CODINGS`` labels.
Source: RFC 9110 §8.4.1, RFC 1952 (gzip), RFC 1950 and 1951 (deflate), RFC 7932 (br), RFC 8878 (zstd).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import brotli
import zstandard

from detectors.decoders import aws_chunked, snappy
from detectors.decoders.inflate import Inflated, brotlied, gzip_head, gzipped, zlibbed, zstandarded
from detectors.decoders.offsets import Chain, Encode, Whole, side_by_side
from detectors.decoders.text import is_text
from detectors.decoders.xz_bzip2 import BZIP2, XZ, bzipped, xzed
from detectors.model import Ask, Gap, Peel

MOST_CODINGS = 5
"""Labels of one Content-Encoding that are taken off. No server sends more than two."""

_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))
_SHORTEST = 12
"""Bytes: less than the shortest card number cannot hold one."""


def _reads_as_text(data: bytes) -> bool:
    """Whether the first bytes are printable ASCII: some zlib headers are ("x^", "(S"), deflated data hardly ever is."""
    return len(data) >= _SHORTEST and not data[:64].translate(None, _PRINTABLE)


def _is_zlib(data: bytes) -> bool:
    """Whether the first two bytes are a zlib header (RFC 1950 §2.2). They may also begin ordinary text."""
    return len(data) > 1 and data[0] & 0x8F == 8 and not (data[0] << 8 | data[1]) % 31


def _deflate(data: bytes, room: int, ask: Ask) -> Inflated:
    """Zlib as the standard says, or the raw stream that some senders mean."""
    if _is_zlib(data):
        wrapped = zlibbed(data, 0, zlib.MAX_WBITS, room, ask)
        if wrapped.data or wrapped.fault != "corrupt":
            return wrapped
    return zlibbed(data, 0, -zlib.MAX_WBITS, room, ask)


def _deflate_again(data: bytes) -> Encode:
    wbits = zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS

    def encode(text: bytes) -> bytes:
        packer = zlib.compressobj(1, zlib.DEFLATED, wbits)
        return packer.compress(text) + packer.flush()

    return encode


def _gzip_again(data: bytes) -> Encode:
    """One member; behind a header that is kept, without its own."""
    own_header = 10 if gzip_head(data) else 0
    return lambda text: gzip.compress(text, 1, mtime=0)[own_header:]


def _xz_format(data: bytes) -> int:
    return lzma.FORMAT_ALONE if data.startswith(b"\x5d") else lzma.FORMAT_XZ


Row = tuple[Callable[[bytes, int, Ask], Inflated], Callable[[bytes], Encode]]

CODINGS: dict[str, Row] = {
    "gzip": (gzipped, _gzip_again),
    "deflate": (_deflate, _deflate_again),
    "br": (brotlied, lambda _: lambda text: brotli.compress(text, quality=4)),
    "zstd": (zstandarded, lambda _: zstandard.ZstdCompressor(level=1).compress),
    "snappy": (snappy.snappied, snappy.again),
    "bzip2": (bzipped, lambda _: lambda text: bz2.compress(text, 1)),
    "aws-chunked": (aws_chunked.unchunked, lambda _: aws_chunked.again),
    "xz": (xzed, lambda data: lambda text: lzma.compress(text, _xz_format(data), preset=0)),
}
"""Name -> how to decode it, and how to encode edited text again behind the ``head`` of the original."""

_ALIASES = {
    "x-gzip": "gzip", "x-deflate": "deflate", "brotli": "br", "x-snappy": "snappy", "x-snappy-framed": "snappy",
    "x-bzip2": "bzip2", "x-xz": "xz", "x-zstd": "zstd", "zstd1": "zstd",
}  # fmt: skip

MAGIC = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (snappy.MAGIC, "snappy"))
"""First bytes -> compression. A zlib header is known by its check bits."""


_FIRST = frozenset(bytes([byte]) for byte in range(256) if byte & 0x8F == 8 or byte in b"\x1f\x28\xff\x42\xfd\x5d")
"""First bytes of all of them."""


def codings(header: str) -> tuple[str, ...]:
    """The names in a Content-Encoding header, outermost first, lower case, aliases resolved, without identity."""
    names = [name.strip().lower() for name in header.split(",")]
    return tuple(_ALIASES.get(name, name) for name in reversed(names) if name not in ("", "identity"))


def reason(fault: str, name: str, data: bytes, ask: Ask) -> str:
    """What a fault of ``data``, compressed as ``name``, is called in a Gap."""
    if fault == "room":
        return "ratio" if ask.budget.room(len(data) * 2) > ask.budget.room(len(data)) else "expanded"
    return f"{fault}-{name}"


def _peel(data: bytes, name: str, got: Inflated, ask: Ask) -> Iterator[Peel | Gap]:
    """The decoded child, the rest that is none, and what went wrong."""
    lost = got.fault or any(start >= got.head for start, _ in got.beside)
    used = len(data) if got.fault else got.used
    if got.data or not got.fault:
        hook = Whole(got.head, used, got.data, None if lost else CODINGS[name][1](data))
        yield Peel(name, got.data, hook, framed=True)
    rest = 0 if got.fault == "corrupt" else used
    for start, end in (*got.beside, (rest, len(data))):
        if start < end and data[start:end].strip(b"\0"):
            yield Peel("", data[start:end], side_by_side(start, end))
    if got.fault:
        yield Gap(reason(got.fault, name, data, ask), 0, len(data))


def peel_encoding(data: bytes, name: str, ask: Ask) -> Iterator[Peel | Gap]:
    """One content-coding (a key of ``CODINGS``) taken off: a Peel ``name`` with what was decoded, a Peel "" for bytes
    that belong to no stream (garbage behind it, everything where the label lies), and a Gap where it is not sound."""
    if not data:
        return
    if name not in CODINGS:
        yield Gap("unknown-content-encoding", 0, len(data))
        return
    got = CODINGS[name][0](data, ask.budget.room(len(data)), ask)
    for item in _peel(data, name, got, ask):
        if isinstance(item, Gap) and item.reason.startswith("corrupt-"):
            yield Gap("bad-content-encoding", item.start, item.end)
        else:
            yield item
    rest = data[got.used :]
    if not got.fault and rest.strip(b"\0") and not is_text(rest) and not announced(rest):
        yield Gap("bad-content-encoding", got.used, len(data))


def unwrap(data: bytes, content_encoding: str, ask: Ask) -> Iterator[Peel | Gap]:
    """A message body without its content-codings. Every Peel is a child of ``data``: two codings are one Peel whose
    codec is ``br+gzip``, outermost first. Nothing for an empty body, ``identity`` or no header at all."""
    names = codings(content_encoding)
    if data and len(names) > MOST_CODINGS:
        yield Gap("depth", 0, len(data))
    elif data and names:
        yield from _stack(data, names, ask)


def _stack(data: bytes, names: tuple[str, ...], ask: Ask) -> Iterator[Peel | Gap]:
    name, inner = names[0], names[1:]
    for item in peel_encoding(data, name, ask):
        if isinstance(item, Gap) or not item.codec or not inner:
            yield item
            continue
        if inner[0] not in CODINGS:
            yield replace(item, hook=Whole(*item.hook.locate(0, 0), item.data, None))
        for deeper in _stack(item.data, inner, ask):
            if isinstance(deeper, Gap):
                yield Gap(deeper.reason, *item.hook.locate(deeper.start, deeper.end))
            else:
                codec = "+".join(filter(None, (item.codec, deeper.codec)))
                yield replace(deeper, codec=codec, hook=Chain(item.hook, deeper.hook))


def announced(data: bytes) -> str:
    """The compression (a key of ``CODINGS``) that the first bytes announce; ``""``: none.
    Text may begin like deflate."""
    if data[:1] not in _FIRST:
        return ""
    for magic, name in MAGIC:
        if data.startswith(magic):
            return name
    if _is_zlib(data):
        return "deflate"
    if BZIP2.match(data):
        return "bzip2"
    return "xz" if XZ.match(data) else ""


def may_be_snappy(data: bytes) -> bool:
    """Whether the bytes may be a raw snappy block, which has no magic."""
    return snappy.may_be_raw(data) and not is_text(data)


def announces(data: bytes) -> bool:
    """Whether ``peel`` may yield anything."""
    return bool(announced(data)) or may_be_snappy(data)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Compression that the view's first bytes announce."""
    name = announced(data)
    guessed = not name and may_be_snappy(data)
    if not name and not guessed:
        return
    name = name or "snappy"
    got = CODINGS[name][0](data, ask.budget.room(len(data)), ask)
    if guessed and got.fault == "corrupt":
        return
    if name == "deflate" and got.fault and (len(got.data) < _SHORTEST or _reads_as_text(data)):
        return
    yield from _peel(data, name, got, ask)
