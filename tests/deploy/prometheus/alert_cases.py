"""When each alert has to ring, and when not: input series as promtool writes them (one value a minute, ``_`` for none),
and the labels of the alerts that fire at some of the minutes."""

from __future__ import annotations

from dataclasses import dataclass

Labels = dict[str, str]
ONE = {"job": "sekisho", "instance": "shop-1"}
BOTH = 'job="sekisho",instance="shop-1"'
YESTERDAY = 1440


@dataclass(frozen=True)
class Case:
    """What an alert does with some series: minute → the alerts that fire then."""

    alert: str
    says: str
    series: dict[str, str]
    fires: dict[int, list[Labels]]


def found(kind: str, entity: str, verdict: str, confidence: str = "high", lane: str = "app-logs") -> Labels:
    return {"lane": lane, "kind": kind, "entity": entity, "verdict": verdict, "confidence": confidence}


def moment(labels: Labels) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"sekisho_violation_timestamp_seconds{{{BOTH},{inside}}}"


def on_finding(alert: str, rings: list[Labels], silent: list[Labels]) -> list[Case]:
    """The alert fires in the minute of the first finding, for five minutes, whatever else is found."""
    return [
        Case(
            alert,
            "-".join((labels["kind"], labels["entity"], labels["verdict"])),
            {moment(labels): "_x10 600x10", **{moment(other): "_x10 600x10" for other in silent}},
            {9: [], 10: [ONE | labels], 14: [ONE | labels], 16: []},
        )
        for labels in rings
    ]


PAN_IN = found("passthrough", "PAN", "block", lane="gmo")
PAN_KEPT = found("retention", "PAN", "block")
PAN_MASKED = found("retention", "PAN", "redact")
PAN_SENT = found("retention", "PAN", "report")
PAN_AT_REST = found("stored", "PAN", "report", lane="search")
CODE = found("retention", "SECURITY_CODE", "block")
TRACK = found("passthrough", "TRACK_2", "report", lane="front")
STRIPE = found("retention", "TRACK_1", "redact")
PIN = found("stored", "PIN_BLOCK", "block", lane="search")
DOUBTFUL = [found(kind, "PAN", "report", "low", "doubts") for kind in ("passthrough", "retention", "stored")]

CARD_DATA = [
    *on_finding("SekishoSensitiveAuthenticationData", [CODE, STRIPE, TRACK, PIN], [PAN_IN, PAN_KEPT, PAN_AT_REST]),
    *on_finding("SekishoCardDataPassthrough", [PAN_IN, TRACK], [PAN_KEPT, PAN_AT_REST, CODE, *DOUBTFUL]),
    *on_finding("SekishoCardDataStored", [PAN_AT_REST, PIN], [PAN_IN, PAN_KEPT, CODE, *DOUBTFUL]),
    *on_finding("SekishoCardDataForwarded", [PAN_SENT, PAN_AT_REST, TRACK], [PAN_IN, PAN_KEPT, CODE, *DOUBTFUL]),
    *on_finding("SekishoCardDataRetention", [PAN_KEPT, PAN_MASKED, CODE], [PAN_IN, PAN_SENT, PAN_AT_REST, *DOUBTFUL]),
    Case(
        "SekishoCardDataRetention",
        "rings-again-after-a-restart-that-lost-the-counters",
        {moment(PAN_KEPT): "_x10 600x10 _x20 2460x10"},
        {12: [ONE | PAN_KEPT], 25: [], 41: [ONE | PAN_KEPT], 48: []},
    ),
    Case(
        "SekishoCardDataRetention",
        "a-missed-scrape-repeats-nothing",
        {moment(PAN_KEPT): "0x20 stale 0x20"},
        {6: [], 20: [], 22: [], 27: []},
    ),
]

GAPS = f'sekisho_gaps_total{{{BOTH},lane="search",reason="archive",verdict="block"}}'
PASSED = f'sekisho_gaps_total{{{BOTH},lane="search",reason="archive",verdict="report"}}'
SEARCH_ARCHIVE = {"job": "sekisho", "lane": "search", "reason": "archive"}
READ = f'sekisho_inspected_bytes_total{{{BOTH},lane="search",direction="request"}}'
UNREAD = f'sekisho_uninspected_bytes_total{{{BOTH},lane="search",direction="request",reason="archive"}}'
SEARCH = {"job": "sekisho", "lane": "search"}
SHARE = f'sekisho_lane_enforced_percent{{{BOTH},lane="gmo"}}'
MONITORED = f'sekisho_lane_monitored{{{BOTH},lane="gmo"}}'
REQUESTS = f'sekisho_messages_total{{{BOTH},lane="gmo",role="payment-gateway",direction="request",protocol="http",verdict="allow"}}'
GMO = {"job": "sekisho", "lane": "gmo"}
ENDS = f'sekisho_suppression_expiry_timestamp_seconds{{{BOTH},lane="gmo",entity="PAN"}}'
DAY = 86_400

