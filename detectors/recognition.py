"""From a hit of the sieve to a finding: the window of text around it goes to the recognizers, what they say comes back
as spans of bytes."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Sequence

from detectors.keys import names
from detectors.model import PAN, SENSITIVE_AUTHENTICATION_DATA, Budget, Finding, View
from detectors.presidio import OUR_ENTITIES, Presidio
from detectors.recognizers import Recognized, beside
from detectors.redaction import masked
from detectors.split import Number
from detectors.test_numbers import TEST_NUMBERS

_WHOLE = 2048
"""Views up to this many bytes are read whole; longer ones in windows around the hits."""
_BEFORE, _AFTER = 192, 128
_PIECE, _OVERLAP = 4096, 256
_NO_DIGITS = bytes(set(range(256)).difference(b"0123456789"))


class Neighbourhood:
    """Where a value stands beside one of some card numbers: in the same object, around it, or further inside."""

    def __init__(self, numbers: Sequence[Finding], base: str = "") -> None:
        """``base``: what stands before the places that are asked for, as in ``detectors.model.Places``."""
        self._parents = {_parent(number.path) for number in numbers}
        self._around = {place for parent in self._parents for place in _above(parent)}
        self._base = base
        self._elements: dict[str, set[int]] = {}
        for array, index in filter(None, map(_element, self._around)):
            self._elements.setdefault(array, set()).add(index)

    def __contains__(self, path: str) -> bool:
        return self._holds(_parent(path))

    def inside(self, place: str) -> bool:
        return self._holds(self._base + place)

    def elements(self, place: str) -> frozenset[int]:
        return frozenset(self._elements.get(self._base + place, ()))

    def _holds(self, place: str) -> bool:
        return place in self._around or not self._parents.isdisjoint(_above(place))


class Recognition:
    """The recognizers, and the key that fingerprints are made with."""

    def __init__(self, presidio: Presidio, key: bytes) -> None:
        self._presidio = presidio
        self._key = key

    def fingerprint(self, digits: bytes) -> str:
        """HMAC-SHA-256 under the deployment's key, hexadecimal. A bare hash of a card number is a leak: there are few
        enough of them to try all (PCI DSS 4.0.1, 3.5.1.1)."""
        return hmac.digest(self._key, digits, "sha256").hex()

    def look(self, view: View, label: bytes, hits: Sequence[int], budget: Budget) -> Iterator[Finding]:
        """What our recognizers find around ``hits`` (byte offsets in ``view``). ``label`` is read before the view."""
        for start, end in _windows(view.data, hits):
            budget.check_time()
            prefix = label if start == 0 else b""
            text = (prefix + view.data[start:end]).decode("utf-8", "surrogateescape")
            self.read(view, text, start - len(prefix))
            found = self._presidio.ours(text)
            if not found:
                continue
            ends = [item.end for item in found if item.entity == PAN and item.confidence == "high"]
            yield from self._findings(view, text, [*found, *beside.after(text, ends)], start - len(prefix))

    def read(self, view: View, text: str, shift: int) -> None:
        """Called with each text that the recognizers are given: character 0 stands at byte ``shift`` of ``view``. For
        those who explain findings; nothing is done with it here."""

    def team(self, view: View) -> Iterator[Finding]:
        """What the team's recognizers find in the whole of ``view``."""
        text = view.data.decode("utf-8", "surrogateescape")
        yield from self._findings(view, text, self._presidio.team(text), 0)

    def beside(self, view: View, numbers: Neighbourhood) -> Iterator[Finding]:
        """The value ``view`` as a sibling of card ``numbers``, if its name and shape, or the shape alone where there
        are no names, make it one."""
        if view.path not in numbers:
            return
        value = view.data.decode("utf-8", "surrogateescape")
        for name in names(view.path, view.key) if view.key else ("",):
            entity = beside.sibling(name, value) if name else beside.unnamed(value)
            if entity:
                found = Recognized(entity, 0, len(value), "high", "", ("beside a card number",))
                yield from self._findings(view, value, [found], 0)
                return

    def joined(self, number: Number, pieces: Sequence[tuple[View, int, int]]) -> Finding:
        """A card number that stands in ``pieces``: the view and the span of each."""
        (leaf, start, end), *more = pieces
        roots = [view.to_root(low, high) for view, low, high in pieces]
        return Finding(
            entity=PAN,
            brand=number.brand,
            confidence=number.confidence,
            test=number.digits in TEST_NUMBERS,
            masked=masked(number.digits, 6).decode(),
            fingerprint=self.fingerprint(number.digits),
            path=leaf.path,
            trail=leaf.trail,
            start=min(low for low, _ in roots),
            end=max(high for _, high in roots),
            why=number.why,
            leaf=leaf,
            leaf_start=start,
            leaf_end=end,
            more=tuple(more),
        )

    def _findings(self, view: View, text: str, found: Iterable[Recognized], shift: int) -> Iterator[Finding]:
        for item in found:
            start, end = span_of(text, item.start, item.end, shift)
            if start < 0 or end > len(view.data):
                continue  # in the label: the name's own view tells it
            yield self._finding(view, item, start, end)

    def _finding(self, view: View, item: Recognized, start: int, end: int) -> Finding:
        digits = view.data[start:end].translate(None, _NO_DIGITS)
        low, high = view.to_root(start, end)
        secret = item.entity in SENSITIVE_AUTHENTICATION_DATA
        told = item.entity == PAN or item.entity not in OUR_ENTITIES
        doubts = view.doubts
        return Finding(
            entity=item.entity,
            brand=item.brand,
            confidence="low" if doubts else item.confidence,
            test=item.entity == PAN and digits in TEST_NUMBERS,
            masked=masked(digits, 6).decode() if item.entity == PAN else "***",
            fingerprint=self.fingerprint(digits or view.data[start:end]) if told and not secret else "",
            path=view.path,
            trail=view.trail,
            start=low,
            end=high,
            why=(*item.why, *doubts),
            leaf=view,
            leaf_start=start,
            leaf_end=end,
        )


