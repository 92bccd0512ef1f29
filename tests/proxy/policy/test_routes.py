"""Which rules apply where: hosts of a forward lane, and settings from destination, lane, policy and role."""

from __future__ import annotations

import pytest

from detectors.model import Limits
from proxy.policy.model import Policy
from proxy.policy.routes import Route

HTTP = {"name": "lane", "listen": "127.0.0.1:1", "upstream": "http://up"}
FORWARD = {"name": "lane", "listen": "127.0.0.1:1", "upstream": "forward"}


def policy(lane: dict, **top) -> Policy:
    return Policy.model_validate(
        {"version": 1, "policy_id": "p", "audit": {"fingerprint_key_file": "k"}, "lanes": (lane,)} | top
    )


def rules(lane: dict, host: str = "", **top) -> Route:
    route = policy(lane, **top).lanes[0].route(host)
    assert route is not None
    return route


def test_a_lane_that_says_nothing_blocks():
    for role in ("logging", "storage", "external", "payment-gateway", "shop"):
        assert rules(HTTP | {"role": role}) == Route(
            lane="lane",
            role=role,
            mode="enforce",
            on_violation="block",
            on_gap="block",
            redaction="mask",
            redaction_numbers="string",
            act_on="high",
            tokens="allow",
            allow_test_numbers=False,
            source="backend",
            limits=Limits(body=32 * 1024**2, depth=6, expanded=128 * 1024**2, ratio=1000, seconds=5.0),
            header=64 * 1024,
            connections=1024,
        )


OTHER = {
    "on_violation": "redact",
    "on_gap": "report",
    "redaction": "last4",
    "redaction_numbers": "zero",
    "act_on": "low",
    "tokens": "deny",
    "percent": 25,
}


@pytest.mark.parametrize(("key", "value"), OTHER.items())
def test_a_setting_comes_from_the_policy_the_lane_or_the_destination(key, value):
    initial = getattr(rules(HTTP | {"role": "logging"}), key)
    assert getattr(rules(HTTP | {"role": "logging"}, defaults={key: value}), key) == value
    assert getattr(rules(HTTP | {"role": "logging", key: value}), key) == value
    assert getattr(rules(HTTP | {"role": "logging", key: initial}, defaults={key: value}), key) == initial

    def named(settings: dict, lane: dict, top: dict) -> Route:
        return rules(
            FORWARD | {"destinations": ({"hosts": ("a.jp",), "role": "logging"} | settings,)} | lane, "a.jp", **top
        )

    assert getattr(named({}, {}, {"defaults": {key: value}}), key) == value
    assert getattr(named({}, {key: value}, {}), key) == value
    assert getattr(named({key: value}, {}, {}), key) == value
    assert getattr(named({key: initial}, {key: value}, {"defaults": {key: value}}), key) == initial


@pytest.mark.parametrize(
    ("top", "lane", "effective"),
    [
        ("enforce", {}, "enforce"),
        ("monitor", {}, "monitor"),
        ("monitor", {"mode": "enforce"}, "enforce"),
        ("enforce", {"mode": "monitor"}, "monitor"),
    ],
)
def test_the_mode_of_a_lane_wins(top, lane, effective):
    assert rules(HTTP | {"role": "logging"} | lane, mode=top).mode == effective


@pytest.mark.parametrize("role", ["payment-gateway", "shop"])
def test_redaction_as_a_default_does_not_reach_what_it_cannot_undo(role):
    assert rules(HTTP | {"role": role}, defaults={"on_violation": "redact"}).on_violation == "block"
    assert rules(HTTP | {"role": role}, defaults={"on_violation": "report"}).on_violation == "block"
    assert rules(HTTP | {"role": role, "on_violation": "report"}).on_violation == "report"


@pytest.mark.parametrize("setting", ["redact", "report"])
def test_a_forward_lanes_setting_does_not_weaken_its_payment_gateway(setting):
    lane = FORWARD | {"on_violation": setting, "destinations": ({"hosts": ("a.jp",), "role": "payment-gateway"},)}
    assert rules(lane, "a.jp").on_violation == "block"
    named = FORWARD | {"destinations": ({"hosts": ("a.jp",), "role": "payment-gateway", "on_violation": "report"},)}
    assert rules(named, "a.jp").on_violation == "report"


