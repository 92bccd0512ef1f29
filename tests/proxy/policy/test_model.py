"""The frozen values of a policy."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.policy.model import Lane, Policy, Suppression
from proxy.policy.values import Address

LANE = {"name": "logs", "listen": "127.0.0.1:1", "upstream": "http://up", "role": "logging"}
LEAST = {"version": 1, "policy_id": "p", "audit": {"fingerprint_key_file": "k"}, "lanes": (LANE,)}


def test_the_least_policy_has_safe_defaults():
    policy = Policy.model_validate(LEAST, context={"base": Path("/etc/s")})
    assert (policy.mode, policy.admin.listen) == ("enforce", Address("127.0.0.1", 9464))
    assert (policy.audit.path, policy.audit.retention_days) == (Path("/etc/s/var/audit.jsonl"), 400)
    assert policy.audit.fingerprint_key_file == Path("/etc/s/k")
    assert (policy.suppress, policy.recognizers) == ((), ())
    assert policy.defaults.model_dump() == {
        "on_violation": "block",
        "on_gap": "block",
        "redaction": "mask",
        "redaction_numbers": "string",
        "act_on": "high",
        "tokens": "allow",
        "percent": 100,
    }


@pytest.mark.parametrize("name", ["mode", "lanes", "policy_id"])
def test_a_policy_cannot_be_changed(name):
    policy = Policy.model_validate(LEAST)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(policy, name, None)
    with pytest.raises(ValidationError, match="frozen"):
        policy.lanes[0].role = "external"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"version": "1"}, id="version-as-text"),
        pytest.param({"version": True}, id="version-as-truth"),
        pytest.param({"version": 2}, id="later-version"),
        pytest.param({"sha256": "x"}, id="a-property-is-no-key"),
        pytest.param({"lanes": ()}, id="no-lanes"),
        pytest.param({"lanes": [LANE]}, id="a-list-could-change"),
        pytest.param({"lanes": (LANE, LANE)}, id="lanes-that-clash"),
        pytest.param({"lanes": (LANE | {"role": "shop", "on_violation": "redact"},)}, id="redacted-passthrough"),
        pytest.param({"mode": None}, id="null"),
    ],
)
def test_what_is_no_policy_cannot_be_made_by_any_way(change):
    with pytest.raises(ValidationError):
        Policy.model_validate(LEAST | change)


def test_a_validation_error_does_not_show_its_input():
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(LEAST | {"mode": "4111111111111111"})
    assert "4111" not in str(caught.value)


def test_a_lane_on_its_own_has_no_routes():
    lane = Lane.model_validate(LANE)
    with pytest.raises(RuntimeError, match="part of a Policy"):
        lane.route("")
    with pytest.raises(RuntimeError, match="part of a Policy"):
        _ = lane.routes


def test_routes_of_a_lane_in_file_order():
    destinations = ({"hosts": ("b.jp", "*.a.jp"), "role": "logging"}, {"hosts": ("a.jp",), "role": "storage"})
    lane = {"name": "egress", "listen": "127.0.0.1:1", "upstream": "forward", "destinations": destinations}
    blocked = Policy.model_validate(LEAST | {"lanes": (lane,)}).lanes[0]
    assert [(host, route.role) for host, route in blocked.routes] == [
        ("b.jp", "logging"),
        ("*.a.jp", "logging"),
        ("a.jp", "storage"),
    ]
    open_lane = Policy.model_validate(LEAST | {"lanes": (lane | {"unlisted": "external"},)}).lanes[0]
    assert [(host, route.role) for host, route in open_lane.routes][-1] == ("", "external")


@pytest.mark.parametrize(
    ("written", "paths", "today", "covered"),
    [
        pytest.param("$.order_id", ("$.order_id",), date(2027, 3, 30), True, id="the-path"),
        pytest.param("$.order_id", ("$.order_id",), date(2027, 3, 31), True, id="the-last-day"),
        pytest.param("$.order_id", ("$.order_id",), date(2027, 4, 1), False, id="the-day-after"),
        pytest.param("$.order_id", ("$.order_id.card",), date(2027, 1, 1), False, id="deeper"),
        pytest.param("$.order_id", ("$.x.order_id",), date(2027, 1, 1), False, id="elsewhere"),
        pytest.param("$.order_id", ("$xorder_id",), date(2027, 1, 1), False, id="a-dot-is-a-dot"),
        pytest.param("$.o[*].id", ("$.o[17].id",), date(2027, 1, 1), True, id="any-index"),
        pytest.param("$.o[*].id", ("$.o[x].id",), date(2027, 1, 1), False, id="an-index-is-a-number"),
        pytest.param("$.o[1].id", ("$.o[11].id",), date(2027, 1, 1), False, id="one-index"),
        pytest.param("body $.id", ("$.id", "body $.id"), date(2027, 1, 1), True, id="with-the-part"),
        pytest.param("header:x $.id", ("$.id", "body $.id"), date(2027, 1, 1), False, id="another-part"),
    ],
)
def test_a_suppression_covers(written, paths, today, covered):
    row = Suppression(lane="logs", path=written, entity="PAN", reason="ids", until=date(2027, 3, 31))
    assert row.covers("logs", "PAN", paths, today) is covered
    assert not row.covers("other", "PAN", paths, today)
    assert not row.covers("logs", "SECURITY_CODE", paths, today)


def test_a_place_without_a_file_is_its_start():
    assert Policy.model_validate(LEAST).place("lanes", 0).line == 1
