"""One enforcing sidecar for all clients, as an operator runs it, and what stands behind its lanes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.clients.collector import Collector
from tests.e2e.clients.objects import ObjectStore
from tests.e2e.clients.sinks import Sinks
from tests.sidecar import Sidecar

PAN = "4242424242424242"
MASKED = "424242******4242"

LOGGING = {"role": "logging", "on_violation": "redact"}
STORAGE = {"role": "storage"}
LANES: dict[str, dict[str, Any]] = {
    "loki": LOGGING,
    "hec": LOGGING,
    "datadog": LOGGING,
    "sentry": LOGGING,
    "otlp": LOGGING,
    "search-logs": LOGGING,
    "search": STORAGE,
    "store": STORAGE,
    "events": LOGGING,
    "shop": {"role": "shop"},
}
"""Lanes with a sink of their own, of the same name."""


@dataclass
class Stage:
    """The sidecar and what stands behind it."""

    sidecar: Sidecar
    sinks: Sinks
    objects: ObjectStore
    collector: Collector
    """Behind the lane ``otlp-grpc``."""
    ca_file: Path
    """The authority that the sidecar's interception and the object store's TLS rest on."""
    seen: int = 0
    """Audit lines that earlier tests have made."""

    def url(self, lane: str, path: str = "") -> str:
        return self.sidecar.url(lane, path)

    def port(self, lane: str) -> int:
        return self.sidecar.port(lane)

    def records(self) -> list[dict[str, Any]]:
        """What this test has put into the audit file: nothing, as long as its traffic is clean."""
        return self.sidecar.audit_lines()[self.seen :]

    def verdicts(self, lane: str) -> list[str]:
        """The verdicts of ``records()``, which must all be the lane's."""
        records = self.records()
        assert {record["lane"] for record in records} <= {lane}
        return [record["verdict"] for record in records]

    def internal_errors(self) -> list[str]:
        lines = self.sidecar.admin("/metrics").splitlines()
        return [
            line for line in lines if line.startswith("sekisho_internal_errors_total{") and not line.endswith(" 0.0")
        ]
