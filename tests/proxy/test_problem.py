from __future__ import annotations

import json

import pytest

from detectors.model import Gap
from proxy import problem
from proxy.gmo.review import CALLS_TOKEN_ENDPOINT
from proxy.judge import KINDS, Verdict, Violation
from proxy.message import Action
from tests.proxy.guard_parts import LEAK, MASKED, PAN, FakeInspector, finding, message
from tests.published_numbers import card_numbers_in

QUIET = FakeInspector().quiet
RECORD = "7d444840-9dc0-41d1-b245-5ffdce74fad2"


def blocked(*findings, part: str = "body") -> Verdict:
    rows = tuple(Violation("retention", part, found) for found in findings or (finding(LEAK),))
    return Verdict(Action.BLOCK, violations=rows)


def answer(asked, verdict: Verdict) -> dict:
    return json.loads(problem.card_data(asked, verdict, RECORD, QUIET))


def test_the_whole_answer():
    assert answer(message(LEAK), blocked()) == {
        "type": "urn:sekisho:problem:card-data",
        "title": "Card data blocked on lane app-logs",
        "status": 403,
        "detail": "body $.card.number holds a card number. "
        "Leave the field out of what is logged, or log its last four digits only.",
        "instance": f"urn:uuid:{RECORD}",
        "findings": [{"entity": "PAN", "brand": "visa", "where": "body $.card.number", "masked": MASKED}],
    }


@pytest.mark.parametrize(("role", "direction"), sorted(KINDS))
def test_every_lane_has_its_fix(role, direction):
    detail = answer(message(LEAK, role=role, direction=direction), blocked())["detail"]
    assert detail.startswith("body $.card.number holds a card number. ")
    assert len(detail) > 80


GATEWAY = [
    (
        "idPass",
        "/payment/ExecTran.idPass",
        "CardNo",
        "send `Token` from GMO's script instead of `CardNo`, `Expire` and `SecurityCode`",
    ),
    (
        "json",
        "/payment/ExecTran.json",
        "$.cardNo",
        "send `token` from GMO's script instead of `cardNo`, `expire` and `securityCode`",
    ),
    (
        "openapi",
        "/credit/charge",
        "$.card.cardNumber",
        "send `tokenizedCard.token` from GMO's script instead of `card`",
    ),
    ("unlisted", "/payment/Nothing", "CardNo", "send `Token` from GMO's script instead of `CardNo`"),
    ("token endpoint", "/ext/api/credit/getToken", "getToken", "Only the browser may call GMO's token endpoint"),
]


@pytest.mark.parametrize(("path", "where", "fix"), [row[1:] for row in GATEWAY], ids=[row[0] for row in GATEWAY])
def test_a_call_to_gmo_is_told_what_to_send_instead(path, where, fix):
    asked = message(LEAK, role="payment-gateway", host="127.0.0.1", path=path)
    detail = answer(asked, blocked(finding(LEAK, where)))["detail"]
    assert detail.startswith(f"body {where} holds a card number. ")
    assert fix in detail


def test_a_smuggled_number_is_told_apart():
    asked = message(LEAK, role="payment-gateway", host="127.0.0.1", path="/payment/ExecTran.idPass")
    detail = answer(asked, blocked(finding(LEAK, "Token", why=("token made of digits",))))["detail"]
    assert "A token is not made of digits" in detail


def test_the_shop_is_told_about_gmos_script():
    detail = answer(message(LEAK, role="shop"), blocked())["detail"]
    assert "give the card to GMO's token script, and post only the token" in detail


def test_a_token_is_no_card_data():
    detail = answer(message(LEAK), blocked(finding(LEAK, "$.token", entity="TOKEN", masked="***")))["detail"]
    assert detail.startswith("body $.token holds a one-time card token. A token can pay once")
    assert "log" not in detail


def test_every_field_is_named_or_counted():
    many = [finding(LEAK, f"$.field{number}") for number in range(30)]
    got = answer(message(LEAK), blocked(*many))
    assert got["detail"].startswith(
        "body $.field0 holds a card number; body $.field1 holds a card number; body $.field2 holds a card number; "
        "and 27 more. "
    )
    assert [found["where"] for found in got["findings"]] == [f"body $.field{number}" for number in range(20)]


def test_it_says_why_a_redacting_lane_did_not_redact():
    detail = answer(message(LEAK, on_violation="redact"), blocked(finding(LEAK, trail=("base64",))))["detail"]
    assert detail.startswith("body $.card.number (inside base64) holds a card number. ")
    assert "could not be replaced" in detail
    assert "could not be replaced" not in answer(message(LEAK), blocked())["detail"]


