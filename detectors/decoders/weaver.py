"""Builds a decoded child and its offset map together, stretch by stretch; and says which stretches were asked for."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

from detectors.decoders.offsets import Encode, OffsetMap
from detectors.model import Ask

NEAR = 64
"""Bytes around a value within which a hit of the sieve asks for it: a key's pattern may end before its value."""

REPLACEMENT = "\ufffd".encode()
"""Stands for bytes that cannot be decoded."""

Step = tuple[int, int]
"""Child bytes, parent bytes of the smallest piece that an edit can replace."""

Piece = tuple[bytes, Step] | None
"""What one match decodes to; ``None``: it stays as it is."""

DROPPED: Piece = (b"", (1, 1))
"""Bytes that leave nothing in the child."""


def near(start: int, end: int, hits: Sequence[int]) -> bool:
    """Whether ``[start, end)`` holds a hit or has one within ``NEAR`` bytes; no hits at all ask for everything."""
    if not hits:
        return True
    i = bisect_left(hits, start - NEAR)
    return i < len(hits) and hits[i] <= max(end, start + NEAR)


class Weaver:
    """One child in the making. Each call goes on in the parent where the last one ended."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = self._start = start
        self._made = 0
        self._out: list[bytes] = []
        self._child: list[int] = []
        self._parent: list[int] = []
        self._step: list[Step] = []

    def piece(self, text: bytes, end: int, step: Step) -> None:
        """The parent's bytes up to ``end`` are ``text`` in the child, in steps of ``step``."""
        self._child.append(self._made)
        self._parent.append(self._at)
        self._step.append(step)
        self._out.append(text)
        self._made += len(text)
        self._at = end

    def plain(self, end: int) -> None:
        """The parent's bytes up to ``end`` as they stand."""
        if end > self._at:
            self.piece(self._data[self._at : end], end, (1, 1))

    def drop(self, end: int) -> None:
        """The parent's bytes up to ``end`` leave nothing in the child."""
        if end > self._at:
            self.piece(b"", end, (1, 1))

    def run(self, pattern: re.Pattern[bytes], decode: Callable[[re.Match[bytes]], Piece], end: int, ask: Ask) -> int:
        """The parent's bytes up to ``end`` with each match decoded; gives how many were."""
        decoded = 0
        for n, match in enumerate(pattern.finditer(self._data, self._at, end)):
            if not n & 1023:
                ask.budget.check_time()
            piece = decode(match)
            if piece is not None:
                self.plain(match.start())
                self.piece(piece[0], match.end(), piece[1])
                decoded += 1
        self.plain(end)
        return decoded

    def done(self, encode: Encode) -> tuple[bytes, OffsetMap]:
        """The child's bytes and its map."""
        if not self._child:
            self.piece(b"", self._at, (1, 1))
        marks = tuple(self._child), tuple(self._parent)
        return b"".join(self._out), OffsetMap(*marks, self._made, self._at, encode, tuple(self._step))


def weave(
    data: bytes,
    pattern: re.Pattern[bytes],
    decode: Callable[[re.Match[bytes]], Piece],
    encode: Encode,
    ask: Ask,
    span: tuple[int, int] | None = None,
) -> tuple[bytes, OffsetMap] | None:
    """``data`` (or a span of it) with every match decoded, and the way back; ``None`` where nothing was to decode."""
    start, end = span or (0, len(data))
    weaver = Weaver(data, start)
    return weaver.done(encode) if weaver.run(pattern, decode, end, ask) else None
