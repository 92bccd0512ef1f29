from __future__ import annotations

import gzip
import hmac
import json
import threading
import zlib
from datetime import date

import pytest

from detectors import Inspector
from detectors.model import Finding, Gap, Inspection, Limits, View
from proxy.guard import Guard
from proxy.judge import Verdict
from proxy.message import Action, Part
from proxy.policy.model import Suppression
from proxy.records.audit import AuditError
from tests.proxy.doubles import RecordingAudit, RecordingMeter
from tests.proxy.guard_parts import CLEAN, GAP, LEAK, PAN, FakeInspector, finding, message, policy
from tests.published_numbers import card_numbers_in


class Bench:
    """A guard with every collaborator at hand."""

    def __init__(self, **rules) -> None:
        self.inspector = FakeInspector()
        self.meter = RecordingMeter()
        self.audit = RecordingAudit()
        self.guard = Guard(
            policy=policy(**rules),
            inspector=self.inspector,
            meter=self.meter,
            audit=self.audit,
            today=lambda: date(2026, 11, 22),
        )
        self.meter.calls.clear()

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.audit.events]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def boom(*_, **__):
    raise RuntimeError(PAN)


def refused(decision, status: int = 503, kind: str = "failure") -> bool:
    document = json.loads(decision.problem)
    assert PAN not in decision.problem.decode()
    assert not card_numbers_in(decision.problem.decode())
    return (decision.action, decision.status, document["status"], document["type"], dict(decision.parts)) == (
        Action.BLOCK,
        status,
        status,
        f"urn:sekisho:problem:{kind}",
        {},
    )


# check: what a finished inspection leads to


def test_clean_is_allowed_and_not_recorded(bench):
    decision = bench.guard.check(message(CLEAN))
    assert (decision.action, decision.id, decision.problem) == (Action.ALLOW, "", b"")
    assert bench.audit.events == []
    assert bench.meter.named("message") == [("app-logs", "request", "allow", str(len(CLEAN)))]
    assert bench.meter.seconds[0] > 0


def test_a_violation_is_blocked_counted_and_recorded(bench):
    decision = bench.guard.check(message(LEAK))
    assert refused(decision, 403, "card-data")
    (event,) = bench.audit.events
    assert (event["id"], event["kind"], event["verdict"]) == (decision.id, "retention", "block")
    assert json.loads(decision.problem)["instance"] == f"urn:uuid:{decision.id}"
    assert bench.meter.named("violation") == [("app-logs", "retention", "PAN", "high", "block", decision.id)]
    assert bench.meter.named("message") == [("app-logs", "request", "block", str(len(LEAK)))]


def test_redaction_gives_the_new_part(bench):
    asked = message(Part("path", b"/push"), LEAK, on_violation="redact")
    decision = bench.guard.check(asked)
    assert decision.action is Action.REDACT
    assert dict(decision.parts) == {1: LEAK.replace(PAN.encode(), b"411111******1111")}
    assert [event["verdict"] for event in bench.audit.events] == ["redact"]


def test_report_forwards_and_records(bench):
    decision = bench.guard.check(message(LEAK, on_violation="report"))
    assert (decision.action, dict(decision.parts)) == (Action.REPORT, {})
    assert [event["verdict"] for event in bench.audit.events] == ["report"]


def test_monitor_mode_forwards_and_records(bench):
    decision = bench.guard.check(message(LEAK, mode="monitor"))
    assert (decision.action, decision.id) == (Action.REPORT, bench.audit.events[0]["id"])
    assert bench.meter.named("violation")[0][4] == "report"
    assert bench.meter.named("unenforced") == [("app-logs", "block")]
    assert bench.audit.events[0]["would"] == "block"


def test_what_passes_and_would_pass_is_not_counted_as_unenforced(bench):
    bench.guard.check(message(CLEAN, mode="monitor"))
    bench.guard.check(message(LEAK))
    assert bench.meter.named("unenforced") == []
    assert [event["would"] for event in bench.audit.events] == [""]


def test_a_failure_that_passes_would_have_been_refused(bench):
    bench.guard.failed(message(LEAK, mode="monitor"), "timeout")
    bench.guard.failed(message(LEAK), "timeout")
    assert bench.meter.named("unenforced") == [("app-logs", "block")]
    assert [event["would"] for event in bench.audit.events] == ["block", ""]


