"""Policy × findings × gaps → verdict: the whole matrix of roles and directions, and every option."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import product
from typing import get_args

import pytest

from detectors.model import Finding, Gap, Inspection, View
from proxy.judge import KINDS, Violation, judge
from proxy.message import Action, Message, Part
from proxy.policy.model import Suppression
from proxy.policy.routes import Role, Route

TODAY = date(2027, 1, 1)
CLEAN = Inspection()
PART = Part("body", b"x")


def finding(entity: str = "PAN", start: int = 0, end: int = 16, **keys) -> Finding:
    keys = {"path": "$.n", "leaf": View(b"x")} | keys
    return Finding(
        **{
            "entity": entity,
            "brand": "visa",
            "confidence": "high",
            "test": False,
            "masked": "***",
            "fingerprint": "",
            "trail": (),
            "start": start,
            "end": end,
        }
        | keys
    )


PAN = finding()
LOW = finding(confidence="low")
TEST = finding(test=True)
EXPIRY = finding("EXPIRY", 20, 24, path="$.e")


def message(direction: str = "request", parts=(PART,), gap: str = "", **route) -> Message:
    rules = Route(**{"lane": "logs", "role": "logging"} | route)
    return Message(route=rules, direction=direction, protocol="http", parts=parts, gap=gap)


def verdict(*findings: Finding, extra=(), suppress=(), gaps=(), direction="request", **route):
    return judge(message(direction, **route), [Inspection(findings, gaps)], extra, suppress, TODAY)


def heaps(made) -> tuple[list[Finding], list[Finding], list[Finding]]:
    return tuple([row.finding for row in heap] for heap in (made.violations, made.reported, made.suppressed))


# What card data is, by who sends it where (the tokenized flow).
MATRIX = [
    ("shop", "request", "passthrough"),
    ("shop", "response", "passthrough"),
    ("payment-gateway", "request", "passthrough"),
    ("payment-gateway", "response", "passthrough"),
    ("logging", "request", "retention"),
    ("logging", "response", "stored"),
    ("storage", "request", "retention"),
    ("storage", "response", "stored"),
    ("external", "request", "retention"),
    ("external", "response", "stored"),
]


def test_the_matrix_leaves_nothing_out():
    assert {(role, direction) for role, direction, _ in MATRIX} == set(product(get_args(Role), ("request", "response")))
    assert {(role, direction): kind for role, direction, kind in MATRIX} == dict(KINDS)


@pytest.mark.parametrize(("role", "direction", "kind"), MATRIX)
def test_card_data_on_every_role_in_every_direction(role, direction, kind):
    made = verdict(PAN, role=role, direction=direction)
    assert made.violations == (Violation(kind, "body", PAN),)
    assert made.action is Action.BLOCK
    assert verdict(role=role, direction=direction).action is Action.ALLOW


@pytest.mark.parametrize(
    "entity",
    ["PAN", "SECURITY_CODE", "TRACK_1", "TRACK_2", "PIN_BLOCK", "EXPIRY", "CARDHOLDER_NAME", "TOKEN", "OWN_ID"],
)
def test_every_entity_is_a_violation(entity):
    assert verdict(finding(entity)).action is Action.BLOCK


ACTIONS = [
    # on_violation, on_gap, findings, gaps → enforce
    ("block", "block", (), (), Action.ALLOW),
    ("block", "block", (PAN,), (), Action.BLOCK),
    ("redact", "block", (PAN,), (), Action.REDACT),
    ("report", "block", (PAN,), (), Action.REPORT),
    ("block", "block", (), (Gap("timeout", 0, 1),), Action.BLOCK),
    ("report", "block", (), (Gap("timeout", 0, 1),), Action.BLOCK),
    ("block", "report", (), (Gap("timeout", 0, 1),), Action.REPORT),
    ("redact", "block", (PAN,), (Gap("timeout", 0, 1),), Action.BLOCK),
    ("redact", "report", (PAN,), (Gap("timeout", 0, 1),), Action.REDACT),
    ("block", "report", (PAN,), (Gap("timeout", 0, 1),), Action.BLOCK),
    ("report", "report", (PAN,), (Gap("timeout", 0, 1),), Action.REPORT),
    ("block", "block", (LOW,), (), Action.REPORT),
    ("redact", "block", (LOW,), (), Action.REPORT),
    ("redact", "block", (LOW,), (Gap("timeout", 0, 1),), Action.BLOCK),
]


@pytest.mark.parametrize(("on_violation", "on_gap", "findings", "gaps", "action"), ACTIONS)
def test_actions(on_violation, on_gap, findings, gaps, action):
    made = verdict(*findings, gaps=gaps, on_violation=on_violation, on_gap=on_gap)
    assert made.action is action
    assert made.gaps == tuple(("body", gap) for gap in gaps)
    assert made.redact == ({0: findings} if action is Action.REDACT else {})


@pytest.mark.parametrize(("on_violation", "on_gap", "findings", "gaps", "action"), ACTIONS)
def test_monitor_alters_and_refuses_nothing_and_says_everything(on_violation, on_gap, findings, gaps, action):
    rules = {"on_violation": on_violation, "on_gap": on_gap}
    made = verdict(*findings, gaps=gaps, mode="monitor", **rules)
    assert made.action is (Action.ALLOW if action is Action.ALLOW else Action.REPORT)
    assert made.redact == {}
    enforced = verdict(*findings, gaps=gaps, **rules)
    assert (made.violations, made.reported, made.gaps) == (enforced.violations, enforced.reported, enforced.gaps)


@pytest.mark.parametrize(("on_violation", "on_gap", "findings", "gaps", "action"), ACTIONS)
@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_what_an_enforced_lane_would_have_done_is_told_of_what_passes(
    mode, on_violation, on_gap, findings, gaps, action
):
    """Of a lane that only reports: what one that blocks would have done."""
    made = verdict(*findings, gaps=gaps, mode=mode, on_violation=on_violation, on_gap=on_gap)
    if mode == "enforce" and action is not Action.REPORT:
        assert made.would is None
    else:
        stricter = "block" if on_violation == "report" else on_violation
        then = verdict(*findings, gaps=gaps, on_violation=stricter, on_gap=on_gap).action
        assert made.would is (then if then in (Action.BLOCK, Action.REDACT) else None)


def test_a_lane_that_reports_would_have_blocked():
    assert verdict(PAN, on_violation="report").would is Action.BLOCK
    assert verdict(LOW, on_violation="report").would is None
    assert verdict(PAN, on_violation="redact", mode="monitor").would is Action.REDACT


@pytest.mark.parametrize(
    ("found", "route", "heap"),
    [
        pytest.param(PAN, {}, "act", id="certain"),
        pytest.param(LOW, {}, "report", id="doubtful"),
        pytest.param(LOW, {"act_on": "low"}, "act", id="doubtful-and-acted-on"),
        pytest.param(TEST, {}, "act", id="test-number"),
        pytest.param(TEST, {"allow_test_numbers": True}, "report", id="allowed-test-number"),
        pytest.param(PAN, {"allow_test_numbers": True}, "act", id="no-test-number"),
        pytest.param(
            replace(LOW, test=True), {"allow_test_numbers": True, "act_on": "low"}, "report", id="doubtful-test-number"
        ),
    ],
)
def test_heaps(found, route, heap):
    made = verdict(found, **route)
    assert heaps(made) == ([found] if heap == "act" else [], [found] if heap == "report" else [], [])
    assert made.action is (Action.BLOCK if heap == "act" else Action.REPORT)


def suppression(**keys) -> Suppression:
    return Suppression(**{"lane": "logs", "path": "$.n", "entity": "PAN", "reason": "r", "until": TODAY} | keys)


@pytest.mark.parametrize("found", [PAN, LOW, TEST])
def test_a_suppressed_finding_is_counted_and_not_acted_on(found):
    made = verdict(found, suppress=[suppression()], allow_test_numbers=True)
    assert heaps(made) == ([], [], [found])
    assert made.action is Action.ALLOW


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(suppression(until=date(2026, 12, 31)), id="expired"),
        pytest.param(suppression(lane="other"), id="other-lane"),
        pytest.param(suppression(path="$.m"), id="other-path"),
        pytest.param(suppression(entity="SECURITY_CODE"), id="other-entity"),
        pytest.param(suppression(path="query $.n"), id="other-part"),
    ],
)
def test_a_suppression_of_something_else_changes_nothing(row):
    assert verdict(PAN, suppress=[row]) == verdict(PAN)


def test_one_suppressed_finding_does_not_cover_the_next():
    other = finding(start=40, end=56, path="$.m")
    assert heaps(verdict(PAN, other, suppress=[suppression(path="body $.n")])) == ([other], [], [PAN])


@pytest.mark.parametrize("entity", ["EXPIRY", "CARDHOLDER_NAME"])
@pytest.mark.parametrize(
    ("pan", "settings", "heap"),
    [
        pytest.param(PAN, {}, 0, id="certain"),
        pytest.param(LOW, {}, 1, id="doubtful"),
        pytest.param(TEST, {"allow_test_numbers": True}, 1, id="allowed-test-number"),
        pytest.param(PAN, {"suppress": [suppression()]}, 2, id="suppressed"),
        pytest.param(finding("TRACK_2"), {}, 0, id="track"),
    ],
)
def test_an_expiry_date_or_a_name_goes_where_its_number_goes(entity, pan, settings, heap):
    beside = finding(entity, 20, 24, path="$.e")
    assert heaps(verdict(pan, beside, **settings))[heap] == [pan, beside]


def test_of_two_numbers_the_one_that_shares_the_path_counts():
    low = finding(start=0, end=16, path="$.orders[1].id", confidence="low")
    expiry = finding("EXPIRY", 18, 22, path="$.orders[2].card.exp")
    pan = finding(start=90, end=106, path="$.orders[2].card.number")
    assert heaps(verdict(low, expiry, pan)) == ([expiry, pan], [low], [])


def test_of_two_numbers_with_one_path_the_nearer_counts():
    low = finding(start=0, end=16, path="", confidence="low")
    expiry = finding("EXPIRY", 18, 22, path="")
    pan = finding(start=90, end=106, path="")
    assert heaps(verdict(low, expiry, pan)) == ([pan], [low, expiry], [])


def test_an_expiry_date_alone_counts_for_itself():
    assert heaps(verdict(EXPIRY)) == ([EXPIRY], [], [])
    security_code = finding("SECURITY_CODE", 30, 33)
    assert heaps(verdict(LOW, security_code)) == ([security_code], [LOW], [])


def test_a_number_in_another_part_is_not_beside():
    parts = (Part("query", b"x"), PART)
    made = judge(message(parts=parts), [Inspection((LOW,)), Inspection((EXPIRY,))], [], [], TODAY)
    assert heaps(made) == ([EXPIRY], [LOW], [])
    assert [row.part for row in made.violations] == ["body"]


def test_many_numbers_and_dates_are_paired_in_time():
    rows = [
        row
        for number in range(4000)
        for row in (
            finding(start=number * 40, end=number * 40 + 16, path="", confidence="low" if number % 2 else "high"),
            finding("EXPIRY", number * 40 + 18, number * 40 + 22, path=""),
        )
    ]
    made = verdict(*rows)
    assert [row.start for row, _ in zip(heaps(made)[1], range(4), strict=False)] == [40, 58, 120, 138]
    assert len(made.violations) == len(made.reported) == 4000


# What the payment gateway's rules add.


def extra(start: int = 0, end: int = 16, **keys) -> tuple[int, Finding]:
    return 0, finding(start=start, end=end, brand="", why=("CardNo",), **keys)


GATEWAY = {"role": "payment-gateway"}


def test_what_only_the_meaning_of_a_field_tells_is_a_violation():
    row = extra(5, 8, entity="SECURITY_CODE", path="SecurityCode")
    made = verdict(extra=[row], **GATEWAY)
    assert made.violations == (Violation("passthrough", "body", row[1]),)
    assert made.action is Action.BLOCK


def test_what_both_found_is_one_finding_and_certain():
    low = finding(confidence="low", path="CardNo", why=("luhn",))
    made = verdict(low, extra=[extra(path="CardNo")], **GATEWAY)
    assert heaps(made) == ([replace(low, confidence="high", why=("luhn", "CardNo"))], [], [])


def test_an_allowed_test_number_stays_one_under_a_card_key():
    test = finding(test=True, path="CardNo")
    made = verdict(test, extra=[extra(path="CardNo")], allow_test_numbers=True, **GATEWAY)
    assert (len(made.violations), len(made.reported), made.action) == (0, 1, Action.REPORT)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(extra(16, 32, path="CardNo"), id="beside-it"),
        pytest.param(extra(path="CardNo2"), id="other-path-with-the-same-compressed-bytes"),
    ],
)
def test_what_is_somewhere_else_is_a_finding_of_its_own(row):
    low = finding(confidence="low", path="CardNo")
    assert heaps(verdict(low, extra=[row], **GATEWAY)) == ([row[1]], [low], [])


def test_a_repeated_field_is_found_each_time():
    first, second = finding(start=0, end=16, path="CardNo"), finding(start=60, end=76, path="CardNo")
    rows = [extra(0, 16, path="CardNo"), extra(30, 46, path="CardNo"), extra(60, 76, path="CardNo")]
    made = verdict(first, second, extra=rows, **GATEWAY)
    assert [(row.finding.start, row.finding.brand) for row in made.violations] == [(0, "visa"), (30, ""), (60, "visa")]


def test_a_doubtful_number_does_not_make_a_card_field_doubtful():
    low = finding(start=0, end=16, path="OrderID", confidence="low")
    expire = extra(20, 24, entity="EXPIRY", path="Expire")
    assert heaps(verdict(low, extra=[expire], **GATEWAY)) == ([expire[1]], [low], [])


def test_gaps_of_the_plane_and_of_the_gateways_rules_are_gaps():
    made = judge(message(gap="body-too-large", **GATEWAY), [CLEAN], [], [], TODAY, extra_gaps=("unlisted-gmo-path",))
    assert made.gaps == (("body", Gap("body-too-large", 0, 0)), ("body", Gap("unlisted-gmo-path", 0, 0)))
    assert made.action is Action.BLOCK


@pytest.mark.parametrize(
    ("source", "direction", "allowed"),
    [("browser", "request", True), ("backend", "request", False), ("browser", "response", False)],
)
def test_card_data_may_go_from_a_browser_to_the_token_endpoint_only(source, direction, allowed):
    asked = message(direction, source=source, gap="encrypted", **GATEWAY)
    made = judge(asked, [Inspection((PAN,))], [], [], TODAY, allow_card_data=True)
    assert made.action is (Action.ALLOW if allowed else Action.BLOCK)
    assert bool(made.violations) is not allowed


def test_without_the_endpoint_a_browser_is_judged_like_anyone():
    assert verdict(PAN, source="browser", **GATEWAY).action is Action.BLOCK


# Redaction.


def test_redaction_names_what_to_edit_in_each_part():
    parts = (Part("query", b"x"), Part("header:a", b"x"), PART)
    second = finding(start=40, end=56)
    inspections = [Inspection((PAN,)), Inspection((LOW,)), Inspection((second, PAN))]
    made = judge(message(parts=parts, on_violation="redact"), inspections, [], [], TODAY)
    assert made.action is Action.REDACT
    assert made.redact == {0: (PAN,), 2: (PAN, second)}, "in order of offset, and only what is acted on"
    assert [row.part for row in made.violations] == ["query", "body", "body"]


@pytest.mark.parametrize(
    ("name", "found"),
    [pytest.param("body", finding(leaf=None), id="no-view-to-edit"), pytest.param("method", PAN, id="method")],
)
def test_what_cannot_be_redacted_is_blocked(name, found):
    parts = (Part("query", b"x"), Part(name, b"x"))
    made = judge(message(parts=parts, on_violation="redact"), [Inspection((PAN,)), Inspection((found,))], [], [], TODAY)
    assert (made.action, made.redact) == (Action.BLOCK, {})


# What nobody judged must not pass.


@pytest.mark.parametrize("inspections", [[], [CLEAN, CLEAN]])
def test_each_part_needs_its_inspection(inspections):
    with pytest.raises(ValueError, match=f"1 parts, {len(inspections)} inspections"):
        judge(message(), inspections, [], [], TODAY)


@pytest.mark.parametrize("index", [-1, 1])
def test_each_finding_needs_its_part(index):
    with pytest.raises(ValueError, match="a finding in none of 1 parts"):
        judge(message(), [CLEAN], [(index, PAN)], [], TODAY)
