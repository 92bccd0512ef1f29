"""What one inspection has left to spend. Running out is a Gap, written by whoever notices; it is never silence."""

from __future__ import annotations

import time

from detectors.model import Limits, OutOfTime


class Purse:
    """The budget of one inspection (see ``detectors.model.Budget``). Not shared between inspections."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._left = limits.expanded
        self._end = time.monotonic() + limits.seconds

    def room(self, compressed: int) -> int:
        """Bytes a decoder may produce now from ``compressed`` bytes: the ratio's share, within what is left."""
        return max(0, min(self._left, max(compressed, 64) * self.limits.ratio))

    def spend(self, produced: int) -> bool:
        """Takes ``produced`` bytes; whether that was still within the limit."""
        self._left -= produced
        return self._left >= 0

    def check_time(self) -> None:
        """Raises ``OutOfTime`` when the inspection's time is over."""
        if time.monotonic() > self._end:
            raise OutOfTime