def test_test_numbers_and_source():
    assert rules(HTTP | {"role": "logging", "allow_test_numbers": True}).allow_test_numbers
    lane = FORWARD | {"source": "browser", "destinations": ({"hosts": ("a.jp",), "role": "payment-gateway"},)}
    assert rules(lane, "a.jp").source == "browser"


def test_limits_of_a_lane_replace_only_what_they_name():
    top = {"limits": {"body": "1MiB", "depth": 3, "inspect_seconds": 2.5, "connections": 7}}
    route = rules(HTTP | {"role": "logging", "limits": {"body": "2KiB", "header": "9B", "readings": 9}}, **top)
    assert route.limits == Limits(body=2048, depth=3, expanded=128 * 1024**2, ratio=1000, readings=9, seconds=2.5)
    assert (route.header, route.connections) == (9, 7)


@pytest.mark.parametrize("host", ["", "anything.example", "not a host"])
def test_a_lane_with_one_upstream_ignores_the_host(host):
    assert rules(HTTP | {"role": "logging"}, host).role == "logging"


HOSTS = FORWARD | {
    "destinations": (
        {"hosts": ("*.mul-pay.jp", "*.例え.jp"), "role": "payment-gateway"},
        {"hosts": ("logs.mul-pay.jp", "mul-pay.jp", "192.0.2.7", "[2001:db8::1]"), "role": "logging"},
        {"hosts": ("*.stg.mul-pay.jp",), "role": "storage"},
    )
}


@pytest.mark.parametrize(
    ("host", "role"),
    [
        pytest.param("p01.mul-pay.jp", "payment-gateway", id="one-label"),
        pytest.param("a.b.mul-pay.jp", "payment-gateway", id="two-labels"),
        pytest.param("P01.MUL-PAY.JP", "payment-gateway", id="case"),
        pytest.param("p01.mul-pay.jp.", "payment-gateway", id="trailing-dot"),
        pytest.param("mul-pay.jp", "logging", id="the-apex-is-not-below-itself"),
        pytest.param("logs.mul-pay.jp", "logging", id="exact-wins-over-wildcard"),
        pytest.param("x.logs.mul-pay.jp", "payment-gateway", id="exact-covers-nothing-below"),
        pytest.param("p01.stg.mul-pay.jp", "storage", id="longer-wildcard-wins"),
        pytest.param("stg.mul-pay.jp", "payment-gateway", id="apex-of-the-longer-wildcard"),
        pytest.param("evilmul-pay.jp", None, id="suffix-without-a-dot"),
        pytest.param("p01.mul-pay.jp.evil.com", None, id="as-a-prefix"),
        pytest.param("x.例え.jp", "payment-gateway", id="unicode"),
        pytest.param("x.xn--r8jz45g.jp", "payment-gateway", id="punycode"),
        pytest.param("192.0.2.7", "logging", id="address"),
        pytest.param("2001:DB8:0::1", "logging", id="ipv6"),
        pytest.param("192.0.2.8", None, id="other-address"),
        pytest.param("other.example", None, id="unlisted"),
        pytest.param("p01.mul-pay.jp\x00.evil.com", None, id="nul"),
        pytest.param("", None, id="empty"),
    ],
)
def test_destinations(host, role):
    route = policy(HOSTS).lanes[0].route(host)
    assert (route and route.role) == role


@pytest.mark.parametrize(
    ("host", "role"),
    [("other.example", "external"), ("mul-pay.jp.", "logging"), ("no host/at all", None), ("", None)],
)
def test_unlisted_hosts_as_external(host, role):
    route = policy(HOSTS | {"unlisted": "external", "on_violation": "redact"}).lanes[0].route(host)
    assert (route and route.role) == role
    if role == "external":
        assert route.on_violation == "redact", "the lane's own rules"


def test_without_any_destination_unlisted_decides():
    assert policy(FORWARD).lanes[0].route("a.jp") is None
    assert rules(FORWARD | {"unlisted": "external"}, "a.jp").role == "external"
    assert policy(FORWARD | {"unlisted": "external"}).lanes[0].route("no host/at all") is None
