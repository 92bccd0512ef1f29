"""The certificates that a policy names: how long each is good for, and whether the sidecar uses the one in the file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from proxy.doctor.rows import Row, Subject
from proxy.doctor.sidecar import Sidecar
from proxy.http.seat import Rules

SOON = timedelta(days=14)
"""When it must be renewed: as the alert on it does."""
EXPIRY = "sekisho_certificate_expiry_timestamp_seconds"
ENDED = "renew it: docs/tls.md; the new file needs no restart"


def rows(rules: Rules, sidecar: Sidecar | None, reload: str, now: float | None = None) -> Iterator[Row]:
    """One row for each lane and purpose (``server``, ``interception`` …). ``reload``: what makes it read them again."""
    for (lane, purpose), end in rules.ends.items():
        at = Subject("certificate", f"{lane} {purpose}")
        left = timedelta(seconds=end - (time.time() if now is None else now))
        used = sidecar.value(EXPIRY, lane=lane, purpose=purpose) if sidecar is not None else None
        if left < timedelta():
            yield at.broken("it has ended", ENDED)
        elif used is not None and abs(used - end) > 1:
            yield at.broken("the sidecar uses another one than the file holds", reload)
        elif left < SOON:
            yield at.warning(f"only {days(left)}", ENDED)
        else:
            yield at.ok(days(left))


def days(left: timedelta) -> str:
    """How long something is good for."""
    return f"{left.days} day{'' if left.days == 1 else 's'} left"
