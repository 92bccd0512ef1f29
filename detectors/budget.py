"""What one inspection has left to spend. Running out is a Gap, written by whoever notices; it is never silence."""

from __future__ import annotations

import time

from detectors.model import Limits, OutOfTime

_LEAST = 4096
"""Bytes that a body counts for, if it is shorter."""
_EACH = 128
"""What looking at a view costs besides its bytes, as bytes."""


class Purse:
    """The budget of one inspection (see ``detectors.model.Budget``). Not shared between inspections."""

    def __init__(self, limits: Limits, body: int = 0) -> None:
        """``body``: bytes of the message."""
        self.limits = limits
        self.body = body
        self._left = limits.expanded
        self._readings = max(body, _LEAST) * limits.readings
        self._end = time.monotonic() + limits.seconds

    def room(self, compressed: int) -> int:
        """Bytes a decoder may produce now from ``compressed`` bytes: the ratio's share, within what is left."""
        return max(0, min(self._left, max(compressed, 64) * self.limits.ratio))

    def spend(self, produced: int) -> bool:
        """Takes ``produced`` bytes; whether that was still within the limit."""
        self._left -= produced
        return self._left >= 0

    def look(self, size: int, grown: int) -> bool:
        """Takes a look at a decoded view of ``size`` bytes, ``grown`` of which are more than it was decoded from;
        whether that was still within the limit."""
        self._readings -= size + _EACH - grown * self.limits.readings
        return self._readings >= 0

    def check_time(self) -> None:
        """Raises ``OutOfTime`` when the inspection's time is over."""
        if time.monotonic() > self._end:
            raise OutOfTime
