"""The meters that the guard and the planes count into. Sole importer of prometheus-client; the table: ``series``."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from proxy.metrics.series import BOUNDS, OTHER, SERIES, STAGES, Series, gap_reason
from proxy.metrics.sum import Counts, Summed

if TYPE_CHECKING:
    from detectors.model import Finding
    from proxy.message import Message
    from proxy.policy import Policy

__all__ = ["SERIES", "Meter", "PrometheusMeter", "Series"]


class Meter(Protocol):
    """What the guard and the planes report. No method may block; whoever calls survives if one raises."""

    def message(self, message: Message, verdict: str, inspected: int, seconds: float) -> None:
        """One message has its verdict after ``seconds``; ``inspected`` of its bytes were read."""

    def violation(self, message: Message, kind: str, finding: Finding, verdict: str, record: str) -> None:
        """One finding that the policy does not permit; ``record`` is the id of its audit record, or empty."""

    def suppressed(self, message: Message, finding: Finding) -> None:
        """One finding that a suppression covers."""

    def gap(self, message: Message, reason: str, size: int, verdict: str, record: str) -> None:
        """``size`` bytes could not be inspected."""

    def unenforced(self, message: Message, would: str) -> None:
        """A message was forwarded that an enforced lane would have refused (``block``) or masked (``redact``)."""

    def unread(self, lane: str, direction: str, reason: str, size: int) -> None:
        """``size`` more bytes of a gap have passed."""

    def internal_error(self, where: str) -> None:
        """Sekisho itself failed."""

    def audit_error(self) -> None:
        """An audit record could not be written."""

    def probe(self, lane: str, timestamp: float, *, success: bool) -> None:
        """A lane's self-probe has ended, at ``timestamp`` (seconds since 1970)."""

    def added_latency(self, lane: str, seconds: float) -> None:
        """One message was held for ``seconds``."""

    def connections(self, lane: str, change: int) -> None:
        """``change`` more (or fewer) client connections are open."""

    def refused(self, lane: str, reason: str) -> None:
        """A request or connection was refused before its content was judged; ``reason`` is a row of
        ``proxy.refusals.REFUSALS``."""

    def upstream_error(self, lane: str, reason: str) -> None:
        """The upstream failed; ``reason`` is one of ``proxy.metrics.series.UPSTREAM_REASONS``."""

    def bypass(self, lane: str, kind: str, new: int) -> None:
        """Something goes around the lane, or all lanes (""): ``new`` more than before, of ``series.WAYS``."""

    def watched(self) -> None:
        """The socket table has been looked through."""

    def policy(self, policy: Policy) -> None:
        """``policy`` is in force from now on."""

    def certificates(self, ends: Mapping[tuple[str, str], float]) -> None:
        """When the certificates in use end, in Unix time, by lane and purpose: all of them."""

    def policy_reload(self, result: str) -> None:
        """A policy file was read again: ``ok`` or ``error``."""


class _Family[C: (Counter, Gauge, Histogram)]:
    """A collector whose children are looked up once: ``labels()`` validates and locks, which costs microseconds."""

    MOST = 10_000
    """Children kept at hand. Labels are bounded; this bounds the ways in which they can be misspelt."""

    def __init__(self, collector: C, labels: tuple[str, ...], bounds: Mapping[str, Collection[str]]) -> None:
        self._collector: C = collector
        self._labels = labels
        self._bounds = bounds
        self._children: dict[tuple[str, ...], C] = {}

    def child(self, *values: str) -> C:
        found = self._children.get(values)
        if found is not None:
            return found
        bounded = [
            value if label not in self._bounds or value in self._bounds[label] else OTHER
            for label, value in zip(self._labels, values, strict=True)
        ]
        child: C = self._collector.labels(*bounded) if bounded else self._collector
        if len(self._children) < self.MOST:
            self._children[values] = child
        return child

    def forget(self) -> None:
        """Bounds have changed: look every child up anew."""
        self._children = {}

    def clear(self) -> None:
        """Stops exposing all children."""
        self._children = {}
        self._collector.clear()

    def remove(self, *values: str) -> None:
        """Stops exposing one child."""
        self._children.pop(values, None)
        self._collector.remove(*values)


