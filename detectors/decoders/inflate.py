"""Decompression in slices: never more output than asked for, and what a broken stream held before it broke.

Limits: ``room`` bytes of output (br and zstd may overshoot by what one slice of input holds: 32 KiB, 32 MiB).
Source: RFC 1950, 1951, 1952, 7932, 8878 §3.1.2 (skippable frames).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

import brotli
import zstandard

from detectors.model import Ask

_SLICE = 16 * 1024
_ZSTD_SLICE = 1024
"""Bytes of input. A block of four can stand for 128 KiB and the library has no output limit."""
_OUT = 1024 * 1024
_ZEROS = re.compile(rb"\0*+")
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True, repr=False)
class Inflated:
    """What came out of a stream."""

    data: bytes
    used: int
    """Offset behind the stream's last byte that was understood."""
    fault: str = ""
    """``truncated``, ``corrupt``, or ``room``: there would be more."""
    beside: tuple[tuple[int, int], ...] = ()
    """Stretches before ``used`` that a decoder skips and a reader may see: names in headers, skippable frames."""
    head: int = 0
    """Bytes before the first stream that can stay as they are when it is encoded again."""


class _Sink:
    """Collects output up to a limit."""

    def __init__(self, room: int) -> None:
        self.left = room
        self._out = BytesIO()  # gives its bytes away without a copy of them

    def take(self, text: bytes) -> bool:
        """Whether there is still room."""
        if text:
            self._out.write(text[: max(self.left, 0)] if len(text) > self.left else text)
        self.left -= len(text)
        return self.left >= 0

    def ask(self) -> int:
        """How much to ask for next: one byte more than there is room, to learn that there is more."""
        return min(_OUT, self.left + 1)

    def inflated(self, used: int, fault: str = "", beside: Iterable[tuple[int, int]] = (), head: int = 0) -> Inflated:
        return Inflated(self._out.getvalue(), used, fault, tuple(beside), head)


def _feed(engine: zlib._Decompress, piece: bytes, sink: _Sink) -> bool:
    """One slice of input, drained. False: no more room. Raises ``zlib.error``."""
    while True:
        text = engine.decompress(piece, sink.ask())
        if not sink.take(text):
            return False
        piece = engine.unconsumed_tail
        if engine.eof or (not piece and not text):
            return True


def _stream(data: bytes, at: int, wbits: int, sink: _Sink, ask: Ask) -> tuple[int, str]:
    """One stream that begins at ``at``: the offset behind it, and its fault."""
    engine = zlib.decompressobj(wbits)
    while at < len(data):
        ask.budget.check_time()
        piece, before, trial = data[at : at + _SLICE], engine.copy(), _Sink(sink.left)
        try:
            room = _feed(engine, piece, trial)
        except zlib.error:
            return _salvage(data, at, before, sink)
        if not sink.take(trial.inflated(0).data) or not room:
            return at, "room"
        at += len(piece)
        if engine.eof:
            return at - len(engine.unused_data), ""
    return at, "truncated"


def _salvage(data: bytes, at: int, engine: zlib._Decompress, sink: _Sink) -> tuple[int, str]:
    """The slice that holds the error once more, byte by byte: what the error made zlib throw away."""
    for end in range(at, min(at + _SLICE, len(data))):
        try:
            if not _feed(engine, data[end : end + 1], sink):
                return end, "room"
        except zlib.error:
            return end, "corrupt"
    return at, "corrupt"


def zlibbed(data: bytes, at: int, wbits: int, room: int, ask: Ask) -> Inflated:
    """One zlib (``wbits`` 15), raw (-15) or gzip (31) stream."""
    sink = _Sink(room)
    return sink.inflated(*_stream(data, at, wbits, sink, ask))