COVERAGE = [
    Case("SekishoGapsRising", "the-first-ones", {GAPS: "_x10 6x20"}, {9: [], 11: [SEARCH_ARCHIVE], 30: []}),
    Case("SekishoGapsRising", "a-few-are-none", {GAPS: "_x10 4x20"}, {11: [], 20: []}),
    Case("SekishoGapsRising", "as-many-as-always", {GAPS: "0+1x240"}, {120: [], 240: []}),
    Case("SekishoGapsRising", "five-times-as-many", {GAPS: "0+1x240 245+5x30"}, {239: [], 265: [SEARCH_ARCHIVE]}),
    Case("SekishoGapsForwarded", "one", {PASSED: "_x10 1x30"}, {9: [], 11: [SEARCH_ARCHIVE], 30: []}),
    Case("SekishoGapsForwarded", "refused-ones", {GAPS: "_x10 50x30"}, {11: []}),
    Case(
        "SekishoUninspectedBytes",
        "two-percent",
        {READ: "0+980x60", UNREAD: "0+20x60"},
        {1: [], 30: [SEARCH], 60: [SEARCH]},
    ),
    Case("SekishoUninspectedBytes", "one-in-a-thousand", {READ: "0+999x60", UNREAD: "0+1x60"}, {30: [], 60: []}),
    Case("SekishoUninspectedBytes", "nothing-else", {UNREAD: "_x10 5000x30"}, {12: [], 20: [SEARCH], 30: []}),
    Case("SekishoUninspectedBytes", "no-gaps", {READ: "0+999x60"}, {30: []}),
    Case(
        "SekishoLaneSilent",
        "after-hours-of-traffic",
        {MONITORED: "0x300", REQUESTS: "0+1x200 200x100"},
        {100: [], 220: [], 245: [GMO]},
    ),
    Case(
        "SekishoLaneSilent",
        "its-series-lost-in-a-restart",
        {MONITORED: "0x300", REQUESTS: "0+1x200 stale"},
        {220: [], 245: [GMO]},
    ),
    Case(
        "SekishoLaneSilent",
        "at-an-hour-that-was-quiet-yesterday-too",
        {MONITORED: f"0x{YESTERDAY + 120}", REQUESTS: f"0+0x600 0+1x300 300x{YESTERDAY - 780}"},
        {700: [], YESTERDAY + 60: []},
    ),
    Case(
        "SekishoLaneSilent",
        "at-an-hour-at-which-it-talked-yesterday",
        {MONITORED: f"0x{YESTERDAY + 200}", REQUESTS: f"0x30 0+1x170 200x{YESTERDAY}"},
        {500: [], YESTERDAY + 110: [GMO]},
    ),
    Case(
        "SekishoLaneSilent",
        "taken-from-the-policy",
        {MONITORED: "0x200 stale", REQUESTS: "0+1x200 200x100"},
        {100: [], 220: [], 245: []},
    ),
    Case(
        "SekishoLaneSilent",
        "after-one-batch",
        {MONITORED: "0x300", REQUESTS: "0x100 0+1x30 30x160"},
        {110: [], 175: [], 200: []},
    ),
    Case("SekishoLaneSilent", "it-never-talked", {MONITORED: "0x300", REQUESTS: "0x300"}, {60: [], 290: []}),
    Case(
        "SekishoLaneSilent", "now-and-then", {MONITORED: "0x600", REQUESTS: "0+0x59 1+0x59 2+0x400"}, {250: [], 500: []}
    ),
    Case("SekishoMonitorMode", "left-on", {MONITORED: "0x10 1x90"}, {60: [], 75: [ONE | {"lane": "gmo"}]}),
    Case("SekishoMonitorMode", "for-a-while", {MONITORED: "0x10 1x50 0x60"}, {60: [], 75: [], 110: []}),
    Case("SekishoMonitorMode", "enforced", {MONITORED: "0x120", SHARE: "100x120"}, {110: []}),
    Case(
        "SekishoMonitorMode",
        "in-part",
        {MONITORED: "0x100", SHARE: "100x10 25x90"},
        {60: [], 75: [ONE | {"lane": "gmo"}]},
    ),
    Case(
        "SekishoMonitorMode",
        "once-for-both",
        {MONITORED: "0x10 1x90", SHARE: "100x10 0x90"},
        {75: [ONE | {"lane": "gmo"}]},
    ),
    Case(
        "SekishoSuppressionExpires",
        "six-days-left-then-none",
        {ENDS: f"{6 * DAY}x20"},
        {10: [ONE | {"lane": "gmo", "entity": "PAN"}]},
    ),
    Case("SekishoSuppressionExpires", "ended", {ENDS: "60x20"}, {10: [ONE | {"lane": "gmo", "entity": "PAN"}]}),
    Case("SekishoSuppressionExpires", "eight-days-left", {ENDS: f"{8 * DAY}x20"}, {10: []}),
]

