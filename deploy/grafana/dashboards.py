"""Writes the dashboards: ``python -m deploy.grafana.dashboards`` (``make dashboards``), one JSON file each."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import BAD, GOOD, SOURCE, WARN, bars, gained, graph, number, rows, series, words

PLACE = Path(__file__).parent / "dashboards"

HIGH = 'confidence="high"'
VIOLATIONS = series("sekisho_violations_total", HIGH)
LAST = series("sekisho_violation_timestamp_seconds", HIGH)
MESSAGES = series("sekisho_messages_total")
GAPS = series("sekisho_gaps_total")
READ = series("sekisho_inspected_bytes_total")
UNREAD = series("sekisho_uninspected_bytes_total")
CONNECTIONS = series("sekisho_connections")
PROBE = series("sekisho_probe_success")
ALARM = {None: GOOD, 1: BAD}
QUANTILES = ("0.5", "0.95", "0.99")


def total(by: str, of: str, window: str) -> str:
    """How much counters have grown, by labels (all together: "")."""
    return f"sum by ({by}) ({gained(of, window)})" if by else f"(sum({gained(of, window)}) or vector(0))"


def started(uid: str, title: str, about: str) -> Dashboard:
    """An empty dashboard with its variables: data source, job, lanes."""
    job = QueryVariable("job").datasource(SOURCE).query("label_values(sekisho_build_info, job)")
    job = job.current(VariableOption(text="sekisho", value="sekisho")).refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    lane = QueryVariable("lane").datasource(SOURCE).query('label_values(sekisho_connections{job="$job"}, lane)')
    lane = lane.multi(True).include_all(True).all_value(".*").sort(VariableSort.ALPHABETICAL_ASC)
    lane = lane.current(VariableOption(text="All", value="$__all")).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    source = DatasourceVariable("datasource").label("data source").type("prometheus")
    made = Dashboard(title).uid(uid).description(about).tags(["sekisho"]).refresh("30s").time("now-6h", "now")
    made = made.timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    return made.with_variable(source).with_variable(job).with_variable(lane)


def row(board: Dashboard, title: str, *panels: stat.Panel | table.Panel | timeseries.Panel) -> Dashboard:
    """The dashboard with one more row of panels."""
    board = board.with_row(Row(title))
    for panel in panels:
        board = board.with_panel(panel)
    return board


def overview() -> Dashboard:
    """For who answers for card data: is anything leaking, where, and how far does the sight reach."""
    board = started("sekisho-overview", "Sekisho: overview for the security team", "Card data at the shop's boundary.")
    for part in (_now, _what, _coverage):
        board = part(board)
    return board


def _now(board: Dashboard) -> Dashboard:
    read, unread = total("", READ, "$__range"), total("", UNREAD, "$__range")
    share = f"1 - {unread} / clamp_min({read} + {unread}, 1)"
    report, stopped = (series("sekisho_violations_total", f"{HIGH}, verdict{op}") for op in ('="report"', '!="report"'))
    return row(
        board,
        "Is anything leaking?",
        number(
            "Lanes with card data now",
            f"count(count by (lane) ({LAST} > time() - 300)) or vector(0)",
            says="Lanes on which card data was found in the last five minutes, stopped or not.",
            steps=ALARM,
        ),
        number(
            "Forwarded",
            total("", report, "$__range"),
            says="Findings that were forwarded: mode monitor, report, or test numbers that are allowed.",
            steps=ALARM,
        ),
        number(
            "Stopped",
            total("", stopped, "$__range"),
            says="Findings that were blocked or redacted.",
            steps={None: GOOD, 1: WARN},
        ),
        number(
            "Inspected",
            share,
            says="Share of all bytes that were inspected; the rest was part of a gap.",
            unit="percentunit",
            steps={None: BAD, 0.99: WARN, 0.999: GOOD},
        ),
        number(
            "Lanes in mode monitor",
            f"sum({series('sekisho_lane_monitored')})",
            says="Lanes that stop nothing, or of which a destination stops nothing.",
            steps={None: GOOD, 1: WARN},
        ),
        number(
            "Sidecars that answer",
            'sum(up{job="$job"})',
            says="Sidecars whose metrics could be read.",
            steps={None: BAD, 1: GOOD},
        ),
        rows(
            "Alerts",
            'ALERTS{alertname=~"Sekisho.*", alertstate="firing"}',
            {
                "alertname": "alert",
                "severity": "severity",
                "lane": "lane",
                "kind": "kind",
                "entity": "entity",
                "Value": "firing",
            },
            says="What is firing now; needs the rules of deploy/prometheus.",
        ),
        rows(
            "Last findings",
            f"sort_desc(1000 * max by (lane, kind, entity, verdict) ({LAST}))",
            {"Value": "last", "lane": "lane", "kind": "kind", "entity": "entity", "verdict": "verdict"},
            says="When card data of each kind was last found on each lane. The audit file has each one of them.",
            unit="dateTimeFromNow",
        ),
    )


def _what(board: Dashboard) -> Dashboard:
    board = board.with_row(Row("Which card data, and where"))
    for label, says in (
        ("kind", "passthrough 通過: in the shop's systems; retention 保持: about to be kept; stored: at rest already."),
        ("verdict", "block and redact: stopped; report: forwarded."),
    ):
        query = (total(label, VIOLATIONS, "5m"), f"{{{{{label}}}}}")
        title, exemplars = f"Findings in five minutes, by {label}", label == "kind"
        board = board.with_panel(graph(title, query, says=says, stacked=True, exemplars=exemplars))
    for label in ("lane", "entity", "brand"):
        named = series("sekisho_violations_total", f'{HIGH}, {label}!=""')
        query = (f"sort_desc({total(label, named, '$__range')})", f"{{{{{label}}}}}")
        board = board.with_panel(bars(f"By {label}", query, says=f"Findings in the time shown, by {label}."))
    return board


def _coverage(board: Dashboard) -> Dashboard:
    around = total("lane", series("sekisho_bypass_total"), "$__range")
    probe = f"min by (lane) ({PROBE}) or sum by (lane) ({series('sekisho_lane_monitored')}) * 0 - 1"
    return row(
        board,
        "How far does the sight reach?",
        graph(
            "Bytes",
            (f"sum(rate({READ}[$__rate_interval]))", "inspected"),
            (f"sum(rate({UNREAD}[$__rate_interval]))", "not inspected"),
            says="What was inspected, and what was part of a gap.",
            unit="Bps",
        ),
        rows(
            "Gaps",
            f"sort_desc({total('lane, reason, verdict', GAPS, '$__range')} > 0)",
            {"lane": "lane", "reason": "reason", "verdict": "verdict", "Value": "gaps"},
            says="What could not be inspected in the time shown; report: it was forwarded.",
        ),
        rows(
            "Lanes",
            f"max by (lane) ({series('sekisho_lane_monitored')})",
            {"lane": "lane", "Value": "mode"},
            says="Whether a lane stops what it finds.",
            shown=words({"0": ("enforce", GOOD), "1": ("monitor", WARN)}),
            span=6,
        ),
        rows(
            "Probe",
            probe,
            {"lane": "lane", "Value": "probe"},
            says="Whether the last synthetic card number was treated as the policy says.",
            shown=words({"1": ("passed", GOOD), "0": ("FAILED", BAD), "-1": ("not yet", "blue")}),
            span=6,
        ),
        rows(
            "Around Sekisho",
            f"sort_desc({around} or sum by (lane) ({series('sekisho_lane_monitored')}) * 0)",
            {"lane": "lane", "Value": "seen"},
            says="Connections around each lane, and its silences, in the time shown; other: to where no lane leads.",
            span=6,
        ),
        rows(
            "Last message",
            f"sort(1000 * max by (lane) ({series('sekisho_lane_last_message_timestamp_seconds')}))",
            {"lane": "lane", "Value": "last"},
            says="When each lane was last heard of.",
            unit="dateTimeFromNow",
            span=6,
        ),
        rows(
            "Policy in force",
            f"count by (policy_id, mode, sha256) ({series('sekisho_policy_info', lanes=False)})",
            {"policy_id": "policy", "mode": "mode", "sha256": "SHA-256", "Value": "sidecars"},
            says="More than one row: not all sidecars have the same policy.",
            span=6,
        ),
        rows(
            "Suppressions end",
            f"sort(1000 * min by (lane, entity) ({series('sekisho_suppression_expiry_timestamp_seconds')}))",
            {"lane": "lane", "entity": "entity", "Value": "ends"},
            says="When the first suppression of each lane and entity ends.",
            unit="dateTimeFromNow",
            span=6,
        ),
    )


def quantiles(metric: str) -> list[tuple[str, str]]:
    """Of all lanes shown together: what half, nineteen of twenty, and 99 of 100 messages stay below."""
    rate = f"sum by (le) (rate({series(metric + '_bucket')}[$__rate_interval]))"
    return [(f"histogram_quantile({quantile}, {rate})", f"{float(quantile):.0%}") for quantile in QUANTILES]


def operations() -> Dashboard:
    """For who runs it: load, time, errors, resources."""
    board = started("sekisho-operations", "Sekisho: operations", "Load, added time, errors and resources of Sekisho.")
    for part in (_traffic, _errors, _process):
        board = part(board)
    return board


def _traffic(board: Dashboard) -> Dashboard:
    return row(
        board,
        "Traffic",
        graph(
            "Messages by lane",
            (f"sum by (lane, direction) (rate({MESSAGES}[$__rate_interval]))", "{{lane}} {{direction}}"),
            says="Requests and responses judged.",
            unit="reqps",
        ),
        graph(
            "Messages by verdict",
            (f"sum by (verdict) (rate({MESSAGES}[$__rate_interval]))", "{{verdict}}"),
            says="What was done with them.",
            unit="reqps",
        ),
        graph(
            "Added latency",
            *quantiles("sekisho_added_latency_seconds"),
            says="Time a message spent in Sekisho, waiting included, without the upstream's own.",
            unit="s",
        ),
        graph(
            "Inspection",
            *quantiles("sekisho_inspect_seconds"),
            says="From a whole message to its verdict.",
            unit="s",
        ),
    )


def _errors(board: Dashboard) -> Dashboard:
    board = board.with_row(Row("Refusals and errors"))
    for title, metric, by, says in (
        ("Refusals before inspection", "sekisho_refusals_total", "lane, reason", "Malformed, too slow, too large."),
        ("Gaps", "sekisho_gaps_total", "lane, reason", "What could not be inspected."),
        ("Upstream errors", "sekisho_upstream_errors_total", "lane, reason", "Exchanges with an upstream that failed."),
    ):
        query = (total(by, series(metric), "5m"), "{{lane}} {{reason}}")
        board = board.with_panel(graph(f"{title}, in five minutes", query, says=says, stacked=True, span=8))
    internal, audit = (
        series(name, lanes=False) for name in ("sekisho_internal_errors_total", "sekisho_audit_errors_total")
    )
    queries = (
        (f"sum by (where) (increase({internal}[5m]))", "{{where}}"),
        (f"sum(increase({audit}[5m]))", "audit records not written"),
    )
    return board.with_panel(graph("Failures of Sekisho, in five minutes", *queries, says="Each one is an alert."))


def _process(board: Dashboard) -> Dashboard:
    reloads = series("sekisho_policy_reloads_total", lanes=False)
    board = board.with_panel(
        graph(
            "Policy reloads",
            (f"sum by (result) ({reloads})", "{{result}}"),
            (f"min({series('sekisho_policy_last_reload_success', lanes=False)})", "file on disk is in force"),
            says="Since each sidecar started; whether the file on disk is the policy in force (1).",
        )
    ).with_row(Row("Resources"))
    for title, query, unit, says in (
        ("Connections", (f"sum by (lane) ({CONNECTIONS})", "{{lane}}"), "short", "Client connections open now."),
        (
            "Memory",
            (series("process_resident_memory_bytes", lanes=False), "{{instance}}"),
            "bytes",
            "Resident memory of each sidecar, all its processes together.",
        ),
        (
            "Processor",
            (f"rate({series('process_cpu_seconds_total', lanes=False)}[$__rate_interval])", "{{instance}}"),
            "percentunit",
            "1 is one core.",
        ),
        ("Open files", (series("process_open_fds", lanes=False), "{{instance}}"), "short", "Connections among them."),
    ):
        board = board.with_panel(graph(title, query, says=says, unit=unit, span=6))
    return board.with_panel(
        rows(
            "Versions",
            f"time() - {series('process_start_time_seconds', lanes=False)} "
            f"+ on (instance) group_left (version, python) 0 * {series('sekisho_build_info', lanes=False)}",
            {"instance": "instance", "version": "version", "python": "Python", "Value": "up since"},
            says="What runs, and since when.",
            unit="s",
        )
    )


def documents() -> dict[str, str]:
    """File name → the dashboard as Grafana reads it."""
    made = {"overview.json": overview().build(), "operations.json": operations().build()}
    for board in made.values():
        for number_, panel in enumerate(board.panels, 1):
            panel.id_val = number_
    return {
        name: json.dumps(board, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for name, board in made.items()
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (PLACE / name).write_text(text)
