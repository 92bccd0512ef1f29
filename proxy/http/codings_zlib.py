"""gzip, zlib and raw deflate taken off while a body passes, with what a gzip header says beside its data.

Source: RFC 1950, 1951, 1952.
"""

from __future__ import annotations

import zlib

_MAGIC = b"\x1f\x8b\x08"
_FIXED = 10
_MOST_HEAD = 128 * 1024
"""Most bytes of a gzip member's header. Its extra field has 64 KiB, its name and comment no limit."""


class CodingError(Exception):
    """The body is not what its label says; the message is a gap's reason."""


class Zlib:
    """gzip with all its members, zlib, or the raw deflate that some senders mean by ``deflate``."""

    def __init__(self, name: str) -> None:
        self.beside = bytearray()
        self._name = name
        self._rest = b""
        self._engine = zlib.decompressobj(31) if name == "gzip" else None
        self._between = name == "gzip"
        """No member is open."""
        self._head: bytes | None = b"" if name == "gzip" else None
        """What has come of a member's header; ``None`` behind it."""

    def feed(self, data: bytes) -> None:
        """See ``proxy.http.codings.Coding``."""
        self._rest = data

    def read(self, most: int) -> bytes:
        """See ``proxy.http.codings.Coding``."""
        while self._rest:
            if self._engine is None:
                self._engine = zlib.decompressobj(15 if self._rest[0] & 0x8F == 8 else -15)
            if self._engine.eof and not self._next_member():
                return b""
            self._between = False
            if self._head is not None and not self._read_head():
                return b""
            try:
                text = self._engine.decompress(self._rest, most)
            except zlib.error:
                raise CodingError(f"corrupt-{self._name}") from None
            self._rest = self._engine.unused_data or self._engine.unconsumed_tail
            if text:
                return text
        return self._engine.decompress(b"", most) if self._engine is not None and not self._engine.eof else b""

    def _read_head(self) -> bool:
        """Whether all of the member's header is there; its fields are then beside."""
        head, self._rest = (self._head or b"") + self._rest, b""
        end = head_length(head)
        if end is None and len(head) <= _MOST_HEAD:
            self._head = head
            return False
        if end is None or end > _MOST_HEAD:
            raise CodingError("corrupt-gzip")
        if end > _FIXED:
            self.beside += head[_FIXED:end] + b"\n"
        self._rest, self._head = head, None
        return True

    def _next_member(self) -> bool:
        """Begins another member, if there is one behind the padding."""
        self._rest = self._rest.lstrip(b"\0")
        if self._rest and (self._name != "gzip" or self._rest[0] != 0x1F):
            raise CodingError(f"corrupt-{self._name}")
        self._between = True
        if self._rest:
            self._engine, self._head = zlib.decompressobj(31), b""
        return bool(self._rest)

    def end(self) -> None:
        """See ``proxy.http.codings.Coding``."""
        if not self._between and (self._engine is None or not self._engine.eof):
            raise CodingError(f"truncated-{self._name}")


def head_length(data: bytes) -> int | None:
    """The length of a member's header (RFC 1952 2.3); ``None`` while it is not whole. The engine tells what is none."""
    if not _MAGIC.startswith(data[:3]) and not data.startswith(_MAGIC):
        return 0
    if len(data) < _FIXED:
        return None
    flags, end = data[3], _FIXED
    if flags & 4:
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            end = data.find(b"\0", end) + 1 or len(data) + 1
    end += flags & 2
    return end if end <= len(data) else None
