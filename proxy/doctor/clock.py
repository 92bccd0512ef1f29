"""Clocks that disagree: alerts look at the moment of the last finding, certificates at the day."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from proxy.doctor.rows import Row, Subject

WARNING_SECONDS, BROKEN_SECONDS = 5, 60
FIX = "on the machine that is wrong: timedatectl set-ntp true"


def skew(date: str, now: float | None = None) -> float | None:
    """Seconds that the clock behind a ``Date`` header is ahead of ours (negative: behind); ``None`` if it has none.

    The header has whole seconds: up to one of them is no difference.
    """
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    ahead = theirs - (time.time() if now is None else now)
    return max(0.0, ahead) if ahead > -1 else ahead + 1


def rows(whose: str, date: str, now: float | None = None) -> Iterator[Row]:
    """What a ``Date`` header that came just now says of the clock of ``whose`` and ours."""
    at = Subject("clock", whose)
    ahead = skew(date, now)
    if ahead is None:
        yield at.skipped("its answers have no Date")
        return
    off = abs(ahead)
    seen = f"{off:.0f} s {'ahead of' if ahead > 0 else 'behind'} the clock here" if off >= 1 else "agrees with ours"
    if off > BROKEN_SECONDS:
        yield at.broken(seen, FIX)
    elif off > WARNING_SECONDS:
        yield at.warning(seen, FIX)
    else:
        yield at.ok(seen)
