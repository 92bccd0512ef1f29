from __future__ import annotations

import json

import pytest

from detectors.model import Gap
from proxy.judge import Verdict, Violation
from proxy.message import Action, Part
from proxy.records.audit import JsonLinesAudit
from proxy.records.record import FIELDS, MOST, of_failure, of_message, of_sidecar, where
from tests.proxy.guard_parts import FINGERPRINT, LEAK, PAN, FakeInspector, finding, message, policy
from tests.published_numbers import card_numbers_in

QUIET = FakeInspector().quiet
ADDED = {"id", "ts", "seq", "prev", "hash"}


def violation(part: str = "body", **own) -> Violation:
    return Violation("retention", part, finding(LEAK, **own))


def test_a_violation_is_recorded_in_full():
    asked = message(
        LEAK,
        path="/loki/api/v1/push",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        request_id="req-77",
    )
    verdict = Verdict(Action.BLOCK, violations=(violation(trail=("gzip", "base64"), why=("issuer", "luhn")),))
    assert of_message(asked, verdict, Action.BLOCK, policy(), QUIET) == {
        "kind": "retention",
        "policy_id": "shop-2026",
        "policy_sha256": "ab" * 32,
        "lane": "app-logs",
        "role": "logging",
        "direction": "request",
        "protocol": "http",
        "peer": "127.0.0.1:50000",
        "destination": "loki:3100",
        "method": "POST",
        "path": "/loki/api/v1/push",
        "status": 0,
        "verdict": "block",
        "would": "",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "request_id": "req-77",
        "coverage": {},
        "outcome": "",
        "uid": "",
        "findings": [
            {
                "entity": "PAN",
                "brand": "visa",
                "confidence": "high",
                "test": False,
                "masked": "************1111",
                "fingerprint": FINGERPRINT,
                "part": "body",
                "path": "$.card.number",
                "trail": ["gzip", "base64"],
                "start": 19,
                "end": 35,
                "why": ["issuer", "luhn"],
                "verdict": "block",
            }
        ],
        "gaps": [],
    }


def test_a_keyed_hash_never_stands_beside_first_six_and_last_four():
    verdict = Verdict(Action.REPORT, violations=(violation(), violation(masked=PAN)))
    event = of_message(message(LEAK), verdict, Action.REPORT, policy(), QUIET)
    assert [found["masked"] for found in event["findings"]] == ["************1111", "***"]


def test_sensitive_authentication_data_is_not_even_masked():
    verdict = Verdict(Action.BLOCK, violations=(violation(entity="SECURITY_CODE", masked="**3"),))
    (found,) = of_message(message(LEAK), verdict, Action.BLOCK, policy(), QUIET)["findings"]
    assert found["masked"] == "***"


def test_what_is_only_reported_says_so():
    verdict = Verdict(Action.REDACT, violations=(violation(),), reported=(violation(confidence="low"),))
    event = of_message(message(LEAK), verdict, Action.REDACT, policy(), QUIET)
    assert [(found["confidence"], found["verdict"]) for found in event["findings"]] == [
        ("high", "redact"),
        ("low", "report"),
    ]


def test_a_gap_is_a_record_of_its_own():
    verdict = Verdict(Action.BLOCK, gaps=(("body", Gap("unknown-charset", 3, 9)),))
    event = of_message(message(LEAK), verdict, Action.BLOCK, policy(), QUIET)
    assert (event["kind"], event["findings"]) == ("gap", [])
    assert event["gaps"] == [{"part": "body", "reason": "unknown-charset", "start": 3, "end": 9}]


def test_a_record_lists_only_so_much_and_says_how_much_more():
    many = tuple(violation() for _ in range(MOST + 7))
    gaps = tuple(("body", Gap("archive", 0, 1)) for _ in range(MOST + 2))
    event = of_message(message(LEAK), Verdict(Action.BLOCK, many, gaps=gaps), Action.BLOCK, policy(), QUIET)
    assert len(event["findings"]) == MOST
    assert len(event["gaps"]) == MOST + 2
    assert [gap["count"] for gap in event["gaps"] if gap["reason"] == "not-listed"] == [7, 2]
    assert len(json.dumps(event)) < 100_000


