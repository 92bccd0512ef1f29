from __future__ import annotations

import logging

import pytest

from detectors.model import Gap
from proxy.judge import Verdict, Violation
from proxy.message import Action, Part
from proxy.records.audit import AuditError
from proxy.records.ledger import Ledger, complain, monitors
from tests.proxy.doubles import RecordingAudit, RecordingMeter
from tests.proxy.guard_parts import LEAK, PAN, FakeInspector, finding, message, policy

FOUND = Violation("retention", "body", finding(LEAK))


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


@pytest.fixture
def audit() -> RecordingAudit:
    return RecordingAudit()


@pytest.fixture
def ledger(meter, audit) -> Ledger:
    return Ledger(meter, audit, FakeInspector().quiet)


def test_a_clean_message_is_counted_and_not_recorded(ledger, meter, audit):
    asked = message(b"12345", Part("path", b"/abc"))
    ledger.passed(asked, 9, 0.5)
    assert meter.calls == [("message", "app-logs", "request", "allow", "9")]
    assert meter.seconds == [0.5]
    assert ledger.findings(asked, Verdict(Action.ALLOW), Action.ALLOW, policy()) == ""
    assert audit.events == []


def test_suppressed_findings_are_counted_and_not_recorded(ledger, meter, audit):
    verdict = Verdict(Action.ALLOW, suppressed=(FOUND,))
    assert ledger.findings(message(LEAK), verdict, Action.ALLOW, policy()) == ""
    ledger.count(message(LEAK), verdict, Action.ALLOW, "", 0.1)
    assert audit.events == []
    assert meter.named("suppressed") == [("app-logs", "PAN")]


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT, Action.REPORT])
def test_findings_are_counted_by_what_was_done(ledger, meter, action):
    verdict = Verdict(action, violations=(FOUND,), reported=(FOUND,), gaps=(("body", Gap("archive", 2, 7)),))
    ledger.count(message(LEAK), verdict, action, "id", 0.1)
    assert [call[4:] for call in meter.named("violation")] == [(action.value, "id"), ("report", "id")]
    assert meter.named("gap") == [("app-logs", "archive", "5", "block" if action is Action.BLOCK else "report", "id")]
    assert meter.named("message") == [("app-logs", "request", action.value, str(len(LEAK) - 5))]


def test_a_gap_of_the_whole_message_counts_its_body(ledger, meter):
    verdict = Verdict(Action.BLOCK, gaps=(("body", Gap("body-too-large", 0, 0)),))
    ledger.count(message(b"x" * 40, Part("path", b"/abc")), verdict, Action.BLOCK, "", 0.1)
    assert meter.named("gap") == [("app-logs", "body-too-large", "40", "block", "")]
    assert meter.named("message") == [("app-logs", "request", "block", "4")]


def test_overlapping_gaps_never_count_backwards(ledger, meter):
    gaps = (("body", Gap("archive", 0, 4)), ("body", Gap("archive", 0, 4)))
    ledger.count(message(b"1234"), Verdict(Action.BLOCK, gaps=gaps), Action.BLOCK, "", 0.1)
    assert meter.named("message") == [("app-logs", "request", "block", "0")]


def test_a_failure_is_recorded_and_counted(ledger, meter, audit):
    written = ledger.failure(message(LEAK), "timeout", Action.BLOCK, policy())
    assert [(event["id"], event["kind"]) for event in audit.events] == [(written, "failure")]
    assert meter.calls == [
        ("internal_error", "timeout"),
        ("gap", "app-logs", "internal-error", str(len(LEAK)), "block", written),
        ("message", "app-logs", "request", "block", "0"),
    ]


@pytest.mark.parametrize("error", [AuditError("full"), OSError(28, "No space"), ValueError("x"), MemoryError()])
def test_what_cannot_be_recorded_is_none_and_counted(ledger, meter, audit, error):
    audit.error = error
    assert ledger.findings(message(LEAK), Verdict(Action.BLOCK, (FOUND,)), Action.BLOCK, policy()) is None
    assert ledger.failure(message(LEAK), "timeout", Action.BLOCK, policy()) is None
    assert meter.named("audit_error") == [(), ()]


def test_a_policy_that_cannot_be_recorded_raises_and_is_counted(ledger, meter, audit):
    audit.error = AuditError("full")
    with pytest.raises(AuditError):
        ledger.note("start", policy())
    assert meter.named("audit_error") == [()]


class BrokenMeter(RecordingMeter):
    """Fails at everything but, perhaps, at saying so."""

    mute = False

    def message(self, *_):
        raise RuntimeError(PAN)

    violation = gap = suppressed = policy = message

    def internal_error(self, where: str) -> None:
        if self.mute:
            raise RuntimeError(PAN)
        super().internal_error(where)


@pytest.mark.parametrize("mute", [False, True])
def test_a_broken_meter_loses_its_counts_and_nothing_else(audit, caplog, mute):
    meter = BrokenMeter()
    meter.mute = mute
    ledger = Ledger(meter, audit, FakeInspector().quiet)
    verdict = Verdict(Action.BLOCK, (FOUND,), suppressed=(FOUND,), gaps=(("body", Gap("archive", 0, 1)),))
    ledger.passed(message(LEAK), 1, 0.1)
    ledger.policy(policy())
    ledger.count(message(LEAK), verdict, Action.BLOCK, "", 0.1)
    assert ledger.failure(message(LEAK), "timeout", Action.BLOCK, policy())
    assert meter.named("internal_error") == ([] if mute else [("meter",)] * 6 + [("timeout",), ("meter",)])
    complaints = [record.getMessage() for record in caplog.records]
    assert len(complaints) == 1
    assert complaints[0].startswith("meter failed: RuntimeError at test_ledger.py:")


def test_a_complaint_names_the_place_and_never_the_text(caplog):
    with pytest.raises(ValueError, match=PAN) as raised:
        int(f"x{PAN}")
    complain("inspect", raised.value)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("inspect failed: ValueError at test_ledger.py:")
    assert record.exc_info is None


def test_a_record_that_cannot_be_kept_is_told_with_the_file_and_what_to_do(caplog):
    why = "audit file var/audit.jsonl: No space left on device: make room on its disk"
    with pytest.raises(AuditError) as raised:
        raise AuditError(why)
    complain("audit", raised.value)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("audit failed: AuditError at test_ledger.py:")
    assert said.endswith(f": {why}")


def test_only_a_route_that_says_so_monitors():
    assert monitors(message(mode="monitor"))
    assert not monitors(message(mode="enforce"))
    assert not monitors(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("action", "counted"), [(Action.REPORT, [("app-logs", "redact")]), (Action.BLOCK, [])])
def test_what_was_not_enforced_is_counted_unless_it_was_refused_after_all(ledger, meter, action, counted):
    ledger.count(message(LEAK), Verdict(Action.REPORT, violations=(FOUND,), would=Action.REDACT), action, "id", 0.1)
    assert meter.named("unenforced") == counted