@pytest.mark.parametrize(("on_gap", "action"), [("block", Action.BLOCK), ("report", Action.REPORT)])
def test_a_gap_is_never_silence(bench, on_gap, action):
    bench.inspector.look = lambda _: GAP
    decision = bench.guard.check(message(b"\xff\xff\xff\xff", on_gap=on_gap))
    assert decision.action is action
    assert bench.kinds == ["gap"]
    assert bench.meter.named("gap") == [("app-logs", "unknown-charset", "4", action.value, decision.id)]
    assert action is Action.REPORT or refused(decision, 422, "uninspectable")


def test_a_gap_of_the_plane_is_judged(bench):
    assert refused(bench.guard.check(message(CLEAN, gap="body-too-large")), 422, "uninspectable")
    assert bench.meter.named("gap")[0][:3] == ("app-logs", "body-too-large", str(len(CLEAN)))


def test_doubtful_findings_are_forwarded_counted_and_recorded(bench):
    bench.inspector.look = lambda data: Inspection((finding(data, confidence="low"),))
    decision = bench.guard.check(message(LEAK))
    assert decision.action is Action.REPORT
    assert bench.meter.named("violation") == [("app-logs", "retention", "PAN", "low", "report", decision.id)]


def test_a_suppressed_finding_passes_and_is_counted():
    row = Suppression(lane="app-logs", path="$.card.number", entity="PAN", reason="known", until=date(2026, 11, 22))
    bench = Bench(suppress=(row,))
    assert bench.guard.check(message(LEAK)).action is Action.ALLOW
    assert bench.meter.named("suppressed") == [("app-logs", "PAN")]
    assert bench.audit.events == []


def test_a_suppression_ends_with_its_last_day():
    row = Suppression(lane="app-logs", path="$.card.number", entity="PAN", reason="known", until=date(2026, 11, 21))
    bench = Bench(suppress=(row,))
    assert refused(bench.guard.check(message(LEAK)), 403, "card-data")
    assert bench.meter.named("suppressed") == []


def test_parts_are_inspected_within_the_routes_limits(bench):
    bench.guard.check(message(Part("path", b"/a"), CLEAN, limits=Limits(depth=2)))
    assert bench.inspector.inspected == [b"/a", CLEAN]
    assert bench.inspector.limits == Limits(depth=2, seconds=bench.inspector.limits.seconds)
    assert 4 < bench.inspector.limits.seconds < 5  # what the part before has left


def test_a_call_to_gmo_is_judged_by_its_parameters(bench):
    bench.inspector.look = lambda _: Inspection()
    bench.inspector.leaves = [View(b"123", path="SecurityCode", key="SecurityCode")]
    asked = message(b"SecurityCode=123", role="payment-gateway", host="p01.mul-pay.jp", path="/payment/ExecTran.idPass")
    decision = bench.guard.check(asked)
    assert refused(decision, 403, "card-data")
    assert "body SecurityCode holds a security code" in json.loads(decision.problem)["detail"]
    assert bench.kinds == ["passthrough"]


# check: what goes wrong on the way


def lying(inspection):
    return lambda bench, _: setattr(bench.inspector, "look", lambda data: inspection)


LEN = len(LEAK)
BROKEN = [
    ("inspector crashes", lambda bench, _: setattr(bench.inspector, "look", boom), "inspect"),
    ("inspector says nothing", lying(None), "inspect"),
    ("inspector says something else", lying(()), "inspect"),
    ("a finding behind the end", lying(Inspection((finding(at=(0, LEN + 1)),))), "inspect"),
    ("a finding before the start", lying(Inspection((finding(at=(-1, 4)),))), "inspect"),
    ("a finding back to front", lying(Inspection((finding(at=(9, 4)),))), "inspect"),
    ("a gap behind the end", lying(Inspection(gaps=(Gap("archive", 0, LEN + 1),))), "inspect"),
    (
        "a finding without a place",
        lying(Inspection((Finding("PAN", "", "high", False, "", "", "", (), None, None),))),
        "inspect",
    ),  # type: ignore[arg-type]
    ("review crashes", lambda _, patch: patch.setattr("proxy.examination.review", boom), "review"),
    ("judge crashes", lambda _, patch: patch.setattr("proxy.guard.judge", boom), "judge"),
    ("judge says nothing", lambda _, patch: patch.setattr("proxy.guard.judge", lambda *_, **__: None), "judge"),
    ("redaction crashes", lambda _, patch: patch.setattr("proxy.guard.redact", boom), "redact"),
    ("redaction gives no bytes", lambda _, patch: patch.setattr("proxy.guard.redact", lambda *_: 7), "recheck"),
]


