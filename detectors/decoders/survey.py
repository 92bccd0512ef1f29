"""All values of a binary message as lines of text, so that the sieve reads a whole message in one pass.

A name and its value stand on one line, as in a log; a number that is stored as bits stands there in digits. The bytes
around a value (a tag, a length) are not on its line: ``0x38`` is the digit 8 and would hide the number beside it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain

from detectors.keys import EXPIRY_KEY_SET, HOLDER_KEY_SET, PIN_BESIDE_SET, SECURITY_CODE_BESIDE_SET, names
from detectors.model import Gap

_CACHED = 4096
_BESIDE = EXPIRY_KEY_SET | HOLDER_KEY_SET | PIN_BESIDE_SET | SECURITY_CODE_BESIDE_SET


class Lines:
    """Values and where each stands in the message. There may be millions: 24 bytes each, and their text."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._lines = array("Q")
        self._starts = array("Q")
        self._ends = array("Q")

    def add(self, label: bytes, value: bytes, start: int, end: int) -> None:
        """``value``, from ``start`` to ``end`` of the message, under the name ``label``."""
        self._lines.append(len(self._text))
        self._starts.append(start)
        self._ends.append(end)
        self._text += b"%b%b\n" % (label, value)

    def __len__(self) -> int:
        return len(self._lines)

    def text(self) -> bytes:
        """Every line."""
        return bytes(self._text)

    def at(self, ends: Iterable[int]) -> list[int]:
        """Where in the message the values stand whose lines hold matches that ended at ``ends`` of ``text``."""
        if not self._lines:
            return []
        lines = {max(bisect_left(self._lines, end) - 1, 0) for end in ends}
        return [self._starts[line] for line in lines]

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where in the message each value stands, in the order of ``add``."""
        return zip(self._starts, self._ends, strict=True)


class Survey:
    """What one message holds."""

    def __init__(self) -> None:
        self.text = Lines()
        """Values in UTF-8, numbers among them."""
        self.other = Lines()
        """Values that are no text."""
        self.pieces: dict[int, bytes] = {}
        """Those of them that do not stand there in one piece."""
        self.gaps: list[Gap] = []
        """What nobody looked into: messages too deep in others, or with too many fields."""
        self._numbers = array("Q")
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

    def number(self, label: bytes, digits: bytes, start: int, end: int) -> None:
        """A number that the message stores as bits."""
        self._numbers.append(start)
        self.text.add(label, digits, start, end)
        self.telling |= len(digits) > 12
        if label and label in self._aside:
            self.beside.append(start)

    @property
    def solid(self) -> list[tuple[int, int]]:
        """Where texts and byte strings stand: bytes that belong to one of these, and to nothing else."""
        numbers = frozenset(self._numbers)
        return [span for span in chain(self.text.spans(), self.other.spans()) if span[0] not in numbers]

    @property
    def substantial(self) -> bool:
        """Whether there is anything to be visited: ASCII reads as a stream of small integers."""
        return self.telling or len(self.other) > 0 or bool(self.gaps)

    def blobs(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The values that are no text, with their offsets in the message ``data``."""
        for start, end in self.other.spans():
            yield start, self.pieces.get(start) or data[start:end]

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