def gzipped(data: bytes, room: int, ask: Ask) -> Inflated:
    """All members of a gzip file, zero padding between them. Bytes that begin no member end it."""
    sink, at, names, head = _Sink(room), 0, list[tuple[int, int]](), gzip_head(data)
    while True:
        head_end = gzip_head(data, at)
        if head_end:
            names.append((at + 10, head_end))
        at, fault = _stream(data, at, 31, sink, ask)
        if fault:
            return sink.inflated(at, fault, names, head)
        following = _ZEROS.match(data, at)
        behind = following.end() if following else at
        if not data.startswith(b"\x1f\x8b", behind):
            return sink.inflated(at, "", names, head)
        at = behind


def gzip_head(data: bytes, at: int = 0) -> int:
    """Offset behind the header of the member at ``at`` (RFC 1952 §2.3) where its flags announce more than the usual ten
    bytes; 0 where they do not, for that one is not worth keeping."""
    flags, end = int.from_bytes(data[at + 3 : at + 4]), at + 10
    if not flags & 0x1E:
        return 0
    if flags & 4:
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            end = data.find(b"\0", end) + 1 or len(data)
    return min(end + (flags & 2), len(data))


def brotlied(data: bytes, room: int, ask: Ask) -> Inflated:
    """One brotli stream."""
    engine, sink, at = brotli.Decompressor(), _Sink(room), 0
    while at < len(data) and not engine.is_finished():
        ask.budget.check_time()
        piece = data[at : at + _SLICE]
        try:
            while True:
                text = engine.process(piece, output_buffer_limit=sink.ask())
                piece = b""
                if not sink.take(text):
                    return sink.inflated(at, "room")
                if not text or engine.is_finished():
                    break
        except brotli.error:
            return _brotli_again(data, at, room)
        at += _SLICE
    return sink.inflated(min(at, len(data)), "" if engine.is_finished() else "truncated")


def _brotli_again(data: bytes, bad: int, room: int) -> Inflated:
    """Up to the slice that holds the error as before, then byte by byte: the library tells neither where a stream
    ended nor what it had made of the slice."""
    engine, sink = brotli.Decompressor(), _Sink(room)
    edges = [*range(0, bad, _SLICE), *range(bad, min(bad + _SLICE, len(data)) + 1)]
    for at, end in pairwise(edges):
        piece = data[at:end]
        try:
            while True:
                text = engine.process(piece, output_buffer_limit=sink.ask())
                piece = b""
                if not sink.take(text):
                    return sink.inflated(at, "room")
                if engine.is_finished():
                    return sink.inflated(end)
                if not text:
                    break
        except brotli.error:
            return sink.inflated(at, "corrupt")
    return sink.inflated(bad, "corrupt")


def zstandarded(data: bytes, room: int, ask: Ask) -> Inflated:
    """All frames of a zstd stream. Skippable frames are told in ``beside``: a decoder drops what they hold."""
    factory, sink, at, beside = zstandard.ZstdDecompressor(), _Sink(room), 0, tuple[int, ...]()
    while True:
        ask.budget.check_time()
        if _SKIPPABLE.match(data, at):
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            beside = (*beside[:1], at + 4, min(at + 8 + length, len(data)))
            at = beside[-1]
        elif data.startswith(_ZSTD_MAGIC, at):
            at, fault = _frame(data, at, factory, sink, ask)
            if fault:
                return sink.inflated(at, fault, _stretch(beside))
        else:
            return sink.inflated(at, "" if at else "corrupt", _stretch(beside))


def _stretch(edges: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return ((edges[0], edges[-1]),) if edges else ()


def _frame(data: bytes, at: int, factory: zstandard.ZstdDecompressor, sink: _Sink, ask: Ask) -> tuple[int, str]:
    engine = factory.decompressobj()
    while at < len(data) and not engine.eof:
        ask.budget.check_time()
        piece = data[at : at + _ZSTD_SLICE]
        try:
            text = engine.decompress(piece)
        except zstandard.ZstdError:
            return at, "corrupt"
        if not sink.take(text):
            return at, "room"
        at += len(piece)
    return at - len(engine.unused_data), "" if engine.eof else "truncated"