@pytest.mark.parametrize(("breaks", "where"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_whatever_breaks_is_a_refusal_counted_and_recorded(bench, monkeypatch, caplog, breaks, where):
    breaks(bench, monkeypatch)
    decision = bench.guard.check(message(LEAK, on_violation="redact"))
    assert refused(decision)
    assert (bench.kinds, bench.audit.events[0]["id"]) == (["failure"], decision.id)
    assert bench.audit.events[0]["gaps"][0]["reason"] == where
    assert bench.meter.named("internal_error") == [(where,)]
    assert bench.meter.named("message") == [("app-logs", "request", "block", "0")]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [f"{where} failed"]
    assert PAN not in caplog.text


FORWARDED = [row for row in BROKEN if "redaction" not in row[0]]


@pytest.mark.parametrize(("breaks", "where"), [row[1:] for row in FORWARDED], ids=[row[0] for row in FORWARDED])
def test_in_monitor_mode_it_is_forwarded_counted_and_recorded(bench, monkeypatch, breaks, where):
    breaks(bench, monkeypatch)
    decision = bench.guard.check(message(LEAK, mode="monitor"))
    assert (decision.action, dict(decision.parts), decision.problem) == (Action.ALLOW, {}, b"")
    assert bench.kinds == ["failure"]
    assert bench.audit.events[0]["verdict"] == "allow"
    assert bench.meter.named("gap") == [("app-logs", "internal-error", str(LEN), "report", decision.id)]


def test_what_cannot_be_put_back_is_blocked(bench, monkeypatch):
    monkeypatch.setattr("proxy.guard.redact", lambda *_: None)
    decision = bench.guard.check(message(LEAK, on_violation="redact"))
    assert refused(decision, 403, "card-data")
    assert "could not be replaced" in json.loads(decision.problem)["detail"]
    assert [event["verdict"] for event in bench.audit.events] == ["block"]
    assert bench.meter.named("violation")[0][4] == "block"


STILL_THERE = [
    ("nothing was redacted", lambda data, *_: data),
    ("another number came in", lambda data, *_: data.replace(b"card", PAN.encode())),
]


@pytest.mark.parametrize("redact", [row[1] for row in STILL_THERE], ids=[row[0] for row in STILL_THERE])
def test_redaction_is_believed_when_it_has_been_inspected(bench, monkeypatch, redact):
    monkeypatch.setattr("proxy.guard.redact", redact)
    assert refused(bench.guard.check(message(LEAK, on_violation="redact")), 403, "card-data")
    assert bench.inspector.inspected[0] == LEAK
    assert len(bench.inspector.inspected) == 2


def test_redaction_that_leaves_a_gap_is_blocked(bench):
    bench.inspector.look = lambda data: GAP if b"*" in data else Inspection((finding(data),))
    assert refused(bench.guard.check(message(LEAK, on_violation="redact")), 403, "card-data")


def test_only_what_was_redacted_is_inspected_again(bench):
    bench.guard.check(message(Part("path", b"/push"), LEAK, on_violation="redact"))
    assert bench.inspector.inspected == [b"/push", LEAK, LEAK.replace(PAN.encode(), b"411111******1111")]


@pytest.mark.parametrize(
    ("look", "shown"),
    [
        (lambda _: Inspection(), "6['cvv'].2"),
        (lambda data: Inspection((finding(data),)), "***"),
        (lambda _: GAP, "***"),
        (boom, "***"),
    ],
    ids=["clean", "finding", "gap", "error"],
)
def test_a_place_that_the_sieve_has_doubts_about_is_inspected_before_it_is_hidden(bench, look, shown):
    bench.inspector.hush = lambda data: b"cvv" not in data
    bench.inspector.look = lambda data: look(data) if b"cvv" in data else Inspection((finding(data, "6['cvv'].2"),))
    decision = bench.guard.check(message(LEAK))
    assert json.loads(decision.problem)["findings"][0]["where"] == f"body {shown}"
    assert bench.audit.events[0]["findings"][0]["path"] == shown


def test_nothing_is_inspected_for_the_record_of_a_failure(bench):
    bench.inspector.hush = lambda data: False
    bench.guard.failed(message(LEAK), "timeout")
    assert bench.inspector.inspected == []
    assert bench.audit.events[0]["path"] == "/***"


ERRORS = [AuditError("full"), OSError(28, "No space left on device"), RuntimeError(PAN)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("on_violation", ["block", "redact", "report"])
def test_what_cannot_be_recorded_is_not_done(bench, on_violation, error):
    bench.audit.error = error
    decision = bench.guard.check(message(LEAK, on_violation=on_violation))
    assert refused(decision)
    assert decision.id == ""
    assert "instance" not in json.loads(decision.problem)
    assert bench.meter.named("audit_error") == [()]
    assert [call[4] for call in bench.meter.named("violation")] == ["block"]
    assert bench.meter.named("message")[0][2] == "block"


def test_in_monitor_mode_it_is_forwarded_unrecorded(bench):
    bench.audit.error = AuditError("full")
    decision = bench.guard.check(message(LEAK, mode="monitor"))
    assert (decision.action, decision.id) == (Action.REPORT, "")
    assert bench.meter.named("audit_error") == [()]


def test_a_broken_audit_does_not_touch_clean_messages(bench):
    bench.audit.error = AuditError("full")
    assert bench.guard.check(message(CLEAN)).action is Action.ALLOW
    assert bench.meter.named("audit_error") == []


class BrokenMeter(RecordingMeter):
    def message(self, *_):
        raise RuntimeError(PAN)

    violation = gap = suppressed = policy = internal_error = audit_error = message


@pytest.mark.parametrize(
    ("body", "rules", "action"),
    [
        (CLEAN, {}, Action.ALLOW),
        (LEAK, {}, Action.BLOCK),
        (LEAK, {"on_violation": "redact"}, Action.REDACT),
        (LEAK, {"on_violation": "report"}, Action.REPORT),
        (LEAK, {"mode": "monitor"}, Action.REPORT),
    ],
)
def test_a_broken_meter_changes_no_verdict(caplog, body, rules, action):
    inspector = FakeInspector()
    guard = Guard(policy=policy(), inspector=inspector, meter=BrokenMeter(), audit=RecordingAudit())
    decision = guard.quick(message(body, **rules)) or guard.check(message(body, **rules))
    assert decision.action is action
    inspector.look = inspector.hush = boom
    assert guard.check(message(body)).action is Action.BLOCK
    assert guard.failed(message(body)).action is Action.BLOCK
    assert caplog.records[0].getMessage().startswith("meter failed: RuntimeError")
    assert PAN not in caplog.text


def test_a_refusal_that_cannot_be_worded_is_still_one(bench, monkeypatch):
    monkeypatch.setattr("proxy.problem.card_data", boom)
    decision = bench.guard.check(message(LEAK))
    assert (decision.action, decision.status) == (Action.BLOCK, 403)
    assert json.loads(decision.problem)["type"] == "urn:sekisho:problem:failure"


# failed: nobody had an answer


@pytest.mark.parametrize("where", ["timeout", "cancelled", "worker", "plane"])
def test_a_failure_of_the_plane_is_refused_counted_and_recorded(bench, where):
    decision = bench.guard.failed(message(LEAK), where)
    assert refused(decision)
    assert [(event["id"], event["kind"]) for event in bench.audit.events] == [(decision.id, "failure")]
    assert bench.meter.named("internal_error") == [(where,)]


def test_in_monitor_mode_it_is_forwarded(bench):
    decision = bench.guard.failed(message(LEAK, mode="monitor"), "timeout")
    assert (decision.action, decision.id) == (Action.ALLOW, bench.audit.events[0]["id"])


def test_a_failure_that_cannot_be_recorded_is_still_refused(bench):
    bench.audit.error = AuditError("full")
    decision = bench.guard.failed(message(LEAK), "timeout")
    assert refused(decision)
    assert decision.id == ""
    bench.inspector.hush = boom
    assert refused(bench.guard.failed(message(LEAK), "timeout"))


def test_a_message_that_is_none_is_refused(bench):
    decision = bench.guard.failed(None, "plane")  # type: ignore[arg-type]
    assert refused(decision)
    assert refused(bench.guard.check(None))  # type: ignore[arg-type]
    assert bench.guard.quick(None) is None  # type: ignore[arg-type]


def test_a_check_that_was_given_up_on_says_nothing_more(bench):
    started, go_on = threading.Event(), threading.Event()

    def hang(_):
        started.set()
        go_on.wait(10)
        return Inspection()

    bench.inspector.look = hang
    asked = message(LEAK, on_violation="redact")
    late: list = []
    thread = threading.Thread(target=lambda: late.append(bench.guard.check(asked)))
    thread.start()
    assert started.wait(60)
    assert refused(bench.guard.failed(asked, "timeout"))
    go_on.set()
    thread.join(60)
    assert [decision.action for decision in late] == [Action.BLOCK]
    assert bench.kinds == ["failure"]
    assert len(bench.meter.named("message")) == 1


def test_a_check_that_was_given_up_on_and_then_crashes_says_nothing_more(bench):
    asked = message(LEAK)

    def give_up_and_crash(_):
        bench.guard.failed(asked, "timeout")
        raise RuntimeError(PAN)

    bench.inspector.look = give_up_and_crash
    assert bench.guard.check(asked).action is Action.BLOCK
    assert bench.kinds == ["failure"]
    assert bench.meter.named("internal_error") == [("timeout",)]


# quick: the way past the workers


def test_the_plainly_clean_passes_at_once(bench):
    decision = bench.guard.quick(message(Part("path", b"/push"), Part("header:user-agent", b"curl"), CLEAN))
    assert decision is not None
    assert (decision.action, decision.id) == (Action.ALLOW, "")
    assert bench.inspector.inspected == []
    assert bench.meter.calls == [("message", "app-logs", "request", "allow", str(9 + len(CLEAN)))]


ASK = [
    ("a number in the body", message(LEAK)),
    ("a number in a header", message(Part("header:x", PAN.encode()), CLEAN)),
    ("a number in the path", message(Part("path", b"/" + PAN.encode()))),
    ("a gap", message(CLEAN, gap="body-too-large")),
    ("an encoded body", message(Part("body", b"\x1f\x8b", "", "gzip"))),
    ("a body over the limit", message(CLEAN, limits=Limits(body=4))),
    ("the payment gateway", message(CLEAN, role="payment-gateway")),
    ("GMO, whatever the role", message(CLEAN, role="external", host="p01.mul-pay.jp")),
    ("a lane without tokens", message(CLEAN, tokens="deny")),
    ("a header that begins like zlib data", message(Part("header:x", b"x^abc"))),
    ("a header with bytes of no text", message(Part("header:x", b"\xff\xfe"))),
    ("a header with control characters", message(Part("header:x", b"a\x1f\x8b"))),
]


@pytest.mark.parametrize("asked", [row[1] for row in ASK], ids=[row[0] for row in ASK])
def test_anything_else_is_left_to_check(bench, asked):
    assert bench.guard.quick(asked) is None
    assert bench.meter.calls == []


def test_answers_of_a_lane_without_tokens_pass_at_once(bench):
    decision = bench.guard.quick(message(CLEAN, tokens="deny", direction="response"))
    assert decision is not None


def test_quick_never_raises(bench, caplog):
    bench.inspector.hush = boom
    assert bench.guard.quick(message(CLEAN)) is None
    assert PAN not in caplog.text


def test_a_lying_quick_does_not_pass(bench):
    bench.inspector.hush = lambda _: None
    assert bench.guard.quick(message(LEAK)) is None


# the policy in force


def test_a_new_policy_is_recorded_then_in_force(bench):
    new = policy(policy_id="next")
    bench.guard.adopt(new)
    assert bench.guard.policy is new
    assert [(event["kind"], event["policy_id"]) for event in bench.audit.events] == [("policy", "next")]
    assert bench.meter.calls == [("policy", "next", "enforce"), ("policy_reload", "ok")]
    bench.guard.check(message(LEAK))
    assert bench.audit.events[-1]["policy_id"] == "next"


def test_a_policy_that_cannot_be_recorded_is_not_adopted(bench):
    bench.audit.error = AuditError("full")
    with pytest.raises(AuditError):
        bench.guard.adopt(policy(policy_id="next"))
    assert bench.guard.policy.policy_id == "shop-2026"
    assert bench.meter.named("policy_reload") == []


def test_start_and_stop_are_recorded(bench):
    bench.guard.note("start")
    bench.guard.note("stop")
    assert bench.kinds == ["start", "stop"]
    bench.audit.error = AuditError("full")
    with pytest.raises(AuditError):
        bench.guard.note("stop")


def test_a_verdict_with_an_action_of_its_own_passes_nothing(bench, monkeypatch):
    monkeypatch.setattr("proxy.guard.judge", lambda *_, **__: Verdict("pass"))  # type: ignore[arg-type]
    decision = bench.guard.check(message(LEAK))
    assert refused(decision)


# with the real inspector


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


@pytest.fixture
def real(inspector) -> Bench:
    bench = Bench()
    bench.guard._inspector = inspector
    return bench


PLACES = [
    Part("path", f"/cards/{PAN}".encode()),
    Part("query", f"no={PAN}".encode(), "application/x-www-form-urlencoded"),
    Part("header:user-agent", f"shop/1.0 card {PAN}".encode()),
    Part("header:x-note", "".join(f"%3{digit}" for digit in PAN).encode()),
    Part("header-name", f"x-{PAN}".encode()),
    Part("cookie:sid", f"sid={PAN}".encode()),
    Part("body", LEAK, "application/json"),
    Part("body", gzip.compress(LEAK), "application/json", "gzip"),
    Part("body", LEAK.decode().encode("utf-16"), "application/json; charset=utf-16"),
    Part("body", zlib.compress(LEAK), "application/octet-stream"),
]


@pytest.mark.parametrize("part", PLACES, ids=lambda part: f"{part.name} {part.content_type} {part.content_encoding}")
def test_a_number_anywhere_is_blocked(real, part):
    asked = message(Part("header:accept", b"*/*"), part, Part("header:x-app", b"shop"))
    assert real.guard.quick(asked) is None
    decision = real.guard.check(asked)
    assert refused(decision, 403, "card-data")
    assert f"{part.name.split(':')[0]}" in json.loads(decision.problem)["findings"][0]["where"]
    assert PAN not in json.dumps(real.audit.events)


@pytest.mark.parametrize("style", ["mask", "last4", "remove", "fingerprint"])
@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_redacted_messages_stand_their_second_inspection(real, inspector, style, pack):
    body = b'{"card":{"number":"4111111111111111","cvv":"123","expiry":"12/30"},"note":"paid by 4111 1111 1111 1111"}'
    part = Part("body", pack(body), "application/json", "gzip" if pack is gzip.compress else "")
    decision = real.guard.check(message(part, on_violation="redact", redaction=style))
    assert decision.action is Action.REDACT
    plain = decision.parts[0] if pack is not gzip.compress else gzip.decompress(decision.parts[0])
    assert set(json.loads(plain)["card"]) == {"number", "cvv", "expiry"}
    assert not card_numbers_in(plain.decode())
    assert b'"123"' not in plain
    assert inspector.inspect(plain, "application/json").findings == ()


def test_an_ordinary_request_passes_at_once(real):
    asked = message(
        Part("path", b"/loki/api/v1/push"),
        Part("header:user-agent", b"python-requests/2.32"),
        Part("header:traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        b'{"streams":[{"stream":{"app":"shop"},"values":[["1699999999000000000","order ROKI-1 placed"]]}]}',
    )
    assert real.guard.quick(asked) is not None
    assert real.guard.check(asked).action is Action.ALLOW


def test_what_a_record_keeps_of_an_ordinary_request(real):
    asked = message(
        LEAK,
        method="HEAD",  # "H" could begin zlib data
        path="/x-api/v1/Hosts",
        request_id="xhr-7d444840-9dc0",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    real.guard.check(asked)
    (event,) = real.audit.events
    assert (event["method"], event["path"], event["request_id"]) == ("HEAD", "/x-api/v1/Hosts", "xhr-7d444840-9dc0")
    assert event["traceparent"] == asked.traceparent
    assert event["findings"][0]["fingerprint"] == hmac.new(b"k" * 32, PAN.encode(), "sha256").hexdigest()


def test_a_header_is_read_under_its_name(real):
    asked = message(Part("header-name", b"X-CVV"), Part("header:x-cvv", b"123"))
    assert real.guard.quick(asked) is None
    assert refused(real.guard.check(asked), 403, "card-data")


def test_a_reference_that_is_a_card_number_is_certain_on_a_gateway_lane(bench):
    """What the inspector doubts by its key, the gateway's rules know: a MemberID is no card number."""
    body, at = b"MemberID=" + PAN.encode(), {"host": "p01.mul-pay.jp", "path": "/payment/SaveMember.idPass"}
    known = {data: Inspection((finding(data, "MemberID", confidence="low"),)) for data in (body, PAN.encode())}
    bench.inspector.look = lambda data: known.get(data, Inspection())
    bench.inspector.leaves = (View(PAN.encode(), key="MemberID", path="MemberID"),)
    assert bench.guard.check(message(Part("body", body), role="payment-gateway", **at)).status == 403
    assert bench.guard.check(message(Part("body", body), role="storage")).action is Action.REPORT
