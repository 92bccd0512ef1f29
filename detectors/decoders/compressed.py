"""Content-codings: gzip, deflate, br, zstd; and the same compression by its magic inside other data.

Evasion: several members (many readers stop after the first), text behind the end of the stream, a truncated stream or
a wrong checksum that a lenient reader forgives, a label that lies, labels in a list. What was decoded before the fault
is inspected all the same; what was not is inspected as it stands; and each fault is a gap.
Limits: output ≤ ``ask.budget.room()``, decoded in slices; at most ``MOST_CODINGS`` labels.
Source: RFC 9110 §8.4.1, RFC 1952 (gzip), RFC 1950 and 1951 (deflate), RFC 7932 (br), RFC 8878 (zstd).
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import brotli
import zstandard

from detectors.decoders.inflate import Inflated, brotlied, gzip_head, gzipped, zlibbed, zstandarded
from detectors.decoders.offsets import Chain, Encode, Whole, side_by_side
from detectors.model import Ask, Gap, Peel

MOST_CODINGS = 5
"""Labels of one Content-Encoding that are taken off. No server sends more than two."""

_SHORTEST = 12
"""Bytes: less than the shortest card number cannot hold one."""


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


Row = tuple[Callable[[bytes, int, Ask], Inflated], Callable[[bytes], Encode]]

CODINGS: dict[str, Row] = {
    "gzip": (gzipped, _gzip_again),
    "deflate": (_deflate, _deflate_again),
    "br": (brotlied, lambda _: lambda text: brotli.compress(text, quality=4)),
    "zstd": (zstandarded, lambda _: zstandard.ZstdCompressor(level=1).compress),
}
"""Name -> how to decode it, and how to encode edited text again behind the ``head`` of the original."""

_ALIASES = {"x-gzip": "gzip", "x-deflate": "deflate", "brotli": "br"}

MAGIC = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
"""First bytes -> compression. A zlib header is known by its check bits."""

CONTAINERS = re.compile(
    rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"  # zip, and all that is built on it: docx, xlsx, jar
    rb"|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)|\xfd7zXZ\0|LZIP|MSCF\0\0\0\0|\x1f\x9d[\x80-\x9f]"
    rb"|\x04\x22\x4d\x18|\xff\x06\0\0sNaPpY"  # lz4 and snappy frames
)
_ZIP_END, _ZIP_END_WITHIN = b"PK\x05\x06", 65_557
_PDF_WITHIN = 1024


def codings(header: str) -> tuple[str, ...]:
    """The names in a Content-Encoding header, outermost first, lower case, aliases resolved, without identity."""
    names = [name.strip().lower() for name in header.split(",")]
    return tuple(_ALIASES.get(name, name) for name in reversed(names) if name not in ("", "identity"))


def _reason(fault: str, name: str, data: bytes, ask: Ask) -> str:
    if fault == "room":
        return "ratio" if ask.budget.room(len(data) * 2) > ask.budget.room(len(data)) else "expanded"
    return f"{fault}-{name}"


def _peel(data: bytes, name: str, got: Inflated, ask: Ask) -> Iterator[Peel | Gap]:
    """The decoded child, the rest that is none, and what went wrong."""
    lost = got.fault or any(start >= got.head for start, _ in got.beside)
    used = len(data) if got.fault else got.used
    if got.data or not got.fault:
        yield Peel(name, got.data, Whole(got.head, used, got.data, None if lost else CODINGS[name][1](data)), framed=True)
    rest = 0 if got.fault == "corrupt" else used
    for start, end in (*got.beside, (rest, len(data))):
        if start < end and data[start:end].strip(b"\0"):
            yield Peel("", data[start:end], side_by_side(start, end))
    if got.fault:
        yield Gap(_reason(got.fault, name, data, ask), 0, len(data))


def peel_encoding(data: bytes, name: str, ask: Ask) -> Iterator[Peel | Gap]:
    """One content-coding (a key of ``CODINGS``) taken off: a Peel ``name`` with what was decoded, a Peel "" for bytes
    that belong to no stream (garbage behind it, everything where the label lies), and a Gap where it is not sound."""
    if not data:
        return
    if name not in CODINGS:
        yield Gap("unknown-content-encoding", 0, len(data))
        return
    for item in _peel(data, name, CODINGS[name][0](data, ask.budget.room(len(data)), ask), ask):
        if isinstance(item, Gap) and item.reason.startswith("corrupt-"):
            yield Gap("bad-content-encoding", item.start, item.end)
        else:
            yield item


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


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Compression that the view's first bytes announce. A container that cannot be looked into is a Gap ``archive``."""
    if is_container(data):
        yield Gap("archive", 0, len(data))
        return
    name = next((name for magic, name in MAGIC if data.startswith(magic)), "deflate" if _is_zlib(data) else "")
    if not name:
        return
    got = CODINGS[name][0](data, ask.budget.room(len(data)), ask)
    if name == "deflate" and got.fault and len(got.data) < _SHORTEST:
        return
    yield from _peel(data, name, got, ask)


def is_container(data: bytes) -> bool:
    """Archives, by magic; a zip also by its directory at the end (readers accept anything before it); PDF whose
    streams are filtered."""
    if CONTAINERS.match(data) or data.rfind(_ZIP_END, max(0, len(data) - _ZIP_END_WITHIN)) >= 0:
        return True
    return b"%PDF-" in data[:_PDF_WITHIN] and b"/Filter" in data
