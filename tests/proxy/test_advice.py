from __future__ import annotations

import pytest

from proxy.advice import Case, Fact, for_card_data, for_gaps
from proxy.gmo.review import CALLS_TOKEN_ENDPOINT
from proxy.judge import KINDS
from proxy.texts import TEXTS

PAN, TOKEN, TEST = Fact("PAN", False, ()), Fact("TOKEN", False, ()), Fact("PAN", True, ())


def case(*facts: Fact, role="logging", direction="request", host="127.0.0.1", path="/", unmended=False) -> Case:
    return Case(role, direction, host, path, facts or (PAN,), unmended)


@pytest.mark.parametrize(("role", "direction"), sorted(KINDS))
def test_every_role_and_direction_has_its_advice(role, direction):
    names = for_card_data(case(role=role, direction=direction))
    assert len(names) == 1
    assert names[0] in TEXTS


FURTHER = {
    "a token": (case(TOKEN), ["fix.token"]),
    "a token beside a number": (case(TOKEN, PAN), ["fix.logging.request"]),
    "a token that digits make is the gateway's": (case(TOKEN, role="payment-gateway"), ["fix.token"]),
    "not redacted": (case(unmended=True), ["fix.logging.request", "fix.unmended"]),
    "test numbers": (case(TEST, TEST), ["fix.logging.request", "fix.test"]),
    "test numbers and others": (case(TEST, PAN), ["fix.logging.request"]),
}


@pytest.mark.parametrize(("asked", "names"), FURTHER.values(), ids=FURTHER)
def test_what_else_is_said(asked, names):
    assert for_card_data(asked) == names


GATEWAY = {
    "form": ("/payment/ExecTran.idPass", (), "fix.gmo.raw.form"),
    "json": ("/payment/ExecTran.json", (), "fix.gmo.raw.json"),
    "openapi": ("/credit/charge", (), "fix.gmo.raw.openapi"),
    "unlisted": ("/payment/Nothing", (), "fix.gmo.raw.form"),
    "token endpoint": ("/ext/api/credit/getToken", (), "fix.gmo.browser"),
    "token endpoint, by the path alone": ("/x", (CALLS_TOKEN_ENDPOINT,), "fix.gmo.browser"),
    "digits as a token": ("/payment/ExecTran.json", ("token made of digits",), "fix.gmo.digits.json"),
    "a reference": ("/x", ("card number in the place of a reference",), "fix.gmo.reference"),
}


@pytest.mark.parametrize(("path", "why", "name"), GATEWAY.values(), ids=GATEWAY)
def test_a_call_to_the_gateway(path, why, name):
    asked = case(Fact("PAN", False, why), role="payment-gateway", path=path)
    assert for_card_data(asked) == [name]
    assert name in TEXTS


@pytest.mark.parametrize(
    ("reasons", "names"),
    [
        (["unlisted-gmo-path", "truncated-gzip"], ["fix.unlisted-gmo-path"]),
        (["unreadable-gmo-call"], ["fix.unreadable-gmo-call"]),
        (["unlisted-destination"], ["fix.unlisted-destination"]),
        (["misdirected"], ["fix.misdirected"]),
        (["truncated-gzip", "unheard of"], ["fix.gap"]),
        ([], ["fix.gap"]),
    ],
)
def test_gaps(reasons, names):
    assert for_gaps(reasons) == names
    assert set(names) <= TEXTS.keys()
