"""The plane with the real guard, and what it counts and records, before an origin that keeps every byte it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.audit import RecordingAudit
from proxy.guard import Guard
from proxy.metrics import RecordingMeter
from tests.e2e.origin import OK, Reply, origin
from tests.e2e.plane import Plane, plane, policy


@dataclass
class Boundary(Plane):
    """A running plane, and the records of its guard."""

    audit: RecordingAudit = field(default_factory=RecordingAudit)

    def kinds(self) -> list[str]:
        """Of the records, in order."""
        return [event["kind"] for event in self.audit.events]


@asynccontextmanager
async def boundary(base: Path, inspector: Any, reply: Reply = OK, **lane: Any) -> AsyncIterator[Boundary]:
    """One lane in enforce mode. Policy keys go in as ``mode`` and ``limits``; ``upstream`` may be another than an origin."""
    top = {name: lane.pop(name) for name in ("mode", "limits") if name in lane}
    meter, audit = RecordingMeter(), RecordingAudit()
    async with origin(reply) as server:
        guard = Guard(
            policy=policy(base, {"upstream": server.url, **lane}, **top), inspector=inspector, meter=meter, audit=audit
        )
        async with plane(guard, meter) as running:
            yield Boundary(running.host, guard, meter, server, audit)
