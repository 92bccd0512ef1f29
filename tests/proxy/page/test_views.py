from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date

import pytest
import yaml

from proxy import problem
from proxy.admin import LISTENING, PASSED, Readiness
from proxy.gmo.review import CALLS_TOKEN_ENDPOINT
from proxy.judge import KINDS, Verdict, Violation
from proxy.message import Action
from proxy.page.views import Filter, advised, detail, lanes, percent, row, size, suppression
from proxy.policy.model import Policy, Suppression
from proxy.records.record import of_failure, of_message
from proxy.texts import say
from tests.proxy.guard_parts import LEAK, FakeInspector, finding, message
from tests.proxy.guard_parts import policy as any_policy
from tests.proxy.page_records import found, policy, record

TODAY = date(2026, 11, 22)
QUIET = FakeInspector().quiet

FILTERS = {
    "any": (Filter(), [1, 2, 3]),
    "lane": (Filter(lane="gmo"), [2]),
    "kind": (Filter(kind="gap"), [3]),
    "entity": (Filter(entity="SECURITY_CODE"), [2]),
    "all of them": (Filter("app-logs", "retention", "PAN"), [1]),
    "nothing": (Filter("gmo", "gap"), []),
}


@pytest.mark.parametrize(("wanted", "seqs"), FILTERS.values(), ids=FILTERS)
def test_filter(wanted, seqs):
    records = [
        record(1, found()),
        record(2, found(), found(entity="SECURITY_CODE"), kind="passthrough", lane="gmo"),
        record(3, kind="gap", gaps=[{"part": "body", "reason": "depth", "start": 0, "end": 9}]),
        *(record(number, kind=kind) for number, kind in enumerate(("start", "stop", "policy", "coverage", "probe"), 4)),
    ]
    assert [one["seq"] for one in records if wanted.fits(one)] == seqs


def test_lanes(tmp_path):
    state = Readiness({"app-logs": LISTENING, "gmo": "not listening"}, PASSED, {"app-logs": PASSED, "gmo": "no answer"})
    labels = {"lane": "app-logs", "direction": "request"}
    counts = {
        "sekisho_inspected_bytes": [
            ("sekisho_inspected_bytes_total", labels, 1_234_567.0, None),
            ("sekisho_inspected_bytes_total", {**labels, "direction": "response"}, 10.0, None),
        ],
        "sekisho_uninspected_bytes": [
            ("sekisho_uninspected_bytes_total", {**labels, "reason": "depth"}, 1.0, None),
        ],
        "sekisho_gaps": [
            ("sekisho_gaps_total", {"lane": "app-logs", "reason": "depth", "verdict": "block"}, 2.0, None)
        ],
    }
    logs, gmo, egress = (asdict(lane) for lane in lanes(policy(tmp_path), state, counts, "en"))
    assert logs == {
        "name": "app-logs",
        "upstream": "http://loki:3100",
        "role": "logging",
        "state": "listening",
        "is_up": True,
        "mode": "enforced",
        "is_enforced": True,
        "probe": "passed",
        "is_probed": True,
        "inspected": "1.2 MB",
        "uninspected": "1 B",
        "gaps": 2,
        "covered": "99.99 %",
    }
    assert (gmo["state"], gmo["is_up"], gmo["probe"], gmo["is_probed"]) == ("not listening", False, "no answer", False)
    assert (gmo["inspected"], gmo["covered"]) == ("0 B", "–")
    assert (egress["role"], egress["upstream"], egress["mode"]) == (
        "external, logging",
        "forward",
        "partly monitored only",
    )
    assert (egress["state"], egress["is_up"], egress["probe"], egress["is_probed"]) == ("?", False, "not yet", True)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "–"), (1, 1, "100 %"), (0, 1, "0 %"), (999_999_999, 1_000_000_000, "99.99 %"), (1, 2, "50 %")],
)
def test_percent_is_100_for_all_only(part, whole, text):
    assert percent(part, whole) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (7 * 10**15, "7000.0 TB")]
)
def test_size(count, text):
    assert size(count) == text


