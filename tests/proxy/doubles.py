"""A meter and an audit sink that keep what they are told, in the places of Prometheus and of the audit file."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from detectors.model import Finding
from proxy.message import Message
from proxy.policy import Policy


class RecordingMeter:
    """Every call as a tuple of the method's name and what it was told, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.seconds: list[float] = []

    def named(self, name: str) -> list[tuple[str, ...]]:
        """The calls of one method, without its name."""
        return [call[1:] for call in self.calls if call[0] == name]

    def message(self, message: Message, verdict: str, inspected: int, seconds: float) -> None:
        self.seconds.append(seconds)
        self.calls.append(("message", message.route.lane, message.direction, verdict, str(inspected)))

    def violation(self, message: Message, kind: str, finding: Finding, verdict: str, record: str) -> None:
        self.calls.append(("violation", message.route.lane, kind, finding.entity, finding.confidence, verdict, record))

    def suppressed(self, message: Message, finding: Finding) -> None:
        self.calls.append(("suppressed", message.route.lane, finding.entity))

    def gap(self, message: Message, reason: str, size: int, verdict: str, record: str) -> None:
        self.calls.append(("gap", message.route.lane, reason, str(size), verdict, record))

    def unenforced(self, message: Message, would: str) -> None:
        self.calls.append(("unenforced", message.route.lane, would))

    def unread(self, lane: str, direction: str, reason: str, size: int) -> None:
        self.calls.append(("unread", lane, direction, reason, str(size)))

    def internal_error(self, where: str) -> None:
        self.calls.append(("internal_error", where))

    def audit_error(self) -> None:
        self.calls.append(("audit_error",))

    def probe(self, lane: str, timestamp: float, *, success: bool) -> None:
        self.calls.append(("probe", lane, "passed" if success else "failed"))

    def added_latency(self, lane: str, seconds: float) -> None:
        self.seconds.append(seconds)
        self.calls.append(("added_latency", lane))

    def connections(self, lane: str, change: int) -> None:
        self.calls.append(("connections", lane, str(change)))

    def refused(self, lane: str, reason: str) -> None:
        self.calls.append(("refused", lane, reason))

    def upstream_error(self, lane: str, reason: str) -> None:
        self.calls.append(("upstream_error", lane, reason))

    def policy(self, policy: Policy) -> None:
        self.calls.append(("policy", policy.policy_id, policy.mode))

    def certificates(self, ends: Mapping[tuple[str, str], float]) -> None:
        self.calls += [("certificate", lane, purpose, str(end)) for (lane, purpose), end in ends.items()]

    def policy_reload(self, result: str) -> None:
        self.calls.append(("policy_reload", result))

    def bypass(self, lane: str, kind: str, new: int) -> None:
        self.calls.append(("bypass", lane, kind, str(new)))

    def watched(self) -> None:
        self.calls.append(("watched",))


class RecordingAudit:
    """Keeps the events, and fails on demand."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.error: Exception | None = None
        """Raised by every ``append`` while it is set."""

    def append(self, event: Mapping[str, Any]) -> str:
        if self.error is not None:
            raise self.error
        record = str(uuid.uuid4())
        self.events.append({"id": record, **event})
        return record
