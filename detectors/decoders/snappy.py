"""Snappy: the raw block of Loki and Prometheus pushes, and the framed stream.

Evasion: a push whose protobuf is snappy without any label (Loki's own protocol); chunks that a reader skips, between
those it reads; a header that promises gigabytes.
Limits: output ≤ ``room``. A raw block names its length, which is read first: one longer than there is room for, or
longer than its bytes can stand for, is not decoded at all. Checksums of chunks are not compared: what a reader would
refuse is read all the same.
Source: google/snappy ``format_description.txt`` and ``framing_format.txt``.
"""

from __future__ import annotations

import cramjam

from detectors.decoders.inflate import Inflated
from detectors.decoders.offsets import Encode
from detectors.model import Ask

MAGIC = b"\xff\x06\x00\x00sNaPpY"
"""The first chunk of a framed stream."""

_EXPANDS = 32
"""Output bytes for each input byte, at the most: a copy of three bytes stands for 64."""
_SHORTEST = 12
_TINY = 200
"""Bytes: more cannot stand for a length of one byte."""
_CHUNK = 65_536
_COMPRESSED, _PLAIN, _FIRST_SKIPPABLE, _STREAM = 0x00, 0x01, 0x80, 0xFF


def _promised(data: bytes) -> tuple[int, int]:
    """The length that a raw block says it stands for, and the offset behind it; (-1, 0) where it says none."""
    length = 0
    for at, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return length, at + 1
    return -1, 0


def _raw(data: bytes, room: int) -> Inflated:
    length, at = _promised(data)
    if length < 0 or length > len(data) * _EXPANDS or len(data) - at > 32 + length + length // 6:
        return Inflated(b"", 0, "corrupt")
    if length > room:
        return Inflated(b"", 0, "room")
    try:
        return Inflated(bytes(cramjam.snappy.decompress_raw(data)), len(data))
    except cramjam.DecompressionError:
        return Inflated(b"", 0, "corrupt")


def _framed(data: bytes, room: int, ask: Ask) -> Inflated:
    out, at, beside = list[bytes](), 0, list[tuple[int, int]]()
    while at < len(data):
        ask.budget.check_time()
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "little")
        start, end = at + 4, at + 4 + size
        fault, piece = "truncated" if end > len(data) else "", b""
        if kind == _PLAIN:
            piece = data[start + 4 : end]
        elif kind == _COMPRESSED:
            got = _raw(data[start + 4 : end], _CHUNK)
            fault, piece = fault or ("corrupt" if got.fault else ""), got.data
        elif kind < _FIRST_SKIPPABLE:
            fault = "corrupt"
        elif kind != _STREAM:
            beside.append((start, min(end, len(data))))
        out.append(piece[:room])
        room -= len(piece)
        if fault or room < 0:
            return Inflated(b"".join(out), at, fault or "room", tuple(beside))
        at = end
    return Inflated(b"".join(out), at, "", tuple(beside))


def snappied(data: bytes, room: int, ask: Ask) -> Inflated:
    """A framed stream where it begins like one, else one raw block."""
    return _framed(data, room, ask) if data.startswith(MAGIC) else _raw(data, room)


def again(data: bytes) -> Encode:
    """Encodes edited text as ``data`` was."""
    if data.startswith(MAGIC):
        return lambda text: bytes(cramjam.snappy.compress(text))
    return lambda text: bytes(cramjam.snappy.compress_raw(text))


def may_be_raw(data: bytes) -> bool:
    """Whether the first bytes can begin a raw block that is long enough to hold a card number: a length that so many
    bytes can stand for, then a literal that ends before they do."""
    if data[:1] < b"\x80" and len(data) > _TINY:
        return False
    length, at = _promised(data)
    if not _SHORTEST <= length <= len(data) * _EXPANDS or len(data) - at > 32 + length + length // 6 or at >= len(data):
        return False
    tag = data[at]
    if tag & 3:
        return False
    literal = tag >> 2
    if literal >= 60:
        literal = int.from_bytes(data[at + 1 : at + literal - 58], "little")
    return literal < min(length, len(data))
