"""What is in one message, found within the time that its route gives to all of its parts together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from detectors.model import PAN, Gap, Inspection, Limits, OutOfTime, View
from proxy.gmo.review import Review, review
from proxy.message import Message, Part

TIMEOUT = "timeout"
"""Gap reason of what there was no time for."""


class Inspects(Protocol):
    """What the guard needs of a ``detectors.Inspector``."""

    def inspect(
        self,
        body: bytes,
        content_type: str = "",
        content_encoding: str = "",
        *,
        key: str = "",
        limits: Limits | None = None,
    ) -> Inspection:
        """What is in ``body``, and what could not be looked at. ``key``: the name it goes by."""

    def quiet(self, data: bytes, content_type: str = "") -> bool:
        """True: ``inspect`` would find nothing in ``data``, and leave no gap."""

    def fields(self, body: bytes, content_type: str = "", content_encoding: str = "") -> Iterator[View]:
        """Every structural leaf value of ``body``."""


class GivenUp(Exception):
    """Nobody waits for the decision any more."""


class Examination:
    """Begins with its construction. A thread that nobody waits for ends at the next part, not after the last one: each
    may take as long as the whole message, and there may be thousands."""

    def __init__(
        self, inspector: Inspects, message: Message, clock: Callable[[], float], is_wanted: Callable[[], bool]
    ) -> None:
        self._inspector = inspector
        self._limits = message.route.limits
        if message.moving:  # a piece is as large as whoever cut it has chosen
            largest = max((len(part.data) for part in message.parts), default=0)
            self._limits = replace(self._limits, body=max(self._limits.body, largest))
        self._clock = clock
        self._is_wanted = is_wanted
        self._began = clock()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._clock() - self._began

    def inspections(
        self, parts: Sequence[Part], known: Sequence[Inspection] = (), new: Mapping[int, bytes] | None = None
    ) -> list[Inspection]:
        """What is in each part. With ``new``: what is in the parts that it numbers, the others being ``known``.

        Raises ``GivenUp``, whatever the inspector raises, and an error if its answer cannot be true.
        """
        return [
            known[index] if new is not None and index not in new else self._inspect(part)
            for index, part in enumerate(parts)
        ]

    def review(self, message: Message) -> Review:
        """What the rules of the tokenized flow say; a gap, if there was no time for them."""
        try:
            return review(message, self._fields, self._is_number)
        except OutOfTime:
            return Review(gaps=(TIMEOUT,))

    def _inspect(self, part: Part) -> Inspection:
        if not self._is_wanted():
            raise GivenUp
        left = self._limits.seconds - self.seconds
        if left <= 0:
            return Inspection(gaps=(Gap(TIMEOUT, 0, len(part.data)),))
        kind, _, name = part.name.partition(":")
        key = name if kind in ("header", "trailer") else ""
        limits = replace(self._limits, seconds=left)
        found = self._inspector.inspect(part.data, part.content_type, part.content_encoding, key=key, limits=limits)
        if not isinstance(found, Inspection):
            raise TypeError("the inspector gave no inspection")
        spans = [(item.start, item.end) for items in (found.findings, found.gaps) for item in items]
        if not all(0 <= start <= end <= len(part.data) for start, end in spans):
            raise ValueError("the inspector reported a place outside of what it was given")
        return _before(len(part.data) - part.held, found) if part.held else found

    def _fields(self, part: Part) -> Iterator[View]:
        for view in self._inspector.fields(part.data, part.content_type, part.content_encoding):
            if self.seconds > self._limits.seconds:
                raise OutOfTime
            yield view

    def _is_number(self, digits: bytes) -> bool:
        return any(found.entity == PAN for found in self._inspector.inspect(digits, limits=self._limits).findings)


def _before(end: int, found: Inspection) -> Inspection:
    """What begins before ``end``."""
    findings = tuple(finding for finding in found.findings if finding.start < end)
    return Inspection(findings, tuple(gap for gap in found.gaps if gap.start < end))
