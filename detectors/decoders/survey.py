"""All values of a binary message as lines of text, so that the sieve reads a whole message in one pass.

A name and its value stand on one line, as in a log; a number that is stored as bits stands there in digits. The bytes
around a value (a tag, a length) are not on its line: ``0x38`` is the digit 8 and would hide the number beside it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from detectors.keys import EXPIRY_KEY_SET, HOLDER_KEY_SET, PIN_BESIDE_SET, SECURITY_CODE_BESIDE_SET, names

_CACHED = 4096
_BESIDE = EXPIRY_KEY_SET | HOLDER_KEY_SET | PIN_BESIDE_SET | SECURITY_CODE_BESIDE_SET


class Lines:
    """Values and where each stands in the message. Added to often, so without ceremony."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._spans: list[tuple[int, int]] = []

    def add(self, label: bytes, value: bytes, start: int, end: int) -> None:
        """``value``, from ``start`` to ``end`` of the message, under the name ``label``."""
        self._spans.append((start, end))
        self._parts.append(label + value)

    def text(self) -> bytes:
        """Every line."""
        return b"\n".join((*self._parts, b""))

    def at(self, ends: Iterable[int]) -> list[int]:
        """Where in the message the values stand whose lines hold matches that ended at ``ends`` of ``text``."""
        asked = list(ends)
        if not asked or not self._spans:
            return []
        starts = [0, *accumulate(len(part) + 1 for part in self._parts)]
        lines = {max(bisect_left(starts, end, 0, len(self._spans)) - 1, 0) for end in asked}
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
        self._numbers: set[int] = set()
        self.deep: list[tuple[int, int]] = []
        """Where messages stand that nobody looked into, for they are too deep in others."""
        self.telling = False
        """Whether there is something that a message has and noise has not: text, or a number long enough."""
        self.beside: list[int] = []
        """Offsets of values whose names count beside a card number: expiry, holder."""
        self._labels: dict[tuple[str, str], bytes] = {}
        self._aside: set[bytes] = set()

    def add(self, label: bytes, value: bytes, start: int, end: int, *, text: bool) -> None:
        """``value``, from ``start`` to ``end`` of the message, under the name ``label``."""
        if label and label in self._aside:
            self.beside.append(start)
        if text:
            self.telling = True
            self.text.add(label, value, start, end)
        else:
            self.other.add(label, value, start, end)
            self.blobs.append((start, value))

    def number(self, label: bytes, digits: bytes, start: int, end: int) -> None:
        """A number that the message stores as bits."""
        self._numbers.add(start)
        self.text.add(label, digits, start, end)
        self.telling |= len(digits) > 12
        if label and label in self._aside:
            self.beside.append(start)

    @property
    def solid(self) -> list[tuple[int, int]]:
        """Where texts and byte strings stand: bytes that belong to one of these, and to nothing else."""
        return [span for span in (*self.text.spans(), *self.other.spans()) if span[0] not in self._numbers]

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
            path = f"$.{parent}.{key}" if parent else f"$.{key}"
            known = spelled(path, key)
            if len(self._labels) < _CACHED:
                self._labels[parent, key] = known
            if not _BESIDE.isdisjoint(names(path, key)):
                self._aside.add(known)
        return known


def spelled(path: str, key: str) -> bytes:
    """The name of a value, spelled as text before it: recognizers read ``card.number: …`` as they would in a log."""
    known = names(path, key)
    if not known:
        return b""
    own = known[0]
    parent = known[1][: -len(own)] + "." if len(known) > 1 else ""
    return f"{parent}{own}: ".encode("utf-8", "surrogateescape")