class PrometheusMeter:
    """Counts into a registry of its own, and renders it.

    ``entities`` are the names the team's own recognizers may report, besides the built-in ones.
    """

    def __init__(self, *, version: str = "", entities: Collection[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._lanes: set[str] = set()
        self._entities = BOUNDS[""]["entity"] | frozenset(entities)
        self._rows = {row.name: row for row in SERIES}
        self._policy: tuple[str, str, str] | None = None
        self._forget: list[Callable[[], None]] = []
        self._messages = self._family(Counter, "sekisho_messages_total")
        self._violations = self._family(Counter, "sekisho_violations_total")
        self._last = self._family(Gauge, "sekisho_violation_timestamp_seconds")
        self._suppressed = self._family(Counter, "sekisho_suppressed_findings_total")
        self._gaps = self._family(Counter, "sekisho_gaps_total")
        self._unenforced = self._family(Counter, "sekisho_unenforced_total")
        self._inspected = self._family(Counter, "sekisho_inspected_bytes_total")
        self._uninspected = self._family(Counter, "sekisho_uninspected_bytes_total")
        self._inspect = self._family(Histogram, "sekisho_inspect_seconds")
        self._latency = self._family(Histogram, "sekisho_added_latency_seconds")
        self._connections = self._family(Gauge, "sekisho_connections")
        self._upstream = self._family(Counter, "sekisho_upstream_errors_total")
        self._refusals = self._family(Counter, "sekisho_refusals_total")
        self._internal = self._family(Counter, "sekisho_internal_errors_total")
        self._info = self._family(Gauge, "sekisho_policy_info")
        self._monitored = self._family(Gauge, "sekisho_lane_monitored")
        self._share = self._family(Gauge, "sekisho_lane_enforced_percent")
        self._expiry = self._family(Gauge, "sekisho_suppression_expiry_timestamp_seconds")
        self._certificates = self._family(Gauge, "sekisho_certificate_expiry_timestamp_seconds")
        self._reloaded = self._family(Gauge, "sekisho_policy_last_reload_success")
        self._reloads = self._family(Counter, "sekisho_policy_reloads_total")
        self._audit = self._family(Counter, "sekisho_audit_errors_total")
        self._probe = self._family(Gauge, "sekisho_probe_success")
        self._probed = self._family(Gauge, "sekisho_probe_timestamp_seconds")
        self._probes = self._family(Counter, "sekisho_probes_total")
        self._bypasses = self._family(Counter, "sekisho_bypass_total")
        self._bypassed = self._family(Gauge, "sekisho_bypass_timestamp_seconds")
        self._watched = self._family(Gauge, "sekisho_bypass_watch_timestamp_seconds")
        self._heard = self._family(Gauge, "sekisho_lane_last_message_timestamp_seconds")
        self._family(Gauge, "sekisho_build_info").child(version, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        self._start_at_zero()

    def _family[C: (Counter, Gauge, Histogram)](self, kind: type[C], name: str) -> _Family[C]:
        row: Series = self._rows.pop(name)
        options = {"buckets": row.buckets} if row.buckets else {}
        collector = kind(row.name, row.help, row.labels, registry=self.registry, **options)  # type: ignore[arg-type]
        own = {"lane": self._lanes, "entity": self._entities}
        family = _Family(collector, row.labels, {**BOUNDS[""], **own, **BOUNDS.get(name, {})})
        self._forget.append(family.forget)
        return family

    def _start_at_zero(self) -> None:
        """An alert on a series that does not exist yet never fires: the failure counters start as 0."""
        self._audit.child()
        self._reloaded.child().set(1)
        for where in sorted(STAGES):
            self._internal.child(where)
        for result in ("ok", "error"):
            self._reloads.child(result)

    def message(self, message: Message, verdict: str, inspected: int, seconds: float) -> None:
        lane, direction = message.route.lane, message.direction
        if not message.moving or verdict != "allow":
            self._messages.child(lane, message.route.role, direction, message.protocol, verdict).inc()
        if inspected:
            self._inspected.child(lane, direction).inc(inspected)
        self._inspect.child(lane).observe(seconds)
        self._heard.child(lane).set_to_current_time()

    def violation(self, message: Message, kind: str, finding: Finding, verdict: str, record: str) -> None:
        route = message.route
        labels = (route.lane, route.role, kind, finding.entity, finding.brand, finding.confidence)
        self._violations.child(*labels, message.direction, verdict).inc(1, _exemplar(record))
        self._last.child(route.lane, kind, finding.entity, finding.confidence, verdict).set_to_current_time()

    def suppressed(self, message: Message, finding: Finding) -> None:
        self._suppressed.child(message.route.lane, finding.entity).inc()

    def gap(self, message: Message, reason: str, size: int, verdict: str, record: str) -> None:
        lane, reason = message.route.lane, gap_reason(reason)
        self._gaps.child(lane, reason, verdict).inc(1, _exemplar(record))
        self._uninspected.child(lane, message.direction, reason).inc(size)

    def unenforced(self, message: Message, would: str) -> None:
        self._unenforced.child(message.route.lane, would).inc()

    def unread(self, lane: str, direction: str, reason: str, size: int) -> None:
        self._uninspected.child(lane, direction, gap_reason(reason)).inc(size)

    def internal_error(self, where: str) -> None:
        self._internal.child(where).inc()

    def audit_error(self) -> None:
        self._audit.child().inc()

    def probe(self, lane: str, timestamp: float, *, success: bool) -> None:
        self._probe.child(lane).set(success)
        self._probed.child(lane).set(timestamp)
        self._probes.child(lane, "passed" if success else "failed").inc()

    def added_latency(self, lane: str, seconds: float) -> None:
        self._latency.child(lane).observe(seconds)

    def connections(self, lane: str, change: int) -> None:
        self._connections.child(lane).inc(change)

    def refused(self, lane: str, reason: str) -> None:
        self._refusals.child(lane, reason).inc()

    def upstream_error(self, lane: str, reason: str) -> None:
        self._upstream.child(lane, reason).inc()

    def bypass(self, lane: str, kind: str, new: int) -> None:
        self._bypasses.child(lane, kind).inc(new)
        self._bypassed.child(lane, kind).set_to_current_time()

    def watched(self) -> None:
        self._watched.child().set_to_current_time()

    def policy(self, policy: Policy) -> None:
        """Also makes the policy's lanes known: call it before the first message."""
        self._lanes.update(lane.name for lane in policy.lanes)
        for forget in self._forget:
            forget()
        for lane in policy.lanes:
            self._connections.child(lane.name).inc(0)
        self._monitored.clear()
        self._share.clear()
        for lane in policy.lanes:
            shares = [route.percent if route.mode == "enforce" else 0 for _, route in lane.routes]
            self._monitored.child(lane.name).set(any(route.mode == "monitor" for _, route in lane.routes))
            self._share.child(lane.name).set(min(shares, default=100))
        self._expiry.clear()
        for row in sorted(policy.suppress, key=lambda row: row.until, reverse=True):  # the first to end is set last
            self._expiry.child(row.lane, row.entity).set(_end_of(row.until))
        former, self._policy = self._policy, (policy.policy_id, policy.sha256, policy.mode)
        self._info.child(*self._policy).set(1)
        if former is not None and former != self._policy:
            self._info.remove(*former)

    def certificates(self, ends: Mapping[tuple[str, str], float]) -> None:
        self._certificates.clear()
        for (lane, purpose), end in ends.items():
            self._certificates.child(lane, purpose).set(end)

    def policy_reload(self, result: str) -> None:
        self._reloads.child(result).inc()
        self._reloaded.child().set(result == "ok")

    def render(self, accept: str = "", others: Sequence[Counts] = ()) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics, with audit record ids as exemplars, if ``accept`` asks for it.

        ``others``: what other processes have counted, to be added.
        """
        encode, content_type = choose_encoder(accept)
        return encode(Summed(self.registry, others)), content_type


def _end_of(day: date) -> float:
    """When ``day`` ends on this machine's clock, in Unix time."""
    return datetime.combine(day + timedelta(days=1), time.min).astimezone().timestamp()


def _exemplar(record: str) -> dict[str, str] | None:
    return {"audit_id": record} if record else None
