"""Content codings taken off while a body passes: never more output at a time than asked for.

Source: RFC 9110 8.4.1, RFC 1952 (gzip), RFC 1950 and 1951 (deflate), RFC 7932 (br), RFC 8878 (zstd).
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import brotli
import zstandard

MOST_CODINGS = 2
"""Labels of one Content-Encoding that are taken off a body in motion, and containers inside of it."""
_ZSTD_SLICE = 256
"""Bytes of input at a time: a block of four bytes can stand for 128 KiB, and the library has no output limit."""


class CodingError(Exception):
    """The body is not what its label says; the message is a gap's reason."""


class Coding(Protocol):
    """One coding of one body."""

    def feed(self, data: bytes) -> None:
        """Gives it the next encoded bytes. Call only when ``read`` has returned nothing."""

    def read(self, most: int) -> bytes:
        """The next decoded bytes, about ``most``; empty: it needs more input. Raises ``CodingError``."""

    def end(self) -> None:
        """The body has ended here. Raises ``CodingError`` if the coding has not."""


class _Zlib:
    """gzip with all its members, zlib, or the raw deflate that some senders mean by ``deflate``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = b""
        self._engine = zlib.decompressobj(31) if name == "gzip" else None
        self._between = name == "gzip"
        """No member is open."""

    def feed(self, data: bytes) -> None:
        self._rest = data

    def read(self, most: int) -> bytes:
        while self._rest:
            if self._engine is None:
                self._engine = zlib.decompressobj(15 if self._rest[0] & 0x8F == 8 else -15)
            if self._engine.eof and not self._next_member():
                return b""
            self._between = False
            try:
                text = self._engine.decompress(self._rest, most)
            except zlib.error:
                raise CodingError(f"corrupt-{self._name}") from None
            self._rest = self._engine.unused_data or self._engine.unconsumed_tail
            if text:
                return text
        return self._engine.decompress(b"", most) if self._engine is not None and not self._engine.eof else b""

    def _next_member(self) -> bool:
        """Begins another member, if there is one behind the padding."""
        self._rest = self._rest.lstrip(b"\0")
        if self._rest and (self._name != "gzip" or self._rest[0] != 0x1F):
            raise CodingError(f"corrupt-{self._name}")
        self._between = True
        if self._rest:
            self._engine = zlib.decompressobj(31)
        return bool(self._rest)

    def end(self) -> None:
        if not self._between and (self._engine is None or not self._engine.eof):
            raise CodingError(f"truncated-{self._name}")


class _Brotli:
    def __init__(self, _name: str) -> None:
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
        self._make = zstandard.ZstdDecompressor().decompressobj
        self._engine = self._make()
        self._input = b""
        self._between = True

    def feed(self, data: bytes) -> None:
        self._input = data

    def read(self, most: int) -> bytes:
        out: list[bytes] = []
        while self._input and sum(map(len, out)) < most:
            piece, self._input = self._input[:_ZSTD_SLICE], self._input[_ZSTD_SLICE:]
            try:
                out.append(self._engine.decompress(piece))
            except zstandard.ZstdError:
                raise CodingError("corrupt-zstd") from None
            self._between = self._engine.eof
            if self._between:
                self._input = self._engine.unused_data + self._input
                self._engine = self._make()
        return b"".join(out)

    def end(self) -> None:
        if not self._between:
            raise CodingError("truncated-zstd")


class _Files:
    """bzip2 and xz, by the standard library's readers of one stream after another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor] = (
            bz2.BZ2Decompressor if name == "bzip2" else lzma.LZMADecompressor
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
    "gzip": _Zlib,
    "deflate": _Zlib,
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
