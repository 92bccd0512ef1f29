"""All values of a binary message as lines of text, so that the sieve reads a whole message in one pass.

A name and its value stand on one line, as in a log; a number that is stored as bits stands there in digits. The bytes
around a value (a tag, a length) are not on its line: ``0x38`` is the digit 8 and would hide the number beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from detectors.keys import names

_CACHED = 4096


class Lines:
    """Values and where each stands in the message."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._starts: list[int] = []
        self._spans: list[tuple[int, int]] = []

    def add(self, label: bytes, value: bytes, start: int, end: int) -> None:
        """``value``, from ``start`` to ``end`` of the message, under the name ``label``."""
        self._starts.append(self._size)
        self._spans.append((start, end))
        self._parts += (label, value, b"\n")
        self._size += len(label) + len(value) + 1

    def text(self) -> bytes:
        """Every line."""
        return b"".join(self._parts)

    def at(self, ends: Iterable[int]) -> list[int]:
        """Where in the message the values stand whose lines hold matches that ended at ``ends`` of ``text``."""
        lines = {max(bisect_left(self._starts, end) - 1, 0) for end in ends} if self._starts else ()
        return [self._spans[line][0] for line in lines]

    def spans(self) -> list[tuple[int, int]]:
        """Where in the message each value stands, in the order of ``add``."""
        return self._spans


class Survey:
    """What one message holds."""

    def __init__(self) -> None:
        self.text = Lines()
        """Values in UTF-8, numbers among them."""
        self.other = Lines()
        """Values that are no text."""
        self.blobs: list[tuple[int, bytes]] = []
        """The same with their offsets."""
        self.solid: list[tuple[int, int]] = []
        """Where these values stand: bytes that belong to a text or to a byte string, and to nothing else."""
        self.deep: list[tuple[int, int]] = []
        """Where messages stand that nobody looked into, for they are too deep in others."""
        self.telling = False
        """Whether there is something that a message has and noise has not: text, or a number long enough."""
        self._labels: dict[tuple[str, str], bytes] = {}

    def add(self, label: bytes, value: bytes, start: int, end: int, *, text: bool) -> None:
        """``value``, from ``start`` to ``end`` of the message, under the name ``label``."""
        self.solid.append((start, end))
        if text:
            self.telling = True
            self.text.add(label, value, start, end)
        else:
            self.other.add(label, value, start, end)
            self.blobs.append((start, value))

    @property
    def substantial(self) -> bool:
        """Whether there is anything to be visited: ASCII reads as a stream of small integers."""
        return self.telling or bool(self.blobs) or bool(self.deep)

    def label(self, parent: str, key: str) -> bytes:
        """The name of a value as ``detectors.walk.label_of`` spells it: ``card.number: ``."""
        if not key:
            return b""
        known = self._labels.get((parent, key))
        if known is None:
            known = spelled(f"$.{parent}.{key}" if parent else f"$.{key}", key)
            if len(self._labels) < _CACHED:
                self._labels[parent, key] = known
        return known


def spelled(path: str, key: str) -> bytes:
    """The name of a value, spelled as text before it: recognizers read ``card.number: …`` as they would in a log."""
    known = names(path, key)
    if not known:
        return b""
    own = known[0]
    parent = known[1][: -len(own)] + "." if len(known) > 1 else ""
    return f"{parent}{own}: ".encode("utf-8", "surrogateescape")