ERRORS = f'sekisho_internal_errors_total{{{BOTH},where="redact"}}'
FAILED = f'sekisho_gaps_total{{{BOTH},lane="gmo",reason="inspector-error",verdict="block"}}'
TOOK = f'sekisho_inspect_seconds_bucket{{{BOTH},lane="gmo",le="'
AUDIT = f"sekisho_audit_errors_total{{{BOTH}}}"
RELOAD = f"sekisho_policy_last_reload_success{{{BOTH}}}"
UP = f"up{{{BOTH}}}"

CERTIFICATE = f'sekisho_certificate_expiry_timestamp_seconds{{{BOTH},lane="gmo",purpose="server"}}'
SERVER = ONE | {"lane": "gmo", "purpose": "server"}

SIDECAR = [
    Case("SekishoCertificateExpires", "thirteen-days-left", {CERTIFICATE: f"{13 * DAY}x20"}, {10: [SERVER]}),
    Case("SekishoCertificateExpires", "fifteen-days-left", {CERTIFICATE: f"{15 * DAY}x20"}, {10: []}),
    Case("SekishoCertificateExpires", "renewed", {CERTIFICATE: f"{9 * DAY}x5 {90 * DAY}x20"}, {3: [SERVER], 10: []}),
    Case("SekishoCertificateEnds", "two-days-left", {CERTIFICATE: f"{2 * DAY}x20"}, {10: [SERVER]}),
    Case("SekishoCertificateEnds", "ended", {CERTIFICATE: "60x20"}, {10: [SERVER]}),
    Case("SekishoCertificateEnds", "four-days-left", {CERTIFICATE: f"{4 * DAY}x20"}, {10: []}),
    Case(
        "SekishoInspectorFailing",
        "an-error",
        {ERRORS: "0x10 1x20"},
        {10: [], 12: [ONE | {"where": "redact", "lane": "any"}], 20: []},
    ),
    Case(
        "SekishoInspectorFailing",
        "an-inspection",
        {FAILED: "_x10 1x20"},
        {9: [], 12: [ONE | {"where": "inspector", "lane": "gmo"}]},
    ),
    Case("SekishoInspectorFailing", "other-gaps", {ERRORS: "0x20", GAPS: "0+9x20"}, {12: []}),
    Case(
        "SekishoInspectionSlow",
        "two-in-a-hundred-take-a-second",
        {f'{TOOK}0.5"}}': "0+98x40", f'{TOOK}1"}}': "0+100x40", f'{TOOK}+Inf"}}': "0+100x40"},
        {5: [], 30: [ONE | {"lane": "gmo"}]},
    ),
    Case(
        "SekishoInspectionSlow",
        "one-in-a-thousand",
        {f'{TOOK}0.1"}}': "0+999x40", f'{TOOK}1"}}': "0+1000x40", f'{TOOK}+Inf"}}': "0+1000x40"},
        {30: []},
    ),
    Case("SekishoAuditFailing", "one-record", {AUDIT: "0x10 1x20"}, {10: [], 12: [ONE], 20: []}),
    Case("SekishoAuditFailing", "none", {AUDIT: "0x20"}, {12: []}),
    Case(
        "SekishoPolicyReloadFailed",
        "until-it-is-mended",
        {RELOAD: "1x10 0x20 1x10"},
        {10: [], 12: [ONE], 29: [ONE], 33: []},
    ),
    Case("SekishoTargetDown", "down", {UP: "1x10 0x10 1x10"}, {10: [], 13: [ONE], 25: []}),
    Case("SekishoTargetDown", "nobody-looks", {ERRORS: "0x10"}, {5: [{"job": "sekisho", "instance": "any instance"}]}),
    Case("SekishoTargetDown", "another-job", {UP: "1x10", 'up{job="loki",instance="loki"}': "0x10"}, {5: []}),
]

PROBED = f'sekisho_probe_success{{{BOTH},lane="gmo"}}'
PROBED_AT = f'sekisho_probe_timestamp_seconds{{{BOTH},lane="gmo"}}'
OTHER = f'sekisho_lane_monitored{{{BOTH},lane="front"}}'
ON_GMO = [ONE | {"lane": "gmo"}]

