"""Content codings taken off while a body passes: never more output at a time than asked for.

Source: RFC 9110 8.4.1, RFC 1952 (gzip), RFC 1950 and 1951 (deflate), RFC 7932 (br), RFC 8878 (zstd).
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import brotli
import zstandard

from proxy.http.codings_zlib import CodingError, Zlib

MOST_CODINGS = 2
"""Labels of one Content-Encoding that are taken off a body in motion, and containers inside of it."""
_ZSTD_SLICE = 256
"""Bytes of input at a time: a block of four bytes can stand for 128 KiB, and the library has no output limit."""


_ZSTD_WINDOW = 8 * 1024 * 1024
"""The largest window that HTTP allows (RFC 9659): it stays in memory as long as the body is under way."""
_XZ_MEMORY = 66 * 1024 * 1024
"""What the dictionary of ``xz -9`` takes; the format has room for 4 GiB."""
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
"""A zstd frame that decoders skip (RFC 8878 3.1.2)."""


class Coding(Protocol):
    """One coding of one body."""

    @property
    def beside(self) -> bytearray:
        """What decoders skip and a reader may see: names in headers, skippable frames. Who has read it takes it out."""

    def feed(self, data: bytes) -> None:
        """Gives it the next encoded bytes. Call only when ``read`` has returned nothing."""

    def read(self, most: int) -> bytes:
        """The next decoded bytes, about ``most``; empty: it needs more input. Raises ``CodingError``."""

    def end(self) -> None:
        """The body has ended here. Raises ``CodingError`` if the coding has not."""


class _Brotli:
    def __init__(self, _name: str) -> None:
        self.beside = bytearray()
        self._engine = brotli.Decompressor()
        self._input = b""

    def feed(self, data: bytes) -> None:
        if self._engine.is_finished():
            raise CodingError("corrupt-br")
        self._input = data

    def read(self, most: int) -> bytes:
        if self._engine.is_finished():
            return b""
        data, self._input = self._input, b""
        try:
            text: bytes = self._engine.process(data, output_buffer_limit=most)
        except brotli.error:
            raise CodingError("corrupt-br") from None
        return text

    def end(self) -> None:
        if not self._engine.is_finished():
            raise CodingError("truncated-br")


class _Zstd:
    """Frame after frame."""

    def __init__(self, _name: str) -> None:
        self.beside = bytearray()
        self._make = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
        self._engine = self._make()
        self._input = b""
        self._between = True
        self._skip = 0
        """Bytes that are left of a skippable frame."""

    def feed(self, data: bytes) -> None:
        self._input += data

    def read(self, most: int) -> bytes:
        out: list[bytes] = []
        size = 0
        while self._input and size < most:
            if (self._skip or self._between) and not self._begins():
                break
            piece, self._input = self._input[:_ZSTD_SLICE], self._input[_ZSTD_SLICE:]
            try:
                out.append(self._engine.decompress(piece))
            except zstandard.ZstdError:
                raise CodingError("corrupt-zstd") from None
            size += len(out[-1])
            self._between = self._engine.eof
            if self._between:
                self._input = self._engine.unused_data + self._input
                self._engine = self._make()
        return b"".join(out)

    def _begins(self) -> bool:
        """Takes skippable frames; whether another frame begins behind them."""
        while self._input:
            if self._skip:
                frame, self._input = self._input[: self._skip], self._input[self._skip :]
                self._skip -= len(frame)
                self.beside += frame if self._skip else frame + b"\n"
            elif len(self._input) < 4:
                return False
            elif not _SKIPPABLE.match(self._input):
                return True
            elif len(self._input) < 8:
                return False
            else:
                self._skip = int.from_bytes(self._input[4:8], "little")
                self._input = self._input[8:]
        return False

    def end(self) -> None:
        if not self._between or self._skip or self._input:
            raise CodingError("truncated-zstd")


class _Files:
    """bzip2 and xz, by the standard library's readers of one stream after another."""

    def __init__(self, name: str) -> None:
        self.beside = bytearray()
        self._name = name
        self._make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor] = (
            bz2.BZ2Decompressor if name == "bzip2" else partial(lzma.LZMADecompressor, memlimit=_XZ_MEMORY)
        )
        self._engine = self._make()
        self._input = b""
        self._between = True

    def feed(self, data: bytes) -> None:
        self._input = data

    def read(self, most: int) -> bytes:
        while True:
            if self._between:
                self._input = self._input.lstrip(b"\0")
            if not self._input and (self._between or self._engine.needs_input):
                return b""
            data, self._input, self._between = self._input, b"", False
            try:
                text: bytes = self._engine.decompress(data, most)
            except (OSError, lzma.LZMAError):
                raise CodingError(f"corrupt-{self._name}") from None
            if self._engine.eof:
                self._input, self._engine, self._between = self._engine.unused_data, self._make(), True
            if text:
                return text

    def end(self) -> None:
        if not self._between:
            raise CodingError(f"truncated-{self._name}")


class Chain:
    """One coding inside another: ``outer`` is taken off first."""

    def __init__(self, outer: Coding, inner: Coding) -> None:
        self._outer = outer
        self._inner = inner

    @property
    def beside(self) -> bytearray:
        """Of both."""
        self._outer.beside.extend(self._inner.beside)
        self._inner.beside.clear()
        return self._outer.beside

    def feed(self, data: bytes) -> None:
        self._outer.feed(data)

    def read(self, most: int) -> bytes:
        while True:
            text = self._inner.read(most)
            if text:
                return text
            middle = self._outer.read(most)
            if not middle:
                return b""
            self._inner.feed(middle)

    def end(self) -> None:
        self._outer.end()
        self._inner.end()


_CODINGS: Mapping[str, Callable[[str], Coding]] = {
    "gzip": Zlib,
    "deflate": Zlib,
    "br": _Brotli,
    "zstd": _Zstd,
    "bzip2": _Files,
    "xz": _Files,
}
_ALIASES = {"x-gzip": "gzip", "x-deflate": "deflate"}
_LABELS = frozenset({"gzip", "deflate", "br", "zstd"})
_MAGIC = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x78\x01", "deflate"),
    (b"\x78\x9c", "deflate"),
    (b"\x78\xda", "deflate"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)


def coding_of(content_encoding: str) -> Coding | None:
    """What takes the codings of a Content-Encoding off; ``None`` where there are none.

    Raises ``CodingError`` for one that cannot be taken off while the body passes.
    """
    labels = [label.strip().lower() for label in content_encoding.split(",")]
    names = [_ALIASES.get(label, label) for label in labels if label not in ("", "identity")]
    if len(names) > MOST_CODINGS or not _LABELS.issuperset(names):
        raise CodingError("unknown-content-encoding")
    coding: Coding | None = None
    for name in reversed(names):
        inner = _CODINGS[name](name)
        coding = inner if coding is None else Chain(coding, inner)
    return coding


def container_of(start: bytes) -> Coding | None:
    """What reads a compressed file that begins with ``start``, by its magic; ``None`` for anything else."""
    name = next((name for magic, name in _MAGIC if start.startswith(magic)), "")
    return _CODINGS[name](name) if name else None
