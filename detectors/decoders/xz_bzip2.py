"""bzip2 and xz (with its forerunner .lzma): whole files, several streams of them, within limits.

Evasion: several streams in one file, padding between them, a stream that breaks off behind the number.
Limits: ``room`` bytes of output, asked for a mebibyte at a time; xz dictionaries up to 72 MiB (its strongest preset
takes 65): what needs more is not decoded.
Source: the xz file format 1.2.1 (tukaani.org), bzip2 1.0.8.
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable

from detectors.decoders.inflate import Inflated
from detectors.model import Ask

BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
XZ = re.compile(rb"\xfd7zXZ\0|\x5d\0\0[\0-\x80]{2}(?:\xff{8}|[\0-\xff]{4}\0{4})")
"""The magic of xz; and .lzma's header: usual properties, dictionary, and a size (or none) below 4 GiB."""

_MEMORY = 72 * 1024 * 1024
_SLICE = 64 * 1024
_OUT = 1024 * 1024
_ZEROS = re.compile(rb"\0*+")

_Engine = bz2.BZ2Decompressor | lzma.LZMADecompressor


def _stream(data: bytes, at: int, engine: _Engine, out: list[bytes], room: int, ask: Ask) -> tuple[int, int, str]:
    """One stream from ``at`` on: the offset behind it, the room left, and its fault."""
    piece = b""
    while not engine.eof:
        ask.budget.check_time()
        if engine.needs_input:
            piece = data[at : at + _SLICE]
            if not piece:
                return at, room, "truncated"
            at += len(piece)
        try:
            text = engine.decompress(piece, min(_OUT, room + 1))
        except MemoryError:
            return at, room, "room"
        except lzma.LZMAError as error:
            return at, room, "room" if "limit" in str(error) else "corrupt"
        except (OSError, ValueError):
            return at, room, "corrupt"
        piece = b""
        out.append(text[:room])
        room -= len(text)
        if room < 0:
            return at, room, "room"
    return at - len(engine.unused_data), room, ""


def _streams(data: bytes, magic: re.Pattern[bytes], start: Callable[[], _Engine], room: int, ask: Ask) -> Inflated:
    out, at = list[bytes](), 0
    while True:
        at, room, fault = _stream(data, at, start(), out, room, ask)
        if fault:
            return Inflated(b"".join(out), at, fault)
        padding = _ZEROS.match(data, at)
        behind = padding.end() if padding else at
        if not magic.match(data, behind):
            return Inflated(b"".join(out), at)
        at = behind


def bzipped(data: bytes, room: int, ask: Ask) -> Inflated:
    """All streams of a bzip2 file."""
    return _streams(data, BZIP2, bz2.BZ2Decompressor, room, ask)


def xzed(data: bytes, room: int, ask: Ask) -> Inflated:
    """All streams of an xz or .lzma file."""
    return _streams(data, XZ, lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_MEMORY), room, ask)
