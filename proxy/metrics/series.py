"""Every series that Sekisho exposes: what it is called, what it counts, and which label values it may have.

A label value only ever comes from a bounded set; anything else is counted as ``other``, so that no peer can grow the
memory of Sekisho or of its Prometheus, and no number can hide in a label. The series of the self-probe
(``sekisho_probe_*``) come with the probe: a series that nobody sets reads like one that is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from detectors import model
from detectors.iin import BRANDS
from proxy.refusals import REFUSALS

OTHER = "other"

GAP_REASONS = frozenset(
    {
        # The decoders and the inspector.
        *("unknown-content-encoding", "bad-content-encoding", "unknown-charset", "truncated", "corrupt", "archive"),
        *("unknown-transfer-encoding", "multipart-boundary", "xml-entity", "too-many-readings"),
        *("too-large", "too-deep", "depth", "expanded", "ratio", "timeout", "too-many-candidates", "inspector-error"),
        # The rules of the tokenized flow.
        *("unlisted-gmo-path", "unreadable-gmo-call"),
        # The planes.
        *("body-too-large", "piece-too-large", "encrypted", "upgrade", "event-stream", "unlisted-destination"),
        *("misdirected", "unknown-protocol", "silent-client", "no-sni", "pinned", "tls-handshake", "ech", "quic"),
        # The guard.
        "internal-error",
    }
)
"""Why bytes could not be inspected."""


def gap_reason(reason: str) -> str:
    """The row of ``GAP_REASONS`` for a gap: its reason, or what it is a kind of (``truncated-gzip``), or ``other``."""
    general = reason.partition("-")[0]
    return next((known for known in (reason, general) if known in GAP_REASONS), OTHER)


UPSTREAM_REASONS = frozenset({"refused", "unreachable", "timeout", "dns", "tls", "reset", "protocol", "closed"})
"""Why an exchange with an upstream failed."""

CERTIFICATES = frozenset({"server", "client-ca", "upstream", "upstream-ca", "interception"})
"""What a lane's certificates are for: shown to clients, asked of them, the same for the upstream, and to sign."""

STAGES = frozenset(
    {
        *("inspect", "review", "judge", "redact", "recheck", "record", "audit", "meter"),
        *("timeout", "cancelled", "worker", "handler", "carry-out", "plane", "process"),
    }
)
"""Where in Sekisho something can fail: the guard's steps, the planes', and ``process``: a worker process has died."""

WAYS = frozenset({"direct", "egress", "quic", "silent"})
"""Around Sekisho: straight to a lane's upstream; to an address of the internet that no lane leads to; over QUIC, which
no lane speaks; and nobody knows how, but a lane that used to talk does not, while others do."""

BOUNDS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "": {
        "role": frozenset({"logging", "storage", "payment-gateway", "shop", "external"}),
        "direction": frozenset({"request", "response"}),
        "protocol": frozenset({"http", "websocket", "tcp", "udp"}),
        "verdict": frozenset({"allow", "redact", "block", "report"}),
        "kind": frozenset({"passthrough", "retention", "stored"}),
        "confidence": frozenset({"high", "low"}),
        "brand": frozenset({*BRANDS, ""}),
        "entity": frozenset(
            {
                *(model.PAN, model.SECURITY_CODE, model.TRACK_1, model.TRACK_2, model.PIN_BLOCK),
                *(model.EXPIRY, model.CARDHOLDER_NAME, "TOKEN"),
            }
        ),
    },
    "sekisho_gaps_total": {"reason": GAP_REASONS},
    "sekisho_uninspected_bytes_total": {"reason": GAP_REASONS},
    "sekisho_upstream_errors_total": {"reason": UPSTREAM_REASONS},
    "sekisho_refusals_total": {"reason": frozenset(REFUSALS)},
    "sekisho_internal_errors_total": {"where": STAGES},
    "sekisho_unenforced_total": {"would": frozenset({"block", "redact"})},
    "sekisho_policy_reloads_total": {"result": frozenset({"ok", "error"})},
    "sekisho_bypass_total": {"kind": WAYS},
    "sekisho_bypass_timestamp_seconds": {"kind": WAYS},
    "sekisho_certificate_expiry_timestamp_seconds": {"purpose": CERTIFICATES},
    "sekisho_probes_total": {"result": frozenset({"passed", "failed"})},
}
"""Allowed values by series and label; ``""`` holds those that mean the same everywhere. Lanes and team entities come
from the policy; ``policy_id``, ``sha256``, ``mode``, ``version`` and ``python`` have one value at a time."""

LATENCY_BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
INSPECT_BUCKETS = (1e-5, 2.5e-5, 5e-5, *LATENCY_BUCKETS)


@dataclass(frozen=True, slots=True)
class Series:
    """One exposed metric, as an operator reads about it."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    least: bool = False
    """Of several workers' values the least counts."""
    whole: bool = False
    """Of the sidecar as a whole: several workers' values are not added up, their supervisor's counts."""


