"""A guard that keeps what is noted, or fails to."""

from __future__ import annotations


class Guard:
    def __init__(self, rules):
        self.policy = rules
        self.kept = []
        self.error: Exception | None = None

    def note(self, kind, **own):
        if self.error:
            raise self.error
        self.kept.append({"kind": kind, **own})