PROBE = [
    Case(
        "SekishoProbeFailing",
        "not-stopped",
        {MONITORED: "0x40", PROBED: "1x10 0x10 1x10"},
        {10: [], 11: ON_GMO, 22: []},
    ),
    Case("SekishoProbeFailing", "gone-with-its-lane", {MONITORED: "0x9 stale", PROBED: "1x10 0x10"}, {11: [], 15: []}),
    Case("SekishoProbeFailing", "before-there-is-a-probe", {MONITORED: "0x30"}, {20: []}),
    Case(
        "SekishoProbeAbsent",
        "stuck",
        {MONITORED: "0x60", PROBED_AT: "0+60x20 1200x40"},
        {24: [], 29: ON_GMO, 60: ON_GMO},
    ),
    Case(
        "SekishoProbeAbsent",
        "gone-from-a-lane-that-is-served",
        {MONITORED: "0x60", OTHER: "0x60", PROBED_AT: "0+60x20 stale"},
        {20: [], 24: ON_GMO, 60: ON_GMO},
    ),
    Case(
        "SekishoProbeAbsent",
        "gone-with-its-lane",
        {MONITORED: "0x20 stale", PROBED_AT: "0+60x20 1200x40"},
        {24: [], 60: []},
    ),
    Case("SekishoProbeAbsent", "before-there-is-a-probe", {MONITORED: "0x60", OTHER: "0x60"}, {20: [], 60: []}),
]


def around(kind: str, lane: str = "gmo") -> str:
    return f'sekisho_bypass_timestamp_seconds{{{BOTH},lane="{lane}",kind="{kind}"}}'


HEARD = f'sekisho_lane_last_message_timestamp_seconds{{{BOTH},lane="gmo"}}'
ENCRYPTED = f'sekisho_gaps_total{{{BOTH},lane="egress",reason="encrypted",verdict="block"}}'
WATCHED = f"sekisho_bypass_watch_timestamp_seconds{{{BOTH}}}"
DIRECT, QUIC = ONE | {"lane": "gmo", "kind": "direct"}, ONE | {"lane": "other", "kind": "quic"}
OTHERS = {around("egress", "other"): "_x10 600x10", around("silent"): "_x10 600x10"}

BYPASS = [
    Case(
        "SekishoBypass",
        "as-long-as-it-is-open-and-five-minutes",
        {around("direct"): "_x10 600+60x10 1200x20", around("quic", "other"): "_x10 600x10", **OTHERS},
        {9: [], 10: [DIRECT], 20: [DIRECT], 24: [DIRECT], 26: []},
    ),
    Case("SekishoBypass", "after-a-restart", {around("direct"): "0x5 stale"}, {6: [], 10: []}),
    Case(
        "SekishoBypassQuic",
        "for-five-minutes",
        {around("quic", "other"): "_x10 600x10", around("direct"): "_x10 600x10", **OTHERS},
        {9: [], 10: [QUIC], 14: [QUIC], 16: []},
    ),
    Case(
        "SekishoBypassEncrypted",
        "one",
        {ENCRYPTED: "_x10 1x30", GAPS: "0+1x40"},
        {9: [], 11: [{"job": "sekisho", "lane": "egress", "reason": "encrypted"}], 30: []},
    ),
    Case(
        "SekishoBypassEncrypted",
        "quic",
        {ENCRYPTED.replace("encrypted", "quic"): "_x10 1x30"},
        {9: [], 11: [{"job": "sekisho", "lane": "egress", "reason": "quic"}], 30: []},
    ),
    Case("SekishoBypassEncrypted", "other-gaps", {GAPS: "0+1x40"}, {11: [], 30: []}),
    Case("SekishoBypassUnwatched", "stuck", {WATCHED: "0+60x20 1200x40"}, {24: [], 29: [ONE], 60: [ONE]}),
    Case("SekishoBypassUnwatched", "turned-off", {WATCHED: "0x60"}, {10: [], 60: []}),
    Case(
        "SekishoLaneSilent",
        "seen-by-a-sidecar",
        {MONITORED: "0x120", around("silent"): "_x30 1800x90", HEARD: "900x120"},
        {29: [], 36: [GMO], 85: [GMO], 95: []},
    ),
    Case(
        "SekishoLaneSilent",
        "seen-by-a-sidecar-and-talking-again",
        {MONITORED: "0x120", around("silent"): "_x30 1800x90", HEARD: "900x49 3000+60x60"},
        {36: [GMO], 52: [], 80: []},
    ),
]

CASES = [*CARD_DATA, *COVERAGE, *SIDECAR, *PROBE, *BYPASS]
