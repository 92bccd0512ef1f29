"""Messages, findings and a scripted inspector, for the tests of the guard and of what it writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from detectors.model import Finding, Gap, Inspection, Limits, View
from proxy.message import Message, Part
from proxy.policy.routes import Route

PAN = "4111111111111111"
MASKED = "411111******1111"
FINGERPRINT = "f1" * 32


def finding(
    data: bytes = b"", path: str = "$.card.number", *, at: tuple[int, int] | None = None, **own: Any
) -> Finding:
    """A finding of ``PAN`` in ``data``, or at ``at``, that redaction can replace."""
    start = data.find(PAN.encode())
    start, end = at or (start, start + len(PAN))
    values: dict[str, Any] = {
        "entity": "PAN",
        "brand": "visa",
        "confidence": "high",
        "test": False,
        "masked": MASKED,
        "fingerprint": FINGERPRINT,
        "path": path,
        "trail": (),
        "leaf": View(data),
        "leaf_start": start,
        "leaf_end": end,
    }
    return Finding(start=start, end=end, **{**values, **own})


def sees(data: bytes) -> Inspection:
    """What an inspector that knows one number, in the clear, says."""
    spans = [match.span() for match in re.finditer(PAN.encode(), data)]
    return Inspection(tuple(finding(data, at=span) for span in spans))


class FakeInspector:
    """``look`` and ``hush`` may be replaced by a test: by other answers, or by what raises."""

    def __init__(self) -> None:
        self.look: Callable[[bytes], Any] = sees
        self.hush: Callable[[bytes], Any] = lambda data: PAN.encode() not in data
        self.leaves: Sequence[View] = ()
        self.inspected: list[bytes] = []
        self.limits: Limits | None = None

    def inspect(
        self,
        body: bytes,
        content_type: str = "",
        content_encoding: str = "",
        *,
        key: str = "",
        limits: Limits | None = None,
    ) -> Inspection:
        self.inspected.append(body)
        self.limits = limits
        found: Inspection = self.look(body)
        return found

    def quiet(self, data: bytes, content_type: str = "") -> bool:
        quiet: bool = self.hush(data)
        return quiet

    def fields(self, body: bytes, content_type: str = "", content_encoding: str = "") -> Iterator[View]:
        return iter(self.leaves)


def route(**own: Any) -> Route:
    return Route(**{"lane": "app-logs", "role": "logging", **own})


def message(*parts: Part | bytes, **own: Any) -> Message:
    """A request on ``app-logs``; bytes are its body. ``mode`` and the like go to its route."""
    rules = {name: own.pop(name) for name in Route.__dataclass_fields__ if name in own}
    made = tuple(part if isinstance(part, Part) else Part("body", part, "application/json") for part in parts)
    values: dict[str, Any] = {
        "direction": "request",
        "protocol": "http",
        "peer": "127.0.0.1:50000",
        "host": "loki",
        "port": 3100,
        "method": "POST",
        "path": "/loki/api/v1/push",
    }
    return Message(route=route(**rules), parts=made, **{**values, **own})


LEAK = b'{"card":{"number":"' + PAN.encode() + b'"}}'
CLEAN = b'{"order":"ROKI-1"}'
GAP = Inspection(gaps=(Gap("unknown-charset", 0, 4),))


def policy(**own: Any) -> Any:
    lanes = (SimpleNamespace(name="app-logs"),)
    values: dict[str, Any] = {
        "policy_id": "shop-2026",
        "sha256": "ab" * 32,
        "mode": "enforce",
        "suppress": (),
        "lanes": lanes,
    }
    return SimpleNamespace(**{**values, **own})