SERIES: tuple[Series, ...] = (
    Series(
        "sekisho_messages_total",
        "counter",
        "messages",
        ("lane", "role", "direction", "protocol", "verdict"),
        "Requests and responses judged, by what was done with them.",
    ),
    Series(
        "sekisho_violations_total",
        "counter",
        "findings",
        ("lane", "role", "kind", "entity", "brand", "confidence", "direction", "verdict"),
        "Card data found where the policy does not permit it; verdict report means it was forwarded.",
    ),
    Series(
        "sekisho_violation_timestamp_seconds",
        "gauge",
        "seconds",
        ("lane", "kind", "entity", "confidence", "verdict"),
        "When such card data was last found, in Unix time.",
    ),
    Series(
        "sekisho_suppressed_findings_total",
        "counter",
        "findings",
        ("lane", "entity"),
        "Findings that a suppression of the policy declared false alarms.",
    ),
    Series(
        "sekisho_gaps_total",
        "counter",
        "gaps",
        ("lane", "reason", "verdict"),
        "Stretches that could not be inspected, by reason; verdict report means they were forwarded.",
    ),
    Series(
        "sekisho_unenforced_total",
        "counter",
        "messages",
        ("lane", "would"),
        "Messages, or pieces of a long body, forwarded that an enforced lane would have refused or masked: would is "
        "block or redact.",
    ),
    Series(
        "sekisho_inspected_bytes_total",
        "counter",
        "bytes",
        ("lane", "direction"),
        "Bytes inspected, as they stood on the wire.",
    ),
    Series(
        "sekisho_uninspected_bytes_total",
        "counter",
        "bytes",
        ("lane", "direction", "reason"),
        "Bytes of gaps, as they stood on the wire.",
    ),
    Series(
        "sekisho_inspect_seconds",
        "histogram",
        "seconds",
        ("lane",),
        "Time from a whole message to its verdict.",
        INSPECT_BUCKETS,
    ),
    Series(
        "sekisho_added_latency_seconds",
        "histogram",
        "seconds",
        ("lane",),
        "Time a message spent in Sekisho, waiting included, without the upstream's own time.",
        LATENCY_BUCKETS,
    ),
    Series("sekisho_connections", "gauge", "connections", ("lane",), "Client connections open now."),
    Series(
        "sekisho_upstream_errors_total",
        "counter",
        "errors",
        ("lane", "reason"),
        "Connections or exchanges with the upstream that failed.",
    ),
    Series(
        "sekisho_refusals_total",
        "counter",
        "refusals",
        ("lane", "reason"),
        "Requests and connections refused before their content was judged: malformed, too slow, too large.",
    ),
    Series(
        "sekisho_internal_errors_total",
        "counter",
        "errors",
        ("where",),
        "Failures of Sekisho itself. Each one refused a message in enforce mode, except where=meter; where=process: a "
        "worker died.",
    ),
    Series(
        "sekisho_policy_info",
        "gauge",
        "",
        ("policy_id", "sha256", "mode"),
        "The policy in force; always 1.",
        whole=True,
    ),
    Series(
        "sekisho_lane_monitored",
        "gauge",
        "",
        ("lane",),
        "1 while the lane or a destination of it is in mode monitor, which stops nothing; 0 while it is enforced.",
        whole=True,
    ),
    Series(
        "sekisho_lane_enforced_percent",
        "gauge",
        "",
        ("lane",),
        "How many of a hundred messages are enforced, on the lane or the destination of it with the fewest; 0 in mode "
        "monitor.",
        whole=True,
    ),
    Series(
        "sekisho_suppression_expiry_timestamp_seconds",
        "gauge",
        "seconds",
        ("lane", "entity"),
        "When the first suppression of the lane and entity ends, in Unix time; from then on its alarms count again.",
        whole=True,
    ),
    Series(
        "sekisho_certificate_expiry_timestamp_seconds",
        "gauge",
        "seconds",
        ("lane", "purpose"),
        "When the certificates in use end, in Unix time: of the lane's own the first one, of those it trusts the last.",
        least=True,
    ),
    Series(
        "sekisho_policy_last_reload_success",
        "gauge",
        "",
        (),
        "1 when the policy file last read is the one in force; 0 when it could not be used.",
        whole=True,
    ),
    Series(
        "sekisho_policy_reloads_total",
        "counter",
        "reloads",
        ("result",),
        "Policy files read after the start; result error means the former policy stays in force.",
        whole=True,
    ),
    Series("sekisho_audit_errors_total", "counter", "errors", (), "Audit records that could not be written."),
    Series(
        "sekisho_probe_success",
        "gauge",
        "",
        ("lane",),
        "1 if the lane's last self-probe, a synthetic card number, was treated as its policy says, else 0.",
        least=True,
    ),
    Series(
        "sekisho_probe_timestamp_seconds",
        "gauge",
        "seconds",
        ("lane",),
        "When the lane's last self-probe ended, in seconds since 1970.",
        least=True,
    ),
    Series(
        "sekisho_probes_total",
        "counter",
        "probes",
        ("lane", "result"),
        "Self-probes that have ended, by result: passed or failed.",
    ),
    Series(
        "sekisho_bypass_total",
        "counter",
        "connections",
        ("lane", "kind"),
        "Connections seen that go around Sekisho, and lanes that fell silent while others were busy, by kind.",
    ),
    Series(
        "sekisho_bypass_timestamp_seconds",
        "gauge",
        "seconds",
        ("lane", "kind"),
        "When such a connection was last seen open, or when the lane was last found silent, in Unix time.",
    ),
    Series(
        "sekisho_bypass_watch_timestamp_seconds",
        "gauge",
        "seconds",
        (),
        "When the socket table was last looked through, in Unix time; 0 if never.",
    ),
    Series(
        "sekisho_lane_last_message_timestamp_seconds",
        "gauge",
        "seconds",
        ("lane",),
        "When the lane's last request or response was judged, in Unix time.",
    ),
    Series("sekisho_build_info", "gauge", "", ("version", "python"), "The running program; always 1.", whole=True),
)
