"""Compressed streams inside other binary data, and such as have no first bytes that tell: raw deflate and brotli.

Evasion: gzip behind a header of somebody's own, a deflated comment of a PNG, objects of a git pack, a brotli body whose
Content-Encoding got lost, SAML's raw deflate.
Limits: of zlib, raw deflate and brotli only text is taken: two bytes, or none, are a magic by chance. So pictures in a
PNG are not read. A stream that breaks off or is damaged is a Gap where text came out of it.
Cannot be put back: nobody knows what counts the bytes around.
Source: RFC 1950, 1951, 1952, 7932, 8878; PNG (third edition) §11.3.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import brotli

from detectors.decoders.compressed import CODINGS, reason
from detectors.decoders.inflate import Inflated, brotlied, zlibbed
from detectors.decoders.offsets import Whole
from detectors.decoders.text import is_text
from detectors.model import Ask, Gap, Peel

_MAGIC = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"1AY&SY", "bzip2"),
    *((b"x" + level, "deflate") for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
)
_BEHIND = {"bzip2": 4}
"""Bytes between a stream's begin and the magic that is looked for."""
_WINDOW_BITS = {"gzip": 31, "deflate": zlib.MAX_WBITS}
_SHORTEST = 12
_TRIAL = 512
_TRIAL_ROOM = 4096


def _deflates(data: bytes, at: int = 0) -> bool:
    """Whether the first bytes of raw deflate at ``at`` can be inflated: most that only look like it cannot."""
    try:
        return bool(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[at : at + _TRIAL], _TRIAL_ROOM))
    except zlib.error:
        return False


def _brotlis(data: bytes) -> bool:
    try:
        return bool(brotli.Decompressor().process(data[:_TRIAL], output_buffer_limit=_TRIAL_ROOM))
    except brotli.error:
        return False


def _headless(data: bytes, ask: Ask) -> tuple[str, Inflated] | None:
    """The whole as one stream without a magic, if text comes out and no byte is left over."""
    room = ask.budget.room(len(data))
    for name in ("deflate", "br"):
        if not (_deflates(data) if name == "deflate" else _brotlis(data)):
            continue
        got = zlibbed(data, 0, -zlib.MAX_WBITS, room, ask) if name == "deflate" else brotlied(data, room, ask)
        if _no_room(got) or ((got.fault == "room" or (not got.fault and got.used == len(data))) and _tells(got)):
            return name, got
    return None


def _no_room(got: Inflated) -> bool:
    """Whether there was too little room to tell what the stream holds."""
    return got.fault == "room" and len(got.data) < _TRIAL_ROOM


def _tells(got: Inflated) -> bool:
    return len(got.data) >= _SHORTEST and is_text(got.data)


def is_headless(data: bytes, ask: Ask) -> bool:
    """Whether the whole is a stream of raw deflate or brotli that holds text."""
    return len(data) >= _SHORTEST and not is_text(data) and _headless(data, ask) is not None


def may_be(data: bytes) -> bool:
    """Whether ``peel`` may yield anything for these bytes, which must not be text."""
    if len(data) < _SHORTEST:
        return False
    return _deflates(data) or _brotlis(data) or holds(data)


def holds(data: bytes) -> bool:
    """Whether the first bytes of a stream stand anywhere in the data."""
    return any(magic in data for magic, _ in _MAGIC)


def _starts(data: bytes, ask: Ask) -> Iterator[tuple[int, str]]:
    """Where streams may begin, in order."""
    following = [(data.find(magic), magic, name) for magic, name in _MAGIC]
    while True:
        ask.budget.check_time()
        following = [found for found in following if found[0] >= 0]
        if not following:
            return
        at, magic, name = min(following)
        yield at - _BEHIND.get(name, 0), name
        following = [(data.find(magic, at + 1), magic, name) if row[1] == magic else row for row in following]


def _stream(data: bytes, at: int, name: str, ask: Ask) -> Inflated | None:
    """What the stream at ``at`` holds, with offsets of ``data``; ``None``: there is none after all."""
    room = ask.budget.room(len(data) - at)
    wbits = _WINDOW_BITS.get(name)
    if wbits is None:
        got = CODINGS[name][0](data[at:], room, ask)
        return Inflated(got.data, at + got.used, got.fault) if got.data or got.fault == "room" else None
    if (name == "gzip" and data[at + 3 : at + 4] >= b"\x20") or (name == "deflate" and not _deflates(data, at + 2)):
        return None
    got = zlibbed(data, at, wbits, room, ask)
    sure = name == "gzip" and not got.fault
    return got if sure or _tells(got) or _no_room(got) else None


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole as one stream, or else each stream in it, of data that is no text and is not known to be anything."""
    if len(data) < _SHORTEST or is_text(data):
        return
    whole = _headless(data, ask)
    if whole:
        name, got = whole
        yield Peel(name, got.data, Whole(0, len(data), got.data, None))
        if got.fault:
            yield Gap(reason(got.fault, name, data, ask), 0, len(data))
        return
    behind = 0
    for at, name in _starts(data, ask):
        if at < behind:
            continue
        found = _stream(data, at, name, ask)
        if found is None:
            continue
        behind = max(found.used, at + 1)
        yield Peel(name, found.data, Whole(at, len(data) if found.fault else behind, found.data, None))
        if found.fault:
            yield Gap(reason(found.fault, name, data[at:], ask), at, len(data))