def test_it_says_how_test_numbers_may_pass():
    assert "`allow_test_numbers: true`" in answer(message(LEAK), blocked(finding(LEAK, test=True)))["detail"]
    both = blocked(finding(LEAK, test=True), finding(LEAK))
    assert "allow_test_numbers" not in answer(message(LEAK), both)["detail"]


def test_a_teams_own_entity_keeps_its_name():
    got = answer(message(LEAK), blocked(finding(LEAK, "$.id", entity="EMPLOYEE_ID", brand="", masked="***")))
    assert got["detail"].startswith("body $.id holds EMPLOYEE_ID. ")


def test_gaps_beside_card_data_are_listed_too():
    verdict = Verdict(Action.BLOCK, blocked().violations, gaps=(("body", Gap("truncated-gzip", 0, 4)),))
    assert answer(message(LEAK), verdict)["gaps"] == [{"where": "body", "reason": "truncated"}]


@pytest.mark.parametrize(
    "found",
    [
        finding(LEAK, f"$['{PAN}']"),
        finding(LEAK, masked=PAN),
        finding(LEAK, entity="SECURITY_CODE", masked="123"),
        finding(LEAK, "４１１１１１１１１１１１１１１１"),
    ],
)
def test_no_answer_holds_digits(found):
    for part in ("body", f"header:{PAN}"):
        text = problem.card_data(message(LEAK), blocked(found, part=part), RECORD, QUIET).decode()
        assert not card_numbers_in(text)
        assert PAN not in text
        assert "４" not in text
        assert "123" not in text


def test_a_key_that_is_no_text_does_not_stop_a_refusal():
    assert answer(message(LEAK), blocked(finding(LEAK, "$.\ud800")))["findings"][0]["where"] == "body $.?"


def test_uninspectable():
    verdict = Verdict(Action.BLOCK, gaps=(("body", Gap("unknown-charset", 0, 4)), ("query", Gap("too-deep", 1, 2))))
    assert json.loads(problem.uninspectable(message(LEAK), verdict, RECORD, QUIET)) == {
        "type": "urn:sekisho:problem:uninspectable",
        "title": "Uninspectable content blocked on lane app-logs",
        "status": 422,
        "detail": "What could not be inspected is not forwarded: body (unknown-charset); query (too-deep). "
        "Send it in an encoding that can be inspected and within the lane's limits, or have the policy changed.",
        "instance": f"urn:uuid:{RECORD}",
        "findings": [],
        "gaps": [{"where": "body", "reason": "unknown-charset"}, {"where": "query", "reason": "too-deep"}],
    }


def test_uninspectable_counts_what_it_does_not_name():
    gaps = tuple(("body", Gap("archive", 0, 4)) for _ in range(50))
    got = json.loads(problem.uninspectable(message(LEAK), Verdict(Action.BLOCK, gaps=gaps), "", QUIET))
    assert "body (archive); body (archive); body (archive); and 47 more. " in got["detail"]
    assert len(got["gaps"]) == 20
    assert "instance" not in got


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (CALLS_TOKEN_ENDPOINT, "Only the browser may call GMO's token endpoint"),
        ("card number in the place of a reference", "A reference such as MemberID or ClientField1 holds a card number"),
    ],
)
def test_what_a_call_to_gmo_did_wrong_is_told_by_its_reason(why, said):
    asked = message(LEAK, role="payment-gateway", host="127.0.0.1", path="/payment/ExecTran.json%23/")
    rows = (Violation("passthrough", "body", finding(LEAK, why=(why,))),)
    detail = json.loads(problem.card_data(asked, Verdict(Action.BLOCK, rows), RECORD, QUIET))["detail"]
    assert said in detail


def test_an_unlisted_call_to_gmo_says_so():
    verdict = Verdict(Action.BLOCK, gaps=(("body", Gap("unlisted-gmo-path", 0, 0)),))
    detail = json.loads(problem.uninspectable(message(LEAK), verdict, RECORD, QUIET))["detail"]
    assert detail.endswith("This path is none of the gateway's APIs that a backend may call.")


def test_failure():
    got = json.loads(problem.failure("app-logs", RECORD))
    assert (got["type"], got["status"], got["title"]) == (
        "urn:sekisho:problem:failure",
        503,
        "Inspection failed on lane app-logs",
    )
    assert got["instance"] == f"urn:uuid:{RECORD}"
    assert "instance" not in json.loads(problem.failure("app-logs", ""))