LEAKS = [
    ("path", {"path": f"/cards/{PAN}"}, "path", "/cards/***"),
    ("query in the path", {"path": f"/cards?no={PAN}"}, "path", "/cards"),
    ("host", {"host": f"x{PAN}.example", "port": 443}, "destination", "x***.example:443"),
    ("method", {"method": PAN}, "method", "***"),
    ("traceparent", {"traceparent": f"00-{PAN}{'a' * 16}-00f067aa0ba902b7-01"}, "traceparent", "***"),
    ("no traceparent", {"traceparent": PAN}, "traceparent", ""),
    ("request id", {"request_id": f"id {PAN}"}, "request_id", "***"),
]


@pytest.mark.parametrize(("own", "field", "value"), [row[1:] for row in LEAKS], ids=[row[0] for row in LEAKS])
def test_what_the_client_chose_is_scrubbed(own, field, value):
    verdict = Verdict(Action.BLOCK, violations=(violation(),))
    for event in (
        of_message(message(LEAK, **own), verdict, Action.BLOCK, policy(), QUIET),
        of_failure(message(LEAK, **own), "timeout", Action.BLOCK, policy(), QUIET),
    ):
        assert event[field] == value
        assert not card_numbers_in(json.dumps(event))
        assert PAN not in json.dumps(event)


def test_a_number_in_a_key_or_part_name_is_scrubbed():
    found = violation(f"cookie:{PAN}", path=f"$['{PAN}'].no")
    event = of_message(message(LEAK), Verdict(Action.BLOCK, (found,)), Action.BLOCK, policy(), QUIET)
    assert [(row["part"], row["path"]) for row in event["findings"]] == [("cookie:***", "$['***'].no")]


def test_the_segment_of_a_finding_in_the_path_is_hidden():
    asked = message(Part("path", b"/cvv/123/x"), path="/cvv/123/x")
    found = Violation("retention", "path", finding(b"", "", at=(5, 8), entity="SECURITY_CODE", masked="***"))
    event = of_message(asked, Verdict(Action.BLOCK, (found,)), Action.BLOCK, policy(), QUIET)
    assert event["path"] == "/cvv/***/x"


def test_a_failure_says_where():
    event = of_failure(message(LEAK), "timeout", Action.BLOCK, policy(), QUIET)
    assert (event["kind"], event["verdict"], event["findings"]) == ("failure", "block", [])
    assert event["gaps"] == [{"part": "", "reason": "timeout", "start": 0, "end": 0}]


def test_start_stop_and_policy_change():
    event = of_sidecar("start", policy())
    assert (event["kind"], event["policy_id"], event["policy_sha256"]) == ("start", "shop-2026", "ab" * 32)
    assert (event["lane"], event["verdict"], event["findings"], event["gaps"]) == ("", "", [], [])


def test_every_record_has_every_field_and_no_other(tmp_path):
    verdict = Verdict(Action.BLOCK, violations=(violation(),))
    events = [
        of_message(message(LEAK), verdict, Action.BLOCK, policy(), QUIET),
        of_failure(message(LEAK), "timeout", Action.BLOCK, policy(), QUIET),
        of_sidecar("stop", policy()),
        of_sidecar("coverage", policy(), coverage={"since": ""}),
        of_sidecar("probe", policy(), lane="logs", outcome="passed"),
    ]
    path = tmp_path / "audit.jsonl"
    sink = JsonLinesAudit(path, b"a key that is only used in tests")
    for event in events:
        assert not event.keys() & ADDED
        sink.append(event)
    sink.close()
    for line in path.read_text().splitlines():
        assert json.loads(line).keys() == FIELDS.keys()


@pytest.mark.parametrize(
    ("part", "path", "trail", "text"),
    [
        ("body", "$.card.number", (), "body $.card.number"),
        ("body", "", (), "body"),
        ("header:x-note", "", (), "header:x-note"),
        ("path", "path", (), "path"),
        ("body", "note", ("gzip", "base64"), "body note (inside gzip, base64)"),
        ("query", f"q{PAN}", (), "query q***"),
    ],
)
def test_where(part, path, trail, text):
    assert where(part, path, trail, QUIET) == text