def span_of(text: str, start: int, end: int, shift: int) -> tuple[int, int]:
    """The bytes of the view for characters ``start`` to ``end`` of a text at ``shift``. Negative: in a label."""
    if not text.isascii():
        start, end = _bytes(text[:start]), _bytes(text[:end])
    return start + shift, end + shift


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _windows(data: bytes, hits: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of ``data`` to read around ``hits``. Long ones come in pieces that overlap by more than any number is
    long, so that what one piece costs is bounded whatever the text; what two of them find is one finding."""
    for start, end in _stretches(data, hits):
        for at in range(start, max(end - _OVERLAP, start + 1), _PIECE - _OVERLAP):
            yield at, min(at + _PIECE, end)


def _stretches(data: bytes, hits: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of ``data``, none overlapping: from the line's start (192 bytes back at most) to its end (128
    bytes on at most). They are cut between digits only where a number would be longer than any card's."""
    if len(data) <= _WHOLE:
        yield 0, len(data)
        return
    start = end = -1
    for hit in hits:
        low = max(data.rfind(b"\n", max(0, hit - _BEFORE), hit) + 1, hit - _BEFORE, 0)
        newline = data.find(b"\n", hit, hit + _AFTER)
        high = newline if newline >= 0 else min(len(data), hit + _AFTER)
        if low <= end:
            end = max(end, high)
            continue
        if end > start >= 0:
            yield start, end
        start, end = low, high
    if end > start >= 0:
        yield start, end


def _parent(path: str) -> str:
    cut = max(path.rfind("."), path.rfind("["))
    return path[:cut] if cut > 0 else ""


_STEP = re.compile(r"[.\[/]")
_ELEMENT = re.compile(r"(.*)\[([0-9]+)\]", re.DOTALL)


def _element(path: str) -> tuple[str, int] | None:
    """The array and the index of one of its elements."""
    match = _ELEMENT.fullmatch(path)
    return (match[1], int(match[2])) if match else None


def _above(path: str) -> Iterator[str]:
    """``path`` and everything that it is inside of."""
    yield path
    for step in _STEP.finditer(path):
        if step.start():
            yield path[: step.start()]