ROWS = {
    "one": (record(1, found()), ("card number", "body $.card.number", "blocked")),
    "encoded": (record(1, found(trail=["gzip", "base64"])), ("card number", "body $.card.number (inside gzip, base64)", "blocked")),
    "several": (
        record(1, found(), found(entity="SECURITY_CODE"), found(), verdict="redact"),
        ("card number, security code", "body $.card.number (and 2 more)", "redacted"),
    ),
    "many kinds": (
        record(1, *(found(entity=f"OWN_{number}") for number in range(6)), verdict="report"),
        ("OWN_0, OWN_1, OWN_2, and 3 more", "body $.card.number (and 5 more)", "forwarded, reported"),
    ),
    "a lane that only watches": (
        record(1, found(), verdict="report", would="redact"),
        ("card number", "body $.card.number", "forwarded, reported (would have been redacted)"),
    ),
    "a header": (record(1, found("", part="header:x-debug")), ("card number", "header:x-debug", "blocked")),
    "a gap": (
        record(1, kind="gap", gaps=[{"part": "body", "reason": "truncated-gzip", "start": 0, "end": 9}]),
        ("truncated-gzip", "body", "blocked"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "cells"), ROWS.values(), ids=ROWS)
def test_row(shown, cells):
    assert row(shown, "en").cells[3:] == cells
    assert row(shown, "en").cells[:2] == ("2026-11-22 16:20:01", "app-logs")


def test_row_in_japanese():
    assert row(record(1, found(trail=["hex"]), found()), "ja").cells[2:] == (
        "保持",
        "カード番号",
        "body $.card.number (hexの中) (ほか1件)",
        "遮断",
    )


GMO = {"role": "payment-gateway", "host": "127.0.0.1"}
ADVICE = [
    *(({"role": role, "direction": direction}, {}) for role, direction in sorted(KINDS)),
    ({**GMO, "path": "/payment/ExecTran.idPass"}, {}),
    ({**GMO, "path": "/payment/ExecTran.json"}, {"why": ("token made of digits",)}),
    ({**GMO, "path": "/credit/charge"}, {}),
    ({**GMO, "path": "/ext/api/credit/getToken"}, {"why": (CALLS_TOKEN_ENDPOINT,)}),
    ({"on_violation": "redact"}, {}),
    ({}, {"test": True}),
    ({}, {"entity": "TOKEN"}),
]


@pytest.mark.parametrize(("asked", "own"), ADVICE, ids=range(len(ADVICE)))
def test_the_advice_is_what_the_refused_client_was_told(tmp_path, asked, own):
    refused = message(LEAK, **{"lane": "app-logs" if "on_violation" in asked else "gmo", **asked})
    verdict = Verdict(Action.BLOCK, violations=(Violation("retention", "body", finding(LEAK, **own)),))
    detail_of_refusal = json.loads(problem.card_data(refused, verdict, "", QUIET))["detail"]
    kept = of_message(refused, verdict, Action.BLOCK, any_policy(), QUIET)
    advice = " ".join(say(name) for name in advised(kept, policy(tmp_path)))
    assert detail_of_refusal.endswith(f"body $.card.number holds {problem.WORDS[own.get('entity', 'PAN')]}. {advice}")


def test_the_advice_on_gaps_and_failures(tmp_path):
    gap = record(1, kind="gap", gaps=[{"part": "body", "reason": "unlisted-gmo-path", "start": 0, "end": 0}])
    assert advised(gap, policy(tmp_path)) == ["fix.unlisted-gmo-path"]
    failed = of_failure(message(LEAK), "inspect", Action.BLOCK, any_policy(), QUIET)
    assert advised(failed, policy(tmp_path)) == ["fix.failure"]


def test_what_was_only_reported_does_not_change_the_advice(tmp_path):
    both = record(1, found(), found(test=True, verdict="report", entity="TOKEN"))
    assert advised(both, policy(tmp_path)) == ["fix.logging.request", "fix.unmended"]


SUPPRESSIONS = {
    "a path": (found("$.order_id"), "$.order_id"),
    "an index": (found("$.orders[17].id"), "$.orders[3].id"),
    "a quoted name": (found("$['a \"b\": c']"), "$['a \"b\": c']"),
    "japanese": (found("$.注文番号"), "$.注文番号"),
    "a header": (found("", part="header:x-order"), "header:x-order"),
    "inside another encoding": (found("$.state/$.number", trail=["base64"]), "$.state/$.number"),
    "markup": (found("$['<script>']"), "$['<script>']"),
}


@pytest.mark.parametrize(("one", "path"), SUPPRESSIONS.values(), ids=SUPPRESSIONS)
def test_a_suppression_is_what_a_policy_takes_and_covers_its_finding(one, path):
    (made,) = yaml.safe_load(suppression(record(1, one, one), TODAY, "16-digit order ids"))["suppress"]
    assert made["until"] == date(2027, 2, 20)
    parsed = Suppression.model_validate(made)
    assert parsed.reason == "16-digit order ids"
    assert parsed.covers("app-logs", "PAN", (path,), TODAY)


@pytest.mark.parametrize("path", ["$.***", "***", "$.a\nb", "$.\u202e", "$." + "x" * 500])
def test_a_place_that_the_record_hides_cannot_be_suppressed(path):
    assert suppression(record(1, found(path)), TODAY, "x") == ""


def test_a_gap_cannot_be_suppressed():
    assert suppression(record(1), TODAY, "x") == ""


def test_detail(tmp_path):
    shown = detail(record(1, found()), policy(tmp_path), TODAY, "ja")
    assert shown["findings"][0]["why"][-1] == "チェックディジット(Luhn)が正しい"
    assert json.loads(shown["json"]) == shown["record"]
    assert "カード情報ではない理由" in shown["suppression"]


def test_a_lane_that_is_enforced_in_part_says_how_much():
    lane = {"name": "logs", "listen": "127.0.0.1:1", "upstream": "http://loki", "role": "logging", "percent": 25}
    document = {"version": 1, "policy_id": "p", "audit": {"fingerprint_key_file": "k"}, "lanes": (lane,)}
    (shown,) = lanes(Policy.model_validate(document), Readiness(), {}, "en")
    assert (shown.mode, shown.is_enforced) == ("enforced for 25 %", False)
